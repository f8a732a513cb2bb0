"""The report of a run: what it says, its three forms, and its page in a browser."""

from __future__ import annotations

import json
import re
import shutil
from html.parser import HTMLParser

import pytest
from made_runs import EVIL, RATES, make_answer_run, make_filter_run
from stillroom.cli import main
from stillroom.evaluation.report.cost import Prices
from stillroom.evaluation.report.html import report_page
from stillroom.evaluation.report.markdown import report_markdown
from stillroom.files import read_json
from stillroom.pipeline.run_report.answer_report import answer_report
from stillroom.pipeline.run_report.report_command import report_of
from stillroom.rate_interval import wilson_interval

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)


class Page(HTMLParser):
    """The texts of a page, and of each section; tags and addresses."""

    def __init__(self, html):
        super().__init__()
        self.tags, self.links, self.text, self.sections = [], [], "", {}
        self._section = None
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [v for k, v in attrs if k in ("src", "href", "action", "data")]
        if tag == "section":
            self._section = dict(attrs)["id"]

    def handle_data(self, data):
        self.text += data
        if self._section is not None:
            self.sections[self._section] = self.sections.get(self._section, "") + data


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    place = tmp_path_factory.mktemp("runs")
    make_answer_run(place / "answers")
    make_filter_run(place / "filter")
    make_answer_run(place / "bare", rates={"student": 0.6}, int8=False)
    (place / "bare" / "metrics.json").unlink()
    (place / "bare" / "timing.json").unlink()
    return place


@pytest.mark.parametrize("kind", ["answers", "filter", "bare"])
def test_the_three_forms_say_the_same_and_load_nothing(runs, kind, tmp_path):
    assert main(["report", str(runs / kind), "--output", str(tmp_path)]) == 0
    html = (tmp_path / "report.html").read_text(encoding="utf-8")
    page, told = Page(html), read_json(tmp_path / "report.json")
    markdown = (tmp_path / "report.md").read_text(encoding="utf-8")
    assert not {"script", "link", "img", "iframe"} & set(page.tags)
    assert all(link.startswith("#") for link in page.links)
    assert "default-src 'none'" in html
    assert 1 <= len(told["conclusion"]) <= 2
    for sentence in told["conclusion"]:
        assert sentence in " ".join(page.text.split())
    for section in told["sections"]:
        assert section["look"].startswith("Look")
        assert section["title"] in page.sections[section["name"]]
        assert f"## {section['title']}" in markdown
        assert bool(section["blocks"]) != bool(section["missing"]), section["name"]
        assert section["missing"] in page.sections[section["name"]]
    if kind != "bare":
        assert EVIL in page.text
        assert EVIL not in markdown


def test_ten_questions_of_a_stranger_are_answered_by_the_page(runs):
    """The questions of a stranger, each with the words of the page that answer it."""
    report = answer_report(runs / "answers", Prices(teacher_input=1.0, teacher_output=4.0))
    text = {k: " ".join(v.split()) for k, v in Page(report_page(report)).sections.items()}
    rates = report.numbers["quality"]
    right, n = rates["student"]["right"], rates["student"]["n"]
    answers = {
        "What was made, and from what?": ("lineage", "stars.csv", "120 records", "d" * 64),
        "How good is it?": ("quality", f"{right} of {n}"),
        "How much worse than the teacher is it, and is that sure?": (
            "difference", report.numbers["difference"]["teacher"]["words"][1:], "95 % interval",
        ),
        "Would it be as good without the teacher?": ("difference", "student, no teacher"),
        "Would something simpler do?": ("quality", "plain: lookup", "plain: nearest question"),
        "On which questions does it fail?": ("parts", "distance", "over 100", "31 to 100"),
        "Can I trust its confidence?": ("confidence", "points on average", "risk over coverage"),
        "How big and fast is it?": ("size", "1.2 M", "18 ms", "31 ms", "812"),
        "What does it cost, and when has it paid for itself?": ("cost", "thousand", "after",
                                                               "EUR"),
        "What does int8 cost?": ("int8", "cost 1 of 150 answers fewer right", "29%", "133 of 150"),
    }  # fmt: skip
    answers["On which questions does it fail?"] = ("parts", "colour", "31 to 100")
    for question, (section, *words) in answers.items():
        for word in words:
            assert word in text[section], (question, word)
    low, high = wilson_interval(right, n)
    assert f"{100 * low:.1f} to {100 * high:.1f} %" in text["quality"]
    assert [round(end, 9) for end in rates["student"]["rate_ci95"]] == [
        round(low, 9), round(high, 9),
    ]  # fmt: skip


