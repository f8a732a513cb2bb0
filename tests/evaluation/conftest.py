from __future__ import annotations

import math
import sys
from pathlib import Path

import pytest
from stillroom.evaluation.scores import ModelScores, TaskScores
from stillroom.inference.checkpoints.load_student import Checkpoint, save_checkpoint
from stillroom.records import Example

# The tiny trained model is made by the tests of the room that loads and runs it.
sys.path.insert(0, str(Path(__file__).parents[1] / "inference"))
from tiny_model import PAIRS, make_model, make_trained


@pytest.fixture(scope="session")
def trained() -> Checkpoint:
    """A model that knows all of `tiny_model.PAIRS`."""
    return make_trained()


@pytest.fixture(scope="session")
def folder(trained, tmp_path_factory):
    """The same model as a checkpoint folder."""
    place = tmp_path_factory.mktemp("evaluation") / "student"
    return save_checkpoint(place, trained.model, trained.tokenizer, {"seed": 0})


@pytest.fixture(scope="session")
def untrained(trained) -> Checkpoint:
    return Checkpoint(make_model(trained.tokenizer), trained.tokenizer, None, "untrained", {})


@pytest.fixture(scope="session")
def held_out() -> list[Example]:
    """What the trained model was taught, with two targets changed so that it is wrong there."""
    examples = []
    for number, (prompt, target) in enumerate(PAIRS.items()):
        task = {"Su": "summarize", "Qu": "qa", "Co": "qa"}[prompt[:2]]
        if prompt.endswith("right?"):
            task = "validate"
        wrong = {"Ag": "Silver", "yes": "no"}.get(target, target)
        examples.append(Example(id=f"e{number}", prompt=prompt, target=wrong, task=task))
    return examples


@pytest.fixture
def scores() -> dict[str, ModelScores]:
    def model(rate, **costs):
        by_task = {
            "qa": TaskScores(min(1.0, rate + 0.02), rate, rate, 1.2, 300),
            "summarize": TaskScores(max(0.0, rate - 0.1), rate, rate, 1.5, 60),
            "validate": TaskScores(rate, rate, rate, 1.3, 120),
        }
        return ModelScores(rate, rate, rate, 1.25, 480, by_task, **costs)

    big = {"parameters": 2_800_000, "weights_bytes": 11_200_000, "bytes_on_disk": 11_400_000,
           "peak_memory_bytes": 481_000_000, "tokens_per_second": 480.2}  # fmt: skip
    small = {"parameters": 1_200_000, "weights_bytes": 4_800_000, "bytes_on_disk": 5_000_000,
             "peak_memory_bytes": 470_000_000, "tokens_per_second": 812.7}  # fmt: skip
    untrained = ModelScores(0.0, 0.01, 0.0, math.inf, 480, **small)
    return {
        "student": model(0.95, **small),
        "teacher": model(0.99, **big),
        "student_untrained": untrained,
        "student_without_teacher": model(0.78, **small),
        "student_teacher_text": model(0.94, **small),
        "student_all_gold": model(1.0, **small),
    }
