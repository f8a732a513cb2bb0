"""Metrics in Prometheus' format, named close to vLLM's; no owner, thread or text is a label."""

from __future__ import annotations

import time
from collections.abc import Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric

from .service import Service, Turn

_SECONDS = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
_EXITS = {
    "answered", "abstained", "disagrees", "waiting", "ask_back", "clarify", "deadline",
    "tool_limit", "too_long", "low_confidence", "rejected", "validator_failed", "step_limit",
    "stop", "length", "tool_calls", "cancelled", "engine_failed",
}  # fmt: skip
"""Outcomes that are a label of their own; others count as `error`."""


class Metrics:
    """Counts the turns of a service.

    Args:
        service: Its turns are observed from now on.
    """

    def __init__(self, service: Service) -> None:
        """Make the metrics in a registry of their own."""
        self.registry = CollectorRegistry()
        names = ["model_name"]
        self._latency = Histogram(
            "stillroom:e2e_request_latency_seconds", "Seconds of a turn.", names,
            registry=self.registry, buckets=_SECONDS,
        )  # fmt: skip
        self._first = Histogram(
            "stillroom:time_to_first_token_seconds", "Seconds to the first piece of a streamed "
            "answer.", names, registry=self.registry, buckets=_SECONDS,
        )  # fmt: skip
        self._success = Counter(
            "stillroom:request_success", "Turns that ended, by their end.",
            [*names, "finished_reason"], registry=self.registry,
        )  # fmt: skip
        self._prompt = Counter(
            "stillroom:prompt_tokens", "Tokens read.", names, registry=self.registry
        )
        self._made = Counter(
            "stillroom:generation_tokens", "Tokens generated.", names, registry=self.registry
        )
        running = Gauge("stillroom:num_turns_running", "Turns in progress.", registry=self.registry)
        running.set_function(lambda: len(service.turns))
        self.registry.register(_EngineMetrics(service))
        service.observers.append(self._observe)

    def text(self) -> bytes:
        """Write the metrics."""
        return generate_latest(self.registry)

    def _observe(self, turn: Turn) -> None:
        asked, made = turn.tokens
        outcome = turn.outcome if turn.outcome in _EXITS else "error"
        self._latency.labels(turn.name).observe(time.monotonic() - turn.began)
        if turn.first_token_s is not None:
            self._first.labels(turn.name).observe(turn.first_token_s)
        self._success.labels(turn.name, outcome).inc()
        self._prompt.labels(turn.name).inc(asked)
        self._made.labels(turn.name).inc(made)


class _EngineMetrics:
    """Reads the engine's own counters when they are asked for."""

    def __init__(self, service: Service) -> None:
        self._service = service

    def collect(self) -> Iterator[Metric]:
        """Give the engine's load and totals."""
        engine = self._service.engine
        ready = GaugeMetricFamily("stillroom:ready", "1 where a turn would be served now.")
        ready.add_metric([], float(self._service.ready()))
        yield ready
        if engine is None:
            return
        stats = engine.stats()
        for name, told, value in (
            ("num_requests_running", "Requests in the engine's batch.", stats.running),
            ("num_requests_waiting", "Requests that wait for a slot.", stats.waiting),
            ("num_slots", "Most requests in the batch.", stats.slots),
            ("kv_cache_tokens", "Tokens in the key-value cache.", stats.cached_tokens),
            ("engine_steps", "Forward passes so far.", stats.steps),
            ("engine_requests_cancelled", "Requests cancelled so far.", stats.cancelled),
            ("engine_requests_failed", "Requests that failed so far.", stats.failed),
            ("engine_restarts", "Restarts after a failure so far.", stats.restarts),
        ):
            metric = GaugeMetricFamily(f"stillroom:{name}", told)
            metric.add_metric([], float(value))
            yield metric
