"""The batch endpoint of an OpenAI-shaped provider: files of requests, answered within a day.

POST /files                 requests as JSON Lines, purpose `batch`
POST /batches               asks for the answers to a file
GET  /batches/{id}          its status, and the files of answers and of errors at its end
GET  /files/{id}/content    a file
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import httpx

from ...errors import RemoteError
from ...inference.remote.server_address import Server, read_refusal, transport_fault

LABEL: Final = "stillroom_label"
"""Key of a batch's metadata under which it carries our label."""
RUNNING: Final = frozenset({"validating", "in_progress", "finalizing", "cancelling"})
"""Statuses of a batch that has not ended."""
_PAGE: Final = 100
_MOST_PAGES: Final = 20
_SECONDS: Final = 120.0


@dataclass(frozen=True)
class ProviderBatch:
    """A batch as the provider describes it."""

    id: str
    status: str
    """`completed`, `failed`, `expired`, `cancelled`, or one of `RUNNING`."""
    label: str | None
    output_file: str | None
    error_file: str | None
    errors: str
    """Why the whole batch failed; empty if it did not."""


@dataclass(frozen=True)
class BatchReply:
    """What became of one request."""

    key: str
    """The request's `custom_id`."""
    status: int | None
    """HTTP status of the answer; None without one."""
    body: bytes
    """Body of the answer."""
    error: str
    """Why there is no answer; empty if there is one."""


class BatchClient:
    """Calls of the endpoint; used within one event loop."""

    def __init__(self, server: Server) -> None:
        """Take the server; nothing is sent yet."""
        self._server = server
        self._base = str(server.base_url).rstrip("/")
        self._client = httpx.AsyncClient(timeout=_SECONDS, trust_env=not server.is_local)

    async def upload(self, lines: bytes, name: str) -> str:
        """Upload a file of requests and return its id."""
        told = await self._json(
            "POST", "/files", data={"purpose": "batch"},
            files={"file": (f"{name}.jsonl", lines, "application/jsonl")},
        )  # fmt: skip
        return _text(told, "id")

    async def create(self, file_id: str, label: str, window: str) -> ProviderBatch:
        """Ask for the answers to a file.

        Args:
            file_id: The file.
            label: Name of the batch, by which `find` finds it; also the idempotency key.
            window: Time in which they are wanted, such as `24h`.
        """
        body = {
            "input_file_id": file_id, "endpoint": "/v1/chat/completions",
            "completion_window": window, "metadata": {LABEL: label},
        }  # fmt: skip
        return _read(
            await self._json("POST", "/batches", json=body, headers={"Idempotency-Key": label})
        )

    async def get(self, batch_id: str) -> ProviderBatch:
        """Return a batch as it is now."""
        return _read(await self._json("GET", f"/batches/{batch_id}"))

    async def find(self, label: str) -> ProviderBatch | None:
        """Look for a batch by its label, the newest first; None if there is none."""
        query: dict[str, Any] = {"limit": _PAGE}
        for _ in range(_MOST_PAGES):
            told = await self._json("GET", "/batches", params=query)
            listed = [_read(one) for one in told.get("data") or []]
            found = next((batch for batch in listed if batch.label == label), None)
            if found is not None or not told.get("has_more") or not listed:
                return found
            query["after"] = listed[-1].id
        return None

    async def replies(self, batch: ProviderBatch) -> list[BatchReply]:
        """Download what became of the requests of a batch that has ended."""
        found = []
        for file_id in (batch.output_file, batch.error_file):
            if file_id is not None:
                content = await self._send("GET", f"/files/{file_id}/content")
                found += list(_replies(content))
        return found

    async def close(self) -> None:
        """Close the connections."""
        await self._client.aclose()

    async def _json(self, method: str, path: str, **given: Any) -> dict[str, Any]:  # noqa: ANN401
        body = await self._send(method, path, **given)
        try:
            told = json.loads(body)
        except ValueError:
            told = None
        if not isinstance(told, dict):
            raise RemoteError(f"{path} sent no object: {body[:200]!r}", status=200)
        return told

    async def _send(self, method: str, path: str, **given: Any) -> bytes:  # noqa: ANN401
        key = self._server.key()
        headers = dict(given.pop("headers", {}))
        if key:
            headers["Authorization"] = f"Bearer {key}"
        try:
            async with self._client.stream(
                method, f"{self._base}{path}", headers=headers, **given
            ) as response:
                if not response.is_success:
                    raise await read_refusal(response, key)
                body = await response.aread()
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            told = transport_fault(self._server, fault)
            raise RemoteError(f"{self._base}{path}: {told}") from fault
        return body.replace(key.encode(), b"***") if key else body


def _read(told: Mapping[str, Any]) -> ProviderBatch:
    metadata, errors = told.get("metadata"), told.get("errors")
    data = errors.get("data") if isinstance(errors, Mapping) else None
    messages = [str(one.get("message") or one) for one in data or [] if isinstance(one, Mapping)]
    return ProviderBatch(
        id=_text(told, "id"),
        status=_text(told, "status"),
        label=metadata.get(LABEL) if isinstance(metadata, Mapping) else None,
        output_file=told.get("output_file_id") or None,
        error_file=told.get("error_file_id") or None,
        errors="; ".join(messages[:3]),
    )


def _text(told: Mapping[str, Any], name: str) -> str:
    found = told.get(name)
    if not isinstance(found, str) or not found:
        raise RemoteError(f"the answer has no {name!r}: {str(told)[:200]}", status=200)
    return found


def _replies(content: bytes) -> Iterator[BatchReply]:
    for line in content.splitlines():
        try:
            told = json.loads(line)
        except ValueError:  # its request is then one without a reply
            continue
        if not isinstance(told, dict) or not isinstance(told.get("custom_id"), str):
            continue
        response, error = told.get("response"), told.get("error")
        status = response.get("status_code") if isinstance(response, dict) else None
        body = response.get("body") if isinstance(response, dict) else None
        message = ""
        if error or not isinstance(status, int):
            message = str(error.get("message") or error) if isinstance(error, dict) else str(error)
        yield BatchReply(
            told["custom_id"],
            status if isinstance(status, int) else None,
            (body if isinstance(body, str) else json.dumps(body)).encode(),
            message,
        )
