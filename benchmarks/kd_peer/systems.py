"""Build the trainer of a case, ready to run and with the optimizer's memory allocated."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import torch
from cases import CLIP, KEPT, LEARNING_RATE, PAIRS, Case, DataName
from pairs import PAD_ID, batch_size, examples, student_of, teacher_of
from peer_trainers import (
    COLLATOR,
    ChunkedDivergenceTrainer,
    CrossEntropyTrainer,
    HiddenStateTrainer,
    LigerTrainer,
    OurTrainer,
    gkd_trainer,
)
from stillroom.distillation.losses.distillation_loss import DistillationLoss
from stillroom.distillation.runtime_patches import keep_freed_memory
from stillroom.distillation.teacher.cache_build import build_cache, plan_sequences, sequences_hash
from stillroom.distillation.teacher.cache_format import CacheSpec, TeacherIdentity
from stillroom.distillation.teacher.cache_reader import TeacherCache
from stillroom.distillation.training import trainer as our_trainer_module
from stillroom.files import folder_bytes
from transformers import Trainer, TrainingArguments

NEVER = 10**9
"""Steps between checkpoints: none is written."""


def make_trainer(
    case: Case,
    work: Path,
    *,
    steps: int,
    cache: Path | None = None,
    teacher: Any = None,  # noqa: ANN401
) -> Any:  # noqa: ANN401 - a Trainer with `SameBatches`
    """Make the trainer of a case.

    Args:
        case: What is run.
        work: Trainer's folder; nothing is written there.
        steps: Optimizer steps.
        cache: Folder of the teacher cache, for `cached`.
        teacher: Instead of the pair's own: a `TeacherSignal` for `cached`.
    """
    if not case.malloc:
        # The product keeps freed memory by itself; here neither side may.
        our_trainer_module.keep_freed_memory = lambda: None
    items, student = examples(case.pair, case.data), student_of(case.pair)
    optimizer = torch.optim.AdamW(
        student.parameters(), lr=LEARNING_RATE, weight_decay=0.0, fused=True
    )
    arguments = _arguments(case, work, steps)
    if case.system in ("ce_rows", "cached", "online"):
        if case.system == "online":
            teacher = teacher_of(case.pair)
        elif case.system == "cached" and teacher is None:
            teacher = TeacherCache(cache)
        trainer = OurTrainer(
            student,
            TrainingArguments(**arguments, logging_strategy="no"),
            train_dataset=items,
            data_collator=COLLATOR,
            loss_fn=DistillationLoss(1.0, 0.0 if case.system == "ce_rows" else 1.0),
            teacher=teacher,
            save_steps=NEVER,
            progress=False,
            optimizers=(optimizer, None),
        )
    else:
        trainer = _peer(case, student, items, optimizer, arguments)
    trainer.items = items
    _touch_state(optimizer)
    return trainer


def _peer(
    case: Case,
    student: Any,  # noqa: ANN401
    items: list[Any],
    optimizer: torch.optim.Optimizer,
    arguments: dict[str, Any],
) -> Any:  # noqa: ANN401
    shared = {"optimizers": (optimizer, None)}
    if case.system == "trl_gkd":
        return gkd_trainer(
            case, student, teacher_of(case.pair), items, arguments=arguments, **shared
        )
    kinds: dict[str, type[Trainer]] = {
        "ce_trainer": CrossEntropyTrainer,
        "liger": LigerTrainer,
        "liger_triton": LigerTrainer,
        "trl_chunked": ChunkedDivergenceTrainer,
    }
    trainer = kinds[case.system](
        student,
        TrainingArguments(**arguments),
        train_dataset=items,
        data_collator=COLLATOR,
        **shared,
    )
    if isinstance(trainer, HiddenStateTrainer):
        trainer.teacher = teacher_of(case.pair).requires_grad_(False).to(trainer.args.device)
    if isinstance(trainer, LigerTrainer):
        trainer.triton = case.system == "liger_triton"
    return trainer


def _arguments(case: Case, work: Path, steps: int) -> dict[str, Any]:
    return {
        "output_dir": str(work),
        "use_cpu": case.device == "cpu",
        "bf16": case.device == "cuda",
        "per_device_train_batch_size": batch_size(case.data),
        "gradient_accumulation_steps": case.accumulation,
        "max_steps": steps,
        "learning_rate": LEARNING_RATE,
        "lr_scheduler_type": "constant",
        "weight_decay": 0.0,
        "max_grad_norm": CLIP,
        "seed": 0,
        "remove_unused_columns": False,
        "save_strategy": "no",
        "logging_steps": NEVER,
        "disable_tqdm": True,
        "report_to": "none",
        "dataloader_pin_memory": case.device == "cuda",
    }


def _touch_state(optimizer: torch.optim.Optimizer) -> None:
    """Make AdamW's state and write to it: its memory belongs to the models, not to the step."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            optimizer.state[parameter] = {
                "step": torch.zeros((), device=parameter.device),
                "exp_avg": torch.empty_like(parameter).fill_(0.0),
                "exp_avg_sq": torch.empty_like(parameter).fill_(0.0),
            }


# ------------------------------------------------------------------------------------ the cache


def build_teacher_cache(
    pair: str,
    data: DataName,
    folder: Path,
    *,
    k: int = KEPT,
    device: str = "cpu",
) -> dict[str, Any]:
    """Build the cache of a pair's teacher over a data set, with the product's own pass.

    Returns:
        `seconds`, `tokens` that are supervised, and `bytes` on the disk.
    """
    items, teacher = examples(pair, data), teacher_of(pair).to(device)
    if device == "cpu":
        keep_freed_memory()
    sequences = plan_sequences(items)
    bf16 = device == "cuda"
    spec = CacheSpec(
        teacher=TeacherIdentity("random", dtype="bfloat16" if bf16 else "float32"),
        tokenizer_sha256="0" * 64,
        template_sha256="0" * 64,
        vocab_size=PAIRS[pair].vocabulary,
        data_hash=sequences_hash(sequences),
        k=k,
    )
    start = time.perf_counter()
    result = build_cache(
        folder,
        teacher,
        sequences,
        spec,
        versions={"torch": torch.__version__},
        pad_id=PAD_ID,
        autocast_dtype=torch.bfloat16 if bf16 else None,
    )
    seconds = time.perf_counter() - start
    assert result.complete, json.dumps({"built": result.built})
    tokens = sum(len(sequence.positions) for sequence in sequences)
    return {"seconds": seconds, "tokens": tokens, "bytes": folder_bytes(folder)}
