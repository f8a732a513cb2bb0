"""Files of articles into scores: by trained students, cascades and servers; resumed, never half."""

import json

import numpy as np
import pytest
from made_filter import CONFIG, PROMPT, changed, write_filter
from stillroom.distillation.score_students.score_examples import ScoreExamples
from stillroom.distillation.score_students.train_tfidf import train_tfidf
from stillroom.errors import ConfigError, DataError, DataNotFoundError, EmptyDataError
from stillroom.files import read_json_lines
from stillroom.inference.score_students.protocol import StudentFacts
from stillroom.labeling.filters.filter_package import load_filter
from stillroom.labeling.filters.patterns import PatternTimeError
from stillroom.labeling.filters.scoring.cascade import HybridScorer
from stillroom.labeling.filters.scoring.int8_cost import int8_scorer
from stillroom.labeling.filters.scoring.score_files import score_file
from stillroom.labeling.filters.scoring.scorer import FilterBaseScorer
from stillroom.labeling.filters.scoring.student_scorer import (
    ServedScorer,
    StudentScorer,
    open_scorer,
)

WORDS = ("sunny", "gloomy", "quiet", "loud", "near", "far")


def article(n):
    rng = np.random.default_rng(n)
    words = rng.choice(WORDS, 90)
    return {"id": f"a{n}", "title": f"Title {n}", "content": " ".join(words) + " and so on."}


def scores_of(text):
    return [10 * text.count(word) / 45 for word in ("sunny", "quiet", "near")]


def trained(package, n=300):
    texts = [package.view.student_text(package.view.read(article(k))) for k in range(n)]
    examples = ScoreExamples(texts, np.array([scores_of(t) for t in texts]), np.ones(n))
    facts = StudentFacts(
        ("a", "b", "c"), package.view.sha256, prompt_hash=package.prompt.prompt_hash
    )
    parts = [examples.chosen(range(0, n - 60)), examples.chosen(range(n - 60, n))]
    return train_tfidf(*parts, facts)


@pytest.fixture(scope="module")
def package(tmp_path_factory):
    config = changed("preprocessing", {"compression": {"max_words": 60}})
    folder = write_filter(tmp_path_factory.mktemp("filter"), config)
    trained(load_filter(folder)).save(folder / "model")
    return load_filter(folder)


def write_articles(path, numbers):
    path.write_text("".join(json.dumps(article(n)) + "\n" for n in numbers))
    return path


def test_a_thousand_documents_are_the_same_for_oracle_training_and_serving(package, tmp_path):
    """What the three receive in the end, not what the view says of itself."""
    asked, learned, served = {}, {}, {}

    class Recorder(StudentScorer):
        def predict(self, texts):
            served.update((text.split("\n", 1)[0], text) for text in texts)
            return super().predict(texts)

    articles = [article(n) for n in range(1000)]
    for one in articles:
        shown = package.view.read(dict(one))
        asked[one["title"]] = package.view.oracle_prompt(shown)
        learned[one["title"]] = package.view.student_text(
            package.view.read(json.loads(json.dumps(one)))
        )
    scorer = Recorder(package, open_scorer(package).student)
    scorer.score_batch(articles)
    assert learned == served
    assert len(served) == 1000
    for title, text in served.items():
        assert text.split("\n\n", 1)[1] in asked[title]
        assert len(text) < len(next(a["content"] for a in articles if a["title"] == title))


def test_a_student_of_another_prompt_is_refused_when_it_serves(package, tmp_path):
    other = write_filter(
        tmp_path,
        changed("preprocessing", {"compression": {"max_words": 60}}),
        PROMPT.replace("Rate", "rate"),
    )
    student = package.folder / "model"
    with pytest.raises(ConfigError, match=r"the prompt has changed since .*prompt_hash is"):
        open_scorer(load_filter(other), student=student)
    scorer = open_scorer(load_filter(other), student=student, allow_view_mismatch=True)
    assert scorer.score_article(article(1))["tier"] in {"low", "medium", "high"}
    shorter = write_filter(tmp_path / "s", CONFIG)
    with pytest.raises(ConfigError, match="the shortening of articles has changed since"):
        open_scorer(load_filter(shorter), student=student)
    with pytest.raises(DataNotFoundError, match="there is no student in"):
        open_scorer(load_filter(shorter))


