"""Scores that a language model writes as JSON, bounded to the dimensions and the range.

The fixed text is given to the model; it chooses the tokens of numbers alone, among those that
`ScoreText` allows. A score is the expected value under its probabilities along the likeliest path,
which is finer than the number that is written.

Sizes: B texts of a batch, T tokens, H width, D dimensions, K tokens that numbers are made of.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ...errors import ConfigError
from ...files import atomic_folder
from ..prompt_tokens.prompt_ids import prompt_ids
from ..scoring.model_limits import model_lock
from .base_model import BaseName, TextCut, TokenRows, apply_changes, length_batches, load_base
from .head_student import read_base
from .protocol import WEIGHTS_FILE, Floats, StudentFacts, read_weights, write_student_file
from .score_text import NumberTree, ScoreText

Decoding = Literal["expected", "likeliest"]


@dataclass(frozen=True)
class PromptForm:
    """What stands around a text."""

    instruction: str = ""
    """Before the text, in a turn of the chat template; empty reads the text alone."""
    lead: str = "\n\n"
    """Between text and scores, where there is no instruction."""


class GenerativeStudent:
    """A language model that writes scores.

    Args:
        facts: Dimensions and range.
        base: Names the pretrained model, which is a decoder.
        cut: How long texts are cut.
        form: What stands around a text.
        changes: Tuned tensors on the CPU.
        decoding: `expected` gives the mean of the numbers, `likeliest` the one that is written.
        device: Torch device; None chooses.
        notes: How it was trained.
    """

    kind = "generative"

    def __init__(
        self,
        facts: StudentFacts,
        base: BaseName,
        cut: TextCut,
        form: PromptForm,
        changes: Mapping[str, Tensor],
        *,
        decoding: Decoding = "expected",
        device: str | None = None,
        notes: Mapping[str, Any] | None = None,
    ) -> None:
        """Load the model and put the changes into it."""
        self.facts, self.base, self.cut, self.form = facts, base, cut, form
        self.changes, self.decoding, self.notes = dict(changes), decoding, dict(notes or {})
        self.checkpoint = load_base(base, device)
        apply_changes(self.checkpoint.model, self.changes)
        self.text = ScoreText(self.checkpoint.tokenizer, facts)
        self._prompts = PromptRows(self.checkpoint, cut, form)

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Names, in the order of the columns of `predict`."""
        return self.facts.dimensions

    @property
    def view_hash(self) -> str:
        """Hash of the view of the labels that it learned from."""
        return self.facts.view_hash

    def predict(self, texts: Sequence[str]) -> Floats:
        """Score texts; (N, D)."""
        rows = self._prompts(texts)
        found = np.zeros((len(rows), len(self.dimensions)))
        for places in length_batches(rows):
            found[places] = self._scored([rows[place] for place in places])
        return self.facts.clipped(found)

    def written(self, texts: Sequence[str]) -> list[str]:
        """Write the scores of texts as JSON."""
        shown = (f"{{{', '.join(_pair(*one) for one in zip(self.dimensions, row, strict=True))}}}"
                 for row in self.predict(texts))  # fmt: skip
        return list(shown)

    def save(self, folder: str | Path) -> Path:
        """Write the student into a folder, whole or not at all; give the folder."""
        from safetensors.torch import save_file

        told = {"base": asdict(self.base), "cut": asdict(self.cut), "form": asdict(self.form),
                "decoding": self.decoding, "notes": self.notes}  # fmt: skip
        with atomic_folder(folder) as made:
            write_student_file(made, self.kind, self.facts, told)
            save_file({k: v.contiguous() for k, v in self.changes.items()}, made / WEIGHTS_FILE)
        return Path(folder)

    @torch.inference_mode()
    def _scored(self, rows: Sequence[Sequence[int]]) -> Floats:
        """Score one batch; all rows take the same piece at the same time."""
        writer = _Writer(self.checkpoint, self.text.tokens)
        with model_lock(self.checkpoint.model):
            logits = writer.read([[*row, *self.text.pieces[0]] for row in rows])
            columns = []
            for place in range(len(self.dimensions)):
                scores, logits = self._number(writer, logits, self.text.pieces[place + 1])
                columns.append(scores)
        return np.stack(columns, axis=1)

    def _number(
        self, writer: _Writer, logits: Tensor, piece: Sequence[int]
    ) -> tuple[Floats, Tensor]:
        """Choose the tokens of one number in each row, then read the piece after it."""
        places: list[NumberTree] = [self.text.tree] * len(logits)
        beside, mass = np.zeros(len(places)), np.ones(len(places))
        while True:
            tokens: list[list[int]] = []
            for row, tree in enumerate(places):
                if not tree.children:
                    tokens.append([])
                    continue
                allowed = list(tree.children)
                shares = writer.shares(logits[row], allowed)
                best = int(np.argmax(shares))
                others = sum(
                    share * tree.children[token].mean
                    for n, (share, token) in enumerate(zip(shares, allowed, strict=True))
                    if n != best
                )
                beside[row] += mass[row] * others
                mass[row] *= shares[best]
                places[row] = tree.children[allowed[best]]
                tokens.append([allowed[best]])
            ended = not any(tree.children for tree in places)
            if ended:
                tokens = [[*own, *piece] for own in tokens]
            logits = writer.read(tokens)
            if ended:
                written = np.array([tree.mean for tree in places])
                return (beside + mass * written if self.decoding == "expected" else written), logits


