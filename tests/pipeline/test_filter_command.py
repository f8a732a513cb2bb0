"""`stillroom filter`: from a new package to splits, with messages and exit codes."""

import json
import shlex
import subprocess
import sys

import pytest
from stillroom.cli import main
from stillroom.labeling.filters.filter_package import load_filter
from stillroom.labeling.filters.oracle_reply import read_reply
from stillroom.pipeline.commands.filters.actions import ACTIONS

LONG = "words and more words " * 30


@pytest.fixture
def ran(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def run(line):
        code = main(["filter", *shlex.split(line)])
        told = capsys.readouterr()
        return code, told.out, told.err

    return run


def scripted(monkeypatch, answer):
    from stillroom.labeling.teachers.protocol import TeacherAnswer

    class Oracle:
        name, revision, honours_idempotency, asked = "scripted", None, False, 0

        async def ask(self, prompt, profile, *, call_id=""):
            self.asked += 1
            return TeacherAnswer(answer(prompt))

        async def close(self):
            pass

    made = Oracle()
    monkeypatch.setattr(
        "stillroom.pipeline.commands.filters.oracle_options.chosen_teacher", lambda _: made
    )
    return made


def test_an_oracle_labels_up_to_a_target_and_a_failing_one_ends_with_1(ran, tmp_path, monkeypatch):
    articles = [{"id": n, "title": "T", "content": f"{n} {LONG}"} for n in range(30)]
    write_lines(tmp_path / "corpus.jsonl", articles)
    ran("new mine/v1 --dimensions a,b")
    line = ("label mine/v1 --source corpus.jsonl --teacher http://127.0.0.1:9/v1 --target-count 5 "
            "--random-sample --seed 1 --output-dir out")  # fmt: skip
    scripted(monkeypatch, lambda prompt: '{"a": 1, "b": 2}')
    code, out, err = ran(line)
    assert (code, err) == (0, "")
    assert "5 in out/mine, 5 of them new" in out
    lines = (tmp_path / "out/mine/labeled_batch_001.jsonl").read_text().splitlines()
    assert len(lines) == 5
    assert [json.loads(one)["id"] for one in lines] != [0, 1, 2, 3, 4]
    assert "0 of them new" in ran(line)[1]
    failing = scripted(monkeypatch, lambda prompt: "I cannot.")
    code, _, err = ran(line.replace("--output-dir out", "--output-dir third"))
    assert code == 1
    assert "only 0 of 5 articles got two valid replies of scripted" in err
    failing.asked = 0
    code, _, err = ran(
        line.replace("--output-dir out", "--output-dir other --skip-consistency-check")
    )
    assert code == 1
    assert "got a label" in err or "ended early" in err
    assert failing.asked <= 2 * len(articles)
    code, _, err = ran(
        line.replace("mine/v1", "nowhere/v1").replace("--target-count 5", "--budget 1")
    )
    assert code == 1
    assert "a budget needs prices" in err
    assert "nowhere/v1" in err


def write_lines(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")


@pytest.mark.parametrize("action", ACTIONS)
def test_the_examples_of_help_parse(action):
    parser = ACTIONS[action][0]()
    for line in parser.examples:
        parser.parse_args(shlex.split(line)[3:])


@pytest.mark.parametrize(
    "options", ["--dimensions a,b,c", "--classes x,y", "--like sustainability_tech_deployment/v1",
                "--dimensions a,b,c,d,e,f,g"]
)  # fmt: skip
def test_a_new_package_has_no_faults_and_asks_for_all_that_it_names(options, ran, tmp_path):
    assert ran(f"new filters/mine/v2 {options}")[0] == 0
    code, out, _ = ran("verify filters/mine/v2")
    assert code == 0
    assert "no faults" in out
    package = load_filter(tmp_path / "filters/mine/v2")
    assert (package.config.name, package.config.version) == ("mine", "2.0")
    for name in (*package.config.dimension_names, *package.config.classes):
        assert name in package.prompt.text
    reply = {"class": "x"} if package.config.is_classifier else dict.fromkeys(
        package.config.dimension_names, 5)  # fmt: skip
    assert read_reply(json.dumps(reply), package.config)


def test_what_cannot_be_made_is_told_at_once(ran, tmp_path):
    code, _, err = ran("new filters/Mine/one --classes x --dimensions A")
    assert code == 1
    for part in ("path has 'Mine'", "dimensions has 'A'", "a folder <name>/v1", "one of the three",
                 "at least two"):  # fmt: skip
        assert part in err
    assert not (tmp_path / "filters").exists()
    assert ran("new mine/v1 --dimensions a")[0] == 0
    assert "which exists" in ran("new mine/v1 --dimensions a")[2]
    code, _, err = ran("verifi mine/v1")
    assert code == 2
    assert "'verify'" in err


def test_faults_of_a_package_are_listed_and_end_with_1(ran, tmp_path):
    ran("new mine/v1 --dimensions a,b")
    (tmp_path / "mine/v1/README.md").unlink()
    (tmp_path / "mine/v1/prompt-compressed.md").write_text("Rate.")
    code, _, err = ran("verify mine/v1")
    assert code == 1
    assert [line.split(":")[1].strip() for line in err.splitlines()] == [
        "prompt-compressed.md", "README.md",
    ]  # fmt: skip
    code, _, err = ran("verify nowhere/v1")
    assert code == 1
    assert "sustainability_tech_deployment/v1" in err


def test_verify_loads_nothing_heavy(tmp_path):
    heavy = ("torch", "transformers", "pandas", "langgraph", "scipy", "matplotlib")
    code = (
        "import sys; from stillroom.cli import main\n"
        "main(['filter', 'verify', 'support_request_kind/v1'])\n"
        f"print([name for name in {heavy!r} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("[]\n"), done.stdout


def test_articles_are_screened_and_labels_become_splits(ran, tmp_path):
    articles = [
        {"id": f"r{n}", "title": "Title", "content": "x" if n % 2 else f"{n} {LONG}",
         "language": "de" if n % 4 else "en"}
        for n in range(40)
    ]  # fmt: skip
    write_lines(tmp_path / "corpus.jsonl", articles)
    ran("new mine/v1 --dimensions a,b")
    code, out, _ = ran(
        "screen mine/v1 --source corpus.jsonl --output passed.jsonl "
        "--blocked-sample blocked.jsonl --report report.json --sample 5"
    )
    assert code == 0
    assert "20 of 40 pass" in out
    assert len((tmp_path / "passed.jsonl").read_text().splitlines()) == 20
    assert len((tmp_path / "blocked.jsonl").read_text().splitlines()) == 5
    told = json.loads((tmp_path / "report.json").read_text())["languages"]
    assert told["en"]["pass_rate"] == 1.0
    assert told["de"]["reasons"] == {"content_too_short": 20}

    labels = [one | {"mine_analysis": {"a": n % 11, "b": n % 11}} for n, one in enumerate(articles)]
    write_lines(tmp_path / "out/labeled_batch_001.jsonl", labels[:25])
    write_lines(tmp_path / "out/labeled_batch_002.jsonl", [*labels[20:], {"id": "bad"}])
    code, out, _ = ran("merge mine/v1 --input 'out/*.jsonl' --output all.jsonl")
    assert code == 0
    assert "40 records in all.jsonl; 5 labelled again" in out
    assert "line 21: no_analysis" in out
    code, out, _ = ran("analyze mine/v1 --input all.jsonl --plot tiers.png --report a.json")
    assert code == 0
    assert "high" in out
    assert (tmp_path / "tiers.png").exists()
    assert json.loads((tmp_path / "a.json").read_text())["total"] == 40
    for more in ("", "--stratify-by score", "--group-by language"):
        assert ran(f"split mine/v1 --input all.jsonl --output-dir splits {more}")[0] == 0
        counts = json.loads((tmp_path / "splits/split.json").read_text())["counts"]
        assert sum(counts.values()) == 40
    code, _, err = ran("split mine/v1 --input all.jsonl --output-dir s --train-ratio 0.9")
    assert code == 1
    assert "sum to 1" in err
    code, _, err = ran("merge mine/v1 --input none.jsonl --output b.jsonl")
    assert code == 1
    assert "there is no file 'none.jsonl'" in err


def test_good_articles_that_a_keyword_rule_blocks_are_counted_per_language(ran, tmp_path):
    """An English word is demanded of all: German articles, as good as the others, are lost."""
    ran("new mine/v1 --dimensions a,b")
    rules = tmp_path / "mine/v1/prefilter.yaml"
    rules.write_text("version: '1'\nmin_content_length: 10\nrequired: {off_topic: ['solar']}\n")
    articles = [
        {"id": f"{language}{n}", "title": "T", "language": language,
         "content": f"{word if n % 2 else 'other'} words, article {n}"}
        for language, word in (("en", "solar"), ("de", "Sonnenstrom"))
        for n in range(40)
    ]  # fmt: skip
    write_lines(tmp_path / "corpus.jsonl", articles)
    line = "screen mine/v1 --source corpus.jsonl --blocked-sample blocked.jsonl"
    assert ran(line)[0] == 0
    blocked = [json.loads(one) for one in (tmp_path / "blocked.jsonl").read_text().splitlines()]
    passed = [one for one in articles if "solar" in one["content"]]

    def judged(one):
        good = 9 if int(one["id"][2:]) % 2 else 1
        return one | {"mine_analysis": {"a": good, "b": good}}

    write_lines(tmp_path / "labels.jsonl", [judged(one) for one in [*blocked, *passed[:10]]])
    code, out, _ = ran(f"{line} --labels labels.jsonl --report report.json")
    assert code == 0
    lost = json.loads((tmp_path / "report.json").read_text())["lost"]
    assert (lost["en"]["good"], lost["de"]["good"], lost["de"]["labelled"]) == (0, 20, 40)
    assert lost["de"]["false_negative_rate"] == 1.0
    assert lost["en"]["false_negative_rate"] == 0.0
    assert lost["all"]["false_negative_rate"] == 0.5
    assert "so about 20 are lost, 100.0 % of all good ones" in out


def test_near_copies_stay_in_one_part_and_rare_tiers_are_repeated_in_training_only(ran, tmp_path):
    def article(n, copy):
        words = " ".join(f"w{(n + 1) * (k + 7) ** 2 % 997}" for k in range(120))
        return {"id": f"{n}-{copy}", "title": "T", "content": words + f" copy {copy}",
                "mine_analysis": dict.fromkeys("ab", 9 if n < 2 else 1)}  # fmt: skip

    ran("new mine/v1 --dimensions a,b")
    write_lines(tmp_path / "all.jsonl", [article(n, copy) for n in range(40) for copy in range(3)])

    def parts(more):
        assert ran(f"split mine/v1 --input all.jsonl --output-dir s {more}")[0] == 0
        return {
            part: [json.loads(x)["id"] for x in (tmp_path / f"s/{part}.jsonl").open()]
            for part in ("train", "val", "test")
        }

    def articles_of(ids):
        return {one.split("-")[0] for one in ids}

    together = parts("--oversample")
    for one in together:
        for other in together:
            assert one == other or not articles_of(together[one]) & articles_of(together[other])
    alone = parts("--near-duplicates 0")
    assert articles_of(alone["train"]) & articles_of(alone["test"]), "else the test shows nothing"
    balanced = [json.loads(x)["id"] for x in (tmp_path / "s/train_balanced.jsonl").open()]
    assert set(balanced) == set(together["train"])
    rare = [one for one in balanced if int(one.split("-")[0]) < 2]
    assert len(rare) >= 0.1 * len(balanced)
    assert len(rare) > len(set(rare))
