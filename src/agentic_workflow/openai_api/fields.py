"""Fields that requests of both APIs share: strict, and refused by name where they are unknown.

Fields of OpenAI's that stillroom does not honour are accepted with their neutral value only, so
that nothing that a client asks for is dropped without a word.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from langchain_core.messages import BaseMessage
from pydantic import BaseModel, ConfigDict, Field

from ..workflow_input import whole_characters

MOST_TEXT = 400_000
"""Most characters of one text."""
MOST_ITEMS = 2_000
"""Most messages of a request."""

Text = Annotated[str, Field(max_length=MOST_TEXT)]
Name = Annotated[str, Field(min_length=1, max_length=256)]
ToolName = Annotated[str, Field(pattern=r"^[a-zA-Z0-9_-]{1,64}$")]
JsonObject = dict[str, Any]
Temperature = Annotated[float, Field(ge=0, le=2, allow_inf_nan=False)]
TopP = Annotated[float, Field(gt=0, le=1, allow_inf_nan=False)]
Tokens = Annotated[int, Field(ge=1, le=1_000_000)]
Neutral = Literal[0] | None
"""A penalty that is not honoured: 0 only."""


class Strict(BaseModel):
    """A part of a request; unknown fields and values of another type are refused."""

    model_config = ConfigDict(extra="forbid", strict=True)


class NamedSchema(Strict):
    """`json_schema` of a response format."""

    name: ToolName = "answer"
    description: Text | None = None
    schema_: JsonObject = Field(alias="schema")
    strict: bool | None = None


class Asked(BaseModel):
    """What is asked of a model or workflow, in LangChain's terms; both APIs become this."""

    model_config = ConfigDict(arbitrary_types_allowed=True, extra="forbid")

    model: str
    messages: list[BaseMessage]
    stop: list[str] = []
    options: dict[str, Any] = {}
    """Options of `ChatStudent` for this call."""
    only_model: tuple[str, ...] = ()
    """Fields of the request that a workflow cannot honour."""
    logprobs: int | None = None
    """Likeliest tokens to report for each token; None for no logprobs."""


def whole(text: str) -> str:
    """Replace lone surrogates, which tokenizers refuse."""
    return whole_characters(text)


def given(values: Mapping[str, Any]) -> dict[str, Any]:
    """Leave out what was not given."""
    return {name: value for name, value in values.items() if value is not None}


def named(values: Mapping[str, Any], neutral: Mapping[str, Sequence[Any]]) -> tuple[str, ...]:
    """List the fields of a request that were given with more than a neutral value."""
    return tuple(
        name
        for name, value in values.items()
        if value is not None and value not in neutral.get(name, ())
    )
