"""Rates that follow from several reports; a duration of zero gives None."""

from __future__ import annotations


def teacher_tokens_per_sec(output_tokens: int | None, busy_s: float | None) -> float | None:
    """Divide the tokens that a teacher wrote by the seconds in which it had work.

    >>> teacher_tokens_per_sec(600, 30.0)
    20.0
    """
    return output_tokens / busy_s if busy_s and output_tokens is not None else None


def pipeline_kept_samples_per_hour(kept: int, wall_s: float | None) -> float | None:
    """Divide the records that were kept by the hours of the whole run.

    >>> pipeline_kept_samples_per_hour(927, 1800.0)
    1854.0
    """
    return kept / (wall_s / 3600) if wall_s else None


def train_tokens_per_sec(
    supervised_tokens: int, total_tokens: int, wall_s: float | None
) -> dict[str, float | int | None]:
    """Divide the tokens of a training by its seconds.

    Args:
        supervised_tokens: Tokens that count in the loss, over all epochs.
        total_tokens: Those and the tokens of prompts, without padding.
        wall_s: Seconds from the first step to the last.

    Returns:
        Both numbers of tokens, `train_tokens_per_sec` of all, and
        `train_supervised_tokens_per_sec`.
    """
    return {
        "supervised_tokens": supervised_tokens,
        "total_tokens": total_tokens,
        "train_tokens_per_sec": total_tokens / wall_s if wall_s else None,
        "train_supervised_tokens_per_sec": supervised_tokens / wall_s if wall_s else None,
    }
