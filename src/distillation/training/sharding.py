"""Students whose weights are sharded over processes, by FSDP or DeepSpeed.

Their head is whole inside of `forward` only, so the model computes its logits itself. The teacher
is not sharded: each process holds it whole, or reads a cache.
"""

from __future__ import annotations

import copy
import logging
from typing import Any

from ...errors import ConfigError
from ...inference.checkpoints.architectures import auto_class
from ..batches.model_kinds import model_kind
from ..torch_processes import is_main_process

logger = logging.getLogger(__name__)


def sharded_at_load(model: Any) -> bool:  # noqa: ANN401 - transformers is untyped
    """Tell whether transformers sharded the model when it loaded it (`distributed_config`)."""
    return bool(getattr(model, "is_distributed_loading_by_transformers", False))


def why_sharded(trainer: Any) -> str | None:  # noqa: ANN401
    """Return what shards a trainer's student; None if it is not sharded.

    Raises:
        ConfigError: The run has parts that only work on a whole student.
    """
    if trainer.is_deepspeed_enabled:
        by = "DeepSpeed"
    elif trainer.is_fsdp_enabled or sharded_at_load(trainer.model):
        by = "FSDP"
    else:
        return None
    faults = []
    if trainer.layers is not None and len(trainer.layers.projections):
        faults.append(f"projections of layer losses are not trained under {by}; use DDP")
    if hasattr(trainer.model, "peft_config"):
        faults.append(f"adapters are not gathered under {by}; use DDP")
    if faults:
        raise ConfigError(faults)
    return f"the head is sharded outside of forward ({by})"


def whole_student(trainer: Any, student: Any) -> Any:  # noqa: ANN401
    """Gather a sharded student after training; all processes must call this.

    Returns:
        On the main process a whole copy on the CPU. On others, and where the student was not
        sharded, the student itself.
    """
    if trainer.why_sharded is None:
        return student
    if sharded_at_load(student):
        from transformers.distributed.utils import gather_full_state_dict

        state = gather_full_state_dict(student)
    else:
        state = trainer.accelerator.get_state_dict(trainer.model_wrapped)
    if not is_main_process():
        return student
    config = copy.deepcopy(student.config)
    config.distributed_config = None
    whole = auto_class(model_kind(student)).from_config(config)
    whole.load_state_dict(state)
    return whole
