"""Tokens of a whole run, read from the stages that asked: rejected records count as well."""

from __future__ import annotations

from ....labeling.reports.token_statistics import TokenSums, token_statistics
from ..stage_store import StageStore
from ..step import RunContext


def tokens_of_run(context: RunContext) -> TokenSums | None:
    """Add up the tokens of all stages that asked a model.

    A step that asks is a stage of its own, named after it, and its rows are all that it answered;
    later stages have fewer rows, and branches have them twice.

    Args:
        context: The run, with the stages so far.

    Returns:
        The tokens, the steps in the order of the run; None outside a pipeline.
    """
    if context.folder is None:
        return None
    sums = TokenSums()
    for stage in context.accounting:
        store = StageStore(context.folder / stage)
        if _asked(store, stage):
            for shard in store.shards():
                for row in store.rows(shard):
                    sums.add(row.record, only=stage)
    return sums


def _asked(store: StageStore, stage: str) -> bool:
    """Say whether a stage has stored tokens under its own name."""
    for shard in store.shards():
        rows = store.rows(shard)
        if rows:
            return any(step == stage for row in rows for step, *_ in token_statistics(row.record))
    return False
