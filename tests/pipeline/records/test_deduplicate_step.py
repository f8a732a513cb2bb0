"""Duplicates as a step: alone, resumed, across runs, and with a rule for conflicts."""

import datetime

import numpy as np
import pytest
from stillroom.errors import PipelineError
from stillroom.pipeline.records import DeduplicateByField, ResolveConflicts

NAN = float("nan")


def ids(records):
    return [record["sample_id"] for record in records]


def rows_of(*names):
    return [{"sample_id": name, "n": n} for n, name in enumerate(names)]


def closes(output, count):
    """Check that each row is used, rejected or dead, and no row twice."""
    told = [*(p for places in output.parents for p in places)]
    told += [loss.place for loss in (*output.rejected, *output.dead)]
    assert sorted(told) == list(range(count))


def judged(step, folder, run_id, first_place, rows):
    """Run a batch as a new process would."""
    step = DeduplicateByField(**{k: v for k, v in step.settings().items() if k != "resources"})
    folder.mkdir(exist_ok=True)
    step.load()
    step.open(folder, run_id)
    try:
        output = step.run_from(first_place, rows)
    finally:
        step.close()
        step.unload()
    closes(output, len(rows))
    return output


def test_defaults():
    step = DeduplicateByField()
    assert (step.field, step.drop_duplicates) == ("sample_id", True)
    assert (step.emit_duplicate_field, step.duplicate_field) == (False, "is_duplicate")


def test_alone_it_remembers_until_it_is_unloaded():
    step = DeduplicateByField()
    step.load()
    assert [r["n"] for r in next(step.process(rows_of("a", "b", "a")))] == [0, 1]
    assert next(step.process(rows_of("b", "c"))) == [{"sample_id": "c", "n": 1}]
    step.unload()
    assert ids(next(step.process(rows_of("a")))) == ["a"]
    step.unload()


def test_duplicates_can_be_marked_and_passed_on():
    step = DeduplicateByField(drop_duplicates=False, emit_duplicate_field=True)
    found = next(step.process(rows_of("a", "a", "b")))
    step.unload()
    assert [r["is_duplicate"] for r in found] == [False, True, False]
    step = DeduplicateByField(emit_duplicate_field=True, output_mappings={"is_duplicate": "twice"})
    output = step.run_rows(rows_of("a", "a"))
    step.unload()
    assert [r["twice"] for r in output.records] == [False]
    assert [loss.record["twice"] for loss in output.rejected] == [True]


@pytest.mark.parametrize("missing", [{"id": 1}, {"sample_id": None}])
def test_a_record_without_the_field_is_an_error_of_its_row_alone(missing):
    message = r"^DeduplicateByField requires field 'sample_id' in each row\.$"
    with pytest.raises(ValueError, match=message):
        next(DeduplicateByField().process([missing]))
    step = DeduplicateByField()
    output = step.run_rows([*rows_of("a"), missing, *rows_of("b")])
    step.unload()
    closes(output, 3)
    assert ids(output.records) == ["a", "b"]
    assert output.dead[0].reason.startswith("DeduplicateByField requires field")


@pytest.mark.parametrize("value", [NAN, datetime.date(2026, 1, 2), {1, 2}])
def test_a_key_that_is_no_json_is_an_error_of_its_row_alone(value):
    step = DeduplicateByField()
    output = step.run_rows([*rows_of("a"), {"sample_id": value}])
    step.unload()
    closes(output, 2)
    assert "field 'sample_id' holds" in output.dead[0].reason


def test_duplicates_are_dropped_after_a_resume_and_in_another_batch(tmp_path):
    step, folder = DeduplicateByField(), tmp_path / "state"
    first, second = rows_of("a", "b", "a"), rows_of("b", "c")
    before = judged(step, folder, "run", 0, first)
    assert ids(before.records) == ["a", "b"]
    again = judged(step, folder, "run", 0, first)
    assert (again.records, again.rejected) == (before.records, before.rejected)
    assert ids(judged(step, folder, "run", 3, second).records) == ["c"]


def test_records_that_changed_are_judged_anew(tmp_path):
    step, folder = DeduplicateByField(), tmp_path / "state"
    judged(step, folder, "run", 0, rows_of("a", "b", "c", "d"))
    changed = judged(step, folder, "run", 0, rows_of("a", "x", "a", "c"))
    assert ids(changed.records) == ["a", "x", "c"]
    assert ids(judged(step, folder, "run", 4, rows_of("b", "d", "x")).records) == ["b", "d"]


def test_only_a_shared_state_reaches_across_runs(tmp_path):
    own, shared = DeduplicateByField(), DeduplicateByField(state_path=tmp_path / "seen.sqlite")
    for step, kept in ((own, ["a", "c"]), (shared, ["c"])):
        judged(step, tmp_path / "one", "one", 0, rows_of("a", "b"))
        assert ids(judged(step, tmp_path / "two", "two", 0, rows_of("a", "c")).records) == kept


def test_a_state_of_other_settings_is_refused(tmp_path):
    path = tmp_path / "seen.sqlite"
    judged(DeduplicateByField(state_path=path), tmp_path, "one", 0, rows_of("a"))
    with pytest.raises(ValueError, match="key_fields is"):
        judged(DeduplicateByField(state_path=path, field="n"), tmp_path, "two", 0, rows_of("a"))
    with pytest.raises(ValueError, match="find_conflicts is"):
        judged(
            DeduplicateByField(state_path=path, on_conflict="error"), tmp_path, "2", 0, rows_of("a")
        )


