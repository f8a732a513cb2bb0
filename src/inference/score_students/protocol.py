"""What every score student is: dimensions, a view, and scores of texts.

student = open_score_student("outputs/uplifting/tfidf")
student.predict([f"{title}\n\n{content}"])      # (1, D), in units of the filter's scale

A folder holds `student.json` and, beside it, safetensors and JSON; nothing in it is ever run.

Sizes: N texts, D dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Protocol

import numpy as np
from numpy.typing import NDArray

from ...config import as_settings, read_written_json
from ...errors import CheckpointError, ConfigError, did_you_mean
from ...files import write_json

Floats = NDArray[np.float64]
STUDENT_FILE: Final = "student.json"
WEIGHTS_FILE: Final = "weights.safetensors"
SCHEMA_VERSION: Final = 1


@dataclass(frozen=True)
class StudentFacts:
    """What is known of a student whatever its kind."""

    dimensions: tuple[str, ...]
    """Names, in the order of the columns of `predict`."""
    view_hash: str
    """`InputView.sha256` of the labels that it learned from; empty where none was given."""
    lowest: float = 0.0
    highest: float = 10.0
    """Scores are cut to this range."""
    filter_name: str = ""
    filter_version: str = ""
    prompt_hash: str = ""

    def clipped(self, scores: Floats) -> Floats:
        """Cut finite scores to the range; NaN stays, so that the scorer reports it."""
        return np.clip(scores, self.lowest, self.highest)


class ScoreStudent(Protocol):
    """Scores texts on several dimensions."""

    @property
    def kind(self) -> str:
        """One of `KINDS`."""
        ...

    @property
    def facts(self) -> StudentFacts:
        """Dimensions, view, range."""
        ...

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Names, in the order of the columns of `predict`."""
        ...

    @property
    def view_hash(self) -> str:
        """Hash of the view of the labels that it learned from."""
        ...

    def predict(self, texts: Sequence[str]) -> Floats:
        """Score texts, each `<title>\\n\\n<content>` as `InputView.student_text` writes it.

        Returns:
            (N, D), from `facts.lowest` to `facts.highest`.
        """
        ...

    def save(self, folder: str | Path) -> Path:
        """Write the student into a folder, whole or not at all; give the folder."""
        ...


KINDS: Final = ("tfidf", "probe", "frozen", "tuned", "lora", "generative")
"""From the cheapest to the most expensive."""


def read_student_file(folder: Path) -> dict[str, Any]:
    """Read `student.json`.

    Raises:
        ConfigError: It is no JSON object, of a later version, or of an unknown kind.
    """
    path = folder / STUDENT_FILE
    settings = as_settings(read_written_json(path), path)
    if settings.get("schema_version") != SCHEMA_VERSION:
        raise ConfigError([f"{path}: schema_version is {settings.get('schema_version')!r}; this "
                           f"version of stillroom reads {SCHEMA_VERSION}"])  # fmt: skip
    if settings.get("kind") not in KINDS:
        given = settings.get("kind")
        raise ConfigError([f"{path}: kind is {given!r}; {did_you_mean(given, KINDS, what='kind')}"])
    return settings


def write_student_file(
    folder: Path, kind: str, facts: StudentFacts, more: Mapping[str, Any]
) -> None:
    """Write `student.json`."""
    told = {**asdict(facts), "dimensions": list(facts.dimensions)}
    head = {"schema_version": SCHEMA_VERSION, "kind": kind}
    write_json(folder / STUDENT_FILE, {**head, **told, **more})


def read_weights(folder: Path) -> dict[str, Any]:
    """Read the tensors of a student, as torch tensors on the CPU.

    Raises:
        CheckpointError: The file is missing or damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return dict(load_file(folder / WEIGHTS_FILE))
    except (OSError, SafetensorError) as fault:
        raise CheckpointError(f"{folder / WEIGHTS_FILE} cannot be read: {fault}") from fault


def require_weights(
    weights: Mapping[str, Floats], shapes: Mapping[str, tuple[int, ...]], folder: Path
) -> None:
    """Refuse weights that are missing, of another shape, or not finite.

    Raises:
        CheckpointError: Names each.
    """
    faults = []
    for name, shape in shapes.items():
        if name not in weights:
            faults.append(f"{name} is missing")
        elif weights[name].shape != shape:
            faults.append(f"{name} is {weights[name].shape}; {shape} is needed")
        elif not np.isfinite(weights[name]).all():
            faults.append(f"{name} is not finite")
    if faults:
        raise CheckpointError(f"{folder / WEIGHTS_FILE}: {'; '.join(faults)}")


def facts_of(settings: Mapping[str, Any], folder: Path) -> StudentFacts:
    """Read what `student.json` says whatever the kind.

    Raises:
        ConfigError: A value is not allowed.
    """
    names = settings.get("dimensions")
    if not isinstance(names, list) or not names or not all(isinstance(n, str) for n in names):
        raise ConfigError([f"{folder / STUDENT_FILE}: dimensions is {names!r}; a list of names is "
                           "needed"])  # fmt: skip
    low, high = settings.get("lowest", 0.0), settings.get("highest", 10.0)
    if not (isinstance(low, (int, float)) and isinstance(high, (int, float)) and low < high):
        raise ConfigError([f"{folder / STUDENT_FILE}: the range is {low!r} to {high!r}"])
    words = ("view_hash", "filter_name", "filter_version", "prompt_hash")
    return StudentFacts(
        tuple(names), lowest=float(low), highest=float(high),
        **{name: str(settings.get(name, "")) for name in words},
    )  # fmt: skip
