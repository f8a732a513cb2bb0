"""Slices, instruction records, chains of thought, JSON files: what Systems 1 and 2 read."""

import json

import pytest
from datasets import ReadInstruction
from stillroom.data.datasets.chat_records import instruction_records
from stillroom.data.datasets.json_files import read_json, save_json
from stillroom.data.datasets.sample_instructions import sample_instructions, sample_problems
from stillroom.data.datasets.splits import slice_bounds, take_slice
from stillroom.data.datasets.thought_records import schema_fault, thought_records, thresholds
from stillroom.data.datasets.thought_views import two_task_views, view_weights
from stillroom.errors import ConfigError, DataError, UnreadableFileError
from stillroom.inference.system_pair.final_answers import final_answer

SLICES = (
    "train", "train[:10]", "train[10:20]", "train[-7:]", "train[:-7]", "train[:10%]",
    "train[33%:66%]", "train[-5%:]", "train[5:]", "train[:999]", "train[:]", "train[90:50]",
    "train[:5]+train[-5:]", "train[1%:2%](pct1_dropremainder)", "train[:50%](closest)",
)  # fmt: skip


@pytest.mark.parametrize("total", [0, 1, 103, 150, 999])
@pytest.mark.parametrize("text", SLICES)
def test_a_slice_is_that_of_the_datasets_library(text, total):
    if "pct1" in text and total < 100:
        pytest.skip("datasets refuses this rounding below 100 records")
    bounds = ReadInstruction.from_spec(text).to_absolute({"train": total})
    theirs = [(part.from_ or 0, total if part.to is None else part.to) for part in bounds]
    wanted = [n for begin, end in theirs for n in range(begin, end)]
    assert take_slice(range(total), text) == wanted


@pytest.mark.parametrize("text", ["", "train[5]", "train[:5", "test[:5]", "train[:200%]", "5"])
def test_what_is_no_slice_is_refused(text):
    with pytest.raises(ValueError, match="slice_str"):
        slice_bounds(text, 100)


def test_rows_become_instruction_records():
    rows = [
        {"instruction": "Do", "input": "this", "output": "done"},
        {"input": "Only an input", "output": "x"},
        {"instruction": "Do", "input": None, "output": None},
        {"question": "Who?", "context": "Ann", "answer": "Ann"},
        {"instruction": "Seed", "instances": [{"input": "a", "output": "b"}, {"input": "c"}]},
    ]
    assert instruction_records(rows) == [
        {"instruction": "Do", "input": "this", "output": "done"},
        {"instruction": "Only an input", "input": "", "output": "x"},
        {"instruction": "Do", "input": "", "output": ""},
        {"instruction": "Who?", "input": "Ann", "output": "Ann"},
        {"instruction": "Seed", "input": "a", "output": "b"},
    ]


@pytest.mark.parametrize(
    ("row", "message"), [({"a": 1}, "row 2"), ({"instruction": 5}, "column 'instruction'")]
)
def test_rows_without_an_instruction_are_named(row, message):
    with pytest.raises(DataError, match=message):
        instruction_records([{"instruction": "Fine"}, row])


def thoughts(*levels):
    entries = [
        {
            "Reasoning_Verbosity": {"level": rv},
            "Cognitive_Difficulty": {"level": cd},
            "full_response": "",
            "solution": f"rv {rv} cd {cd}",
            "thought": "never reached",
        }
        for rv, cd in levels
    ]
    return {"question": "Q", "reasoning": entries}


@pytest.mark.parametrize(
    ("levels", "rv", "cd", "taken"),
    [
        ([(5, 9)], 0.8, 0.3, None),  # the peer's swapped thresholds take it
        ([(9, 5)], 0.8, 0.3, "rv 9 cd 5"),
        ([(1, 1), (8, 3), (9, 9)], 0.8, 0.3, "rv 8 cd 3"),
        ([(6, 6)], 0.6, 0.6, "rv 6 cd 6"),
        ([(6, 5)], 6, 6, None),
        ([("7", "7")], 0.6, 0.6, "rv 7 cd 7"),
        ([(0, 0)], 0, 0, "rv 0 cd 0"),
    ],
)
def test_a_chain_must_pass_both_thresholds(levels, rv, cd, taken):
    found = thought_records([thoughts(*levels)], thresholds(rv, cd))
    assert [record["output"] for record in found] == ([taken] if taken else [])


def test_the_peers_fallback_has_to_be_asked_for():
    rows = [thoughts((1, 1), (2, 2))]
    assert thought_records(rows, thresholds(0.9, 0.9)) == []
    (kept,) = thought_records(rows, thresholds(0.9, 0.9), on_miss="first")
    assert kept["output"] == "rv 1 cd 1"
    with pytest.raises(ConfigError, match="on_miss"):
        thought_records(rows, thresholds(0.9, 0.9), on_miss="keep")


