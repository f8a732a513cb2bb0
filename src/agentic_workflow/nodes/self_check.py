"""Judge an answer that no record decides by asking the student, then the teacher.

The student was trained to write the right answer and then the verdict, so `yes` and `no` are scored
after the text that it wrote. The teacher answers in words.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, cast

from langchain_core.language_models import BaseChatModel

from ...prompts import render
from ..grounding.answer_check import Finding
from ..model_calls.ask import ask, ask_yes_no
from ..model_calls.deadlines import run_context
from ..policy import may_ask_teacher
from ..state import AgentState, query_of, with_step
from ..state_updates import Update
from .toolbox import Tools

if TYPE_CHECKING:
    from ...inference.chat.chat_model import ChatStudent

_VERDICT = re.compile(r"\b(?:yes|no)\b", re.IGNORECASE)


@dataclass(frozen=True)
class Opinion:
    """The judgement of a model."""

    finding: Finding
    update: Update
    """Steps and counters for the state; empty where no model was called."""


def yes_probability(model: BaseChatModel, prompt: str) -> float | None:
    """Compute the student's probability that an answer is right.

    Returns:
        P(yes) among yes and no, 0 to 1; None where the model cannot score.
    """
    if getattr(model, "checkpoint", None) is None:
        return None
    words = str(ask(model, prompt, quiet=True, temperature=0.0).text)
    found = [*_VERDICT.finditer(words)]
    lead = words[: found[-1].start()] if found else ""
    yes, no = cast("ChatStudent", model).score_choices(prompt, [f"{lead}yes", f"{lead}no"])
    return 1.0 / (1.0 + math.exp(min(no - yes, 700.0)))


def second_opinion(state: AgentState, tools: Tools, answer: str, undecided: Finding) -> Opinion:
    """Ask student and teacher, where the policy says so, about an answer that code cannot decide.

    Args:
        state: The state.
        tools: Models and policy.
        answer: The answer to judge.
        undecided: The finding of the checks in code.

    Returns:
        A rejection by one of them, the teacher's approval, or `undecided`.
    """
    policy = tools.policy
    asked = state.get("asked") or query_of(state)
    prompt = render("s2-validate", asked, context=state.get("context") or "", answer=answer)
    if policy.self_check is not None and answer:
        sure = yes_probability(tools.model, prompt)
        if sure is not None and sure < policy.self_check:
            reason = f"the student gives it a probability of {sure:.0%} only"
            return Opinion(Finding(False, reason), {})
    if not policy.teacher_judges or not answer:
        return Opinion(undecided, {})
    if not may_ask_teacher(state, policy, run_context().teacher_calls) or not tools.budget.take():
        return Opinion(undecided, {})
    assert policy.teacher is not None
    right, _ = ask_yes_no(policy.teacher, prompt)
    said = {True: "right", False: "wrong", None: "neither right nor wrong"}[right]
    update: Update = {
        "teacher_calls": state.get("teacher_calls", 0) + 1,
        "steps": with_step(state, "validator", "asked the teacher", f"it says: {said}"),
    }
    if right is None:
        return Opinion(undecided, update)
    return Opinion(Finding(None if right else False, f"the teacher says it is {said}"), update)
