"""Folders of labels: either public form, repaired at any byte, never mixed in silence."""

import json
from datetime import UTC, datetime

import pytest
from stillroom.errors import ConfigError, DataError
from stillroom.labeling.filters.label_folder import LabelFolder
from stillroom.labeling.filters.prompt_template import PromptTemplate
from stillroom.labeling.filters.scored_record import Analysis, scored_record

PROMPT = PromptTemplate("Rate this.", has_fields=False, file_hash="d289477c25b1")


@pytest.fixture
def opened(tmp_path, config):
    def make(oracle="gemini-flash", prompt=PROMPT, **options):
        return LabelFolder(tmp_path / "out", config, oracle=oracle, prompt=prompt,
                           batch_size=3, **options)  # fmt: skip

    return make


def label(config, identity, oracle="gemini-flash", prompt_hash=PROMPT.prompt_hash):
    article = {"id": identity, "title": "Ü", "content": f"text {identity}"}
    analysis = Analysis({"a": 1.0, "b": 2.0, "c": 3.0})
    return scored_record(article, analysis, config, prompt_hash=prompt_hash, oracle=oracle)


def test_batches_are_appended_and_continued(opened, config):
    folder = opened()
    for n in range(7):
        folder.append(label(config, f"r{n}"))
    folder.close(started_at=datetime.now(UTC), attempted=8, succeeded=7, errors={"timeout": 1})
    files = sorted(path.name for path in folder.folder.iterdir())
    assert files == [".labeled_ids.json", "labeled_batch_001.jsonl", "labeled_batch_002.jsonl",
                     "labeled_batch_003.jsonl", "session_summary.json"]  # fmt: skip
    state = json.loads((folder.folder / ".labeled_ids.json").read_text())
    assert (state["total_labeled"], state["batches_completed"]) == (7, 2)
    assert state["processed"] == [f"r{n}" for n in range(7)]
    summary = json.loads((folder.folder / "session_summary.json").read_text())
    assert (summary["articles_failed"], summary["errors_by_type"]) == (1, {"timeout": 1})
    again = opened()
    again.append(label(config, "r7"))
    assert again.is_done("r6")
    assert again.labelled["r7"] == "labeled_batch_003.jsonl, line 2"


def test_a_folder_of_the_later_form_is_read_and_continued_in_its_form(opened, config, tmp_path):
    folder = tmp_path / "out" / "made"
    folder.mkdir(parents=True)
    lines = "".join(json.dumps(label(config, f"r{n}")) + "\n" for n in range(2))
    (folder / "scored_batch_001.jsonl").write_text("\ufeff" + lines)
    (folder / ".scored_ids.json").write_text('{"processed": ["x"], "total_scored": 9}')
    made = opened()
    made.append(label(config, "r2"))
    made.write_state()
    state = json.loads((folder / ".scored_ids.json").read_text())
    assert (state["processed"], state["total_scored"]) == (["r0", "r1", "r2"], 3)
    assert not (folder / ".labeled_ids.json").exists()
    (folder / "labeled_batch_001.jsonl").write_text("")
    with pytest.raises(ConfigError, match="move those of one form away"):
        opened()


def test_a_kill_at_any_byte_and_a_rerun_give_the_same_labels(opened, config):
    folder = opened()
    for n in range(2):
        folder.append(label(config, f"r{n}"))
    path = folder.folder / "labeled_batch_001.jsonl"
    whole = path.read_bytes()
    for cut in range(0, len(whole), 7):
        path.write_bytes(whole[:cut])
        again = opened()
        for n in range(2):
            if not again.is_done(f"r{n}"):
                again.append(label(config, f"r{n}"))
        ids = [json.loads(line)["id"] for line in path.read_text().splitlines()]
        assert ids == ["r0", "r1"], cut
        again.write_state()
        assert json.loads(again.state_path.read_text())["total_labeled"] == 2


def test_another_oracle_or_prompt_is_never_mixed_in_silence(opened, config):
    folder = opened()
    folder.append(label(config, "r0"))
    with pytest.raises(ConfigError, match="made with the prompt"):
        opened(prompt=PromptTemplate("rate this.", has_fields=False))
    with pytest.raises(ConfigError, match=r"of the oracle \['gemini-flash'\], and that of now is"):
        opened(oracle="gpt4")
    changed = opened(oracle="gpt4", allow_change=True)
    event = json.loads((changed.folder / "events.jsonl").read_text())
    assert "'gpt4'" in event["event"]
    assert event["labels_before"] == 1


def test_the_older_hash_of_the_same_prompt_is_no_change(opened, config):
    opened().append(label(config, "r0", prompt_hash="d289477c25b1"))
    assert opened().is_done("r0")


def test_dead_letters_are_left_alone_unless_they_are_asked_for(opened, config):
    folder = opened()
    record = {"id": "../x y" * 20, "title": "T", "content": "x"}
    folder.fail(record, attempts=3, error_type="json_parse_error",
                error_message="Bearer abc.def refused",
                response="key sk-abcdefghijklmnop1234")  # fmt: skip
    letter = json.loads((folder.folder / "dead_letter.jsonl").read_text())
    assert (letter["record"], letter["attempts"]) == (record, 3)
    assert letter["error_message"] == "Bearer [secret] refused"
    [log] = (folder.folder / "error_logs").iterdir()
    assert log.read_text() == "key [secret]"
    assert log.name.startswith("___x_y")
    assert len(log.name.split("_attempt3_")[0]) == 64
    assert opened().is_done(record["id"])
    assert not opened(retry_failed=True).is_done(record["id"])


def test_metrics_have_the_public_keys(opened):
    folder = opened()
    folder.write_metrics("r0", success=False, attempts=2, seconds=1.5, error_type="timeout",
                         cost=None)  # fmt: skip
    line = json.loads((folder.folder / "metrics.jsonl").read_text())
    assert set(line) == {
        "timestamp", "article_id", "filter_name", "llm_provider", "success", "attempts_made",
        "time_taken_seconds", "json_repaired", "error_type", "prompt_hash",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("{", "labeled_batch_001.jsonl, line 2: is no JSON"),
        ('{"id": "r0"}', "line 2: there is no made_analysis"),
        ('{"made_analysis": {}}', "line 2: there is no id"),
        ('{"id": "q", "made_analysis": {"a": 1, "b": 2, "c": "3"}}', "line 2: not_a_number c"),
        (None, "line 2: the id 'r0' is in labeled_batch_001.jsonl, line 1 too"),
    ],
)
def test_a_broken_line_is_named_and_not_skipped(line, words, opened, config):
    folder = opened()
    folder.append(label(config, "r0"))
    path = folder.folder / "labeled_batch_001.jsonl"
    text = path.read_text()
    path.write_text(text + (line + "\n" if line else text))
    with pytest.raises(DataError) as raised:
        opened()
    assert words in str(raised.value)


def test_what_is_no_label_is_never_written(opened, config):
    folder = opened()
    for wrong in ({"id": "x"}, {"id": "x", "made_analysis": {"a": 1}}, {"made_analysis": {}}):
        with pytest.raises(DataError):
            folder.append(wrong)
    folder.append(label(config, "r0"))
    with pytest.raises(DataError, match="'r0'"):
        folder.append(label(config, "r0"))
    assert len((folder.folder / "labeled_batch_001.jsonl").read_text().splitlines()) == 1
