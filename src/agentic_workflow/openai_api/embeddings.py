"""`POST /v1/embeddings`."""

from __future__ import annotations

import asyncio
import base64
import struct
from collections.abc import Sequence
from typing import Annotated, Literal

from fastapi import Request
from pydantic import Field
from starlette.responses import JSONResponse, Response

from ..http.replies import refuse
from ..http.service import Service
from ..http.streams import while_connected
from .fields import Name, Strict, Text, whole

_Input = Annotated[str, Field(min_length=1, max_length=100_000)]


class EmbeddingRequest(Strict):
    """A request for embeddings."""

    model: Name
    input: _Input | Annotated[list[_Input], Field(min_length=1, max_length=256)]
    """A text or texts; token ids are not taken."""
    encoding_format: Literal["float", "base64"] | None = None
    user: Text | None = None


async def create_embeddings(service: Service, request: Request, body: EmbeddingRequest) -> Response:
    """Embed texts with the student's hidden states."""
    texts = [body.input] if isinstance(body.input, str) else body.input
    if body.model != service.model_name:
        raise refuse(
            404, f"{body.model!r} makes no embeddings; {service.model_name!r} does",
            "model_not_found", "model",
        )  # fmt: skip

    async def embed() -> tuple[list[list[float]], int, dict[str, str]]:
        async with service.turn(body.model, request.state.owner) as turn:
            written = [whole(text) for text in texts]
            model = await asyncio.to_thread(service.embeddings)
            rows = await asyncio.to_thread(model.embed_documents, written)
            tokens = await asyncio.to_thread(_count, service, written)
            turn.outcome = "stop"
            return rows, tokens, dict(turn.identity)

    rows, tokens, identity = await while_connected(request, embed)
    packed = body.encoding_format == "base64"
    return JSONResponse({
        "object": "list",
        "model": body.model,
        "data": [
            {"object": "embedding", "index": place, "embedding": _packed(row) if packed else row}
            for place, row in enumerate(rows)
        ],
        "usage": {"prompt_tokens": tokens, "total_tokens": tokens},
        "stillroom": identity,
    })  # fmt: skip


def _packed(row: Sequence[float]) -> str:
    """Write numbers as base64 of little-endian float32, as OpenAI's client reads them."""
    return base64.b64encode(struct.pack(f"<{len(row)}f", *row)).decode("ascii")


def _count(service: Service, texts: Sequence[str]) -> int:
    return sum(service.chat_model.get_num_tokens(text) for text in texts)
