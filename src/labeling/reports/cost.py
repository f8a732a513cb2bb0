"""`cost_report.json`: what the answers cost, per record, per kept record and per thousand."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ..batch.label_run import Prices
from .token_statistics import TokenSums


def cost_report(
    tokens: TokenSums,
    records: int,
    kept: int | None,
    prices: Prices | Mapping[str, Prices] | None = None,
    currency: str | None = None,
) -> dict[str, Any]:
    """Divide tokens and their price by records.

    Tokens are those of answers that arrived, whichever run paid for them; calls that failed are
    not among them.

    Args:
        tokens: Of all records, also of those that were rejected later.
        records: Number of records for which a model was asked.
        kept: How many of them are in the result; None if it is not known.
        prices: What a million tokens cost, for all steps or by name of the step; a step without
            prices makes the sums of money None.
        currency: Of the prices, such as "USD".

    Returns:
        `records`, `kept`, `tokens_in`, `tokens_out`, `cost`, `currency`; `per_record`,
        `per_kept_record` and the same `per_thousand_...`, each with `tokens_in`, `tokens_out` and
        `cost`; `steps` with the same of each step. Without records or prices a value is None.
    """
    known = tokens.known
    costs = {step: _cost(step, told, prices) for step, told in tokens.steps.items()}
    money = [cost for cost in costs.values() if cost is not None]
    cost = sum(money) if known and len(money) == len(costs) else None
    total = {
        "tokens_in": tokens.input if known else None,
        "tokens_out": tokens.output if known else None,
        "cost": cost,
    }
    return {
        "records": records,
        "kept": kept,
        **total,
        "currency": currency,
        "per_record": _share(total, records, 1),
        "per_thousand_records": _share(total, records, 1000),
        "per_kept_record": _share(total, kept, 1),
        "per_thousand_kept_records": _share(total, kept, 1000),
        "steps": {
            step: {
                "tokens_in": read,
                "tokens_out": written,
                "generations": generations,
                "cost": costs[step],
            }
            for step, (read, written, generations) in sorted(tokens.steps.items())
        },
    }


def _cost(
    step: str, told: tuple[int, int, int], prices: Prices | Mapping[str, Prices] | None
) -> float | None:
    price = prices if isinstance(prices, Prices) or prices is None else prices.get(step)
    return None if price is None else price.cost(told[0], told[1])


def _share(
    total: Mapping[str, float | None], records: int | None, times: int
) -> dict[str, float | None]:
    return {
        name: None if value is None or not records else times * value / records
        for name, value in total.items()
    }