def test_flat_rows_are_filtered_on_either_scale():
    shares = [{"question": str(s), "cot": "c", "rv_score": s, "cd_score": s} for s in (0.5, 0.7)]
    levels = [{"question": str(s), "cot": "c", "rv_score": s, "cd_score": s} for s in (5, 7)]
    assert [r["instruction"] for r in thought_records(shares, thresholds(0.6, 0.6))] == ["0.7"]
    assert [r["instruction"] for r in thought_records(levels, thresholds(0.6, 0.6))] == ["7"]


def test_rows_without_scores_are_taken_and_the_log_says_so(caplog):
    rows = [{"question": "Q", "answer": "steps\n#### 4"}]
    assert thought_records(rows, thresholds(0.6, 0.6))[0]["output"] == "steps\n#### 4"
    assert "choose nothing" in caplog.text
    mixed = [*rows, {"question": "R", "cot": "c", "rv_score": 9, "cd_score": 9}]
    assert [r["instruction"] for r in thought_records(mixed, thresholds(0.6, 0.6))] == ["R"]


@pytest.mark.parametrize("row", [{"text": "x"}, {"question": "Q"}, {"question": "Q", "cot": " "}])
def test_an_unknown_schema_is_told(row):
    assert "needed are one of question" in schema_fault(row)
    with pytest.raises(DataError, match="row 1"):
        thought_records([row], thresholds(0.6, 0.6))


@pytest.mark.parametrize("bad", [-0.1, "high", True, 11, float("nan")])
def test_thresholds_out_of_range_are_refused(bad):
    with pytest.raises(ConfigError, match="cd_min"):
        thresholds(0.5, bad)


def test_json_is_written_as_notebooks_want_it(tmp_path):
    path = tmp_path / "deep" / "a.json"
    save_json(path, [{"a": "é你"}])
    assert path.read_bytes() == '[\n  {\n    "a": "é你"\n  }\n]\n'.encode()
    assert read_json(path) == [{"a": "é你"}]
    lines = tmp_path / "a.jsonl"
    save_json(lines, [{"a": 1}, {"a": 2}])
    assert lines.read_text() == '{"a": 1}\n{"a": 2}\n'
    assert read_json(lines) == [{"a": 1}, {"a": 2}]
    misnamed = tmp_path / "lines.json"
    misnamed.write_text(lines.read_text())
    assert read_json(misnamed) == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-32"])
def test_json_with_a_byte_order_mark_is_read(encoding, tmp_path):
    for name, text in (("a.json", '[{"a": "é"}]'), ("a.jsonl", '{"a": "é"}\r\n')):
        (tmp_path / name).write_bytes(text.encode(encoding))
        assert read_json(tmp_path / name) == [{"a": "é"}]


def test_json_that_cannot_be_used_says_so(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere\.json"):
        read_json(tmp_path / "nowhere.json")
    broken = tmp_path / "broken.json"
    broken.write_text("[1,")
    with pytest.raises(UnreadableFileError, match="is no JSON"):
        read_json(broken)
    with pytest.raises(DataError, match="list of objects"):
        save_json(tmp_path / "a.jsonl", {"a": 1})
    assert not (tmp_path / "a.jsonl").exists()


def test_two_tasks_of_a_chain_count_each_by_its_own_mean():
    records = [
        {"instruction": "Q", "input": "", "output": "long reasoning\n#### 7"},
        {"instruction": "R", "input": "", "output": "so the answer is no."},
    ]
    views = two_task_views(records)
    assert [(v["instruction"], v["output"]) for v in views[:2]] == [
        ("[label] Q", "7"), ("[rationale] Q", "long reasoning\n#### 7"),
    ]  # fmt: skip
    weights = view_weights(views, 0.3)
    sizes = {"label": 0, "rationale": 0}
    for view in views:
        sizes[view["view"]] += len(view["output"])
    total = sum(sizes.values())
    assert sum(weights[v] * sizes[v] for v in sizes) == pytest.approx(total), "mean weight 1"
    assert weights["label"] * sizes["label"] / total == pytest.approx(0.3)
    with pytest.raises(DataError, match="row 1"):
        two_task_views([{"instruction": "Q", "output": " "}])


def test_the_samples_are_right_and_the_same_every_time():
    instructions, problems = sample_instructions(), sample_problems()
    assert (len(instructions), len(problems)) == (640, 1600)
    assert instructions == sample_instructions()
    assert len({json.dumps(r) for r in instructions}) == 640
    for record in problems:
        first, second = (int(w) for w in record["instruction"].split() if w.isdecimal())
        right = first + second if "gets" in record["instruction"] else first - second
        assert final_answer(record["output"]) == str(right)
