"""Choosing the next token of every running request by its own settings.

Sizes: B requests, V vocabulary.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from ...errors import GenerationError
from ..scoring.model_limits import DAMAGED
from .protocol import Alternative, FinishReason, TokenEvent
from .request_queue import GenerationTask
from .sampling import sample


def choose_tokens(
    logits: Tensor, rows: Sequence[GenerationTask]
) -> tuple[Tensor, list[Exception | None]]:
    """Choose a token for each request and put it into its stream.

    Args:
        logits: (B, V) float32 after the tokens so far.
        rows: The requests, in the same order.

    Returns:
        The tokens (B,), and an error or None for each request. A request has ended if it has an
        error or its stream has a finish reason.
    """
    faults: list[Exception | None] = [None] * len(rows)
    if all(row.is_plain for row in rows):
        chosen = logits.argmax(dim=-1)
    else:
        chosen = _choose_individually(logits, rows, faults)
    logprobs = logits.log_softmax(dim=-1)
    own = logprobs.gather(1, chosen[:, None]).squeeze(1).tolist()
    for place, (row, token) in enumerate(zip(rows, chosen.tolist(), strict=True)):
        if faults[place] is not None:
            continue
        if not math.isfinite(own[place]):
            faults[place] = GenerationError(DAMAGED)
            continue
        try:
            reason = _accept(row, token)
        except Exception as fault:  # noqa: BLE001 - a constraint's fault is its request's alone
            faults[place] = fault
            continue
        likeliest = _likeliest(logprobs[place], row.request.top_logprobs)
        row.stream.put(TokenEvent(token, own[place], None, likeliest, reason))
    return chosen, faults


def _accept(row: GenerationTask, token: int) -> FinishReason | None:
    """Append a token to a request; return the finish reason if it is the last."""
    row.generated.append(token)
    constraint = row.request.constraint
    complete = constraint is not None and constraint.accept(token)
    if complete or token in row.end_ids:
        return "stop"
    return "length" if len(row.generated) >= row.limit else None


def _choose_individually(
    logits: Tensor, rows: Sequence[GenerationTask], faults: list[Exception | None]
) -> Tensor:
    allowed = logits
    if any(row.request.constraint is not None for row in rows):
        allowed = logits.clone()
        for place, row in enumerate(rows):
            try:
                _constrain(allowed[place], row)
            except Exception as fault:  # noqa: BLE001 - a constraint's fault is its request's alone
                faults[place] = fault
                allowed[place] = logits[place]
    chosen = allowed.argmax(dim=-1)
    sampled = [place for place, row in enumerate(rows) if row.draws is not None]
    if sampled:
        places = torch.tensor(sampled, device=logits.device)
        chosen[places] = _sample(allowed[places], [rows[place] for place in sampled])
    return chosen


def _constrain(logits: Tensor, row: GenerationTask) -> None:
    """Set the logits (V,) of tokens that the constraint excludes to minus infinity, in place."""
    constraint = row.request.constraint
    if constraint is None:
        return
    mask = constraint.mask(row.generated)
    if not bool(mask.any()):
        raise GenerationError(
            "no token may come next in the form that was asked for; the form leaves no way to go on"
        )
    logits[: len(mask)].masked_fill_(~mask.to(logits.device), -math.inf)
    logits[len(mask) :] = -math.inf


def _sample(logits: Tensor, rows: Sequence[GenerationTask]) -> Tensor:
    asked = [row.request for row in rows]
    device = logits.device
    return sample(
        logits,
        torch.tensor([one.temperature for one in asked], device=device),
        torch.tensor([one.top_p for one in asked], dtype=torch.float64, device=device),
        torch.tensor([one.top_k or logits.shape[1] for one in asked], device=device),
        torch.tensor(
            [(row.draws or [0.0])[len(row.generated)] for row in rows],
            dtype=torch.float64,
            device=device,
        ),
    )


def _likeliest(logprobs: Tensor, count: int) -> tuple[Alternative, ...]:
    if count == 0:
        return ()
    values, ids = logprobs.topk(min(count, len(logprobs)))
    pairs = zip(ids.tolist(), values.tolist(), strict=True)
    return tuple(Alternative(token, logprob) for token, logprob in pairs)
