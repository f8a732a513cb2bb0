"""Chat templates that do not take all turns: what is given is in the prompt all the same."""

from __future__ import annotations

from pathlib import Path

import pytest
import trl
from forms import without_tags
from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage
from stillroom.errors import GenerationError
from stillroom.inference.chat.messages import chat_turns
from stillroom.inference.prompt_tokens.template_turns import template_ids

IN_USE = [
    path
    for path in sorted((Path(trl.__file__).parent / "chat_templates").glob("*.jinja"))
    if not path.stem.endswith("_training")
]
CALL = {"name": "add_numbers", "args": {"a": 71}, "id": "call_1"}
H, S, A = HumanMessage("Hello."), SystemMessage("Be brief."), AIMessage("Greetings.")
H2, S2 = HumanMessage("Again?"), SystemMessage("Be kind.")
ASK, GOT = AIMessage("", tool_calls=[CALL]), ToolMessage("72 it is", tool_call_id="call_1")
CASES = {
    "user": [H],
    "system": [S, H],
    "two users": [H, H2],
    "two systems": [S, S2, H],
    "system later": [H, A, S2, H2],
    "system last": [H, A, S2],
    "system alone": [S],
    "system, then AI": [S, A, H],
    "ends with AI": [H, A],
    "AI first": [A, H],
    "two AIs": [H, A, AIMessage("More."), H2],
    "empty AI": [H, AIMessage(""), H2],
    "tool round": [H, ASK, GOT],
    "tool round with system": [S, H, ASK, GOT, AIMessage("It is 72."), H2],
    "two calls": [H, AIMessage("", tool_calls=[CALL, {**CALL, "id": "call_2"}]), GOT,
                  ToolMessage("73 as well", tool_call_id="call_2")],
}  # fmt: skip
TOOL = {"type": "function", "function": {
    "name": "add_numbers", "description": "Adds.",
    "parameters": {"type": "object", "properties": {"a": {"type": "integer", "description": "A"}},
                   "required": ["a"]}}}  # fmt: skip
TOOL_TEXT = "Tools:\n{add_numbers}"


def rendered(template, messages, *, tools=False):
    tokenizer = without_tags()
    tokenizer.chat_template = template
    given = ([TOOL], TOOL_TEXT) if tools else (None, "")
    return tokenizer.decode(template_ids(tokenizer, chat_turns(messages), *given))


def wanted(messages):
    """Give what must be found in a prompt, in this order."""
    for message in messages:
        if message.text:
            yield message.text
        for call in getattr(message, "tool_calls", ()):
            yield call["name"]
            yield "71"


def check(prompt, messages):
    place = 0
    for text in wanted(messages):
        place = prompt.find(text, place)
        assert place >= 0, (text, prompt)


@pytest.mark.parametrize("path", IN_USE, ids=lambda path: path.stem)
def test_templates_in_use_take_all_turns(path):
    """Order is not looked at here: some templates put what is said to their tools elsewhere."""
    for messages in CASES.values():
        tools = any(isinstance(message, ToolMessage) for message in messages)
        prompt = rendered(path.read_text(encoding="utf-8"), messages, tools=tools)
        for text in wanted(messages):
            assert text in prompt, (text, prompt)
        assert not tools or "add_numbers" in prompt


