"""Layer losses of a run: pair layers of student and teacher, and compare them in each step.

Hooks read hidden states and attention maps from the forward passes of the training step. The layer
losses therefore need no pass of their own, but memory for these tensors until they are computed.
Attention maps need eager attention, whose memory grows with the square of the length.

If the widths differ, a projection is trained together with the student. It is part of the optimizer
and of the run's checkpoints, but not of the saved student.

Sizes: B examples, T positions, H hidden size of the student, W of the teacher.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import TrainerCallback

from ...errors import ConfigError
from ...files import atomic_path
from ..batches.forward import Batch
from ..runtime_patches import attention_set_to
from ..setting_names import AttentionMeasure, HiddenMeasure
from ..settings_checks import layer_faults
from .layer_losses import (
    ATTENTION_MEASURES,
    HIDDEN_MEASURES,
    Pair,
    compared_positions,
    uniform_pairs,
)

PROJECTIONS_FILE: Final = "layer_projections.safetensors"

Model = Any
"""A model of transformers, whose classes are skipped by the type checker."""


@dataclass(frozen=True)
class LayerSettings:
    """Settings of the layer losses.

    Raises:
        ConfigError: Settings are out of range; lists all faults.
    """

    hidden_weight: float = 0.0
    """Weight of the loss on hidden states, relative to the loss on logits; 0 omits it."""
    hidden_measure: HiddenMeasure = "mse"
    """Distance of hidden states."""
    attention_weight: float = 0.0
    """Weight of the loss on attention maps; 0 omits it."""
    attention_measure: AttentionMeasure = "kl"
    """Distance of attention maps."""
    layer_pairs: tuple[Pair, ...] | None = None
    """(student layer, teacher layer), counted from 1; 0 is the embeddings, which have no attention
    map. None takes `uniform_pairs`."""

    def __post_init__(self) -> None:
        """Check all settings."""
        faults = layer_faults(asdict(self))
        if faults:
            raise ConfigError(faults)

    @property
    def active(self) -> bool:
        """Whether anything is compared."""
        return self.hidden_weight > 0.0 or self.attention_weight > 0.0


class LayerMatching:
    """Compares pairs of layers of a student and a teacher that run in the same training step.

    Raises:
        ConfigError: A named layer does not exist.
    """

    def __init__(
        self,
        student: Model,
        teacher: Model,
        settings: LayerSettings,
        *,
        device: torch.device,
        seed: int = 0,
    ) -> None:
        """Pair the layers and make the projections that are needed."""
        self.settings = settings
        self.decoder_side = bool(student.config.is_encoder_decoder)
        depths = layer_count(student), layer_count(teacher)
        self.pairs = settings.layer_pairs or uniform_pairs(*depths)
        wrong = [p for p in self.pairs if p[0] > depths[0] or p[1] > depths[1]]
        if wrong:
            raise ConfigError(
                [f"layer_pairs names {wrong}; the student has {depths[0]} layers, the teacher "
                 f"{depths[1]}"]
            )  # fmt: skip
        self.projections = _projections(student, teacher, settings, len(self.pairs), seed)
        self.projections.to(device)
        self._positions_in_step = 0
        requested = {
            "output_hidden_states": settings.hidden_weight > 0.0,
            "output_attentions": settings.attention_weight > 0.0,
        }
        self._student = _Outputs(
            student, {name: True for name, wanted in requested.items() if wanted}
        )
        self._teacher = _Outputs(teacher, self._student.requested)

    @contextmanager
    def watching(self) -> Iterator[None]:
        """Record the outputs of both models; use eager attention if attention maps are compared."""
        with ExitStack() as stack:
            for outputs in (self._student, self._teacher):
                if self.settings.attention_weight > 0.0:
                    stack.enter_context(attention_set_to(outputs.model, "eager", force=True))
                stack.enter_context(outputs.recorded())
            yield

    def begin_step(self, batches: Sequence[Batch], add_up: Callable[[Tensor], Tensor]) -> None:
        """Count the compared positions of an optimizer step, the divisor of its micro-batches."""
        count = sum(self.count(batch) for batch in batches)
        device = batches[0]["labels"].device if batches else "cpu"
        self._positions_in_step = int(add_up(torch.tensor([count], device=device)).sum())

    def compare(
        self, batch: Batch, run_teacher: Callable[[Batch], object], *, in_step: bool
    ) -> tuple[Tensor, int]:
        """Compute the weighted layer losses of the last forward passes, and their divisor.

        Args:
            batch: The batch that the student ran on.
            run_teacher: Runs the teacher on a batch. It is called if the teacher has not run in
                this step, as with alpha 0.
            in_step: Whether `begin_step` counted this batch; otherwise it is a step of its own.

        Returns:
            The sum over compared positions, averaged over pairs; and the positions of the step.

        Raises:
            ConfigError: A model does not return hidden states or attention maps.
        """
        if self._teacher.out is None:
            run_teacher(batch)
        ours, theirs = self._student.take(), self._teacher.take()
        compared = compared_positions(batch, decoder_side=self.decoder_side)  # (B, T)
        total, share = torch.zeros((), device=compared.device), 1.0 / len(self.pairs)
        settings = self.settings
        for number, (student, teacher) in enumerate(self.pairs):
            if settings.hidden_weight > 0.0:
                state = _of(ours, "hidden_states")[student]  # (B, T, H)
                if self.projections:
                    weight = self._weight(number)
                    state = state.to(weight.dtype) @ weight.T  # (B, T, W)
                measure = HIDDEN_MEASURES[settings.hidden_measure]
                distance, _ = measure(state, _of(theirs, "hidden_states")[teacher], compared)
                total = total + share * settings.hidden_weight * distance
            if settings.attention_weight > 0.0 and student and teacher:
                measure = ATTENTION_MEASURES[settings.attention_measure]
                maps = _of(ours, "attentions")[student - 1], _of(theirs, "attentions")[teacher - 1]
                distance, _ = measure(*maps, compared)
                total = total + share * settings.attention_weight * distance
        return total, self._positions_in_step if in_step else self.count(batch)

    def _weight(self, number: int) -> Tensor:
        weight: Tensor = self.projections.get_parameter(f"{number}.weight")
        return weight  # (W, H)

    def count(self, batch: Batch) -> int:
        """Count the positions of a batch that are compared."""
        return int(compared_positions(batch, decoder_side=self.decoder_side).sum())

    def join(self, optimizer: torch.optim.Optimizer) -> None:
        """Add the projections to the student's optimizer, with its first learning rate."""
        if self.projections:
            rate = optimizer.param_groups[0]["lr"]
            group = {"params": list(self.projections.parameters()), "weight_decay": 0.0, "lr": rate}
            optimizer.add_param_group(group)

    def load(self, checkpoint: Path) -> None:
        """Load the projections from a checkpoint of this run."""
        if self.projections:
            self.projections.load_state_dict(load_file(checkpoint / PROJECTIONS_FILE))


