"""Runs never replace each other: names after data, owners of folders, and what is refused."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from stillroom.console import Console
from stillroom.errors import ConfigError, DataNotFoundError
from stillroom.pipeline import MainJob, Recipe, run_main_job
from stillroom.pipeline.main_job.run import claim_folder
from stillroom.pipeline.main_job.settings import run_name
from stillroom.run_folder import foreign, owned_folder, source_of

RECORDS = [{"name": "Oak", "size": 1}]


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def begun(job, records=RECORDS, *, finished=True):
    """Begin the run of a job without training anything; give its folder's name."""
    run = claim_folder(job, records, Console())
    run.begin()
    if finished:
        run.finish()
    (run.path / "student").mkdir(exist_ok=True)
    return run.path.as_posix()


@pytest.mark.parametrize(
    ("source", "name"),
    [
        ("prices.2023.csv", "prices.2023"),
        ("prices.2024.csv", "prices.2024"),
        ("a/b/prices.CSV.GZ", "prices"),
        ("v1.2.final.parquet", "v1.2.final"),
        ("notes.2024", "notes.2024"),
        ("tables.tar", "tables.tar"),
        ("book.xlsx", "book"),
        ("log.jsonl.zst", "log"),
        (".csv", "csv"),
        ("parts/*.csv", "parts"),
        ("data/year=2024/part-*.parquet", "part"),
        ("**/*.json", "run"),
        ("what?.csv", "what"),
        ("sqlite:///shop.v2.db", "shop.v2"),
        ("postgresql+psycopg://me:secret@db.example/shop?sslmode=require", "shop"),
        ("postgresql://me:secret@db.example:5432", "db.example"),
        ("Preise März.csv", "Preise März"),
        ("x" * 300 + ".csv", "x" * 200),
        ("🌳" * 100 + ".csv", "🌳" * 50),
    ],
)
def test_a_run_is_named_by_the_whole_stem(source, name):
    assert run_name(source) == name
    assert "secret" not in str(MainJob(source).run_dir())


def test_folders_of_data_and_tables_name_runs_too(here):
    inside = here / "trees"
    inside.mkdir()
    assert run_name(str(inside)) == run_name("trees/") == "trees"
    assert run_name(".") == here.name
    assert run_name("trees/..") == here.name
    assert MainJob("sqlite:///shop.db", table="a/../b").run_dir() == Path("outputs/a-..-b")
    assert MainJob("x.csv", table="..").run_dir() == Path("outputs/run")


def test_another_source_gets_another_folder_and_the_same_one_its_own(here, capsys):
    for name in ("a/prices.csv", "b/prices.csv", "prices.tsv", "prices.csv.gz"):
        (here / name).parent.mkdir(exist_ok=True)
        (here / name).touch()
    folders = [begun(MainJob(name)) for name in ("a/prices.csv", "b/prices.csv", "prices.tsv")]
    assert folders == ["outputs/prices", "outputs/prices-2", "outputs/prices-3"]
    told = capsys.readouterr().out
    assert "outputs/prices holds a run of ../a/prices.csv; this one is written to outputs/" in told
    again = [begun(MainJob(name)) for name in ("b/prices.csv", "prices.tsv", "a/prices.csv")]
    assert again == ["outputs/prices-2", "outputs/prices-3", "outputs/prices"]
    assert begun(MainJob(str(here / "b" / "prices.csv"))) == "outputs/prices-2", "one file"
    assert begun(MainJob("b/prices.csv"), [{"name": "Elm"}]) == "outputs/prices-2", "edited"
    shutil.rmtree("outputs/prices")
    assert begun(MainJob("b/prices.csv")) == "outputs/prices-2"
    assert begun(MainJob("prices.csv.gz")) == "outputs/prices", "which is free again"


@pytest.mark.parametrize(
    "changed",
    [
        {"seed": 1},
        {"columns": "size"},
        {"controls": False},
        {"gold_share": 1.0},
        {"teacher": "gpt2"},
        {"recipe": Recipe(alpha=0.7)},
        {"reading": {"sep": ";"}},
        {"records_path": "a.b"},
        {"rows": 5},
        {"also_called": {"size": "how big"}},
    ],
    ids=lambda changed: next(iter(changed)),
)
def test_other_settings_are_another_run(changed, capsys):
    job = MainJob("trees.csv")
    assert begun(job) == "outputs/trees"
    assert begun(replace(job, **changed)) == "outputs/trees-2"
    assert next(iter(changed)) in capsys.readouterr().out
    assert begun(job) == "outputs/trees"


@pytest.mark.parametrize("changed", [{"device": "cpu"}, {"max_minutes": None}])
def test_what_changes_no_result_is_the_same_run(changed):
    job = MainJob("trees.csv")
    assert begun(job, finished=False) == "outputs/trees"
    run = claim_folder(replace(job, **changed), RECORDS, Console())
    assert run.begin(), "it goes on"


def test_tables_and_queries_of_one_database_are_apart():
    base = "sqlite:///shop.db"
    jobs = [
        MainJob(base, table="items"),
        MainJob("sqlite:///other.db", table="items"),
        MainJob(base, query="SELECT 1"),
        MainJob(base, query="SELECT 2"),
        MainJob("postgresql://me:secret@host/shop", query="SELECT 1"),
    ]
    folders = [begun(job) for job in jobs]
    assert folders == [
        "outputs/items", "outputs/items-2", "outputs/shop", "outputs/shop-2", "outputs/shop-3",
    ]  # fmt: skip
    assert folders == [begun(job) for job in jobs]
    written = "".join(p.read_text() for p in Path("outputs").rglob("progress.json"))
    assert "secret" not in written
    assert "me:" not in written