TEXTS = [
    "How many users are there in the table of users of the shop?",
    "How many users are there in the table of users of the shops?",
    "Which product is the most expensive one of them all?",
    "How many users have 2 orders in the table of users of the shop?",
    "How many users have 3 orders in the table of users of the shop?",
]


def test_near_duplicates_by_their_letters():
    rows = [{"sample_id": n, "text": text} for n, text in enumerate(TEXTS)]
    step = DeduplicateByField(text_fields=["text"], minhash_threshold=0.8)
    output = step.run_rows([*rows, {"sample_id": 5}])
    step.unload()
    closes(output, 6)
    assert [(loss.place, loss.reason) for loss in output.rejected] == [(1, "near_duplicate")]
    assert "'text' is missing" in output.dead[0].reason


def test_near_duplicates_by_their_meaning():
    vectors = {"cat": [1, 0], "kitten": [0.99, 0.1], "car": [0, 1], "broken": [NAN, 0]}
    step = DeduplicateByField(
        text_fields="text",
        meaning_threshold=0.9,
        embed=lambda texts: np.array([vectors[text] for text in texts]),
        encoder="two numbers",
    )
    output = step.run_rows([{"sample_id": text, "text": text} for text in vectors])
    step.unload()
    closes(output, 4)
    assert [(loss.place, loss.reason) for loss in output.rejected] == [(1, "similar_meaning")]
    assert [loss.place for loss in output.dead] == [3]


def test_the_packaged_encoder_finds_similar_meanings(real_model):
    real_model("minilm")
    rows = [
        {"sample_id": n, "text": text}
        for n, text in enumerate(
            ["How many users are there?", "What is the number of users?", "List all products."]
        )
    ]
    step = DeduplicateByField(text_fields=["text"], meaning_threshold=0.7)
    assert ids(next(step.process(rows))) == [0, 2]
    step.unload()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"field": []}, "key_fields is empty"),
        ({"minhash_threshold": 0.8}, "text_fields is empty"),
        ({"minhash_threshold": 2, "text_fields": ["a"]}, "threshold is 2"),
        ({"minhash_threshold": 0, "text_fields": ["a"]}, "threshold is 0"),
        ({"on_conflict": "newest"}, "allowed are 'first' and 'error'"),
        ({"on_conflict": "last"}, "use ResolveConflicts"),
        ({"encoder": "x"}, "embed and encoder go together"),
    ],
)
def test_settings_are_checked(settings, message):
    with pytest.raises(ValueError, match=message):
        DeduplicateByField(**settings)


# --- one id, two contents ------------------------------------------------------------------------

CONFLICT = [
    {"id": 1, "text": "old", "file": "a"}, {"id": 2, "text": "b", "file": "a"},
    {"id": 1, "text": "new", "file": "b"}, {"id": 2, "text": "b", "file": "b"},
]  # fmt: skip


def test_two_contents_of_an_id_end_the_run_or_the_first_one_stays():
    step = DeduplicateByField(field="id")
    assert [r["text"] for r in next(step.process(CONFLICT))] == ["old", "b"]
    step.unload()
    strict = DeduplicateByField(field="id", on_conflict="error", content_fields=["text"])
    assert len(next(strict.process(CONFLICT[:2]))) == 2
    assert next(strict.process(CONFLICT[3:])) == []
    with pytest.raises(PipelineError, match="id 1 has another content in row 1 of run"):
        next(strict.process(CONFLICT[2:3]))
    strict.unload()


@pytest.mark.parametrize(
    ("rule", "texts", "reasons"),
    [
        ("first", ["old", "b"], {2: "conflicting_content", 3: "exact_duplicate"}),
        ("last", ["new", "b"], {0: "conflicting_content", 1: "exact_duplicate"}),
    ],
)
def test_conflicts_are_resolved_by_a_rule(rule, texts, reasons):
    step = ResolveConflicts(field="id", on_conflict=rule, content_fields=["text"])
    output = step.run_rows(CONFLICT)
    closes(output, 4)
    assert [r["text"] for r in output.records] == texts
    assert {loss.place: loss.reason for loss in output.rejected} == reasons
    assert next(step.process(CONFLICT)) == output.records


def test_without_a_rule_a_conflict_ends_the_run():
    step = ResolveConflicts(field="id", content_fields=["text"])
    for run in (lambda: next(step.process(CONFLICT)), lambda: step.run_rows(CONFLICT)):
        with pytest.raises(PipelineError, match=r"1 ids have two contents: id 1 in rows 1, 3;"):
            run()
    assert len(next(step.process([CONFLICT[0], CONFLICT[1], CONFLICT[3]]))) == 2
    with pytest.raises(PipelineError, match="2 ids have two contents"):
        next(ResolveConflicts(field="id").process(CONFLICT))


def test_only_the_row_that_cannot_be_read_is_dead():
    rows = [*CONFLICT[:2], {"text": "x"}, {"id": 3, "text": {1}}, {"id": NAN, "text": "x"}]
    output = ResolveConflicts(field="id", on_conflict="first").run_rows(rows)
    closes(output, 5)
    assert sorted(loss.place for loss in output.dead) == [2, 3, 4]
