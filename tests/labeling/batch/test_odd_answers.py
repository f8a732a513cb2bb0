"""Answers and errors that no teacher should give: each costs one record at most, never the run."""

import asyncio
import concurrent.futures
import doctest
import json
from types import SimpleNamespace

import httpx
import pydantic
import pytest
from langchain_core.language_models.chat_models import BaseChatModel
from langchain_core.messages import AIMessage
from langchain_core.outputs import ChatGeneration, ChatResult
from scripted_teacher import Scripted
from stillroom.errors import ConfigError, MissingDependencyError
from stillroom.files import read_json_lines
from stillroom.inference.chat.scripted_model import ScriptedModel
from stillroom.inference.remote import content_blocks
from stillroom.labeling.batch.label_run import LabelSettings, Prices
from stillroom.labeling.batch.labeler import BatchLabeler, LabelTask
from stillroom.labeling.tasks.self_consistency import consistent_thoughts
from stillroom.labeling.teachers import answer_parts, client_faults
from stillroom.labeling.teachers.client_faults import translate_fault
from stillroom.labeling.teachers.langchain_model import LangChainTeacher
from stillroom.labeling.teachers.openai_http import read_answer
from stillroom.labeling.teachers.protocol import TeacherAnswer


def tasks(count):
    return [LabelTask(str(n), f"prompt {n}") for n in range(count)]


def label(teacher, folder, count=3, **settings):
    chosen = LabelSettings(**{"backoff_s": 0.0, "max_attempts": 2, **settings})
    return BatchLabeler(teacher, folder, settings=chosen).run(tasks(count))


def texts(run):
    return [one.answer and one.answer.text for one in run.results]


def deep():
    return deep()


def wrong_model():
    class Answer(pydantic.BaseModel):
        choices: list[int]

    Answer.model_validate({"choices": None})


class WorstError(Exception):
    def __str__(self):
        raise RuntimeError("no words")


class Panic(BaseException):
    """As the packages raise that are written in Rust."""


def grouped():
    raise ExceptionGroup("several", [ExceptionGroup("inner", [KeyError("choices")])])


def thrown(fault):
    def throw():
        raise fault

    return throw


ACCIDENTS = [
    (thrown(TypeError("null value for `choices`")), "TypeError"),
    (thrown(KeyError("choices")), "KeyError"),
    (lambda: None.content, "AttributeError"),
    (lambda: [][0], "IndexError"),
    (lambda: json.loads("["), "JSONDecodeError"),
    (lambda: b"\xff".decode(), "UnicodeDecodeError"),
    (thrown(AssertionError()), "AssertionError"),
    (thrown(NotImplementedError()), "NotImplementedError"),
    (thrown(StopIteration()), "StopIteration"),
    (thrown(asyncio.CancelledError()), "CancelledError"),
    (thrown(concurrent.futures.CancelledError()), "CancelledError"),
    (thrown(Panic("rust")), "Panic"),
    (thrown(WorstError()), "WorstError"),
    (deep, "RecursionError"),
    (wrong_model, "ValidationError"),
    (grouped, "KeyError"),
]


class Accidents(Scripted):
    """Has an accident at each call for some prompts."""

    def __init__(self, accident, prompts=None):
        super().__init__(lambda prompt, _: f"to {prompt}")
        self.accident, self.prompts = accident, prompts

    async def ask(self, prompt, profile, *, call_id=""):
        if self.prompts is None or prompt in self.prompts:
            self.asked.append(prompt)
            self.accident()
        return await super().ask(prompt, profile, call_id=call_id)


@pytest.mark.parametrize(("accident", "name"), ACCIDENTS, ids=[n for _, n in ACCIDENTS])
def test_an_accident_in_a_client_is_a_dead_letter_with_its_type_and_place(tmp_path, accident, name):
    teacher = Accidents(accident, {"prompt 1"})
    run = label(teacher, tmp_path)
    assert texts(run) == ["to prompt 0", None, "to prompt 2"]
    assert run.stopped is None
    (letter,) = read_json_lines(tmp_path / "dead_letter.jsonl")
    assert (letter["error_type"], letter["attempts"]) == ("unknown", 2)
    assert name in letter["error_message"]
    if accident is not grouped:  # what was never raised itself has no place
        assert ".py:" in letter["error_message"]
    again = label(Accidents(accident, set()), tmp_path, retry_failed=True)
    assert texts(again) == [f"to prompt {n}" for n in range(3)]