def test_break_even_is_training_cost_over_what_an_answer_saves(runs):
    prices = Prices(watts=100, kwh_price=0.5, teacher_input=2.0, teacher_output=10.0,
                    prompt_tokens=100, answer_tokens=20)  # fmt: skip
    cost = report_of(runs / "answers", prices).numbers["cost"]
    student = 100 * 0.020 / 3600 / 1000 * 0.5
    teacher = (2.0 * 100 + 10.0 * 20) / 1e6
    spent = 100 * 95.5 / 3600 / 1000 * 0.5
    assert cost["cost_per_1000_answers"] == pytest.approx(
        {"student": 1000 * student, "teacher": 1000 * teacher}
    )
    assert cost["training_cost"] == pytest.approx(spent)
    assert cost["break_even_answers"] == -(-spent // (teacher - student))


def test_the_examples_are_right_and_wrong_and_the_worst_are_the_surest(runs):
    report = answer_report(runs / "answers")
    by_name = {section.name: section for section in report.sections}
    (examples,) = by_name["examples"].blocks
    verdicts = [one.said[0].right for one in examples.asked]
    assert len(verdicts) == 10
    assert verdicts.count(False) == 5
    assert all(one.said[1].model == "teacher" for one in examples.asked)
    (worst,) = by_name["worst"].blocks
    wrong = report.numbers["quality"]["student"]
    assert len(worst.asked) == min(50, wrong["n"] - wrong["right"])
    assert not any(one.said[0].right for one in worst.asked)
    assert set(report.numbers["agreement"]) == set(RATES)
    assert report.numbers["agreement"]["student"]["student"] == 1.0


def test_json_is_printed_and_nothing_is_written(runs, tmp_path, capsys):
    folder = make_answer_run(tmp_path / "run")
    before = sorted(path.name for path in folder.iterdir())
    assert main(["report", str(folder), "--json", "--teacher-price", "1,2"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["numbers"]["cost"]["assumptions"]["teacher_output"] == 2.0
    assert sorted(path.name for path in folder.iterdir()) == before


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        (["--teacher-price", "1"], 2, "--teacher-price is '1'; write two prices"),
        (["--watts", "0"], 2, "--watts is '0'"),
    ],
)
def test_wrong_options_are_told(runs, options, code, words, capsys):
    with pytest.raises(SystemExit) as stopped:
        raise SystemExit(main(["report", str(runs / "answers"), *options]))
    assert stopped.value.code == code
    assert words in capsys.readouterr().err


def test_a_folder_that_is_no_run_is_told(tmp_path, capsys):
    assert main(["report", str(tmp_path)]) == 1
    assert "give the folder of a finished run" in capsys.readouterr().err


@pytest.mark.browser
@pytest.mark.parametrize("kind", ["answers", "filter", "bare"])
def test_the_page_in_chromium_is_not_too_wide_and_asks_for_nothing(runs, kind, tmp_path):
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("no Chromium here; apt-get install chromium")
    page_file = tmp_path / "report.html"
    page_file.write_text(report_page(report_of(runs / kind, Prices())), encoding="utf-8")
    with api.sync_playwright() as running:
        browser = running.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        for width in (1440, 360):
            page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme="dark")
            asked, broken = [], []
            page.on("request", lambda request, asked=asked: asked.append(request.url))
            page.on("console", lambda message, broken=broken: broken.append(message.text))
            page.goto(page_file.as_uri())
            assert page.evaluate("document.documentElement.scrollWidth") <= width
            assert asked == [page_file.as_uri()]
            assert broken == []
            small = page.evaluate(
                "Math.min(...[...document.querySelectorAll('svg text')].map("
                "text => text.getBoundingClientRect().height))"
            )
            assert small >= 11, "a text of a chart that cannot be read"
            outside = page.evaluate(
                "[...document.querySelectorAll('svg text')].filter(text => {"
                "const box = text.getBoundingClientRect();"
                "return box.right > innerWidth || box.left < 0}).map(text => text.textContent)"
            )
            assert outside == []
        browser.close()


def test_markdown_escapes_and_keeps_one_line_a_row(runs):
    text = report_markdown(answer_report(runs / "answers"))
    assert not re.search(r"<(?!\\)", text.replace("\\<", ""))
    tables = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert tables
    for rows in tables:
        bare = [row.replace("\\|", "") for row in rows]
        assert len({row.count("|") for row in bare}) == 1
