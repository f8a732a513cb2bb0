"""Cache the log-probabilities of a teacher on a server, in the format of a local teacher's cache.

A server returns the largest log-probabilities at temperature 1; all other tokens together have the
remaining probability. A student trains from them as from a local cache with the same k, but at
temperature 1 only, because the remaining probability at other temperatures is unknown.

Sizes: N supervised positions, K kept ids.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import numpy as np

from ...errors import ConfigError, RemoteError
from ...inference.prompt_tokens.prompt_ids import prompts_hash
from ...inference.remote.prompt_logprobs import LogprobServer, Position
from ...inference.remote.server_address import Server
from ..batches.batching import tokenize_examples
from ..batches.vocabulary import token_count
from ..losses.divergences import LOWEST_TEACHER_LOG_PROBABILITY
from ..training_data import Record, training_examples
from .cache_build import BuildResult, PlannedSequence, build_parts, plan_sequences, sequences_hash
from .cache_format import CacheSpec, TeacherIdentity, known_identity, vocabulary_sha256
from .cache_job import CacheSettings
from .cache_parts import PartColumns
from .sparse_logits import LARGEST_DELTA

TOKENS_PER_PART: Final = 1024
"""About how many positions a part has. After a kill, at most one part is paid for again."""
_PROBE: Final = "Gold costs 79.30, café naïve\n def f(x): return 2"


def cache_served_logits(
    settings: CacheSettings,
    records: Iterable[Record],
    server: Server,
    tokenizer: Any,  # noqa: ANN401 - transformers is untyped
    *,
    concurrency: int = 16,
) -> BuildResult:
    """Build a cache, or its missing parts, from a server's log-probabilities.

    Args:
        settings: The settings; `teacher` is the model's name on the server, and `temperatures` is
            (1.0,).
        records: The records that `ModelDistiller.distill` will get.
        server: Address, model and key.
        tokenizer: Tokenizer of the student, which must be the teacher's too.
        concurrency: Number of simultaneous calls.

    Raises:
        ConfigError: A setting is impossible with a server, the server does not return
            log-probabilities, or the folder holds another cache.
        VocabularyError: The server's tokens are not those of the tokenizer.
        DataError: A record cannot be used (`EmptyDataError`: there are none).
        RemoteError: The server failed; the same call continues with the parts that are missing.
    """
    faults = []
    if settings.temperatures != (1.0,):
        faults.append(
            f"temperatures are {list(settings.temperatures)}; a server's log-probabilities are at "
            "temperature 1, and say nothing about others (--temperatures 1)"
        )
    if settings.selection != "top_k_tail":
        faults.append(f"selection is {settings.selection!r}; a server gives top_k_tail alone")
    if faults:
        raise ConfigError(faults)
    items = tokenize_examples(
        training_examples(records),
        tokenizer,
        max_length=settings.max_length,
        too_long=settings.too_long,
    )
    sequences, vocabulary = plan_sequences(items), token_count(tokenizer)
    spec = CacheSpec(
        teacher=TeacherIdentity(**known_identity(settings.teacher, None), dtype="served"),
        tokenizer_sha256=vocabulary_sha256(tokenizer, vocabulary),
        template_sha256=prompts_hash(tokenizer),
        vocab_size=vocabulary,
        data_hash=sequences_hash(sequences),
        k=settings.top_k,
        temperatures=(1.0,),
        max_length=settings.max_length,
        too_long=settings.too_long,
        tokens_per_part=TOKENS_PER_PART,
    )
    scoring = LogprobServer(
        server,
        settings.top_k,
        token_texts=lambda number: str(tokenizer.decode([number])),
        probe_ids=tokenizer(_PROBE, add_special_tokens=False)["input_ids"],
    )
    try:
        return build_parts(
            settings.output_dir,
            sequences,
            spec,
            lambda columns, planned, done: _fill(
                columns, planned, scoring, spec, concurrency, done
            ),
            versions={"served_by": scoring.form},
            share=settings.share,
            progress=settings.progress,
        )
    finally:
        scoring.close()


def _fill(
    columns: PartColumns,
    planned: Sequence[PlannedSequence],
    scoring: LogprobServer,
    spec: CacheSpec,
    concurrency: int,
    done: Callable[[int], None],
) -> None:
    """Score all sequences of a part on the server, and write the values into its columns."""
    with ThreadPoolExecutor(concurrency) as calls:
        asked = [calls.submit(scoring.score, s.input_ids, s.first) for s in planned]
        try:
            for number, (sequence, answer) in enumerate(zip(planned, asked, strict=True)):
                start = int(columns.starts[number])
                labels = sequence.input_ids[sequence.first :]
                for place, (position, label) in enumerate(
                    zip(answer.result(), labels, strict=True), start
                ):
                    ids, delta, log_tail = keep_scored(position, label, spec)
                    columns.values["ids"][place] = ids
                    columns.values["delta"][place] = delta
                    columns.values["log_tail"][place] = log_tail
                done(len(labels))
        except BaseException:
            calls.shutdown(cancel_futures=True)
            raise


def keep_scored(
    position: Position, label: int, spec: CacheSpec
) -> tuple[list[int], list[float], float]:
    """Reduce a server's log-probabilities to what a cache stores, like `keep_largest` for logits.

    Args:
        position: At least K ids of the vocabulary with their log-probabilities.
        label: The token of the text; it replaces the last id if it was scored and is not among the
            largest.
        spec: Gives `k` and `vocab_size`.

    Returns:
        ids (K,) by descending log-probability, ties by lower id; delta (K,), the largest
        log-probability minus each; log p of all other ids together, -60 to 0.

    Raises:
        RemoteError: There are fewer than K ids.
    """
    found = {i: max(s.logprob, -LARGEST_DELTA) for i, s in position.items() if i < spec.vocab_size}
    ids = sorted(found, key=lambda i: (-found[i], i))[: spec.k]
    if len(ids) < spec.k:
        raise RemoteError(
            f"the server gave {len(ids)} log-probabilities of known tokens at a position, {spec.k} "
            "are needed",
            status=200,
        )
    if label in found and label not in ids:
        ids[-1] = label
    kept = np.array([found[i] for i in ids])
    rest = -np.expm1(np.logaddexp.reduce(kept))  # rounded, it may fall below 0
    log_tail = np.log(rest) if rest > 0 else LOWEST_TEACHER_LOG_PROBABILITY
    delta = np.minimum(kept[0] - kept, LARGEST_DELTA)
    return ids, delta.tolist(), float(max(log_tail, LOWEST_TEACHER_LOG_PROBABILITY))
