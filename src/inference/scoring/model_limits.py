"""Facts about a model that decoding needs: end tokens, context length, and the model's lock."""

from __future__ import annotations

import threading
from typing import Any
from weakref import WeakKeyDictionary

from ...errors import GenerationError
from ..prompt_tokens.prompt_ids import answer_end

DAMAGED = "the model's logits are no finite numbers; its weights are damaged"

_locks: WeakKeyDictionary[Any, threading.Lock] = WeakKeyDictionary()
_locks_guard = threading.Lock()


def model_lock(model: Any) -> threading.Lock:  # noqa: ANN401 - transformers is untyped
    """Return the lock of a model; callers hold it for one forward pass at a time."""
    with _locks_guard:
        return _locks.setdefault(model, threading.Lock())


def end_token_ids(model: Any, tokenizer: Any) -> frozenset[int]:  # noqa: ANN401
    """Collect the end tokens of the generation config, the tokenizer and its chat template."""
    generation = getattr(model, "generation_config", None)
    ids = getattr(generation, "eos_token_id", None)
    listed = [] if ids is None else ids if isinstance(ids, list) else [ids]
    own = [tokenizer.eos_token_id, answer_end(tokenizer)]
    return frozenset(int(token) for token in [*listed, *own] if token is not None)


def context_length(model: Any) -> int:  # noqa: ANN401
    """Return the most tokens of prompt and answer together.

    BLOOM has no position embeddings and states no limit, or one as `seq_length`; its models were
    trained on texts of 2048 tokens.
    """
    config = model.config
    names = ("max_position_embeddings", "n_positions", "seq_length")
    stated = next((n for n in (getattr(config, name, None) for name in names) if n), 2048)
    return int(stated)


def check_room(length: int, model: Any) -> None:  # noqa: ANN401
    """Refuse a prompt without tokens, or one that leaves no room for an answer.

    Args:
        length: Tokens of the prompt.
        model: The model that is to continue it.

    Raises:
        GenerationError: With the numbers.
    """
    room = context_length(model)
    if length == 0:
        raise GenerationError("the prompt is empty; give at least one word")
    if length >= room:
        raise GenerationError(
            f"the prompt has {length} tokens, the model attends to {room} in all, so none is left "
            "for an answer; shorten the prompt or its context"
        )