def test_a_student_of_other_dimensions_is_refused(package):
    class Other:
        dimensions = ("a", "b")
        facts = StudentFacts(("a", "b"), package.view.sha256)

    with pytest.raises(ConfigError, match="the student scores a, b; the filter made has a, b, c"):
        StudentScorer(package, Other())


def test_columns_of_a_student_are_put_in_the_order_of_the_filter(package):
    class Turned:
        dimensions = ("c", "a", "b")
        facts = StudentFacts(dimensions, package.view.sha256)

        def predict(self, texts):
            return np.array([[1.0, 2.0, 3.0]] * len(texts))

    scorer = StudentScorer(package, Turned())
    assert scorer.score_article(article(1))["scores"] == {"a": 2.0, "b": 3.0, "c": 1.0}


def test_a_file_is_scored_and_a_run_that_was_broken_off_goes_on(package, tmp_path):
    source = write_articles(tmp_path / "articles.jsonl", range(40))
    whole = score_file([open_scorer(package)], source, tmp_path / "whole.jsonl", chunk=8)
    assert (whole.articles, whole.resumed) == (40, 0)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["articles.jsonl", "whole.jsonl"]
    rows = read_json_lines(tmp_path / "whole.jsonl")
    assert [row["id"] for row in rows] == [f"a{n}" for n in range(40)]
    assert rows[0]["made_scores"]["filter_name"] == "made"
    assert sum(whole.tiers["made"].values()) == 40

    seen = []

    class Breaks(StudentScorer):
        def predict(self, texts):
            seen.extend(texts)
            if len(seen) > 20:
                raise KeyboardInterrupt
            return super().predict(texts)

    output = tmp_path / "broken.jsonl"
    student = open_scorer(package).student
    with pytest.raises(KeyboardInterrupt):
        score_file([Breaks(package, student)], source, output, chunk=8)
    assert not output.exists()
    part = tmp_path / "broken.jsonl.part"
    with open(part, "ab") as stream:  # a line that a kill has torn
        stream.write(b'{"id": "a16", "tit')
    again = score_file([StudentScorer(package, student)], source, output, chunk=8)
    assert (again.articles, again.resumed) == (40, 16)
    assert output.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert not part.exists()


def test_another_student_starts_anew_and_other_articles_are_refused(package, tmp_path):
    source = write_articles(tmp_path / "articles.jsonl", range(20))
    output = tmp_path / "out.jsonl"
    scorer = open_scorer(package)

    def broken(students):
        class Breaks(StudentScorer):
            calls = 0

            def predict(self, texts):
                type(self).calls += 1
                if self.calls > 2:
                    raise KeyboardInterrupt
                return super().predict(texts)

        with pytest.raises(KeyboardInterrupt):
            score_file([Breaks(package, scorer.student)], source, output, chunk=4,
                       students=students)  # fmt: skip

    broken({"hash": 1})
    assert score_file([scorer], source, output, students={"hash": 2}).resumed == 0
    broken({"hash": 2})
    write_articles(source, range(5, 25))
    with pytest.raises(DataError, match="the articles have changed since"):
        score_file([scorer], source, output, students={"hash": 2})


def test_a_second_process_and_an_empty_file_are_refused(package, tmp_path):
    import fcntl

    source = write_articles(tmp_path / "articles.jsonl", range(2))
    with open(tmp_path / "out.jsonl.part", "ab") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(DataError, match=r"out\.jsonl: another process is writing it"):
            score_file([open_scorer(package)], source, tmp_path / "out.jsonl")
    write_articles(source, ())
    with pytest.raises(EmptyDataError, match="there are no articles"):
        score_file([open_scorer(package)], source, tmp_path / "none.jsonl")


