"""Cache the log-probabilities of a served teacher, in the format of a local one.

A server gives the largest log-probabilities at temperature 1; all other tokens have what is left of
1 together. So a student trains from them as from a local cache of the same k, at temperature 1
alone: how the rest spreads at another temperature is not known.

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
"""About how many positions a part has: as many are paid for again after a kill, at most."""
_PROBE: Final = "Gold costs 79.30, café naïve\n def f(x): return 2"


def cache_served_logits(
    settings: CacheSettings,
    records: Iterable[Record],
    server: Server,
    tokenizer: Any,  # noqa: ANN401 - transformers is untyped
    *,
    concurrency: int = 16,
) -> BuildResult:
    """Build a cache from a server's log-probabilities, or its missing parts.

    Args:
        settings: `teacher` is the model's name on the server; the temperature is 1.
        records: The same ones that `ModelDistiller.distill` will be given.
        server: Address, model and key.
        tokenizer: The student's, which must be the teacher's.
        concurrency: Calls at once.

    Raises:
        ConfigError: The settings ask for what no server gives, the server lacks the fields, or the
            folder holds another cache.
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
    """Ask for all sequences of a part and write the kept values into its columns."""
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
    """Reduce a server's log-probabilities to what a cache stores, as `keep_largest` does logits.

    Args:
        position: At least K ids of the vocabulary with their log-probabilities.
        label: The given token; takes the last place where it was scored and is not among the
            largest.
        spec: Its `k` and `vocab_size` count.

    Returns:
        ids (K,) by falling log-probability, ties by lower id; delta (K,), the largest minus each;
        log p of all other ids together, -60 to 0.

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