def test_ten_accidents_of_one_kind_in_a_row_stop_the_run(tmp_path):
    teacher = Accidents(thrown(TypeError("unexpected keyword 'max_tokens'")))
    run = label(teacher, tmp_path, 60, concurrency=1, max_error_rate=None)
    assert run.stopped == "same_fault"
    assert len(run.failed) == 10
    assert "10 records in a row failed in the same way" in run.message
    assert "TypeError at batch/test_odd_answers.py:" in run.message
    assert "unexpected keyword" in run.message
    assert run.numbers.remaining == 50
    goes_on = label(Accidents(thrown(TypeError()), set()), tmp_path, 60, retry_failed=True)
    assert goes_on.numbers.labelled == 60


@pytest.mark.parametrize("every", [10, 5])
@pytest.mark.parametrize("slots", [1, 16])
def test_accidents_with_answers_between_them_stop_nothing(tmp_path, every, slots):
    """Also at the end, where only those are left that are asked once more."""
    bad = {f"prompt {n}" for n in range(60) if n % every != every - 1}
    teacher = Accidents(thrown(TypeError("null")), bad)
    teacher.pause_s = 0.01
    run = label(teacher, tmp_path, 60, concurrency=slots, max_error_rate=None, backoff_s=0.05)
    assert run.stopped is None
    assert len(run.failed) == len(bad)


def test_a_server_that_went_away_stops_the_run(tmp_path):
    run = label(Scripted(lambda *_: ConnectionRefusedError("refused")), tmp_path, 60)
    assert run.stopped == "same_fault"
    assert "refused" in run.message


def test_checks_of_our_own_end_a_run(tmp_path):
    for fault in (ConfigError(["no key"]), MissingDependencyError("bitsandbytes", "quantization")):
        with pytest.raises(type(fault)):
            label(Scripted(lambda *_, said=fault: said), tmp_path)


def test_a_cancelled_run_is_cancelled(tmp_path):
    async def run():
        teacher = Scripted(lambda *_: "x", pause_s=30)
        labeler = BatchLabeler(teacher, tmp_path)
        async with asyncio.timeout(0.2):
            await labeler.arun(tasks(3))

    with pytest.raises(TimeoutError):
        asyncio.run(run())


NO_ANSWERS = [
    None, "a text", AIMessage("x"), TeacherAnswer(None), TeacherAnswer(["x"]),
    TeacherAnswer("part", "content_filter"), TeacherAnswer("part", "eureka"),
    TeacherAnswer("part", None),
]  # fmt: skip


class Given(Scripted):
    """Returns one thing for `prompt 1`, whatever it is."""

    def __init__(self, said):
        super().__init__(lambda prompt, _: f"to {prompt}")
        self.said = said

    async def ask(self, prompt, profile, *, call_id=""):
        told = await super().ask(prompt, profile, call_id=call_id)
        return self.said if prompt == "prompt 1" else told


@pytest.mark.parametrize("said", NO_ANSWERS, ids=repr)
def test_what_is_no_whole_answer_is_no_label(tmp_path, said):
    run = label(Given(said), tmp_path)
    assert texts(run) == ["to prompt 0", None, "to prompt 2"]
    assert run.results[1].fault.message


@pytest.mark.parametrize("tokens", [None, -1, "3", 2.5, 10**400, True])
def test_counts_that_are_none_are_replaced(tmp_path, tokens):
    said = TeacherAnswer("Gold", "stop", tokens, tokens)
    prices = {"prices": Prices(1e6, 1e6), "budget": 1e9, "tokens_per_minute": 1e9}
    run = label(Given(said), tmp_path, **prices)
    assert texts(run)[1] == "Gold"
    assert run.numbers.cost == 2 * 15 + len("prompt 1") + len("Gold")


class OneMessage(BaseChatModel):
    message: AIMessage

    @property
    def _llm_type(self):
        return "one"

    def _generate(self, messages, stop=None, run_manager=None, **options):
        return ChatResult(generations=[ChatGeneration(message=self.message)])


