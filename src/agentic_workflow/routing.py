"""Which agent a request goes to, and whether an answer goes back to it.

Routers read the state and return one of the known agents, whatever the state holds.
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
from .model_calls.context_budget import ContextBudget, context_budget, cut_to_fit
from .model_calls.deadlines import run_context, time_left
from .policy import Correction
from .state import AgentState, TaskType, query_of
from .workflow_input import whole_characters

CLARIFY: Final = "clarify"
"""Route of a request that goes to no agent: the user is asked what was meant."""
_NAME = re.compile(r"[A-Za-z][\w -]{0,39}")
_LONGEST_DESCRIPTION = 200
_LONGEST_LIST = 1500
"""Most characters of names and descriptions in the prompt. A longer list is left out, since the
student would read it again with each request; the names are scored anyway."""


@dataclass(frozen=True)
class AgentRoute:
    """An agent as the router knows it.

    Raises:
        ConfigError: The name or the description cannot be used.
    """

    name: str
    """The label that is scored, and `task_type` of what goes there."""
    description: str
    """What it does, in a few words, for the student."""
    words: tuple[str, ...] = ()
    """Whole words that choose it without calling the student."""

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
    """Probability of that route among all of them, 0 to 1; None where the model cannot score."""


def word_route(query: str, routes: Sequence[AgentRoute]) -> tuple[str, str] | None:
    """Choose the first route that has one of its words in a request.

    Returns:
        The route's name and the word; None where no route has.

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
        query: The user's words, of any length; may be empty.
        routes: The routes to choose from; the first one where the model's answer names none.
        model: The student.
        correction: How the scores are corrected for labels that are likely after any request;
            `none` for a model that was trained on these routes.
        context_tokens: Context length of a model that does not tell its own.

    Returns:
        One of the routes.

    Raises:
        ConfigError: There are no routes.
    """
    if not routes:
        raise ConfigError(["there are no routes to choose from; give at least one"])
    labels = [route.name for route in routes]
    budget = context_budget(model, context_tokens)
    write = _writer(routes, budget)
    longest = max(labels, key=len)
    prompt = write(_fitted(query, lambda part: f"{write(part)} {longest}", budget))
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
    """Make examples to train a router on, with the prompts that `label_route` uses.

    Args:
        requests: Name of a route -> requests that should go there. Requests under `clarify` fit no
            route: the router learns to find all routes equally likely.
        routes: All routes, as they will be given to the workflow.
        model: The model to be trained, if its context may be too small for the descriptions: they
            are then left out, as they will be in use.

    Returns:
        Examples in the order given, one fact each; a `clarify` request gives one for every route.

    Raises:
        ConfigError: A name is not among the routes.
    """
    names = [route.name for route in routes]
    unknown = sorted(set(requests) - {*names, CLARIFY})
    if unknown:
        raise ConfigError([f"requests are given for {unknown}, which are no routes"])
    write = _writer(routes, None if model is None else context_budget(model))
    return [
        Example(f"route:{name}:{number}", write(query), label, task="text")
        for name, queries in requests.items()
        for number, query in enumerate(queries)
        for label in (names if name == CLARIFY else [name])
    ]


def route_prompt(routes: Sequence[AgentRoute], query: str) -> str:
    """Write the prompt after which the names are scored."""
    # On one line: a request cannot write lines that look like ours.
    request = " ".join(whole_characters(query).split())
    known = "".join(f"{route.name}: {route.description}\n" for route in routes)
    return f"Which agent is a request for?\n\n{known}\nRequest: {request}\n\nAgent:"


def _writer(routes: Sequence[AgentRoute], budget: ContextBudget | None) -> Callable[[str], str]:
    """Choose the prompt: without the list of routes where that is too long."""
    listed = route_prompt(routes, "")
    if len(listed) > _LONGEST_LIST or (budget is not None and not budget.fits(listed)):
        routes = ()
    return lambda query: route_prompt(routes, query)


def _probabilities(
    model: BaseChatModel, prompt: str, labels: list[str], neutral: str, correction: Correction
) -> list[float] | None:
    """Score the labels; None where the model runs on another server, or is no student."""
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


def _fitted(query: str, write: Callable[[str], str], budget: ContextBudget | None) -> str:
    """Cut a long request to what the student can read; its beginning matters most."""
    if budget is None or budget.fits(write(query)):
        return query
    # A token rarely has 32 letters, so text beyond that could not fit and need not be counted.
    return cut_to_fit(query[: 32 * budget.prompt], lambda part: budget.fits(write(part)))


ROUTE_WORDS: tuple[tuple[str, TaskType], ...] = (
    ("summarize", "summarize"),
    ("summarise", "summarize"),
    ("summary", "summarize"),
    ("validate", "validate"),
    ("check", "validate"),
)
"""Whole words that choose an agent; the first that matches decides."""

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

    Returns:
        The task and the word that decided it; empty for `qa`, the default.

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
    """Read the next agent off the state; an unknown task goes to `qa`."""
    task = state.get("current_task") or task_of(query_of(state))[0]
    if task == "summarize":
        return "summarize"
    return "validate" if task == "validate" else "qa"


def task_router(
    names: Collection[str] = (), *, clarifies: bool = False
) -> Callable[[AgentState], str]:
    """Make the conditional edge out of the router.

    Args:
        names: The added routes.
        clarifies: The router may ask the user what is meant.
    """
    known = {*names, *([CLARIFY] if clarifies else [])}

    def route_added_task(state: AgentState) -> str:
        task = state.get("current_task")
        return task if task is not None and task in known else route_task(state)

    return route_added_task


def verdict_router(
    names: Collection[str] = (), *, escalates: bool = False
) -> Callable[[AgentState], str]:
    """Make the conditional edge out of the validator.

    A rejected answer goes back to its agent, a rejected claim to the validator itself. The loop
    ends because the verdict is `retry` only while an attempt is left (`nodes.retries`).

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
