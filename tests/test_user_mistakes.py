"""Typical mistakes are one sentence each, whose advice can be typed.

`user_mistakes.py` runs more of them, in processes of their own, with time.
"""

import pytest
import user_mistakes
from stillroom.cli import main

MISTAKES = [case for case in user_mistakes.mistakes() if case.most_s is not None and not case.shell]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("mistakes")
    user_mistakes.write_files(place)
    return place


@pytest.mark.parametrize("case", MISTAKES, ids=lambda case: case.what)
def test_a_mistake_is_refused_in_a_sentence(case, folder, monkeypatch, capsys):
    monkeypatch.chdir(folder)
    for name in ("OPENAI_API_KEY", "HF_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    code = main(case.command)
    out, err = capsys.readouterr()
    assert user_mistakes.faults_of(case, code, out, err, 0.0) == []


def test_the_judge_finds_faults():
    """A judge that is content with everything would be no test."""
    case = user_mistakes.Case("x", ["run", "--data", "x.csv"])
    judge = user_mistakes.faults_of
    assert judge(case, 0, "", "", 0.0) == ["not refused"]
    assert judge(case, 1, "", "", 0.0) == ["nothing on the error stream"]
    assert judge(case, 1, "", "Traceback (most recent call last)", 0.0) == ["a traceback"]
    assert judge(case, 1, "", "KeyError: 'x'", 0.0) == ["the name of a Python error"]
    assert judge(case, 1, "", "no", 9.0) == ["9.0 s of computing"]
    assert judge(case, 1, "", "pass --encoding cp1252", 0.0) == []
    assert "advises --skip" in judge(case, 1, "", "pass --skip 3", 0.0)[0]
    assert "advises 'stillroom train'" in judge(case, 1, "", "run stillroom train first", 0.0)[0]
    assert judge(case, 1, "", "stillroom label has --retry-failed", 0.0) == []
