"""The log-probabilities of a served model for given tokens: three public forms, found by a probe.

| server | request | field of the answer | calls |
|---|---|---|---|
| vLLM | `/v1/completions`, `prompt_logprobs` | `choices[0].prompt_logprobs` | one per sequence |
| SGLang | `/generate`, `top_logprobs_num` | `meta_info.input_top_logprobs` | one per sequence |
| llama-server | `/completion`, `n_probs` | `completion_probabilities` | one per position |

All take token ids as the prompt and give token ids back, so that no text is tokenised twice. Chat
endpoints (OpenAI, Ollama) take and give texts and score generated answers alone: they are refused.

llama-server scores the likeliest tokens and the one that it generates, at its unbiased probability;
so the given token is made to be generated, by `logit_bias`. Where that is a part of a letter, the
answer lacks the field; then another token is generated, and the given one is scored where it is
among the likeliest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import httpx

from ...errors import ConfigError, RemoteError, VocabularyError
from .backoff import may_pass, wait_s
from .server_address import Server, error_text, transport_fault

_ATTEMPTS: Final = 6
_SURE: Final = 1000.0
"""Added to the logit of a token that is to be generated."""


class Scored(NamedTuple):
    """A token that a server scored."""

    logprob: float
    text: str | None
    """As the server writes the token; None where it does not."""


Position = Mapping[int, Scored]
"""Token id -> its log-probability at temperature 1: the likeliest ones, and often the given one."""


@dataclass(frozen=True)
class _Form:
    """How a kind of server is asked, and where its answer holds the log-probabilities."""

    name: str
    field: str
    server: str
    url: Callable[[str], str]
    """Address of the server with its version -> address of the call."""
    body: Callable[[str, Sequence[int], int, int], dict[str, Any]]
    """Model, token ids, k and the token to generate -> request."""
    read: Callable[[Any], list[Position]]
    """Answer -> positions: of each given token but the first, or of the next one alone."""
    whole: bool
    """Whether one call scores all given tokens."""


def _read_vllm(told: Any) -> list[Position]:  # noqa: ANN401
    return [
        {
            int(i): Scored(float(one["logprob"]), one.get("decoded_token"))
            for i, one in place.items()
        }
        for place in told["choices"][0]["prompt_logprobs"][1:]
    ]


def _read_sglang(told: Any) -> list[Position]:  # noqa: ANN401
    meta = told["meta_info"]
    given = meta["input_token_logprobs"]
    return [
        {int(i): Scored(float(logprob), text) for logprob, i, text in [*top, own]}
        for top, own in zip(meta["input_top_logprobs"][1:], given[1:], strict=True)
    ]


def _read_llama(told: Any) -> list[Position]:  # noqa: ANN401
    return [
        {
            int(one["id"]): Scored(float(one["logprob"]), one["token"])
            for one in [*place["top_logprobs"], place]
        }
        for place in told.get("completion_probabilities", [])  # not there where it would be empty
    ]


def _root(base: str) -> str:
    return base.removesuffix("/v1")


FORMS: Final = (
    _Form(
        "prompt_logprobs", "choices[0].prompt_logprobs", "vLLM",
        lambda base: f"{base}/completions",
        lambda model, ids, k, _: {
            "model": model, "prompt": list(ids), "max_tokens": 1, "temperature": 0,
            "prompt_logprobs": k,
        },
        _read_vllm, True,
    ),
    _Form(
        "top_logprobs_num", "meta_info.input_top_logprobs", "SGLang",
        lambda base: f"{_root(base)}/generate",
        lambda model, ids, k, _: {
            "input_ids": list(ids), "sampling_params": {"max_new_tokens": 1, "temperature": 0},
            "return_logprob": True, "logprob_start_len": 0, "top_logprobs_num": k,
            "return_text_in_logprobs": True,
        },
        _read_sglang, True,
    ),
    _Form(
        "n_probs", "completion_probabilities", "llama-server",
        lambda base: f"{_root(base)}/completion",
        lambda model, ids, k, generated: {
            "prompt": list(ids), "n_predict": 1, "n_probs": k, "temperature": 0,
            "cache_prompt": True, "post_sampling_probs": False,
            "logit_bias": [[generated, _SURE]],
        },
        _read_llama, False,
    ),
)  # fmt: skip


class LogprobServer:
    """Scores given tokens; may be used by several threads.

    Args:
        server: Address, model and key.
        k: Log-probabilities wanted per position.
        token_texts: Token id -> its text, by the student's tokenizer.
        probe_ids: A few token ids, at least two; the first one is a whole word.

    Raises:
        ConfigError: The server gives none of the fields, or fewer than k of them.
        VocabularyError: Its tokens are others than the student's.
        RemoteError: It was not reached.
    """

    def __init__(
        self,
        server: Server,
        k: int,
        *,
        token_texts: Callable[[int], str],
        probe_ids: Sequence[int],
    ) -> None:
        """Find the server's form by one call of one token for each form that it may have."""
        self._server, self._k, self._plain_id = server, k, probe_ids[0]
        self._base = str(server.base_url).rstrip("/")
        self._client = httpx.Client(
            timeout=httpx.Timeout(server.read_timeout_s, connect=10.0),
            trust_env=not server.is_local,
            limits=httpx.Limits(max_connections=None, max_keepalive_connections=None),
        )
        try:
            self._form, positions = self._probe(probe_ids)
            self._require_tokens(positions, probe_ids, token_texts)
        except BaseException:
            self.close()
            raise

    @property
    def form(self) -> str:
        """The request field by which the server is asked."""
        return self._form.name

    def score(self, ids: Sequence[int], first: int) -> list[Position]:
        """Score the tokens of a sequence from place `first` (1 or more) on, each given all before.

        Raises:
            RemoteError: The server failed, or gave fewer positions or log-probabilities.
        """
        if self._form.whole:
            found = self._read(self._form, ids)
            if len(found) != len(ids) - 1:
                raise RemoteError(
                    f"{self._server.model} scored {len(found)} of {len(ids) - 1} tokens; its "
                    "context may be too short",
                    status=200,
                )
            return found[first - 1 :]
        return [self._score_next(ids[:place], ids[place]) for place in range(first, len(ids))]

    def _score_next(self, ids: Sequence[int], given: int) -> Position:
        found = self._read(self._form, ids, given) or self._read(self._form, ids)
        if not found:
            raise RemoteError(
                f"{self._server.model} scored no token after {len(ids)}; its context may be too "
                "short",
                status=200,
            )
        return found[0]

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _probe(self, ids: Sequence[int]) -> tuple[_Form, list[Position]]:
        reasons = []
        for form in FORMS:
            try:
                found = self._read(form, ids)
            except RemoteError as fault:
                if fault.status is None or fault.status in (401, 403):
                    raise
                reasons.append(f"{form.field} ({form.server}): {fault}")
                continue
            if not found:
                reasons.append(f"{form.field} ({form.server}): the answer lacks it")
                continue
            if min(map(len, found)) < self._k:
                raise ConfigError([
                    f"{self._base} gives {min(map(len, found))} log-probabilities per position, "
                    f"{self._k} were asked for (--top-k)"
                ])  # fmt: skip
            return form, found
        raise ConfigError([
            f"{self._base} does not give the log-probabilities of given tokens; needed is one of "
            "these fields", *reasons,
            "vLLM limits their number: start it with --max-logprobs, or ask for fewer (--top-k)",
        ])  # fmt: skip

    def _require_tokens(
        self, positions: list[Position], ids: Sequence[int], text_of: Callable[[int], str]
    ) -> None:
        """Compare ids and texts of the scored tokens with the student's."""
        if self._form.whole:
            for own, place in zip(ids[1:], positions, strict=True):
                if own not in place:
                    raise VocabularyError(
                        f"{self._server.model} did not score token {own} where it was given; its "
                        "tokens are others than the student's"
                    )
        for place in positions:
            for number, scored in place.items():
                ours, theirs = text_of(number).strip(), (scored.text or "").strip()
                known = ours and theirs and "�" not in ours + theirs  # else a part of a letter
                if known and ours != theirs:
                    raise VocabularyError(
                        f"token {number} is {theirs!r} for {self._server.model} and {ours!r} for "
                        "the student; give it the teacher's tokenizer (--tokenizer)"
                    )

    def _read(
        self, form: _Form, ids: Sequence[int], generated: int | None = None
    ) -> list[Position]:
        token = self._plain_id if generated is None else generated
        told = self._send(form.url(self._base), form.body(self._server.model, ids, self._k, token))
        try:
            return form.read(told)
        except (KeyError, TypeError, IndexError, ValueError, AttributeError) as fault:
            raise RemoteError(f"the answer lacks {form.field} ({fault!r})", status=200) from fault

    def _send(self, url: str, body: Mapping[str, Any]) -> Any:  # noqa: ANN401 - any JSON value
        for attempt in range(1, _ATTEMPTS + 1):
            try:
                return self._send_once(url, body)
            except RemoteError as fault:
                wait = wait_s(attempt, 1.0, fault.retry_after)
                if attempt == _ATTEMPTS or wait is None or not may_pass(fault):
                    raise
                if fault.status is None and attempt > 1:
                    raise  # nobody is there
                time.sleep(wait)
        raise AssertionError("unreachable")

    def _send_once(self, url: str, body: Mapping[str, Any]) -> Any:  # noqa: ANN401
        key = self._server.key()
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            response = self._client.post(url, json=dict(body), headers=headers)
        except httpx.HTTPError as fault:
            told = transport_fault(self._server, fault)
            raise RemoteError(f"{self._server.model} at {self._base}: {told}") from fault
        if not response.is_success:
            text = error_text(response.text)
            raise RemoteError(
                f"status {response.status_code}: {text.replace(key, '***') if key else text}",
                status=response.status_code,
                retry_after=response.headers.get("retry-after"),
            )
        try:
            return response.json()
        except ValueError as fault:
            raise RemoteError(f"the answer is no JSON: {response.text[:200]!r}", status=200) from (
                fault
            )
