"""`stillroom init`: a file whose options run, whose guesses are told, whatever the table holds."""

import json

import pytest
import yaml
from project_paths import ROOT, SHARED_DATA
from stillroom.cli import main
from stillroom.pipeline.commands.run import job_parser, main_job
from stillroom.pipeline.option_file import read_with_file

HOSTILE = ["a\nb", "x: y", "- z", "# no comment", "'", '"', "{", "\u2028", "\ufeffname", "no",
           "1e3", "\x07bell", "%TAG", "a\tb", "\ud83d\ude00"]  # fmt: skip


@pytest.fixture
def init(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)

    def run(*words):
        code = main(["init", *words, "--quick", "--json"])
        told = capsys.readouterr()
        return code, json.loads(told.out) if code == 0 else told.err

    return run


def job_of(path, *words):
    """Read a file of options as `stillroom run` does."""
    args = read_with_file(
        job_parser("stillroom run"), ["--config", str(path), *words], lambda _: ()
    )
    return main_job(args)


def test_the_bundled_table_becomes_a_file_that_runs(init, tmp_path):
    table = ROOT / "examples" / "data" / "cheeses.csv"
    code, told = init(str(table))
    assert (code, told["file"], told["key"]) == (0, "cheeses.yaml", "cheese")
    text = (tmp_path / "cheeses.yaml").read_text(encoding="utf-8")
    assert "such as 'What is the region of" in text
    assert "number, 40 different: $18.50" in text
    job = job_of("cheeses.yaml")
    assert (job.key, job.teacher, job.max_minutes) == ("cheese", "starter", 60.0)
    assert list(job.columns) == told["columns"]
    assert job.also_called["price"] == ("cost", "fee")
    assert job.faults() == []


def test_what_is_typed_replaces_the_file(init):
    init(str(ROOT / "examples" / "data" / "cheeses.csv"))
    with open("cheeses.yaml", "a", encoding="utf-8") as file:
        file.write("yes: false\nnull: ['-']\n")
    job = job_of("cheeses.yaml", "--columns", "milk", "--max-minutes", "5")
    assert (job.columns, job.max_minutes) == (("milk",), 5.0)
    assert job.reading == {"null_values": ("-",)}


def test_a_file_is_kept_unless_it_may_be_overwritten(init, tmp_path):
    (tmp_path / "t.csv").write_text("name,price\nA,1\nB,2\n")
    assert init("t.csv")[0] == 0
    (tmp_path / "t.yaml").write_text("data: mine\n")
    code, said = init("t.csv")
    assert code == 1
    assert "pass --overwrite" in said
    assert (tmp_path / "t.yaml").read_text() == "data: mine\n"
    assert init("t.csv", "--overwrite")[0] == 0


@pytest.mark.parametrize("text", HOSTILE)
def test_hostile_names_and_values_stay_what_they_are(init, tmp_path, text):
    records = [{"name": f"{text}{n}", text + "col": f"{text}{n % 3}", "price": n} for n in range(6)]
    (tmp_path / "t.json").write_text(json.dumps(records), encoding="utf-8")
    code, told = init("t.json")
    assert code == 0, told
    written = yaml.safe_load((tmp_path / "t.yaml").read_text(encoding="utf-8"))
    assert set(written) <= {"data", "key", "columns", "also-called", "teacher", "max-minutes"}
    assert job_of("t.yaml").key == told["key"]
    assert list(job_of("t.yaml").columns) == told["columns"]


def test_questions_rows_and_reading_options_are_written(init, tmp_path):
    (tmp_path / "faq.csv").write_text("question,answer\nA?,1\nB?,2\n")
    assert init("faq.csv")[1]["kind"] == "questions"
    job = job_of("faq.yaml")
    assert (job.question, job.answer, job.key) == ("question", "answer", None)
    (tmp_path / "log.csv").write_bytes("Tag;Schicht\n-;früh\nMo;spät\nMo;früh\n".encode("cp1252"))
    code, told = init("log.csv", "--sep", ";", "--encoding", "cp1252", "--null", "-",
                      "--header", "yes")  # fmt: skip
    assert (code, told["kind"]) == (0, "rows")
    assert job_of("log.yaml").reading == {"encoding": "cp1252", "sep": ";", "header": True,
                                          "null_values": ("-",)}  # fmt: skip


def test_a_password_is_not_written(tmp_path, monkeypatch):
    from stillroom.pipeline.commands.init import _data
    from stillroom.pipeline.main_job.settings import MainJob

    text = "\n".join(_data(MainJob("postgresql://me:secret@host/shop", table="t")))
    assert "secret" not in text
    assert "--data" in text


CASES = SHARED_DATA.parent / "cases"


@pytest.mark.skipif(not CASES.is_dir(), reason="shared cases not found: ../shared/cases")
def test_tables_of_all_kinds_give_a_file_or_a_sentence(init):
    files = [path for path in sorted(CASES.glob("*/*")) if path.suffix != ".py" and path.is_file()
             and path.stat().st_size < 1_000_000]  # fmt: skip
    for path in files:
        code, told = init(str(path), "--output", "t.yaml", "--overwrite")
        if code:
            assert code == 1, path
            assert told.count("stillroom: ") == 1, told
            assert "Traceback" not in told
        else:
            assert job_of("t.yaml").faults() == [], path