class PromptRows:
    """Turns texts into the token ids before the scores.

    Raises:
        ConfigError: There is an instruction, and the tokenizer has no chat template.
    """

    def __init__(self, checkpoint: Any, cut: TextCut, form: PromptForm) -> None:  # noqa: ANN401
        """Prepare the cut of texts."""
        self._tokenizer, self._form = checkpoint.tokenizer, form
        if form.instruction and not self._tokenizer.chat_template:
            raise ConfigError(["an instruction needs a model with a chat template"])
        self._rows = TokenRows(checkpoint, cut)
        self._lead = self._tokenizer(form.lead, add_special_tokens=False)["input_ids"]

    def __call__(self, texts: Sequence[str]) -> list[list[int]]:
        """Give one row per text."""
        rows = self._rows(texts)
        if not self._form.instruction:
            return [[*row, *self._lead] for row in rows]
        shown = [self._tokenizer.decode(row, skip_special_tokens=True) for row in rows]
        return prompt_ids(self._tokenizer, [f"{self._form.instruction}\n\n{one}" for one in shown])


class _Writer:
    """Reads tokens of a batch with a cache of keys and values; rows may differ in length."""

    def __init__(self, checkpoint: Any, tokens: Sequence[int]) -> None:  # noqa: ANN401
        model = checkpoint.model
        self._model, self._device = model.base_model, checkpoint.device
        head = model.get_output_embeddings()
        chosen = torch.tensor(tokens, device=self._device)
        self._weight = head.weight[chosen].float()  # (K, H)
        self._bias = None if getattr(head, "bias", None) is None else head.bias[chosen].float()
        self._place = {token: n for n, token in enumerate(tokens)}
        self._cache: Any = None
        self._mask: Tensor | None = None

    def read(self, rows: Sequence[Sequence[int]]) -> Tensor:
        """Read the next tokens of each row; logits (B, K) after the last of each.

        Padding stands on the left, is masked, and takes no position. A row without new tokens
        has no logits of its own, and is not asked for them.
        """
        width = max(map(len, rows))
        ids = torch.tensor([[*[0] * (width - len(row)), *row] for row in rows])
        lengths = torch.tensor([len(row) for row in rows])
        fresh = (torch.arange(width) >= width - lengths[:, None]).long()  # (B, T)
        before = torch.zeros(len(rows), 1, dtype=torch.long)
        if self._mask is not None:
            before = self._mask.sum(dim=1, keepdim=True)
        places = (before + fresh.cumsum(dim=1) - 1).clamp(min=0)
        self._mask = fresh if self._mask is None else torch.cat([self._mask, fresh], dim=1)
        out = self._model(
            input_ids=ids.to(self._device),
            attention_mask=self._mask.to(self._device),
            position_ids=places.to(self._device),
            past_key_values=self._cache,
            use_cache=True,
        )
        self._cache = out.past_key_values
        hidden = out.last_hidden_state[:, -1].float()  # (B, H)
        logits: Tensor = torch.nn.functional.linear(hidden, self._weight, self._bias).cpu()
        return logits

    def shares(self, logits: Tensor, tokens: Sequence[int]) -> Floats:
        """Give the probabilities of some tokens among themselves, of logits (K,)."""
        own = logits[[self._place[token] for token in tokens]].double()
        made: Floats = own.softmax(dim=-1).numpy()
        return made


def open_generative(
    folder: Path, facts: StudentFacts, settings: Mapping[str, Any], device: str | None
) -> GenerativeStudent:
    """Open a saved student; errors are those of `open_score_student`."""
    base, cut = read_base(folder, settings)
    form, decoding = settings.get("form"), settings.get("decoding")
    if not isinstance(form, dict) or decoding not in ("expected", "likeliest"):
        raise ConfigError([f"{folder}: form or decoding is missing or not allowed"])
    return GenerativeStudent(
        facts, base, cut, PromptForm(**form), read_weights(folder), decoding=decoding,
        device=device, notes=settings.get("notes"),
    )  # fmt: skip


def _pair(name: str, score: float) -> str:
    return f"{json.dumps(name, ensure_ascii=False)}: {score:.1f}"
