"""Assistants: each workflow is one, under its name and under an id made from the name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import NAMESPACE_URL, uuid5

from fastapi import APIRouter, HTTPException
from pydantic.errors import PydanticInvalidForJsonSchema, PydanticSchemaGenerationError

from ..graphs import Graph
from ..workflow import Workflow
from .requests import AssistantSearch
from .wire import time_text


def assistant_id(name: str) -> str:
    """Give the id of a workflow's assistant, the same on every server."""
    return str(uuid5(NAMESPACE_URL, f"stillroom:assistant:{name}"))


class Assistants:
    """The workflows that are served."""

    def __init__(self, workflows: Mapping[str, Workflow]) -> None:
        """Give each an id."""
        self._workflows = workflows
        self._names = {assistant_id(name): name for name in workflows}

    def name(self, given: str) -> str:
        """Return the name of the workflow that an id or a name means.

        Raises:
            HTTPException: There is none: 404.
        """
        name = self._names.get(given, given)
        if name not in self._workflows:
            raise HTTPException(404, f"there is no assistant {given[:200]!r}")
        return name

    def graph(self, given: str) -> Graph:
        """Return the graph of an assistant; raises as `name` does."""
        return self._workflows[self.name(given)].graph

    def described(self, name: str) -> dict[str, Any]:
        """Describe an assistant as LangGraph Server does."""
        about = (type(self._workflows[name]).__doc__ or "").strip().partition("\n")[0]
        return {
            "assistant_id": assistant_id(name),
            "graph_id": name,
            "name": name,
            "description": about or None,
            "config": {},
            "context": {},
            "metadata": {"created_by": "system"},
            "version": 1,
            "created_at": time_text(0),
            "updated_at": time_text(0),
        }

    def search(self, query: AssistantSearch) -> list[dict[str, Any]]:
        """List the assistants that a query means, by name."""
        found = []
        for name in sorted(self._workflows, reverse=query.sort_order == "desc"):
            about = self.described(name)
            wanted = {"graph_id": query.graph_id, "name": query.name}
            fits = all(about[key] == value for key, value in wanted.items() if value is not None)
            if fits and contains(about["metadata"], query.metadata or {}):
                found.append(picked(about, query.select))
        return found


def contains(whole: Any, part: Any) -> bool:  # noqa: ANN401 - any JSON
    """Tell whether a JSON value has all that another one has.

    >>> contains({"a": 1, "b": {"c": 2, "d": 3}}, {"b": {"c": 2}}), contains({"a": 1}, {"a": 2})
    (True, False)
    """
    if isinstance(part, dict) and isinstance(whole, dict):
        return all(key in whole and contains(whole[key], value) for key, value in part.items())
    return bool(whole == part)


def picked(whole: dict[str, Any], select: list[str] | None) -> dict[str, Any]:
    """Keep the chosen fields of an object; `values.messages` chooses one key of `values`."""
    if select is None:
        return whole
    kept: dict[str, Any] = {}
    for field in select:
        name, dot, inner = field.partition(".")
        if not dot and name in whole:
            kept[name] = whole[name]
        elif dot and isinstance(whole.get(name), dict) and isinstance(kept.get(name, {}), dict):
            kept.setdefault(name, {})
            if inner in whole[name]:
                kept[name][inner] = whole[name][inner]
    return kept


def assistant_routes(assistants: Assistants) -> APIRouter:
    """Make the routes of assistants."""
    router = APIRouter(prefix="/assistants", tags=["assistants"])

    @router.post("/search")
    async def search(query: AssistantSearch) -> list[dict[str, Any]]:
        return assistants.search(query)[query.offset : query.offset + query.limit]

    @router.post("/count")
    async def count(query: AssistantSearch) -> int:
        return len(assistants.search(query))

    @router.get("/{assistant_id}")
    async def get(assistant_id: str) -> dict[str, Any]:
        return assistants.described(assistants.name(assistant_id))

    @router.get("/{assistant_id}/graph")
    async def graph(assistant_id: str, xray: str = "false") -> dict[str, Any]:
        deep = int(xray) if xray.isdecimal() else xray.lower() == "true"
        return assistants.graph(assistant_id).get_graph(xray=deep).to_json()

    @router.get("/{assistant_id}/subgraphs")
    async def subgraphs(assistant_id: str, recurse: bool = False) -> dict[str, Any]:
        inner = assistants.graph(assistant_id).get_subgraphs(recurse=recurse)
        return {name: {"graph_id": name} for name, _ in inner}

    @router.get("/{assistant_id}/schemas")
    async def schemas(assistant_id: str) -> dict[str, Any]:
        graph = assistants.graph(assistant_id)
        return {
            "graph_id": assistants.name(assistant_id),
            "input_schema": _schema(graph.get_input_jsonschema),
            "output_schema": _schema(graph.get_output_jsonschema),
            "state_schema": _schema(graph.get_output_jsonschema),
            "config_schema": {"type": "object", "properties": {}},
            "context_schema": _schema(graph.get_context_jsonschema),
        }

    return router


def _schema(make: Any) -> dict[str, Any] | None:  # noqa: ANN401 - a method of a graph
    """Make a schema; None where the state has a type that has none, as LangGraph Server does."""
    try:
        made: dict[str, Any] | None = make()
    except (PydanticInvalidForJsonSchema, PydanticSchemaGenerationError):
        return None
    return made
