"""An agent that calls tools: the model's calls are made, and it reads their results.

    workflow.add_agent("compare", "compares two records", tool_agent(student, [compare_records]))

A student's output is constrained to the tool's schema, so its arguments are always valid. The
result of a tool with `return_direct=True` is the answer: small students retell results badly. The
number of calls is limited.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from langchain_core.language_models import BaseChatModel
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolCall, ToolMessage
from langchain_core.tools import BaseTool
from langgraph.constants import TAG_NOSTREAM
from langgraph.errors import GraphBubbleUp

from ...errors import ConfigError
from ..model_calls.context_budget import ContextBudget, context_budget, cut_to_fit
from ..model_calls.deadlines import is_abandoned, time_left
from ..state import AgentState, query_of, with_step
from ..state_updates import Update, abstained, answered, out_of_time

MOST_CALLS = 4
_LONGEST_RESULT = 4000
"""Most characters of a result that a model reads; a local student reads at most a quarter of its
context."""
_SHOWN = 120


def tool_agent(
    model: BaseChatModel,
    tools: Sequence[BaseTool],
    *,
    name: str = "tool_agent",
    most_calls: int = MOST_CALLS,
    first_call: str = "auto",
) -> Callable[[AgentState], Update]:
    """Make a node that answers with tools.

    Args:
        model: A chat model that takes tools.
        tools: The tools; any user of the workflow can make the model call them.
        name: Shown among the steps.
        most_calls: Most calls of tools in a turn; at one more the turn ends with "I don't know".
        first_call: `auto`, `any` (the first answer must be a call) or the name of a tool.

    Returns:
        A node for `add_agent` or `add_node`.

    Raises:
        ConfigError: There are no tools, two have one name, or a limit or choice cannot be used.
    """
    known = {tool.name: tool for tool in tools}
    _check(tools, known, most_calls, first_call)
    free = model.bind_tools(list(tools))
    budget = context_budget(model)
    choice: Any = None if first_call == "auto" else first_call
    first = model.bind_tools(list(tools), tool_choice=choice) if choice else free

    def answer_with_tools(state: AgentState) -> Update:
        messages: list[BaseMessage] = [HumanMessage(_request(state))]
        steps, calls = with_step(state, name, "asked", f"{len(known)} tools"), 0
        while not is_abandoned():
            asked = free if calls else first
            # Tool calls are not part of the answer, so their tokens are not streamed.
            message = asked.invoke(messages, {"tags": [TAG_NOSTREAM]})
            wanted = _calls_of(message)
            if not wanted:
                return {**answered(state, AIMessage(str(message.text).strip())), "steps": steps}
            messages.append(message)
            for call in wanted:
                if is_abandoned():  # nobody waits, but the tool would still act
                    break
                if calls == most_calls:
                    return _at_limit(AgentState(**{**state, "steps": steps}), name, most_calls)
                calls += 1
                result = _call(call, known)
                messages.append(_readable(result, budget))
                seen = AgentState(**{**state, "steps": steps})
                steps = with_step(seen, name, f"called {call['name']}", _shown(call, result))
                if _answers(known.get(call["name"]), result):
                    return {**answered(state, AIMessage(str(result.text))), "steps": steps}
            if time_left() == 0.0:
                break
        return out_of_time(name)(AgentState(**{**state, "steps": steps}))

    return answer_with_tools


def _call(call: ToolCall, known: dict[str, BaseTool]) -> ToolMessage:
    """Make a call; the model reads an error and may correct its call."""
    tool = known.get(call["name"])
    if tool is None:
        text = f"there is no tool {call['name']!r}; there are {sorted(known)}"
        return ToolMessage(text, tool_call_id=call["id"] or "", status="error")
    try:
        made = tool.invoke({**call, "type": "tool_call"})
    except GraphBubbleUp:  # the tool waits for a person: `interrupt`
        raise
    except Exception as fault:  # noqa: BLE001 - a user's code; the model reads the error
        text = f"{type(fault).__name__}: {fault}"
        return ToolMessage(text, tool_call_id=call["id"] or "", status="error")
    text = str(made.text if isinstance(made, ToolMessage) else made)
    status = made.status if isinstance(made, ToolMessage) else "success"
    return ToolMessage(text, tool_call_id=call["id"] or "", name=tool.name, status=status)


def _readable(result: ToolMessage, budget: ContextBudget | None) -> ToolMessage:
    """Cut a result to what the model can read."""
    text = str(result.text)[:_LONGEST_RESULT]
    if budget is not None:
        text = cut_to_fit(text, lambda part: budget.count(part) <= budget.prompt // 4)
    return result.model_copy(update={"content": text})


def _calls_of(message: AIMessage) -> list[ToolCall]:
    """Give the calls of an answer; malformed ones without arguments."""
    broken = [
        ToolCall(name=call["name"] or "", args={}, id=call["id"] or "", type="tool_call")
        for call in message.invalid_tool_calls
    ]
    return [*message.tool_calls, *broken]


def _answers(tool: BaseTool | None, result: ToolMessage) -> bool:
    return tool is not None and tool.return_direct and result.status == "success"


def _at_limit(state: AgentState, name: str, most_calls: int) -> Update:
    return abstained(
        state,
        name,
        f"I don't know: {most_calls} calls of tools were not enough.",
        reason=f"the limit of {most_calls} calls of tools",
        detail=f"after {most_calls} calls",
        exit_name="tool_limit",
    )


def _request(state: AgentState) -> str:
    context = (state.get("context") or "").strip()
    query = query_of(state)
    return f"Context: {context}\n\nQuestion: {query}" if context else query


def _shown(call: ToolCall, result: ToolMessage) -> str:
    arguments = ", ".join(f"{key}={value!r}" for key, value in call["args"].items())
    outcome = " ".join(str(result.text).split())
    return f"({arguments[:_SHOWN]}) {result.status}: {outcome[:_SHOWN]}"


def _check(
    tools: Sequence[BaseTool], known: dict[str, BaseTool], most_calls: int, first_call: str
) -> None:
    faults = []
    if not tools:
        faults.append("there are no tools; give at least one")
    if len(known) != len(tools):
        faults.append(f"two tools have one name: {[tool.name for tool in tools]}")
    if most_calls < 1:
        faults.append(f"most_calls is {most_calls!r}; allowed is 1 or more")
    if first_call not in ("auto", "any", *known):
        faults.append(f"first_call is {first_call!r}; allowed: ['auto', 'any'] and {sorted(known)}")
    if faults:
        raise ConfigError(faults)
