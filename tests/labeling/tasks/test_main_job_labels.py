"""Labels of the main job: the teacher's own greedy texts, kept when the job is interrupted."""

import sys

import pytest
from project_paths import ROOT
from scripted_teacher import Scripted

sys.path.insert(0, str(ROOT / "tests" / "inference"))

from stillroom.errors import EngineFailedError, GenerationError
from stillroom.inference.generate import generate_texts
from stillroom.labeling.tasks.main_job_labels import label_examples
from stillroom.labeling.teachers.open_teacher import open_teacher
from stillroom.labeling.teachers.protocol import TeacherAnswer
from stillroom.records import Example
from tiny_model import PAIRS, make_trained


def asked(prompts):
    return [Example(str(n), prompt, "gold", "qa", str(n)) for n, prompt in enumerate(prompts)]


@pytest.mark.parametrize("concurrency", [1, 3, 128])
def test_labels_are_the_texts_that_the_model_generates(tmp_path, concurrency):
    examples = asked([*PAIRS, next(iter(PAIRS))])
    report = label_examples(
        open_teacher(make_trained()), examples, tmp_path, max_new_tokens=60, concurrency=concurrency
    )
    expected = generate_texts(make_trained(), [e.prompt for e in examples], max_new_tokens=60)
    assert [e.target for e in report.labelled] == [one.text.strip() for one in expected]
    assert [e.id for e in report.labelled] == [e.id for e in examples]
    assert report.rejected == []


def test_an_interrupted_labelling_continues_with_the_answers_it_has(tmp_path):
    prompts = [f"question {'x' * (n % 7)} {n}" for n in range(40)]
    broken = Scripted(
        lambda prompt, n: EngineFailedError("no memory") if n == 25 else f"A {prompt}"
    )
    with pytest.raises(GenerationError, match=r"could not answer .*no memory"):
        label_examples(broken, asked(prompts), tmp_path, concurrency=4)
    whole = Scripted(lambda prompt, n: f"A {prompt}")
    report = label_examples(whole, asked(prompts), tmp_path, concurrency=4)
    assert [e.target for e in report.labelled] == [f"A {prompt}" for prompt in prompts]
    assert whole.asked == [broken.asked[24]]


def test_answers_that_are_no_labels_are_rejected_with_the_reason(tmp_path):
    answers = {
        "a": "Au",
        "b": TeacherAnswer("A long", "length", 1, 2),
        "c": "",
        "d": "<think>Hm.</think>",
        "e": "<think>Hm.</think> Ag",
    }
    report = label_examples(Scripted(lambda prompt, n: answers[prompt]), asked(answers), tmp_path)
    assert [(e.id, e.target) for e in report.labelled] == [("0", "Au"), ("4", "Ag")]
    assert report.labelled[0].label["teacher"] == "scripted"
    reasons = [(e.prompt, reason) for e, reason in report.rejected]
    assert reasons == [("b", "cut off"), ("c", "empty"), ("d", "empty")]
