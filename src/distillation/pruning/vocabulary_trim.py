"""Trim a model's vocabulary to the tokens that a task needs, without changing their logits.

Embeddings and head lose only the rows of removed tokens, so the logits of the kept ones stay the
same. Kept are all bytes, all special tokens, the tokens of the user's texts with those that they
are merged from, and the most frequent other tokens. Any text can therefore still be tokenised, the
user's texts into the same tokens as before, and unseen wordings into few more.

Byte pairs are merged by rank, lowest first. A merge that never happens in a text can be removed
without changing the tokens of that text, and all merges that happen in the user's texts are kept.
"""

from __future__ import annotations

import copy
import json
import tempfile
from collections.abc import Iterable, Mapping
from itertools import chain, pairwise
from pathlib import Path
from typing import Any, Final

import torch
from torch import Tensor, nn

from ...errors import ConfigError
from ...inference.checkpoints.tokenizer_files import load_tokenizer
from ...inference.prompt_tokens.prompt_ids import answer_end, answer_ids, prompt_ids
from ..batches.model_kinds import model_kind

Model = Any
"""A model of transformers, whose classes are skipped by the type checker."""

_TOKEN_SETTINGS: Final = ("bos_token_id", "eos_token_id", "pad_token_id", "forced_bos_token_id",
                          "forced_eos_token_id", "decoder_start_token_id")  # fmt: skip


def can_trim(model: Model, tokenizer: Any) -> bool:  # noqa: ANN401
    """Tell whether a model's vocabulary can be trimmed."""
    kind = json.loads(tokenizer.backend_tokenizer.to_str())["model"].get("type")
    return model_kind(model) == "causal" and kind == "BPE"


def choose_tokens(tokenizer: Any, used: Iterable[int], size: int) -> list[int]:  # noqa: ANN401
    """Choose the ids to keep, in ascending order: `size` of them, or more if the texts need more.

    Args:
        tokenizer: Tokenizer of the teacher, with byte pairs (BPE).
        used: Ids in the user's texts.
        size: Tokens to keep, 1 or more. Those that the texts do not need are taken in the order of
            the merges, which is by frequency in the tokenizer's training.

    Raises:
        ConfigError: The tokenizer is of another kind.
    """
    written = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary, merges = _byte_pairs(written)
    made = {left + right for left, right in merges}
    ranks = {pair: rank for rank, pair in enumerate(merges)}
    keep = {token for token in vocabulary if token not in made}
    ids = {number: token for token, number in vocabulary.items()}
    for number in set(used):
        if (token := ids.get(number)) is not None:
            keep |= _merged_from(token, ranks)
    chosen = {vocabulary[token] for token in keep} | {t["id"] for t in written["added_tokens"]}
    for left, right in merges:
        if len(chosen) >= size:
            break
        chosen.add(vocabulary[left + right])
    return sorted(chosen)


def template_ids(tokenizer: Any) -> list[int]:  # noqa: ANN401
    """Return the ids that a tokenizer's chat template uses; empty without a template."""
    if not tokenizer.chat_template:
        return []
    roles = ("system", "user", "assistant", "user")
    turns = [{"role": role, "content": "Hello"} for role in roles]
    ids = [number for row in prompt_ids(tokenizer, [turns, turns[1:]]) for number in row]
    return [*ids, *answer_ids(tokenizer, turns, ""), int(answer_end(tokenizer) or 0)]


def trim_tokenizer(tokenizer: Any, keep: list[int]) -> Any:  # noqa: ANN401
    """Make the tokenizer of a trimmed vocabulary: the kept ids in order, renumbered from 0.

    Args:
        tokenizer: Tokenizer of the teacher; not changed.
        keep: Ids from `choose_tokens`.
    """
    written = json.loads(tokenizer.backend_tokenizer.to_str())
    vocabulary, merges = _byte_pairs(written)
    numbers = {old: new for new, old in enumerate(keep)}
    kept = {token: numbers[old] for token, old in vocabulary.items() if old in numbers}
    written["model"]["vocab"] = kept
    written["model"]["merges"] = [
        [left, right] for left, right in merges if {left, right, left + right} <= kept.keys()
    ]
    for token in written["added_tokens"]:
        token["id"] = numbers[token["id"]]
    _renumber_processor(written.get("post_processor"), numbers)
    with tempfile.TemporaryDirectory() as folder:
        tokenizer.save_pretrained(folder)
        path = Path(folder, "tokenizer.json")
        path.write_text(json.dumps(written, ensure_ascii=False), encoding="utf-8")
        trimmed = load_tokenizer(Path(folder))
    trimmed.padding_side = tokenizer.padding_side
    return trimmed


