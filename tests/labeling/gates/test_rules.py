"""Rules: length, form, pattern, schema, language; and the order of gates."""

import math
import time

import pytest
from stillroom.errors import ConfigError
from stillroom.labeling.gates.answer_format import FormatGate
from stillroom.labeling.gates.json_schema import SchemaGate
from stillroom.labeling.gates.language import LanguageGate
from stillroom.labeling.gates.length import LengthGate
from stillroom.labeling.gates.pattern import PatternGate
from stillroom.labeling.gates.verdict import Verdict, judge_record

SCHEMA = {
    "type": "object",
    "properties": {"score": {"type": "integer", "minimum": 0, "maximum": 10}},
    "required": ["score"],
}
GATES = [
    LengthGate(),
    FormatGate("json"),
    PatternGate("a"),
    PatternGate("a", wanted=False),
    SchemaGate(SCHEMA),
    LanguageGate(("en",)),
]


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: type(gate).__name__)
@pytest.mark.parametrize(
    "record",
    [{}, {"generation": None}, {"generation": math.nan}, {"generation": math.inf},
     {"generation": []}, {"generation": True}, {"other": "a text that would pass"}],
    ids=repr,
)  # fmt: skip
def test_a_gate_without_what_it_needs_fails_with_a_reason(gate, record):
    verdict = gate.judge(record)
    assert not verdict.passed
    assert verdict.reason not in ("", "ok")


@pytest.mark.parametrize(
    ("value", "reason"),
    [("", "empty_output"), ("  \n", "empty_output"), (None, "empty_output"), (0, "ok"),
     (0.0, "ok"), ("0", "ok"), (math.nan, "not_finite"), (False, "not_text"), ("ab", "ok"),
     ("abcdef", "too_long"), (" abcd ", "ok"), (10**400, "not_finite")],
)  # fmt: skip
def test_missing_not_finite_and_zero_are_three_things(value, reason):
    assert LengthGate(max_chars=5).judge({"generation": value}).reason == reason


def test_too_short():
    assert LengthGate(min_chars=3).judge({"generation": "ab"}).reason == "too_short"


@pytest.mark.parametrize(
    ("form", "text", "reason"),
    [("json", '{"a": [1, null]}', "ok"), ("json", "{'a': 1}", "not_json"),
     ("json", "[" * 100_000, "not_json"), ("json", '{"a": 1e999}', "not_finite"),
     ("json", "[-Infinity]", "not_finite"), ("json", '"1" x', "not_json"),
     ("json_object", "[1]", "not_json_object"), ("json_object", ' {"a": 1}\n', "ok"),
     ("number", "-0.0", "ok"), ("number", "1,5", "not_number"), ("number", "1e999", "not_finite"),
     ("number", "NaN", "not_finite"), ("number", "1e99999999999", "not_number"),
     ("number", "\u0663", "not_number"), ("integer", "12", "ok"),
     ("integer", "12.0", "not_integer"), ("one_line", "a b", "ok"),
     ("one_line", "a\nb", "not_one_line"), ("one_line", " ", "empty_output")],
)  # fmt: skip
def test_form(form, text, reason):
    assert FormatGate(form).judge({"generation": text}).reason == reason


@pytest.mark.parametrize(
    "pattern",
    ["(a+)+$", "^(a|a)*$", "^(a|aa)+$", "(.*)*b.*c", r"(.{0,300}x){0,3}.{0,500}y$",
     r"(\w{0,40}){0,40}b"],
)  # fmt: skip
def test_a_hostile_pattern_ends(pattern):
    begin = time.process_time()
    gate = PatternGate(pattern)
    assert gate.judge({"generation": "a" * 49_999 + "!"}).reason == "pattern_not_found"
    assert time.process_time() - begin < 5  # Python's re needs longer than a life
    assert gate.judge({"generation": "a" * 50_001}).reason == "too_long"


@pytest.mark.parametrize(
    "pattern",
    [
        r"(\w{0,100}){0,90}b",
        "a{9999999999999999999}",
        "(((a{100}){100}){100}){100}",
        "(?=a)b",
        r"(a)\1",
        "[",
        "(",
        "a" * 2001,
    ],
)
def test_a_pattern_without_a_bound_is_refused_before_any_record(pattern):
    with pytest.raises(ConfigError):
        PatternGate(pattern)


def test_a_pattern_is_wanted_or_not():
    refusal = PatternGate(r"(?i)\bas an ai\b", wanted=False)
    assert refusal.judge({"generation": "Well, as an AI I ..."}).reason == "pattern_found"
    assert refusal.judge({"generation": "has an air"}).passed


@pytest.mark.parametrize(
    ("text", "reason"),
    [('{"score": 0}', "ok"), ("0", "schema_mismatch"), ('{"score": 11}', "schema_mismatch"),
     ('{"score": null}', "schema_mismatch"), ("{}", "schema_mismatch"),
     ('{"score": NaN}', "not_finite"), ("score", "not_json"), ("", "empty_output")],
)  # fmt: skip
def test_schema(text, reason):
    verdict = SchemaGate(SCHEMA).judge({"generation": text})
    assert verdict.reason.partition(":")[0] == reason
    assert verdict.passed is (reason == "ok")


@pytest.mark.parametrize(
    ("text", "reason"),
    [("The quick brown fox jumps over the lazy dog near the river.", "ok"),
     ("Der schnelle braune Fuchs springt über den faulen Hund am Fluss.", "wrong_language: de"),
     ("Le renard brun saute par-dessus le chien paresseux près de la rivière.",
      "wrong_language: fr"),
     ("42 + 7 = 49", "too_few_letters"), ("Hi.", "too_few_letters")],
)  # fmt: skip
def test_language(text, reason):
    assert LanguageGate(("en",)).judge({"generation": text}).reason == reason


@pytest.mark.parametrize(
    "make",
    [lambda: LengthGate(min_chars=-1), lambda: LengthGate(min_chars=5, max_chars=4),
     lambda: FormatGate("yaml"), lambda: LanguageGate(()), lambda: LanguageGate(("xx",)),
     lambda: SchemaGate({"type": "nothing"})],
)  # fmt: skip
def test_a_gate_refuses_settings_out_of_range(make):
    with pytest.raises(ConfigError):
        make()


class Never:
    name = "never"

    def judge(self, record):
        raise AssertionError("a gate after a failure was run")


def test_gates_stop_at_the_first_failure():
    verdicts = judge_record({"generation": "x"}, [LengthGate(), FormatGate("json"), Never()])
    assert verdicts == [Verdict("length", True, "ok"), Verdict("format", False, "not_json")]
    assert verdicts[1].to_dict() == {"gate": "format", "passed": False, "reason": "not_json"}


@pytest.mark.parametrize("gates", [[], [LengthGate(), LengthGate()]])
def test_no_gates_and_gates_of_one_name_are_refused(gates):
    with pytest.raises(ConfigError, match="different names"):
        judge_record({"generation": "x"}, gates)
