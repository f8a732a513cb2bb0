"""A teacher that reasons several times, and what it agrees with itself about."""

import pytest
from stillroom.errors import ConfigError
from stillroom.labeling.tasks.self_consistency import choose_chain, consistent_thoughts
from stillroom.labeling.teachers.protocol import DecodeProfile, TeacherAnswer


@pytest.mark.parametrize(
    ("chains", "least", "right", "chosen"),
    [
        (["a #### 3", "longer a #### 3", "b #### 4"], 0.5, "", ("a #### 3", 2 / 3)),
        (["#### 3", "#### 3.0", "#### 4"], 0.5, "", ("#### 3", 2 / 3)),
        (["#### 3", "#### 4"], 0.5, "", "no_majority"),
        (["#### 3"], 0.5, "", "no_majority"),  # two of three samples failed
        (["#### 3", "#### 3", "#### 3"], 0.5, "#### 4", "wrong_answer"),
        (["#### 3", "#### 3", "#### 3"], 0.5, "so 3", ("#### 3", 1.0)),
        (["", " "], 0.0, "", "no_answer"),
        ([], 0.0, "", "no_answer"),
    ],
)
def test_the_most_frequent_answer_is_chosen(chains, least, right, chosen):
    assert choose_chain(chains, 3, least, right=right) == chosen


class Reasoner:
    """Says something else each time it is asked, by the seed that it gets."""

    name, revision = "reasoner", None

    def __init__(self):
        self.seeds = set()

    async def ask(self, prompt, profile, *, call_id=""):
        self.seeds.add(profile.seed)
        assert "think step by step" in prompt
        if "sure" in prompt:
            return TeacherAnswer(f"thought {profile.seed}\n#### 5")
        return TeacherAnswer(f"#### {profile.seed}")

    async def close(self):
        pass


def test_only_what_the_teacher_agrees_about_passes(tmp_path):
    teacher = Reasoner()
    records = [
        {"instruction": "sure?", "input": "", "id": 1},
        {"instruction": "doubtful?", "input": "", "id": 2},
        {"instruction": "sure but wrong?", "input": "", "output": "#### 6", "id": 3},
    ]
    found = consistent_thoughts(teacher, records, tmp_path, samples=4)
    assert len(teacher.seeds) >= 4, "every sample has a seed of its own"
    assert [(r["id"], r["agreement"]) for r in found.records] == [(1, 1.0)]
    assert found.records[0]["output"].endswith("#### 5")
    assert [(r["id"], why) for r, why in found.rejected] == [
        (2, "no_majority"),
        (3, "wrong_answer"),
    ]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 1}, "samples is 1"),
        ({"least_share": 1.0}, "least_share is 1.0"),
        ({"profile": DecodeProfile(temperature=0.0)}, "all be the same"),
    ],
)
def test_settings_that_make_no_sense_are_refused(tmp_path, options, message):
    with pytest.raises(ConfigError, match=message):
        consistent_thoughts(Reasoner(), [], tmp_path, **options)