def test_a_disk_that_knows_no_case_keeps_runs_apart(here):
    """There `Prices.csv` and `prices.csv` name one run folder."""
    assert begun(MainJob("Prices.csv")) == "outputs/Prices"
    (here / "outputs" / "Prices").rename(here / "outputs" / "prices")
    assert begun(MainJob("prices.csv")) == "outputs/prices-2"


@pytest.mark.parametrize("left", ["notes.txt", "student/config.json", "progress.json"])
def test_a_folder_that_is_no_run_of_ours_is_left_alone(left, capsys):
    place = Path("outputs/trees") / left
    place.parent.mkdir(parents=True)
    place.write_text("[not json")
    assert begun(MainJob("trees.csv")) == "outputs/trees-2"
    assert "holds files that no run wrote" in capsys.readouterr().out
    assert place.read_text() == "[not json"
    with pytest.raises(ConfigError, match=r"not written over; .* --output-dir"):
        begun(MainJob("trees.csv", output_dir="outputs/trees"))


def test_an_empty_or_hidden_folder_is_taken_and_a_file_is_not():
    Path("outputs/trees").mkdir(parents=True)
    Path("outputs/trees/.gitkeep").touch()
    assert begun(MainJob("trees.csv")) == "outputs/trees"
    Path("outputs/elms").touch()
    assert begun(MainJob("elms.csv")) == "outputs/elms-2"


def test_a_named_folder_of_another_run_is_refused_with_the_difference():
    job = MainJob("trees.csv", output_dir="mine")
    assert begun(job) == "mine"
    assert begun(job) == "mine"
    with pytest.raises(ConfigError, match=r"mine holds a run of trees\.csv"):
        begun(MainJob("elms.csv", output_dir="mine"))
    with pytest.raises(ConfigError, match=r"other settings \(seed: 0 there, 3 here\)"):
        begun(replace(job, seed=3))
    assert json.loads(Path("mine/progress.json").read_text())["owner"]["settings"]["seed"] == 0


def test_a_run_of_an_earlier_version_is_kept_and_known_by_its_identity(tmp_path):
    folder = tmp_path / "trees"
    folder.mkdir()
    (folder / "progress.json").write_text('{"status": "complete", "identity": "old", "done": {}}')
    owner = {"source": {"data": "x"}, "settings": {}}
    assert foreign(folder, "old", owner) is None
    assert "earlier version" in foreign(folder, "new", owner)
    assert owned_folder(folder, "new", owner)[0].name == "trees-2"


def test_a_moved_project_knows_its_runs(here):
    (here / "one").mkdir()
    table = here / "one" / "trees.csv"
    table.touch()
    told = source_of(str(table), here / "one" / "outputs")
    (here / "one").rename(here / "two")
    assert source_of(str(here / "two" / "trees.csv"), here / "two" / "outputs") == told


def test_a_path_is_a_job_of_its_own(here):
    for path in ("none.csv", here / "none.csv"):
        with pytest.raises(DataNotFoundError, match=r"none\.csv: no such file"):
            run_main_job(path)
    (here / "block").touch()
    (here / "trees.csv").write_text("name,size\nOak,1\n")
    with pytest.raises(ConfigError, match="block is a file"):
        run_main_job(MainJob("trees.csv", output_dir="block/x"))


def test_values_of_a_job_are_brought_to_one_form():
    job = MainJob(
        Path("a.csv"), columns="size", templates="{key}?", also_called={"size": "how big"},
        output_dir=Path("out"), teacher=Path("t"),
    )  # fmt: skip
    assert (job.data, job.columns, job.templates) == ("a.csv", ("size",), ("{key}?",))
    assert (job.also_called["size"], job.output_dir, job.teacher) == (("how big",), "out", "t")
    assert MainJob("a.csv", columns=["x", "y"]).columns == ("x", "y")


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"data": ""}, "data is ''"),
        ({"data": None}, "data is None"),
        ({"columns": ()}, "columns is ()"),
        ({"columns": 5}, "columns is (5,)"),
        ({"gold_share": 3}, "gold_share is 3"),
        ({"gold_share": float("nan")}, "gold_share is nan"),
        ({"gold_share": "0.5"}, "gold_share is '0.5'"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": True}, "seed is True"),
        ({"device": "gpu"}, "device is 'gpu'"),
        ({"reading": {"seperator": ";"}}, "did you mean 'sep'"),
        ({"reading": 5}, "reading is 5"),
        ({"rows": 0}, "rows is 0"),
        ({"max_minutes": float("nan")}, "max_minutes is nan"),
        ({"query": "q", "table": "t"}, "query is given, and so is"),
        ({"also_called": {"size": ("",)}}, "also_called is"),
    ],
)
def test_values_out_of_range_are_refused_where_a_job_is_made(values, told):
    with pytest.raises(ConfigError) as fault:
        MainJob(**{"data": "a.csv", "seed": 0, **values})
    assert told in str(fault.value)
    with pytest.raises(ConfigError) as both:
        MainJob(**{"data": "a.csv", **values, "context": ""})
    assert len(both.value.faults) == 2


@pytest.mark.parametrize(
    "values",
    [{"temperature": 0}, {"temperature": float("inf")}, {"alpha": 7}, {"alpha": float("nan")},
     {"batch_tokens": 0}, {"learning_rate": -1}, {"decay_ratio": 2}],
)  # fmt: skip
def test_a_recipe_out_of_range_is_refused(values):
    with pytest.raises(ConfigError, match=next(iter(values))):
        Recipe(**values)
