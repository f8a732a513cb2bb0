"""Limits, prices and decode profiles of a model's provider.

gateway = ProviderGateway(qps=20, tpm=120_000, max_concurrency=8, token_budget=200_000)
llm = OpenAILLM(model="qwen3-32b", base_url="http://gateway.local/v1", gateway=gateway)
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ....config import as_settings, read_written_yaml
from ....errors import ConfigError, did_you_mean, require_settings
from ....labeling.batch.label_run import InDoubt, LabelSettings, Prices
from ..report_steps.report_step import read_prices

_SECTIONS: Final = ("rate_limits", "self_hosted_limits")
"""Sections of a written gateway whose keys are those of the gateway itself."""


@dataclass(frozen=True, kw_only=True)
class ProviderGateway:
    """How a provider may be used."""

    base_url: str | None = None
    """Address with its version; a model's own goes before it."""
    api_key_env: str | None = None
    """Environment variable that holds the key; a model's own goes before it."""
    request_timeout_s: float = 120.0
    """Seconds for a whole answer, above 0."""
    qps: float | None = None
    """Most calls per second, above 0; None sets no limit."""
    tpm: float | None = None
    """Most tokens of prompts and answers in any minute, above 0; None sets no limit."""
    max_concurrency: int = 16
    """Most calls at once, 1 or more."""
    token_budget: float | None = None
    """Most tokens of prompts and answers of all calls under way, above 0; None sets no limit. It
    is what the memory of a server of one's own holds: further calls wait, and so do the steps
    before."""
    prices: Prices | None = None
    """What a million tokens of prompts and of answers cost: `{"prompt": 0.15, "completion": 0.6}`.
    """
    budget: float | None = None
    """Most that all runs with the same cache folder may pay this model, in the currency of the
    prices; the run stops before a call that may exceed it. None sets no limit."""
    max_attempts: int = 6
    """Calls per generation before its row is dead, 1 or more."""
    max_error_rate: float | None = 0.5
    """Share of failed rows among the newest fifty above which the run stops, 0 to 1."""
    in_doubt: InDoubt = "ask"
    """`ask`, or `dead_letter`: what becomes of calls that were under way when the process died."""
    honours_idempotency: bool = False
    """Whether the server charges calls with the same `Idempotency-Key` only once."""
    decode_profiles: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Name -> generation settings, such as `{"temperature": 0.7, "max_tokens": 512, "n": 4}`."""
    capability_probe: Mapping[str, Any] = field(default_factory=dict)
    """`cache_path` and `refresh_interval_s` of what `probe_capabilities` found."""

    def __post_init__(self) -> None:
        """Refuse settings out of range, all at once."""
        known = {"cache_path", "refresh_interval_s"}
        checks = (
            ("request_timeout_s", self.request_timeout_s > 0, "above 0"),
            ("qps", self.qps is None or self.qps > 0, "above 0, or null"),
            ("capability_probe", set(self.capability_probe) <= known, str(sorted(known))),
        )
        object.__setattr__(self, "prices", read_prices(self.prices))
        require_settings(self, checks)
        self.label_settings()

    def label_settings(self, *, retry_failed: bool = False) -> LabelSettings:
        """Return the limits as those of a labelling.

        Args:
            retry_failed: Whether to ask again for what failed in earlier runs.

        Raises:
            ConfigError: Settings are out of range, or there is a budget without prices.
        """
        return LabelSettings(
            concurrency=self.max_concurrency,
            max_attempts=self.max_attempts,
            requests_per_minute=None if self.qps is None else 60 * self.qps,
            tokens_per_minute=self.tpm,
            tokens_at_once=self.token_budget,
            prices=self.prices,
            budget=self.budget,
            max_error_rate=self.max_error_rate,
            in_doubt=self.in_doubt,
            retry_failed=retry_failed,
        )


def read_gateway(given: ProviderGateway | Mapping[str, Any] | str | Path | None) -> ProviderGateway:
    """Read a gateway: one of ours, its fields, or a YAML file with them.

    The sections `rate_limits` and `self_hosted_limits` hold fields of the gateway; the whole may
    stand below `provider_gateway`, beside `decode_profiles`, and below `fastdistill`.

    Raises:
        ConfigError: A key is unknown, or a value out of range.
    """
    if given is None or isinstance(given, ProviderGateway):
        return given or ProviderGateway()
    if isinstance(given, str | Path):
        given = as_settings(read_written_yaml(given), given)
    given = _section(given, "fastdistill")
    own = dict(_section(given, "provider_gateway"))
    if own is not given and "decode_profiles" in given:
        own.setdefault("decode_profiles", given["decode_profiles"])
    for section in _SECTIONS:
        own |= own.pop(section, None) or {}
    known = {f.name for f in dataclasses.fields(ProviderGateway)}
    faults = [
        f"provider_gateway has the key {key!r}; {did_you_mean(key, known)}"
        for key in own
        if key not in known
    ]
    if faults:
        raise ConfigError(faults)
    return ProviderGateway(**own)


def _section(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    inner = given.get(name)
    return inner if isinstance(inner, Mapping) else given
