"""Other libraries as their users run them, each a `Trainer` with the same batches and clock.

Liger's and TRL's chunked losses get the hidden states of all positions with masked labels, as in
their own trainers; TRL's loss does not select rows without Triton.

Sizes: B examples, T positions, H hidden size.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping
from typing import Any

import torch
from accelerate.data_loader import prepare_data_loader
from cases import Case
from pairs import PAD_ID
from stillroom.distillation.batches.batching import Collator
from stillroom.distillation.setting_names import IGNORED
from stillroom.distillation.training.trainer import KDTrainer
from torch import Tensor
from torch.utils.data import DataLoader
from transformers import PreTrainedTokenizerFast, Trainer, TrainerCallback

COLLATOR = Collator(PAD_ID)
"""One object for all systems."""


class StepClock(TrainerCallback):
    """Note when each optimizer step ended, and the processor time until then."""

    def __init__(self, device: str) -> None:
        """Keep the device, whose work is waited for."""
        self.device = device
        self.ends: list[float] = []
        self.processor: list[float] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        """Note the start, so that steps are differences."""
        self._note()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        """Note an end."""
        self._note()

    def _note(self) -> None:
        if self.device == "cuda":
            torch.cuda.synchronize()
        self.ends.append(time.perf_counter())
        self.processor.append(time.process_time())


class SameBatches:
    """Examples in their order for any Trainer, and what its steps gave.

    Attributes:
        items: The examples.
        step_losses: Loss of each optimizer step.
        keep_gradient: Whether to keep the first step's gradient.
        gradient: That, before clipping.
    """

    items: list[Any]
    keep_gradient = False

    def get_train_dataloader(self) -> Any:  # noqa: ANN401
        """Give the examples without shuffling, on the device."""
        loader = DataLoader(
            self.items,  # type: ignore[arg-type]
            batch_size=self.args.per_device_train_batch_size,
            collate_fn=COLLATOR,
            pin_memory=self.args.dataloader_pin_memory,
        )
        return prepare_data_loader(loader, self.args.device, 1, 0, put_on_device=True)

    def training_step(self, *args: Any, **kwargs: Any) -> Tensor:  # noqa: ANN401
        """Run a micro-batch and note its share of the loss."""
        if not hasattr(self, "micro_losses"):
            self.micro_losses: list[Tensor] = []
            self.gradient: dict[str, Tensor] = {}
        loss: Tensor = super().training_step(*args, **kwargs)
        self.micro_losses.append(loss.detach())
        if self.keep_gradient and len(self.micro_losses) == self.args.gradient_accumulation_steps:
            named = self.accelerator.unwrap_model(self.model).named_parameters()
            self.gradient = {name: p.grad.clone() for name, p in named}
        return loss

    @property
    def step_losses(self) -> list[float]:
        """Give the sum over the micro-batches of each step."""
        n, values = self.args.gradient_accumulation_steps, self.micro_losses
        return [float(sum(values[i : i + n])) for i in range(0, len(values), n)]


class OurTrainer(SameBatches, KDTrainer):
    """This project's."""


class CrossEntropyTrainer(SameBatches, Trainer):
    """The model's own loss: logits of all positions, as everybody trains."""


class HiddenStateTrainer(SameBatches, Trainer):
    """Hands hidden states and heads of both models to a loss."""

    teacher: Any

    def hidden_states(self, model: Any, inputs: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        """Run both bodies without their heads, (B, T, H) each."""
        fed = {name: inputs[name] for name in ("input_ids", "attention_mask")}
        student = self.accelerator.unwrap_model(model).model(**fed, use_cache=False)
        with torch.no_grad():
            teacher = self.teacher.eval().model(**fed, use_cache=False)
        return student.last_hidden_state, teacher.last_hidden_state


class LigerTrainer(HiddenStateTrainer):
    """Liger's fused linear JSD at beta 0, the forward KL; its mean becomes a share of the step."""

    triton = False

    def compute_loss(
        self,
        model: Any,  # noqa: ANN401
        inputs: Mapping[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Give sum KL / N of one micro-batch."""
        labels = inputs["labels"][:, 1:].reshape(-1)
        with self.accelerator.autocast():
            ours, theirs = self.hidden_states(model, inputs)
            loss_fn = _liger_triton() if self.triton else _liger_chunked()
            mean = loss_fn(
                ours[:, :-1].reshape(-1, ours.shape[-1]),
                self.accelerator.unwrap_model(model).lm_head.weight,
                theirs[:, :-1].reshape(-1, theirs.shape[-1]),
                self.teacher.lm_head.weight,
                labels,
            )
        return mean * (labels != IGNORED).sum() / num_items_in_batch


def _liger_chunked() -> Any:  # noqa: ANN401
    from liger_kernel.chunked_loss import LigerFusedLinearJSDLoss

    return LigerFusedLinearJSDLoss(
        weight_hard_loss=0.0, weight_soft_loss=1.0, beta=0.0, temperature=1.0, compiled=False
    )


def _liger_triton() -> Any:  # noqa: ANN401
    from liger_kernel.transformers import LigerFusedLinearJSD

    return LigerFusedLinearJSD(jsd_beta=0.0, temperature=1.0)


class ChunkedDivergenceTrainer(HiddenStateTrainer):
    """TRL's chunked divergence, the loss of its on-policy trainer."""

    def compute_loss(
        self,
        model: Any,  # noqa: ANN401
        inputs: Mapping[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Give sum KL / N of one micro-batch."""
        from trl.trainer.distillation_trainer import _chunked_divergence_loss

        with self.accelerator.autocast():
            ours, theirs = self.hidden_states(model, inputs)
            loss, _, _ = _chunked_divergence_loss(
                ours[:, :-1],
                theirs[:, :-1],
                self.accelerator.unwrap_model(model).lm_head.weight,
                self.teacher.lm_head.weight,
                inputs["labels"][:, 1:] != IGNORED,
                beta=0.0,
                num_items_in_batch=num_items_in_batch,
            )
        return loss


def gkd_trainer(case: Case, model: Any, teacher: Any, items: list[Any], **shared: Any) -> Any:  # noqa: ANN401
    """Make TRL's GKDTrainer without sampling: its off-policy branch on full logits.

    Args:
        case: What is run.
        model: Student.
        teacher: Teacher.
        items: Examples.
        shared: `arguments` of a TrainingArguments, and more keywords of a Trainer.
    """
    from datasets import Dataset

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that the module is experimental
        from trl.experimental.gkd import GKDConfig, GKDTrainer

    class SameGKDTrainer(SameBatches, GKDTrainer):
        pass

    arguments = shared.pop("arguments")
    config = GKDConfig(
        **arguments,
        lmbda=0.0,
        beta=0.0,
        seq_kd=False,
        max_length=None,
        gradient_checkpointing=False,
    )
    rows = {"input_ids": [list(i.input_ids) for i in items]}
    rows["labels"] = rows["input_ids"]  # looked at by its checks; batches come from SameBatches
    return SameGKDTrainer(
        model,
        teacher_model=teacher,
        args=config,
        data_collator=COLLATOR,
        train_dataset=Dataset.from_dict(rows),
        processing_class=_tokenizer(),
        **shared,
    )


def _tokenizer() -> PreTrainedTokenizerFast:
    """Make the tokenizer that GKDTrainer insists on; nothing is tokenised."""
    from tokenizers import Tokenizer, models

    words = {"<pad>": PAD_ID, "<s>": 1, "</s>": 2, "<unk>": 3}
    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.WordLevel(words, unk_token="<unk>")),
        pad_token="<pad>",
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
    )
