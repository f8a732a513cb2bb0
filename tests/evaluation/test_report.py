from __future__ import annotations

import re
import struct
import zlib
from html.parser import HTMLParser

import pytest
from matplotlib.image import imread
from stillroom.errors import EmptyDataError
from stillroom.evaluation.model_card import model_card
from stillroom.evaluation.plots import COLOURS, plot_scores
from stillroom.evaluation.report import NOT_CLAIMED, write_report_html
from stillroom.evaluation.scores import ModelScores, TaskScores, display_name, format_table, percent


def test_table_is_aligned_and_in_order(scores):
    lines = format_table(scores).split("\n")
    assert [line[:21].rstrip() for line in lines[1:]] == [
        "teacher",
        "student, untrained",
        "student, no teacher",
        "student, teacher text",
        "student",
        "student, all gold",
    ]
    assert len({len(line) for line in lines}) == 1
    assert len(lines[0]) <= 110
    head = lines[0].split()
    assert head[:6] == ["exact", "qa", "summary", "validate", "F1", "agree"]
    student = dict(zip(lines[0].replace(" MB", "_MB").split(), lines[5].split()[1:], strict=True))
    assert student["exact"] == "95.0"
    assert student["qa"] == "97.0"
    assert student["params"] == "1.20M"
    assert student["disk_MB"] == "5.00"
    assert student["RAM_MB"] == "470"
    assert student["tok/s"] == "813"
    assert lines[2].count("-") >= 3, "no scores per task for the untrained one"
    assert ">1e6" in lines[2]


def test_the_widest_table_still_fits(scores):
    from dataclasses import replace

    wide = {}
    for name, model in scores.items():
        text = TaskScores(1.0, 1.0, 1.0, 1.0, 9)
        wide[name] = replace(
            model,
            by_task={**model.by_task, "text": text},
            parameters=71_234_567_890,
            bytes_on_disk=123_456_789_012,
            peak_memory_bytes=123_456_789_012,
            tokens_per_second=12345.6,
            batch_tokens_per_second=123456.7,
        )
    wide["a_control_with_a_very_long_name"] = wide["student"]
    assert max(map(len, format_table(wide).split("\n"))) <= 110


def test_no_scores_no_report():
    with pytest.raises(EmptyDataError):
        format_table({})


@pytest.mark.parametrize(
    ("value", "shown"),
    [(100, "100.0"), (99.99, "99.9"), (99.94, "99.9"), (0, "0.0"), (12.34, "12.3")],
)
def test_only_all_is_a_hundred_percent(value, shown):
    assert percent(value) == shown


def test_plot_is_a_png_with_ink(scores, tmp_path):
    path = plot_scores(scores, tmp_path / "scores.png")
    data = path.read_bytes()
    assert data[:8] == b"\x89PNG\r\n\x1a\n"
    width, height = struct.unpack(">II", data[16:24])
    assert width > 800
    assert height > 400
    chunks = b"".join(
        data[at + 4 : at + 4 + struct.unpack(">I", data[at - 4 : at])[0]]
        for at in (m.start() for m in re.finditer(b"IDAT", data))
    )
    assert len(set(zlib.decompress(chunks))) > 50
    assert [file.name for file in tmp_path.iterdir()] == ["scores.png"]


def blue_pixels(rate, tmp_path):
    """Draw three models without tasks; count the pixels in the colour of the third."""
    models = {name: ModelScores(1.0, 1.0, 1.0, 1.0, 9) for name in ("a", "b")}
    models["c"] = ModelScores(rate, rate, rate, 1.0, 9)
    image = imread(plot_scores(models, tmp_path / "plot.png"))
    colour = [int(COLOURS[2][at : at + 2], 16) / 255 for at in (1, 3, 5)]
    return int((abs(image[..., :3] - colour) < 0.002).all(-1).sum())


def test_models_without_tasks_get_one_bar_as_high_as_their_exact_match(tmp_path):
    legend, half, full = (blue_pixels(rate, tmp_path) for rate in (0.0, 0.5, 1.0))
    assert full - legend > 1000
    assert (half - legend) / (full - legend) == pytest.approx(0.5, abs=0.03)


class Page(HTMLParser):
    def __init__(self):
        super().__init__()
        self.tags, self.links, self.text = [], [], []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.links += [v for k, v in attrs if k in ("src", "href", "action", "data")]

    def handle_data(self, data):
        self.text.append(data)


def test_page_is_whole_escaped_and_loads_nothing(scores, tmp_path):
    plot = plot_scores(scores, tmp_path / "scores.png")
    evil = "<script src=https://evil.example/x.js></script>"
    path = write_report_html(
        tmp_path / "report.html",
        {**scores, evil: scores["student"]},
        title=evil,
        settings={evil: {"machine": evil}},
        plots={f"Exact match {evil}": plot},
    )
    html = path.read_text(encoding="utf-8")
    page = Page()
    page.feed(html)
    assert "script" not in page.tags
    assert "link" not in page.tags
    assert page.links, "the plot is in the page"
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    assert "default-src 'none'" in html
    text = " ".join(page.text)
    for sentence in NOT_CLAIMED:
        assert sentence in text
    for name in scores:
        assert display_name(name) in text
    assert "95.0" in text
    assert text.count(evil) >= 5


def test_page_without_extras(scores, tmp_path):
    html = write_report_html(tmp_path / "r.html", scores).read_text(encoding="utf-8")
    assert "Settings" not in html


def test_card_of_a_teacher_says_what_it_is_not(scores):
    card = model_card("teacher", name="elements", source="elements.csv", records=118)
    assert "trained from scratch on this one table" in card
    assert "no general knowledge" in card
    assert "Not evaluated." in card
    (code,) = re.findall(r"```python\n(.*?)```", card, re.DOTALL)
    for line in code.splitlines():
        if line.startswith("from "):
            exec(line)  # the names are where the card says


def test_card_of_a_student(scores):
    card = model_card(
        "student",
        name="ele*ments\n# injected",
        source="el`em.csv",
        records=1180,
        scores=scores["student"],
        teacher_scores=scores["teacher"],
        run={"run_id": "20260101T000000Z-abc", "seed": 0, "versions": {"torch": "2.13"}},
        example="Question: Q\n\nAnswer:",
    )
    assert card.startswith("---\nlibrary_name: transformers\n")
    assert "# ele\\*ments \\# injected\n" in card
    assert "`el'em.csv` (1,180 records)" in card
    rows = [line for line in card.split("\n") if line.startswith("|")]
    assert len(rows) == 4
    assert len({row.count("|") for row in rows[:1] + rows[2:]}) == 1
    assert "| this model | 95.0 | 97.0 | 85.0 | 95.0 | 95.0 | 1.25 | 1,200,000 |" in rows
    assert "480 held-out examples" in card
    assert "5.0 % of its answers" in card
    assert "20260101T000000Z-abc" in card
    assert repr("Question: Q\n\nAnswer:") in card