def trim_model(model: Model, keep: list[int]) -> None:
    """Remove all rows but those of `keep` from a causal model's embeddings and head, in place.

    Raises:
        ConfigError: The model is of another kind.
    """
    if (kind := model_kind(model)) != "causal":
        raise ConfigError([f"the vocabulary of a {kind} model is not trimmed; leave it whole"])
    rows = torch.tensor(keep, device=model.device)
    embeddings, head = model.get_input_embeddings(), model.get_output_embeddings()
    tied = head.weight is embeddings.weight
    embeddings.weight = _rows_of(embeddings.weight, rows)
    embeddings.num_embeddings = len(keep)
    head.weight = embeddings.weight if tied else _rows_of(head.weight, rows)
    head.out_features = len(keep)
    if head.bias is not None:
        head.bias = _rows_of(head.bias, rows)
    numbers = {old: new for new, old in enumerate(keep)}
    if embeddings.padding_idx is not None:
        embeddings.padding_idx = numbers.get(embeddings.padding_idx)
    model.config.vocab_size = len(keep)
    for settings in (model.config, model.generation_config):
        for name in _TOKEN_SETTINGS:
            given = getattr(settings, name, None)
            if isinstance(given, list):
                setattr(settings, name, [numbers[i] for i in given if i in numbers])
            elif given is not None:
                setattr(settings, name, numbers.get(given))


def over_vocabulary_of(teacher: Model, tokenizer: Any, student_tokenizer: Any) -> Model | None:  # noqa: ANN401
    """Return a teacher over the student's vocabulary, if that is a trimmed version of its own.

    The probabilities of the removed tokens are dropped, and those of the kept ones sum to 1.

    Args:
        teacher: The teacher; not changed.
        tokenizer: Tokenizer of the teacher.
        student_tokenizer: Tokenizer of the student.

    Returns:
        A teacher that shares all weights but embeddings and head with the given one; None if
        `trim_tokenizer` cannot have made the student's tokenizer from the teacher's.
    """
    keep = _tokens_of(tokenizer, student_tokenizer)
    if keep is None:
        return None
    trimmed = sharing_copy(teacher)
    trim_model(trimmed, keep)
    return trimmed


def _tokens_of(tokenizer: Any, student_tokenizer: Any) -> list[int] | None:  # noqa: ANN401
    """Return the teacher's id of each student token; None if the student's are no trimmed set."""
    theirs, ours = tokenizer.get_vocab(), student_tokenizer.get_vocab()
    keep = [theirs[token] for token in sorted(ours, key=ours.__getitem__) if token in theirs]
    if len(keep) != len(ours) or len(keep) >= len(theirs) or keep != sorted(keep):
        return None
    try:
        again = trim_tokenizer(tokenizer, keep)
    except (ConfigError, KeyError):
        return None
    return keep if _state(again) == _state(student_tokenizer) else None


def sharing_copy(model: Model) -> Model:
    """Copy a model's modules and settings, but share its tensors until they are replaced."""
    tensors = chain(model.parameters(), model.buffers())
    return copy.deepcopy(model, {id(tensor): tensor for tensor in tensors})


def _state(tokenizer: Any) -> dict[str, Any]:  # noqa: ANN401
    """Return everything that determines the ids of a text; callers set padding and truncation."""
    written: dict[str, Any] = json.loads(tokenizer.backend_tokenizer.to_str())
    return {k: v for k, v in written.items() if k not in ("padding", "truncation")}


def _byte_pairs(written: Mapping[str, Any]) -> tuple[dict[str, int], list[tuple[str, str]]]:
    """Return the vocabulary and the merges of a tokenizer.json."""
    model = written["model"]
    if model.get("type") != "BPE":
        raise ConfigError(
            [f"the tokenizer is of type {model.get('type')!r}, and only byte pairs (BPE) are "
             "trimmed; leave student_vocabulary out"]
        )  # fmt: skip
    pairs = (m.split(" ", 1) if isinstance(m, str) else m for m in model["merges"])
    return model["vocab"], [(left, right) for left, right in pairs]


def _merged_from(token: str, ranks: Mapping[tuple[str, str], int]) -> set[str]:
    """Return a token and all tokens that are merged to build it."""
    parts, found = list(token), {token}
    while len(parts) > 1:
        rank, place = min(
            (ranks.get((left, right), len(ranks)), place)
            for place, (left, right) in enumerate(pairwise(parts))
        )
        if rank == len(ranks):
            break
        parts[place : place + 2] = [parts[place] + parts[place + 1]]
        found.add(parts[place])
    return found


def _renumber_processor(part: Any, numbers: Mapping[int, int]) -> None:  # noqa: ANN401
    """Renumber the tokens that a post-processor adds, in place."""
    if not isinstance(part, dict):
        return
    for step in part.get("processors", ()):
        _renumber_processor(step, numbers)
    for token in (part.get("special_tokens") or {}).values():
        token["ids"] = [numbers[number] for number in token["ids"]]
    for name in ("sep", "cls"):
        if name in part:
            part[name][1] = numbers[part[name][1]]


def _rows_of(weight: Tensor, rows: Tensor) -> nn.Parameter:
    return nn.Parameter(weight.detach()[rows].clone(), requires_grad=weight.requires_grad)
