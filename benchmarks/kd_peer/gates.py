"""Check that all systems train the same student, before anything is timed.

This project's online teacher is compared with TRL's and Liger's losses, and with this project's
loss on V - 1 kept ids, which is exact because the tail has only one id. The relative tolerances are
1e-4 for the loss of each step, and 1e-5 for the first gradient and the final parameters (2-norm of
the difference).

The small pairs are trained for all steps, with both data sets, accumulations and architectures. A
and B are trained for a few steps, because only the effect of the vocabulary is left to test; V - 1
kept ids would take gigabytes per batch there. A cache on disk stores float16 differences, so it
cannot reach 1e-5; its result at V - 1 has a tolerance of its own.
"""

from __future__ import annotations

import gc
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from cases import PAIRS, Case, DataName
from pairs import teacher_of
from stillroom.distillation.batches.forward import Batch
from stillroom.distillation.losses.rows import SparseTeacherRows
from stillroom.distillation.teacher.cache_reader import TeacherCache
from stillroom.distillation.teacher.online import OnlineTeacher
from systems import build_teacher_cache, make_trainer
from torch import Tensor

LOSS_BAR: Final = 1e-4
GRADIENT_BAR: Final = 1e-5
PARAMETER_BAR: Final = 1e-5
FILE_BAR: Final = 2e-3
"""For all three, from a cache on the disk."""


@dataclass(frozen=True)
class Outcome:
    """What a system trained."""

    losses: list[float]
    gradient: dict[str, Tensor]
    parameters: dict[str, Tensor]


class ExactSparseTeacher:
    """Keep V - 1 ids of an online teacher in float32; the last one is the tail."""

    def __init__(self, model: Any) -> None:  # noqa: ANN401
        """Freeze the model."""
        self.online = OnlineTeacher(model)

    def rows(self, batch: Batch) -> SparseTeacherRows:
        """Give all but the least likely id of each row."""
        rows = self.online.rows(batch)
        log_p = (rows.hidden @ rows.weight.T).log_softmax(dim=1)
        log_kept, ids = log_p.sort(dim=1, descending=True)
        return SparseTeacherRows(ids[:, :-1], log_kept[:, :-1], log_kept[:, -1])


def check_equivalence(
    pair: str, data: DataName, accumulation: int, steps: int
) -> list[dict[str, Any]]:
    """Train every system and compare.

    Args:
        pair: Of the models.
        data: Name of the data set.
        accumulation: Micro-batches per optimizer step.
        steps: Optimizer steps.

    Returns:
        One row per comparison: what, the three differences, their bars, and whether all hold.
    """
    case = Case(pair, data, "online", accumulation, malloc=True)
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        reference = _train(case, work, steps)
        for system in _compared(pair):
            if system == "liger" and not _has_liger():
                continue
            outcome = _outcome(system, case, work, steps)
            rows.append(_compare(system, case, steps, outcome, reference))
        floor = _train(_of(case, "ce_trainer"), work, steps)
        ours = _train(_of(case, "ce_rows"), work, steps)
        rows.append(_compare("ce_rows", case, steps, ours, floor))
    return rows


def _compared(pair: str) -> list[str]:
    kept = ["cached V-1", "cached V-1 from disk"] if PAIRS[pair].vocabulary <= 4096 else []
    return ["trl_gkd", "liger", "trl_chunked", *kept]


def _outcome(system: str, case: Case, work: Path, steps: int) -> Outcome:
    if not system.startswith("cached"):
        return _train(_of(case, system), work, steps)
    if system == "cached V-1":
        return _train(_of(case, "cached"), work, steps, ExactSparseTeacher(teacher_of(case.pair)))
    folder = work / "cache"
    build_teacher_cache(case.pair, case.data, folder, k=PAIRS[case.pair].vocabulary - 1)
    return _train(_of(case, "cached"), work, steps, TeacherCache(folder))


def _of(case: Case, system: str) -> Case:
    return Case(**(asdict(case) | {"system": system}))


def _train(case: Case, work: Path, steps: int, teacher: Any = None) -> Outcome:  # noqa: ANN401
    trainer = make_trainer(case, work, steps=steps, teacher=teacher)
    trainer.keep_gradient = True
    trainer.train()
    parameters = {name: p.detach() for name, p in trainer.model.named_parameters()}
    gc.collect()  # a Trainer is full of cycles, and each one before it holds both models
    return Outcome(trainer.step_losses, trainer.gradient, parameters)


def _compare(
    system: str, case: Case, steps: int, outcome: Outcome, reference: Outcome
) -> dict[str, Any]:
    pairs = zip(outcome.losses, reference.losses, strict=True)
    found = {
        "loss": max(abs(a - b) / abs(b) for a, b in pairs),
        "gradient": _distance(outcome.gradient, reference.gradient),
        "parameters": _distance(outcome.parameters, reference.parameters),
    }
    bars = {"loss": LOSS_BAR, "gradient": GRADIENT_BAR, "parameters": PARAMETER_BAR}
    if system.endswith("from disk"):
        bars = dict.fromkeys(bars, FILE_BAR)
    return {
        "system": system,
        "against": "ce_trainer" if system == "ce_rows" else "online",
        "pair": case.pair,
        "data": case.data,
        "accumulation": case.accumulation,
        "steps": steps,
        "found": found,
        "bars": bars,
        "holds": all(found[name] <= bars[name] for name in bars),
    }


def _distance(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Give the 2-norm of the difference over all tensors, relative to the second."""
    assert one.keys() == other.keys()
    apart = sum(float((one[n].double() - other[n].double()).square().sum()) for n in one)
    size = sum(float(other[n].double().square().sum()) for n in other)
    return (apart / size) ** 0.5


def _has_liger() -> bool:
    try:
        import liger_kernel.chunked_loss  # noqa: F401
    except ImportError:
        return False
    return True
