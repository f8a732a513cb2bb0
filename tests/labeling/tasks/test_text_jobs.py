"""Jobs of texts: what teachers are asked, which answers are good, how categories are drawn."""

from collections import Counter

import pytest
from stillroom.errors import ConfigError, DataError
from stillroom.labeling.batch.label_run import LabelFault, Labelled, LabelTask
from stillroom.labeling.tasks.class_balance import SHARES, category_of, resample
from stillroom.labeling.tasks.free_text import (
    expansion,
    expansion_records,
    extraction,
    rewriting,
    tagged,
    text_tasks,
)
from stillroom.labeling.tasks.scores import METRICS, read_mark, score_tasks, scored_records
from stillroom.labeling.teachers.protocol import TeacherAnswer


@pytest.mark.parametrize(
    ("text", "inside"),
    [
        ("<answer>a\nb</answer><answer>c</answer>", "a\nb"),
        ("<answer> </answer>", None),
        ("<answer>never closed", None),
        ("nothing", None),
    ],
)
def test_the_first_pair_of_tags_counts(text, inside):
    assert tagged(text, "answer") == inside


def test_examples_are_drawn_by_seed_and_never_more_than_there_are():
    records = [{"instruction": str(n)} for n in range(5)]
    first = expansion_records(records, in_context=3, wanted=20, seed=1)
    assert first == expansion_records(records, in_context=3, wanted=20, seed=1)
    assert first != expansion_records(records, in_context=3, wanted=20, seed=2)
    assert all(len(set(drawn["examples"])) == 3 for drawn in first)
    with pytest.raises(ValueError, match="num_in_context_samples is 6"):
        expansion_records(records, in_context=6, wanted=1, seed=0)
    with pytest.raises(ConfigError):
        expansion_records(records, in_context=1, wanted=0, seed=0)


def test_equal_prompts_of_an_expansion_are_asked_each():
    drawn = expansion_records([{"instruction": "only"}], in_context=1, wanted=3, seed=0)
    tasks = list(text_tasks(expansion("P"), drawn))
    assert [task.prompt for task in tasks] == [[{"role": "user", "content": "P\nonly\n"}]] * 3
    assert len({task.sample for task in tasks}) == 3


def test_a_missing_field_stops_its_own_record_and_shifts_nobody():
    job = rewriting("P", "shorter")
    assert "Problem:\nA" in job.write({"instruction": "A", "output": "B"})
    with pytest.raises(DataError, match="'output' is needed"):
        job.write({"instruction": "A"})
    assert job.finish({"instruction": "A", "output": "B", "id": 1}, "C") == {
        "instruction": "A", "output": "C", "id": 1,
    }  # fmt: skip


def test_extraction_reads_data_before_instruction():
    job = extraction("P")
    assert job.write({"data": "D", "instruction": "I"}) == "P\nD"
    assert job.write({"instruction": "I"}) == "P\nI"
    task = LabelTask("1", "P")
    only_one = TeacherAnswer("<instruction>I</instruction>")
    assert job.check(task, only_one) == "no_response_tag"


@pytest.mark.parametrize(
    ("metric", "written", "mark"),
    [
        ("helpfulness", "9", 9), ("helpfulness", " 0 ", 0), ("helpfulness", "10", None),
        ("helpfulness", "-1", None), ("helpfulness", "7.5", None), ("helpfulness", "yes", None),
        ("correctness", "False.", False), ("correctness", "1", True), ("correctness", "9", None),
    ],
)  # fmt: skip
def test_marks_out_of_range_are_none(metric, written, mark):
    assert read_mark(metric, written) is mark or read_mark(metric, written) == mark


FAULTS = {
    "timeout": "api_call_failed",
    "llm_api_error": "api_call_failed",
    "truncated": "processing_failed",
}


@pytest.mark.parametrize("kind", FAULTS)
def test_a_mark_that_failed_is_null_with_a_reason(kind):
    records = [{"instruction": "Q", "output": "A"}, {"instruction": "R", "output": "B"}]
    tasks = list(score_tasks("answer", records))
    good = TeacherAnswer("<score>1</score>")
    results = [Labelled(task, good) for task in tasks]
    results[5] = Labelled(tasks[5], fault=LabelFault(kind, "x", 1))
    first, second = scored_records("answer", records, results)
    assert "error" not in first
    assert second["error"] == FAULTS[kind]
    missing = list(METRICS["answer"])[1]
    assert second[missing] is None
    assert [m for m in METRICS["answer"] if second[m] is None] == [missing]


def test_the_target_mix_is_that_of_the_interface():
    assert len(SHARES) == 32
    assert sum(SHARES.values()) == pytest.approx(1.0)
    assert category_of("<answer>code debug</answer>") == "Code Debug"
    assert category_of("no tag") == "Others"


def test_resampling_takes_whole_repeats_and_a_seeded_rest():
    records = [{"id": n, "category": "Math"} for n in range(900)]
    records += [{"id": n, "category": "Law"} for n in range(900, 1000)]
    drawn = resample(records, seed=3)
    assert Counter(r["category"] for r in drawn) == {"Math": 167, "Law": 17}
    assert len({r["id"] for r in drawn}) == 184, "there are enough: no repeats"
    assert drawn == resample(records, seed=3)
    assert len(resample(records[:20], seed=3)) == 3, "floor(20 * .167)"
    assert drawn != resample(records, seed=4)
    few = [{"id": n, "category": "Law"} for n in range(5)]
    few += [{"id": n, "category": "Art"} for n in range(5, 1000)]
    counts = Counter(r["id"] for r in resample(few, seed=0) if r["category"] == "Law")
    assert sorted(counts.values()) == [3, 3, 3, 4, 4]
