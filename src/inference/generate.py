"""Answering many prompts at once, for labelling and evaluation.

from stillroom.inference.checkpoints.load_student import load_checkpoint
from stillroom.inference.generate import generate_texts

student = load_checkpoint("outputs/elements/student")
print(generate_texts(student, ["Question: What is the symbol of gold?\\n\\nAnswer:"])[0].text)

Each call opens and closes its own engine.
"""

from __future__ import annotations

import hashlib
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass

from ..prompts import Prompt
from .checkpoints.load_student import Checkpoint
from .constrained.grammar import Grammar, GrammarConstraint, constrain
from .engine.detokenize import decode_answer
from .engine.protocol import FinishReason, GenerationRequest
from .engine.token_stream import AnswerStream
from .engine.transformers_engine import serve_checkpoint
from .prompt_tokens.prompt_ids import answer_lead
from .scoring.choices import encode_prompt
from .scoring.model_limits import check_room, end_token_ids


@dataclass(frozen=True)
class Generation:
    """A finished answer."""

    text: str
    """Generated text without special tokens and leading white space."""
    token_ids: tuple[int, ...]
    """Generated ids, with the end token if there is one."""
    finish_reason: FinishReason
    """`stop`: the model ended the answer; `length`: `max_new_tokens` or the context did."""
    logprobs: tuple[float, ...]
    """Natural log-probability of each of `token_ids`, before temperature and top_p."""
    prompt_tokens: int = 0


def generate_texts(
    checkpoint: Checkpoint,
    prompts: Sequence[Prompt],
    *,
    max_new_tokens: int | Sequence[int] = 128,
    temperature: float = 0.0,
    top_p: float = 1.0,
    seed: int = 0,
    batch_size: int = 64,
    grammars: Sequence[Grammar] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> list[Generation]:
    """Answer prompts, many at a time.

    Args:
        checkpoint: Model and tokenizer.
        prompts: Rendered prompts (`prompts.render`), without the separator before the answer, or
            chat turns.
        max_new_tokens: Most tokens per answer, or a number for each prompt; prompts do not count.
        temperature: 0 is greedy; above 0 samples.
        top_p: Probability mass sampled from, above 0 to 1.
        seed: Seed of the samples. A sample depends on seed and prompt only; repetitions of a
            prompt get further samples.
        batch_size: Most prompts decoded together; affects speed and memory, not answers.
        grammars: Form of each answer, one per prompt; None for free text. An answer that reaches
            `max_new_tokens` is only the beginning of one.
        progress: Called with the numbers of prompts done and in all, about once per batch.

    Returns:
        One answer per prompt, in the order of the prompts.

    Raises:
        GenerationError: A prompt is empty or fills the model's context, or the model fails.
        ConfigError: A setting is out of range, or a grammar cannot be enforced.
        MissingDependencyError: There are grammars, and llguidance is not installed.
    """
    encoded = [encode_prompt(checkpoint, prompt) for prompt in prompts]
    for ids in encoded:
        check_room(len(ids), checkpoint.model)
    most = [max_new_tokens] * len(encoded) if isinstance(max_new_tokens, int) else max_new_tokens
    requests = [
        GenerationRequest(ids, max_tokens=tokens, temperature=temperature, top_p=top_p,
                          seed=own, constraint=form)
        for ids, tokens, own, form in zip(encoded, most, _seeds(encoded, seed),
                                          _constraints(checkpoint, prompts, grammars), strict=True)
    ]  # fmt: skip
    # Longest first, so that memory runs out at the start or not at all.
    order = sorted(range(len(encoded)), key=lambda place: -len(encoded[place]))
    answers: dict[int, Generation] = {}
    limits = {"most_running": batch_size, "most_waiting": len(requests)}
    with closing(serve_checkpoint(checkpoint, **limits)) as engine:
        streams = deque(engine.submit(requests[place]) for place in order)
        for place in order:
            # Removed from the queue, so that its events can be freed.
            answers[place] = _read(checkpoint, streams.popleft())
            done = len(answers)
            if progress is not None and (done % batch_size == 0 or done == len(order)):
                progress(done, len(order))
    return [answers[place] for place in range(len(encoded))]


def _constraints(
    checkpoint: Checkpoint, prompts: Sequence[Prompt], grammars: Sequence[Grammar] | None
) -> Iterator[GrammarConstraint | None]:
    """Compile the grammar of each answer, with what separates it from its prompt."""
    if grammars is None:
        yield from (None for _ in prompts)
        return
    tokenizer = checkpoint.tokenizer
    ends = end_token_ids(checkpoint.model, tokenizer)
    for prompt, grammar in zip(prompts, grammars, strict=True):
        yield constrain(grammar, tokenizer, ends, lead=answer_lead(tokenizer, prompt))


def _read(checkpoint: Checkpoint, stream: AnswerStream) -> Generation:
    events = stream.collect()
    ids = tuple(event.token_id for event in events if event.token_id is not None)
    return Generation(
        text=decode_answer(checkpoint.answer_tokens, ids),
        token_ids=ids,
        finish_reason=stream.finish_reason or "length",
        logprobs=tuple(event.logprob for event in events if event.logprob is not None),
        prompt_tokens=stream.usage.prompt_tokens,
    )


def _seeds(prompts: Sequence[Sequence[int]], seed: int) -> Iterator[int]:
    """Yield the user's seed for each prompt, and a derived one for each repetition."""
    seen: Counter[tuple[int, ...]] = Counter()
    for prompt in map(tuple, prompts):
        number = seen[prompt]
        seen[prompt] += 1
        digest = hashlib.sha256(f"{seed} {number}".encode()).digest()
        yield seed if number == 0 else int.from_bytes(digest[:8], "big")
