"""Which agent a request goes to, and whether an answer goes back: plain rules over the state.

The list of agents is closed: whatever stands in the state, only a known one comes out.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from langchain_core.language_models import BaseChatModel

from ..errors import ConfigError
from ..records import Example
from .model_calls.ask import ask
from .model_calls.context_budget import Room, cut_to_fit, room_of
from .model_calls.deadlines import run_context, time_left
from .policy import Correction
from .state import AgentState, TaskType, query_of
from .workflow_input import whole_characters

CLARIFY: Final = "clarify"
"""Route of a request that goes to no agent: the user is asked what is meant."""
_NAME = re.compile(r"[A-Za-z][\w -]{0,39}")
_LONGEST_DESCRIPTION = 200
_LONGEST_LIST = 1500
"""Characters of names and descriptions that are put before a request. A longer list would cost more
to read again with each request than it says; the names are scored anyway."""


@dataclass(frozen=True)
class AgentRoute:
    """An agent as the router knows it.

    Raises:
        ConfigError: The name or the description cannot be used.
    """

    name: str
    """The label that is scored, and `task_type` of what goes there."""
    description: str
    """What it does, in a few words; the student reads it."""
    words: tuple[str, ...] = ()
    """Whole words that choose it without asking the student."""

    def __post_init__(self) -> None:
        """Check the texts."""
        faults = []
        if not _NAME.fullmatch(self.name):
            faults.append(
                f"agent name is {self.name!r}; allowed are 1 to 40 letters, digits, blanks, '-' "
                "and '_', a letter first"
            )
        if not self.description.strip() or len(self.description) > _LONGEST_DESCRIPTION:
            faults.append(
                f"description of agent {self.name!r} has {len(self.description)} characters; "
                f"allowed are 1 to {_LONGEST_DESCRIPTION}"
            )
        blank = [word for word in self.words if not word.strip()]
        if blank:
            faults.append(f"words of agent {self.name!r} hold {blank[0]!r}; leave it out")
        if faults:
            raise ConfigError(faults)


BUILT_IN: Final = (
    AgentRoute("qa", "answers a question about a fact"),
    AgentRoute("summarize", "writes a short summary of a text or a record"),
    AgentRoute("validate", "says whether a statement is right"),
)
"""The three that every workflow has."""


@dataclass(frozen=True)
class RouteChoice:
    """Where a request goes."""

    name: str
    """One of the given routes."""
    probability: float | None
    """Of that route among all of them, 0 to 1; None where the model cannot score."""


def word_route(query: str, routes: Sequence[AgentRoute]) -> tuple[str, str] | None:
    """Choose the first route one of whose words stands in a request.

    Returns:
        The route's name and the word; None where there is none.

    >>> word_route("Bitte übersetze das", [AgentRoute("translate", "translates", ("übersetze",))])
    ('translate', 'übersetze')
    """
    said = set(re.findall(r"\w+", query.casefold()))
    for route in routes:
        for word in route.words:
            if word.casefold() in said:
                return route.name, word
    return None


def label_route(
    query: str,
    routes: Sequence[AgentRoute],
    model: BaseChatModel,
    *,
    correction: Correction = "prior",
    context_tokens: int | None = None,
) -> RouteChoice:
    """Let the model choose a route.

    Args:
        query: The user's words, of any length; also none.
        routes: Where it may go; the first one is taken where the model says nothing.
        model: The student.
        correction: What is done about labels that are likely whatever is asked; `none` for a model
            that was trained on these routes.
        context_tokens: What it attends to, where it does not say so itself.

    Returns:
        One of the routes, whatever the query says.

    Raises:
        ConfigError: There are no routes.
    """
    if not routes:
        raise ConfigError(["there are no routes to choose from; give at least one"])
    labels = [route.name for route in routes]
    room = room_of(model, context_tokens)
    write = _writer(routes, room)
    longest = max(labels, key=len)
    prompt = write(_fitted(query, lambda part: f"{write(part)} {longest}", room))
    probabilities = _probabilities(model, prompt, labels, write(""), correction)
    if probabilities is not None:
        best = max(range(len(labels)), key=probabilities.__getitem__)
        return RouteChoice(labels[best], probabilities[best])
    said = str(ask(model, prompt, quiet=True).text).strip(" \t\n\"'`.:*").casefold()
    named = [label for label in labels if label.casefold() == said]
    return RouteChoice(named[0] if named else labels[0], 1.0 if named else None)


def routing_examples(
    requests: Mapping[str, Sequence[str]],
    routes: Sequence[AgentRoute],
    model: BaseChatModel | None = None,
) -> list[Example]:
    """Make examples to train a router on: the prompts it will be asked with, and the names.

    Args:
        requests: Name of a route -> requests that should go there. Requests under `clarify` are
            those that fit none: the router learns to find every route as likely as the others.
        routes: All routes, as they will be given to the workflow.
        model: What will be trained, if its context is so small that the descriptions may not fit:
            they are then left out, as they will be when it is asked.

    Returns:
        Examples in the order given, one fact each; one for every route of what fits none.

    Raises:
        ConfigError: A name is not among the routes.
    """
    names = [route.name for route in routes]
    unknown = sorted(set(requests) - {*names, CLARIFY})
    if unknown:
        raise ConfigError([f"requests are given for {unknown}, which are no routes"])
    write = _writer(routes, None if model is None else room_of(model))
    return [
        Example(f"route:{name}:{number}", write(query), label, task="text")
        for name, queries in requests.items()
        for number, query in enumerate(queries)
        for label in (names if name == CLARIFY else [name])
    ]


def route_prompt(routes: Sequence[AgentRoute], query: str) -> str:
    """Write the prompt that the names are scored after."""
    # On one line: a request cannot write lines that look like ours.
    request = " ".join(whole_characters(query).split())
    known = "".join(f"{route.name}: {route.description}\n" for route in routes)
    return f"Which agent is a request for?\n\n{known}\nRequest: {request}\n\nAgent:"


def _writer(routes: Sequence[AgentRoute], room: Room | None) -> Callable[[str], str]:
    """Choose the prompt: without the list of routes where it is too long."""
    listed = route_prompt(routes, "")
    if len(listed) > _LONGEST_LIST or (room is not None and not room.fits(listed)):
        routes = ()
    return lambda query: route_prompt(routes, query)


def _probabilities(
    model: BaseChatModel, prompt: str, labels: list[str], neutral: str, correction: Correction
) -> list[float] | None:
    """Score the labels; None where the model is served elsewhere, or is no student."""
    checkpoint, engine = getattr(model, "checkpoint", None), getattr(model, "serving_engine", None)
    if checkpoint is None or engine is None:
        return None
    from ..inference.scoring.label_scoring import label_probabilities

    deadline = run_context().ends_at

    def score(ids: Any, answers: Any) -> list[float]:  # noqa: ANN401 - token ids
        made = engine.score_choices(ids, answers, caller=run_context().caller, deadline=deadline)
        scores: list[float] = made.result(time_left())
        return scores

    return label_probabilities(
        checkpoint, prompt, labels, correction=correction, neutral=neutral, score=score
    )


def _fitted(query: str, write: Callable[[str], str], room: Room | None) -> str:
    """Keep of a long request what the student can read; its beginning says most."""
    if room is None or room.fits(write(query)):
        return query
    # Hardly a token has 32 letters: nothing of the rest could fit, however long a text is sent.
    return cut_to_fit(query[: 32 * room.prompt], lambda part: room.fits(write(part)))


ROUTE_WORDS: tuple[tuple[str, TaskType], ...] = (
    ("summarize", "summarize"),
    ("summarise", "summarize"),
    ("summary", "summarize"),
    ("validate", "validate"),
    ("check", "validate"),
)
"""Whole words that choose an agent; summaries are looked for first."""

_OTHER_MEANINGS = re.compile(
    r"\bsummary\s+(?:judge?ments?|statistics|execution|offen[cs]es?|dismissals?|tables?)\b"
    r"|\bcheck\s+(?:lists?|mates?|points?|box(?:es)?|books?|sums?|digits?|marks?)\b"
    r"|\bcheck-\w+"
    r"|\b(?:blank|pay|rain|bank|background|sound|spell|health|security|gut)[\s-]+check\b"
    r"|\bwhat\s+(?:is|are|does|do)\s+(?:an?\s+|the\s+|to\s+)?"
    r"(?:summary|check|summarize|summarise|validate)\b(?!\s+of\b)",
    re.IGNORECASE,
)
"""Other uses of those words: "summary judgment", "check list", "what is a check?"."""


def task_of(query: str) -> tuple[TaskType, str]:
    """Choose the agent for a request by whole words.

    Args:
        query: The user's words.

    Returns:
        The task and the word that decided it (empty for `qa`, which needs none).

    >>> task_of("Summarize gold"), task_of("Give me a checklist"), task_of("Check: gold is Ag")
    (('summarize', 'summarize'), ('qa', ''), ('validate', 'check'))
    """
    plain = _OTHER_MEANINGS.sub(" ", query)
    words = set(re.findall(r"[^\W_]+", plain.lower()))
    for word, task in ROUTE_WORDS:
        if word in words:
            return task, word
    return "qa", ""


def route_task(state: AgentState) -> Literal["qa", "summarize", "validate"]:
    """Read off the state which agent is next; an unknown task goes to `qa`."""
    task = state.get("current_task") or task_of(query_of(state))[0]
    if task == "summarize":
        return "summarize"
    return "validate" if task == "validate" else "qa"


def task_router(
    names: Collection[str] = (), *, clarifies: bool = False
) -> Callable[[AgentState], str]:
    """Make the way out of the router where there are more than the three routes.

    Args:
        names: The added routes.
        clarifies: The router may say that it cannot tell.
    """
    known = {*names, *([CLARIFY] if clarifies else [])}

    def route_added_task(state: AgentState) -> str:
        task = state.get("current_task")
        return task if task is not None and task in known else route_task(state)

    return route_added_task


def verdict_router(
    names: Collection[str] = (), *, escalates: bool = False
) -> Callable[[AgentState], str]:
    """Make the way out of the validator.

    A rejected answer goes back to its agent, a rejected claim to the validator itself. What counts
    the attempts (`attempts.bounded`) says `retry` only while one is left, so the loop ends.

    Args:
        names: The added routes.
        escalates: There is a teacher.
    """

    def route_verdict(state: AgentState) -> str:
        if state.get("verdict") != "retry":
            return "escalate" if escalates and state.get("escalate") else "done"
        task = state.get("current_task")
        return task if task and (task in ("summarize", "validate") or task in names) else "qa"

    return route_verdict