def test_an_article_that_cannot_be_shortened_fails_alone(tmp_path):
    config = changed("preprocessing", {"compression": {"max_words": 60,
                                                       "keep_patterns": ["(a|aa)+$"]}})  # fmt: skip
    folder = write_filter(tmp_path, config)
    package = load_filter(folder)

    class Fixed(FilterBaseScorer):
        def predict(self, texts):
            return [[5.0, 5.0, 5.0]] * len(texts)

    hostile = {"id": "h", "title": "T", "content": "word " * 200 + "a" * 60 + "b"}
    with pytest.raises(PatternTimeError):
        package.view.read(hostile)
    first, second = Fixed(package).score_batch([hostile, article(1)])
    assert (first["scores"], first["prefilter_reason"]) == (None, "pattern_time")
    assert second["scores"] == {"a": 5.0, "b": 5.0, "c": 5.0}


def test_the_probe_of_a_package_is_the_first_stage(package, tmp_path):
    with pytest.raises(ConfigError, match="threshold is 3, and there is no probe"):
        open_scorer(package, threshold=3.0)
    articles = [article(n) for n in range(30)]
    alone = open_scorer(package).score_batch(articles)
    threshold = sorted(one["weighted_average"] for one in alone)[15]
    scorer = open_scorer(package, probe=package.folder / "model", threshold=threshold)
    assert isinstance(scorer, HybridScorer)
    results = scorer.score_batch(articles)
    stages = {one["stage_used"] for one in results}
    assert stages == {"stage1_low", "stage2"}
    assert sum(one["stage_used"] == "stage2" for one in results) >= 15
    assert all((one["stage1_estimate"] < threshold) == (one["stage_used"] == "stage1_low")
               for one in results)  # fmt: skip


class Answers:
    """An engine of scripted replies."""

    takes = "messages"

    def __init__(self, replies):
        self.replies, self.requests = list(replies), []

    def submit(self, request):
        from stillroom.inference.engine.protocol import TokenEvent

        self.requests.append(request)
        reply = self.replies[min(len(self.requests), len(self.replies)) - 1]
        return [TokenEvent(None, None, text) for text in (reply[:3], reply[3:])]


def test_a_served_model_is_asked_again_once_and_never_guessed(package):
    good = '{"a": 8, "b": 7, "c": 6}'
    engine = Answers([good, '{"a": 11, "b": 7, "c": 6}', good, "no scores", "still none"])
    scorer = ServedScorer(package, engine)
    first, second = scorer.score_batch([article(1), article(2)], batch_size=2)
    assert first["scores"] == second["scores"] == {"a": 8.0, "b": 7.0, "c": 6.0}
    third = scorer.score_article(article(3))
    assert (third["scores"], third["prefilter_reason"]) == (None, "not_finite")
    assert len(engine.requests) == 5
    assert engine.requests[0].messages[0]["content"].startswith("Rate this.\n\nTitle: Title 1")
    assert scorer.refused[0].startswith("out_of_range a")
    plain = Answers([good])
    ServedScorer(package, plain, include_prompt=False, structured=True).score_article(article(1))
    assert plain.requests[0].messages[0]["content"].startswith("Title 1\n\n")
    assert plain.requests[0].extra["response_format"]["type"] == "json_schema"


def test_the_cost_of_eight_bits_is_measured_on_the_same_texts(package):
    class Rounds:
        kind, dimensions = "made", ("a", "b", "c")
        facts = StudentFacts(dimensions, package.view.sha256)

        def __init__(self, shift=0.0):
            self.shift = shift

        def predict(self, texts):
            return np.array([scores_of(text) for text in texts]) + self.shift

        def int8(self):
            return Rounds(0.5)

    scorer = StudentScorer(package, Rounds())
    articles = [article(n) for n in range(50)]
    faster, cost = int8_scorer(scorer, [*articles, {"id": "x", "title": "no content"}])
    assert faster.student.shift == 0.5
    assert scorer.student.shift == 0.0
    assert cost.texts == 50
    assert cost.mean_difference == pytest.approx(0.5)
    before, after = (one.score_batch(articles) for one in (scorer, faster))
    tiers = [a["tier"] != b["tier"] for a, b in zip(before, after, strict=True)]
    assert cost.tiers_changed == pytest.approx(np.mean(tiers))
    assert "scores differ by 0.500 on average" in cost.lines()[0]
    with pytest.raises(ConfigError, match="a student of the kind 'tfidf' has no encoder"):
        int8_scorer(open_scorer(package), articles)
    with pytest.raises(EmptyDataError, match="no article can be scored"):
        int8_scorer(scorer, [])