def match_layers(
    student: Model,
    teacher: object,
    settings: LayerSettings | None,
    *,
    device: torch.device,
    seed: int,
) -> LayerMatching | None:
    """Make the layer losses of a run; None if their weights are 0.

    Raises:
        ConfigError: The teacher is not a model that runs beside the student.
    """
    if settings is None or not settings.active:
        return None
    model = teacher if isinstance(teacher, nn.Module) else getattr(teacher, "model", None)
    if not isinstance(model, nn.Module):
        raise ConfigError(
            [f"layer losses need a teacher that runs beside the student, not "
             f"{'none' if teacher is None else type(teacher).__name__}: a cache holds logits only"]
        )  # fmt: skip
    return LayerMatching(student, model, settings, device=device, seed=seed)


class TrainProjections(TrainerCallback):  # type: ignore[misc]  # transformers is skipped
    """Synchronise, clear and save the projections, as Trainer does for the model.

    Their gradients are not clipped, because AdamW's step does not depend on their size.
    """

    def __init__(self, matching: LayerMatching) -> None:
        """Keep the layer losses with the projections."""
        self.matching = matching

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        """Average the gradients over processes, as DDP does for the model."""
        if args.world_size > 1:
            for weight in self.matching.projections.parameters():
                torch.distributed.all_reduce(weight.grad)
                weight.grad /= args.world_size

    def on_optimizer_step(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        """Clear gradients; Trainer clears only those of the model."""
        self.matching.projections.zero_grad()

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        """Write the projections into the checkpoint before it is marked as complete."""
        if state.is_world_process_zero and self.matching.projections:
            folder = Path(args.output_dir) / f"checkpoint-{state.global_step}"
            with atomic_path(folder / PROJECTIONS_FILE) as temporary:
                save_file(self.matching.projections.state_dict(), temporary)


def layer_count(model: Model) -> int:
    """Count a model's layers; in an encoder-decoder those of the decoder."""
    config = model.config
    decoder = getattr(config, "num_decoder_layers", None) if config.is_encoder_decoder else None
    return int(decoder or config.num_hidden_layers)


class _Outputs:
    """The outputs of a model's last forward pass, including hidden states or attention maps."""

    def __init__(self, model: Model, requested: Mapping[str, bool]) -> None:
        self.model, self.requested = model, dict(requested)
        self.out: Any = None

    @contextmanager
    def recorded(self) -> Iterator[None]:
        """Record until the end of the block."""
        handles = (
            self.model.register_forward_pre_hook(self._request, with_kwargs=True),
            self.model.register_forward_hook(self._keep),
        )
        try:
            yield
        finally:
            self.out = None
            for handle in handles:
                handle.remove()

    def take(self) -> Any:  # noqa: ANN401 - a ModelOutput
        """Return the outputs and drop the reference, so that they are freed with the graph."""
        out, self.out = self.out, None
        return out

    def _request(self, model: Model, args: Any, options: Any) -> tuple[Any, Any]:  # noqa: ANN401
        return args, {**options, **self.requested}

    def _keep(self, model: Model, args: Any, out: Any) -> None:  # noqa: ANN401
        self.out = out


def _of(out: Any, kind: str) -> tuple[Tensor, ...]:  # noqa: ANN401 - a ModelOutput
    """Return the hidden states or attention maps of all layers; in an encoder-decoder of the
    decoder's layers."""
    found = getattr(out, f"decoder_{kind}", None) or getattr(out, kind, None)
    if not found or found[-1] is None:
        raise ConfigError([f"the model gives no {kind}; set the weight of that layer loss to 0"])
    tensors: tuple[Tensor, ...] = found
    return tensors


def _projections(
    student: Model, teacher: Model, settings: LayerSettings, count: int, seed: int
) -> nn.ModuleList:
    """Make one projection per pair if the widths differ, else none."""
    narrow, wide = student.config.hidden_size, teacher.config.hidden_size
    if narrow == wide or settings.hidden_weight == 0.0:
        return nn.ModuleList()
    made = nn.ModuleList(nn.Linear(narrow, wide, bias=False) for _ in range(count))
    source = torch.Generator().manual_seed(seed)
    for projection in made:  # an orthogonal map preserves lengths, so early losses are meaningful
        nn.init.orthogonal_(projection.weight, generator=source)  # type: ignore[arg-type]
    return made
