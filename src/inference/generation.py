"""Prompts to answers: many at once, one as a stream, or the score of given choices.

from stillroom.inference.checkpoints import load_checkpoint
from stillroom.inference.generation import generate_texts

student = load_checkpoint("outputs/elements/student")
print(generate_texts(student, ["Question: What is the symbol of gold?\\n\\nAnswer:"])[0].text)
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from .checkpoints import Checkpoint
from .choices import encode_prompt, score_choices
from .decoding import FinishReason, Sampling, Token, check_room, decode, end_token_ids
from .text_stream import TextStream, decode_answer

__all__ = ["Generation", "Piece", "generate_texts", "score_choices", "stream_pieces", "stream_text"]


@dataclass(frozen=True)
class Generation:
    """A finished answer."""

    text: str
    """Only what was generated: no prompt, no special tokens, no white space at the start."""
    token_ids: tuple[int, ...]
    """Generated ids; the end token is the last one where there is one."""
    finish_reason: FinishReason
    """`stop` where the model ended, `length` where `max_new_tokens` or the model's context did."""
    logprobs: tuple[float, ...]
    """Natural log-probability of each of `token_ids`, before temperature and top_p."""
    prompt_tokens: int = 0


@dataclass(frozen=True)
class Piece:
    """What one decode step adds to a stream."""

    text: str
    """Certain text; often empty."""
    token: Token
    finish_reason: FinishReason | None
    """Set on the last piece."""
    prompt_tokens: int


def generate_texts(
    checkpoint: Checkpoint,
    prompts: Sequence[str],
    *,
    max_new_tokens: int = 128,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
    batch_size: int = 64,
    progress: Callable[[int, int], None] | None = None,
) -> list[Generation]:
    """Answer prompts in batches of similar length.

    Args:
        checkpoint: Model and tokenizer.
        prompts: Rendered prompts (`prompts.render`), without the joint before the answer.
        max_new_tokens: Most tokens per answer; the prompt does not count.
        temperature: 0 is greedy; above 0 samples.
        top_p: Probability mass sampled from, above 0 to 1.
        seed: Of the samples. A sample depends on seed and prompt only; the n-th repetition of a
            prompt has another one than the first.
        batch_size: Most prompts decoded together; changes speed and memory, not answers.
        progress: Called after each batch with prompts done and prompts in all.

    Returns:
        One answer per prompt, in the order of the prompts.

    Raises:
        GenerationError: A prompt is empty or fills the model's context, or the model fails.
        ConfigError: A setting is out of range.
    """
    sampling = Sampling(max_new_tokens, temperature, top_p, seed)
    encoded = [encode_prompt(checkpoint, prompt) for prompt in prompts]
    for ids in encoded:
        check_room(len(ids), checkpoint.model)
    seen: Counter[tuple[int, ...]] = Counter()
    occurrences = []
    for ids in encoded:
        occurrences.append(seen[tuple(ids)])
        seen[tuple(ids)] += 1
    # Longest first: if memory runs out, it does so at once and not at the end.
    order = sorted(range(len(encoded)), key=lambda place: -len(encoded[place]))
    answers: dict[int, Generation] = {}
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]
        batch = [encoded[place] for place in places]
        done = _generate_batch(checkpoint, batch, sampling, [occurrences[p] for p in places])
        answers.update(zip(places, done, strict=True))
        if progress is not None:
            progress(len(answers), len(encoded))
    return [answers[place] for place in range(len(encoded))]


def stream_text(
    checkpoint: Checkpoint,
    prompt: str,
    *,
    max_new_tokens: int = 128,
    temperature: float = 0.0,
    stop: Sequence[str] = (),
    top_p: float = 1.0,
    seed: int = 0,
) -> Iterator[str]:
    """Answer one prompt piece by piece; close the iterator to stop.

    Args:
        checkpoint: Model and tokenizer.
        prompt: A rendered prompt.
        max_new_tokens: Most tokens of the answer.
        temperature: 0 is greedy; above 0 samples.
        stop: Texts that end the answer; neither they nor their beginnings are given out.
        top_p: Probability mass sampled from, above 0 to 1.
        seed: Of the sample.

    Yields:
        Texts that are not empty and end with whole characters; together the answer of
        `generate_texts`.

    Raises:
        GenerationError: The prompt is empty or fills the model's context, or the model fails.
        ConfigError: A setting is out of range.
    """
    sampling = Sampling(max_new_tokens, temperature, top_p, seed)
    ids = encode_prompt(checkpoint, prompt)
    with closing(stream_pieces(checkpoint, ids, sampling, stop)) as pieces:
        for piece in pieces:
            if piece.text:
                yield piece.text


def stream_pieces(
    checkpoint: Checkpoint, prompt_ids: Sequence[int], sampling: Sampling, stop: Sequence[str] = ()
) -> Generator[Piece, None, None]:
    """Answer one prompt of token ids step by step; `stream_text` with tokens, probabilities and the
    end.

    Args:
        checkpoint: Model and tokenizer.
        prompt_ids: Token ids of the prompt.
        sampling: Limits and randomness.
        stop: Texts that end the answer.

    Yields:
        One piece per token; the last one has a finish reason.
    """
    text = TextStream(checkpoint.tokenizer, stop)
    steps = _decode(checkpoint, [prompt_ids], sampling, [0])
    with closing(steps):
        for (token,) in steps:
            shown = text.add(token.token_id)
            if token.finish_reason is not None and not text.stopped:
                shown += text.finish()
            reason: FinishReason | None = "stop" if text.stopped else token.finish_reason
            yield Piece(shown, token, reason, len(prompt_ids))
            if reason is not None:
                return


def _generate_batch(
    checkpoint: Checkpoint,
    batch: Sequence[Sequence[int]],
    sampling: Sampling,
    occurrences: Sequence[int],
) -> list[Generation]:
    tokens: list[list[Token]] = [[] for _ in batch]
    for step in _decode(checkpoint, batch, sampling, occurrences):
        for token in step:
            tokens[token.row].append(token)
    answers = []
    for prompt, row in zip(batch, tokens, strict=True):
        ids = tuple(token.token_id for token in row)
        reason = row[-1].finish_reason or "length"
        answers.append(
            Generation(
                text=decode_answer(checkpoint.tokenizer, ids),
                token_ids=ids,
                finish_reason=reason,
                logprobs=tuple(token.logprob for token in row),
                prompt_tokens=len(prompt),
            )
        )
    return answers


def _decode(
    checkpoint: Checkpoint,
    prompts: Sequence[Sequence[int]],
    sampling: Sampling,
    occurrences: Sequence[int],
) -> Generator[list[Token], None, None]:
    return decode(
        checkpoint.model,
        prompts,
        sampling,
        end_ids=end_token_ids(checkpoint.model, checkpoint.tokenizer),
        occurrences=occurrences,
    )