ALTERNATES = (
    "{% for m in messages %}{% if (m['role'] == 'user') != (loop.index0 % 2 == 0) %}"
    "{{ raise_exception('roles must alternate') }}{% endif %}{{ TURN }}{% endfor %}"
)
SHOWN = "[{{ m['role'] }}] {{ m['content'] | trim }}\n"
TEMPLATES = {
    "no system role": "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no system') }}"
    "{% endif %}" + ALTERNATES.replace("{{ TURN }}", SHOWN),
    "user and assistant only": "{% for m in messages %}{% if m['role'] == 'user' %}[INST] "
    "{{ m['content'] }} [/INST]{% elif m['role'] == 'assistant' %}{{ m['content'] }}</s>"
    "{% else %}{{ raise_exception('Only user and assistant roles are supported!') }}{% endif %}"
    "{% endfor %}",
    "says nothing of what it leaves out": "{% for m in messages %}{% if m['role'] == 'user' %}"
    "[user] {{ m['content'] }}{% elif m['role'] == 'assistant' %}[assistant] {{ m['content'] }}"
    "{% endif %}{% endfor %}",
    "system at the beginning only": "{% for m in messages %}{% if m['role'] == 'system' and not "
    "loop.first %}{{ raise_exception('System message must be at the beginning.') }}{% endif %}"
    "{% if m['role'] == 'tool' %}{{ raise_exception('no tools') }}{% endif %}" + SHOWN
    + "{% endfor %}",
    "parts only": "{% for m in messages %}[{{ m['role'] }}]{% for part in m['content'] %}"
    "{% if part['type'] == 'text' %}{{ part['text'] }}{% endif %}{% endfor %}\n{% endfor %}",
    "arguments as text": "{% for m in messages %}" + SHOWN + "{% for c in m['tool_calls'] or [] %}"
    "{{ c['function']['name'] + ' ' + c['function']['arguments'] }}{% endfor %}{% endfor %}",
    "nine letters": "{% for m in messages %}" + SHOWN + "{% for c in m['tool_calls'] or [] %}"
    "{% if c['id'] | length != 9 %}{{ raise_exception('nine, please') }}{% endif %}"
    "{{ c['function'] | tojson }}{% endfor %}{% if m['role'] == 'tool' and "
    "m['tool_call_id'] | length != 9 %}{{ raise_exception('nine here, too') }}{% endif %}"
    "{% endfor %}",
}  # fmt: skip


@pytest.mark.parametrize("name", TEMPLATES)
@pytest.mark.parametrize("case", CASES)
def test_turns_stand_in_the_prompt_in_their_order(name, case):
    for tools in (False, True):
        prompt = rendered(TEMPLATES[name], CASES[case], tools=tools)
        check(prompt, CASES[case])
        assert ("Tools:" in prompt) == tools


def test_system_text_and_tools_go_into_the_first_user_turn():
    for name in ("no system role", "says nothing of what it leaves out"):
        prompt = rendered(TEMPLATES[name], [S, H, A, H2], tools=True)
        assert prompt.count("[user]") == 2
        assert prompt.startswith(f"[user] {TOOL_TEXT}\n\nBe brief.\n\nHello.")
    prompt = rendered(TEMPLATES["user and assistant only"], [S, H])
    assert prompt == "[INST] Be brief.\n\nHello. [/INST]"


def test_one_of_several_templates_is_for_tools():
    shown = "{% for m in messages %}" + SHOWN + "{% endfor %}"
    named = {"default": shown, "tool_use": "{{ tools | tojson }}" + shown}
    assert rendered(named, [S, H]).startswith("[system] Be brief.")
    assert rendered(named, [S, H], tools=True).startswith('[{"type": "function"')


def test_a_tokenizer_without_a_beginning_token_takes_templates_that_write_one():
    assert rendered("{{ bos_token + messages[0]['content'] + eos_token }}", [H]).startswith(
        "Hello."
    )


def test_what_a_template_takes_is_not_changed():
    template = "{% for m in messages %}" + SHOWN + "{% endfor %}"
    for messages in ([S, S2, H], [A, H, H2, S]):
        turns = [f"[{turn['role']}] {turn['content']}\n" for turn in chat_turns(messages)]
        assert rendered(template, messages) == "".join(turns) + "[assistant]"


def test_another_template_is_asked_anew():
    tokenizer = without_tags()
    plain = "{% for m in messages %}" + SHOWN + "{% endfor %}"
    for template, begins in (
        (TEMPLATES["no system role"], "[user] Be brief."),
        (plain, "[system]"),
    ):
        tokenizer.chat_template = template
        prompt = tokenizer.decode(template_ids(tokenizer, chat_turns([S, H])))
        assert prompt.startswith(begins)


def test_control_tokens_in_any_turn_stay_text():
    tokenizer = without_tags()
    end = tokenizer.eos_token
    for name in TEMPLATES:
        tokenizer.chat_template = TEMPLATES[name]
        ids = template_ids(tokenizer, chat_turns([SystemMessage(f"x {end}"), HumanMessage(end)]))
        assert tokenizer.eos_token_id not in ids, name


def test_a_template_that_takes_nothing_says_so():
    tokenizer = without_tags()
    tokenizer.chat_template = "{{ raise_exception('never') }}"
    with pytest.raises(GenerationError, match=r"chat template does not take.*never"):
        template_ids(tokenizer, chat_turns([H]))


def test_a_template_that_leaves_out_in_every_form_gets_the_least_loss():
    last = "{{ messages[-1]['content'] }}"
    assert rendered(last, [H, A, H2]) == "Again?"