BLOCKS = [
    ([{"type": "thinking", "thinking": "Hm.", "signature": "s"}], "Hm."),
    ([{"type": "redacted_thinking", "data": "x"}], ""),
    ([{"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}]}], "Hm."),
    ([{"type": "reasoning", "reasoning": "Hm."}], "Hm."),
    ([{"type": "reasoning_content", "reasoning_content": {"text": "Hm."}}], "Hm."),
    ([{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}], "Hm."),
    ([{"type": "server_tool_use", "id": "1", "name": "web_search", "input": {}}], ""),
    ([{"type": "web_search_tool_result", "tool_use_id": "1", "content": []}], ""),
    ([{"type": "executable_code", "executable_code": "1"}], ""),
    ([{"type": "code_execution_result", "code_execution_result": "1"}], ""),
    ([{"type": "web_search_call", "id": "1"}, {"type": "refusal", "refusal": "no"}], ""),
    ([{"type": "future_block", "data": [1]}, {}, {"type": None}], ""),
]


@pytest.mark.parametrize(("blocks", "thoughts"), BLOCKS, ids=[str(b[-1]) for b, _ in BLOCKS])
def test_the_text_beside_other_blocks_is_the_label(tmp_path, blocks, thoughts):
    for n, text in enumerate(({"type": "text", "text": "Gold"}, "Gold")):
        model = OneMessage(message=AIMessage(content=[*blocks, text]))
        run = label(LangChainTeacher(model), tmp_path / str(n), 1)
        assert texts(run) == ["Gold"]
        assert run.results[0].answer.thoughts == thoughts
    alone = OneMessage(message=AIMessage(content=blocks))
    run = label(LangChainTeacher(alone), tmp_path / "alone", 1)
    assert texts(run) == [None]
    assert run.failed[0].fault.message


def test_a_refusal_alone_is_told(tmp_path):
    message = AIMessage(content=[{"type": "refusal", "refusal": "I will not."}])
    run = label(LangChainTeacher(OneMessage(message=message)), tmp_path, 1)
    assert (run.failed[0].fault.kind, run.failed[0].fault.attempts) == ("bad_request", 1)
    assert "I will not." in run.failed[0].fault.message


def body(message, **choice):
    return json.dumps({"choices": [{"message": message, "finish_reason": "stop", **choice}]})


@pytest.mark.parametrize(
    ("message", "text", "thoughts"),
    [
        ({"content": [{"type": "text", "text": "Go"}, {"type": "text", "text": "ld"}]}, "Gold", ""),
        ({"content": {"type": "text", "text": {"value": "Gold"}}}, "Gold", ""),
        ({"content": "Gold", "reasoning_content": "Hm."}, "Gold", "Hm."),
        ({"content": "Gold", "reasoning": " Hm. "}, "Gold", "Hm."),
        ({"content": "Gold", "reasoning": None, "thinking": "Hm."}, "Gold", "Hm."),
        ({"content": [{"type": "thinking", "thinking": "Hm."}, "Gold"]}, "Gold", "Hm."),
        ({"content": None, "reasoning_content": "Hm."}, "", "Hm."),
    ],
)
def test_bodies_with_thoughts_and_parts(message, text, thoughts):
    for mark in ("", "\ufeff"):
        answer = read_answer(f"{mark}{body(message)}".encode(), "x")
        assert (answer.text, answer.thoughts) == (text, thoughts)


def test_half_pairs_in_a_body_are_replaced(tmp_path):
    class Body(Scripted):
        async def ask(self, prompt, profile, *, call_id=""):
            said = body({"content": "G"}).replace('"G"', r'"G \ud83d \ud83d\ude00 \ude00"')
            return read_answer(said.encode(), prompt)

    run = label(Body(None), tmp_path, 1)
    assert texts(run) == ["G \ufffd \U0001f600 \ufffd"]
    assert run.numbers.repaired == 1


class StatusError(Exception):
    def __init__(self, **told):
        super().__init__("told")
        vars(self).update(told)


class BrokenPropertiesError(Exception):
    @property
    def response(self):
        raise RuntimeError("not set")


STATUSES = [
    (
        StatusError(status_code=429, response=SimpleNamespace(headers={"Retry-After": "7"})),
        429,
        "7",
    ),
    (StatusError(status=503), 503, None),
    (StatusError(code=429), 429, None),
    (StatusError(code="404"), 404, None),
    (StatusError(code=lambda: SimpleNamespace(name="RESOURCE_EXHAUSTED")), 429, None),
    (StatusError(http_status=500, headers=[(b"retry-after", b"3")]), 500, "3"),
    (
        StatusError(
            response={
                "Error": {"Code": "ThrottlingException"},
                "ResponseMetadata": {"HTTPStatusCode": 429, "HTTPHeaders": {"retry-after": "2"}},
            }
        ),
        429,
        "2",
    ),
    (StatusError(response={"Error": {"Code": "ThrottlingException"}}), 429, None),
    (StatusError(response=httpx.Response(502, headers={"retry-after": "1"})), 502, "1"),
    (
        StatusError(status_code=429, response=SimpleNamespace(headers=[("retry-after", "1")])),
        429,
        "1",
    ),
    (StatusError(status_code=429, response=SimpleNamespace(headers=5)), 429, None),
]


@pytest.mark.parametrize(("fault", "status", "wait"), STATUSES, ids=range(len(STATUSES)))
def test_statuses_of_packages_are_found(fault, status, wait):
    told = translate_fault(fault)
    assert (told.status, told.retry_after) == (status, wait)


@pytest.mark.parametrize(
    "fault",
    [StatusError(code="bad"), StatusError(status_code=200), StatusError(code=True), WorstError(),
     BrokenPropertiesError("x"), StatusError(status_code=None, code=SystemExit), ValueError("x")],
    ids=repr,
)  # fmt: skip
def test_errors_without_a_status_are_not_translated(fault):
    assert translate_fault(fault) is None


def test_thoughts_are_left_off_and_kept_where_they_are_asked_for(tmp_path):
    said = {
        "prompt 0": "<think>\nHm.\n</think>\n\nGold",
        "prompt 1": TeacherAnswer("Gold", "stop", 1, 1, "m", "Hm."),
        "prompt 2": "<think>Hm.",
    }
    teacher = Scripted(lambda prompt, _: said[prompt])
    run = label(teacher, tmp_path)
    assert texts(run) == ["Gold", "Gold", None]
    assert "thoughts alone" in run.failed[0].fault.message
    assert run.numbers.thoughts == 2
    kept = label(teacher, tmp_path, keep_thoughts=True)
    assert kept.numbers.calls == 0  # what was paid for is there
    assert texts(kept) == ["<think>\nHm.\n</think>\n\nGold"] * 2 + [None]


def test_a_check_sees_the_label_alone(tmp_path):
    seen = []

    def check(task, answer):
        seen.append(answer.text)

    teacher = Scripted(lambda *_: "<think>Hm.</think>Gold")
    for _ in range(2):  # the second time it is a label of the folder
        BatchLabeler(teacher, tmp_path, check=check).run(tasks(1))
    assert seen == ["Gold", "Gold"]


def test_reasoning_that_is_asked_for_keeps_its_thoughts(tmp_path):
    teacher = Scripted(lambda *_: "<think>2 and 2</think>The answer is 4.")
    found = consistent_thoughts(teacher, [{"instruction": "2+2?"}], tmp_path, samples=2)
    assert found.records[0]["output"].startswith("<think>2 and 2</think>")


def test_a_teacher_that_does_not_close_loses_nothing(tmp_path, caplog):
    class Sticky(Scripted):
        async def close(self):
            raise RuntimeError("stuck")

    assert texts(label(Sticky(lambda *_: "Gold"), tmp_path, 1)) == ["Gold"]
    assert "stuck" in caplog.text


def test_options_that_a_model_does_not_take_end_in_a_sentence(tmp_path):
    class Strict(OneMessage):
        def _generate(self, messages, stop=None, run_manager=None):
            raise AssertionError

    teacher = LangChainTeacher(Strict(message=AIMessage("x")))
    run = label(teacher, tmp_path, 30, max_error_rate=None)
    assert run.stopped == "same_fault"
    assert "unexpected keyword argument" in run.message


@pytest.mark.parametrize(
    "module", [client_faults, answer_parts, content_blocks], ids=lambda m: m.__name__
)
def test_examples_in_docstrings_hold(module):
    found = doctest.testmod(module)
    assert found.attempted > 0
    assert found.failed == 0


def test_a_scripted_model_without_answers_is_a_mistake_of_the_script(tmp_path):
    with pytest.raises(AssertionError):
        label(LangChainTeacher(ScriptedModel([])), tmp_path, 1)
