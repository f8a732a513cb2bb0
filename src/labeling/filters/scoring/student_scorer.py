"""Scorers of trained students: one student, a cascade of two, or a model behind a server.

scorer = open_scorer(load_filter("filters/uplifting/v1"))
scorer.score_batch(articles)
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

import numpy as np

from ....errors import ConfigError, DataNotFoundError
from ....inference.engine.protocol import Engine, GenerationRequest, TokenEvent
from ....inference.score_students.open_student import open_score_student
from ....inference.score_students.protocol import STUDENT_FILE, Floats, ScoreStudent
from ..filter_config import FilterConfig
from ..filter_package import FilterPackage
from ..input_view import ShownArticle, require_same_view
from ..oracle_reply import read_reply, response_format
from ..scored_record import AnalysisFault
from .calibration import CALIBRATION_FILE, Calibration, load_calibration
from .cascade import HybridScorer
from .score_order import judge_scores
from .scorer import FilterBaseScorer

MODEL_FOLDER: Final = "model"
PROBE_FOLDER: Final = "probe"
"""Folders of the student and of the first stage in a package."""
_NO_CURVES: Final = Calibration({})


class StudentScorer(FilterBaseScorer):
    """Scores by a student that was trained on the filter's labels."""

    def __init__(
        self,
        package: FilterPackage,
        student: ScoreStudent,
        *,
        use_prefilter: bool = True,
        calibration: Calibration | None = None,
        allow_view_mismatch: bool = False,
        where: str = "the student",
    ) -> None:
        """Set filter and student.

        Args:
            package: The filter.
            student: With the filter's dimensions, in any order.
            use_prefilter: Whether the prefilter runs first.
            calibration: Of this student; None reads the package's `calibration.json`.
            allow_view_mismatch: Accept a student of another prompt or shortening of articles.
            where: Names the student in messages.

        Raises:
            ConfigError: The student has other dimensions, or learned from another view.
        """
        super().__init__(package, use_prefilter=use_prefilter, calibration=calibration)
        names = package.config.dimension_names
        if sorted(student.dimensions) != sorted(names):
            raise ConfigError([f"{where} scores {', '.join(student.dimensions)}; the filter "
                               f"{package.config.name} has {', '.join(names)}"])  # fmt: skip
        facts = student.facts
        require_same_view(
            {"prompt_hash": facts.prompt_hash or None, "view_hash": facts.view_hash or None},
            package.view,
            where=where,
            allow_view_mismatch=allow_view_mismatch,
        )
        self.student = student
        self._columns = [student.dimensions.index(name) for name in names]

    def predict(self, texts: Sequence[str]) -> Floats:
        """Give raw scores of texts, (N, D), in the order of the config."""
        return self.student.predict(texts)[:, self._columns]


class ServedScorer(FilterBaseScorer):
    """Scores by a model that writes JSON, behind any OpenAI-compatible server or in this process.

    All texts of a batch are sent at once. A reply that is not certain is asked for again, and then
    counts as `not_finite` for that article alone; an error of the server ends the run.
    """

    def __init__(
        self,
        package: FilterPackage,
        engine: Engine,
        *,
        use_prefilter: bool = True,
        calibration: Calibration | None = None,
        include_prompt: bool = True,
        structured: bool = False,
        max_tokens: int = 1024,
        attempts: int = 2,
    ) -> None:
        """Set filter and engine.

        Args:
            package: The filter.
            engine: One that takes messages, such as `RemoteEngine`.
            use_prefilter: Whether the prefilter runs first.
            calibration: Of this model; None takes none, as `calibration.json` is another's.
            include_prompt: Whether the model is asked with the filter's prompt; else with title and
                content alone, as a student that was trained without it.
            structured: Send the schema of a reply; the server must support `response_format`.
            max_tokens: Of a reply.
            attempts: Requests per text, 1 or more.

        Raises:
            ConfigError: The engine takes no messages, or `attempts` is below 1.
        """
        super().__init__(
            package, use_prefilter=use_prefilter, calibration=calibration or _NO_CURVES
        )
        if engine.takes != "messages":
            raise ConfigError(["the engine takes no messages; use the endpoint 'chat'"])
        if attempts < 1:
            raise ConfigError([f"attempts is {attempts}; allowed is 1 or more"])
        self.engine = engine
        self.include_prompt = include_prompt
        self._max_tokens, self._attempts = max_tokens, attempts
        self._extra = response_format(package.config) if structured else {}
        self.refused: list[str] = []
        """Why replies were not read, in their order."""

    def text_of(self, shown: ShownArticle) -> str:
        """Write what the model is asked."""
        view = self.package.view
        return view.oracle_prompt(shown) if self.include_prompt else view.student_text(shown)

    def predict(self, texts: Sequence[str]) -> Floats:
        """Give scores of texts, (N, D); NaN where no reply could be read."""
        names = self.package.config.dimension_names
        rows = np.full((len(texts), len(names)), np.nan)
        left = list(range(len(texts)))
        for attempt in range(self._attempts):
            streams = [self.engine.submit(self._request(texts[n], attempt)) for n in left]
            failed = []
            for place, stream in zip(left, streams, strict=True):
                try:
                    scores = read_reply(_text(stream), self.package.config).scores
                    rows[place] = [scores[name] for name in names]
                except AnalysisFault as fault:
                    self.refused.append(str(fault))
                    failed.append(place)
            left = failed
        return rows

    def _request(self, text: str, attempt: int) -> GenerationRequest:
        return GenerationRequest(
            messages=({"role": "user", "content": text},),
            max_tokens=self._max_tokens,
            temperature=0.0 if attempt == 0 else 0.7,
            seed=attempt,
            extra=self._extra,
        )


def _text(stream: Iterable[TokenEvent]) -> str:
    return "".join(event.text or "" for event in stream)


def open_scorer(
    package: FilterPackage,
    *,
    student: str | Path | None = None,
    probe: str | Path | None = None,
    threshold: float | None = None,
    use_prefilter: bool = True,
    allow_view_mismatch: bool = False,
    device: str | None = None,
) -> FilterBaseScorer:
    """Open the scorer of a filter: its student, behind its probe where there is one.

    Args:
        package: The filter.
        student: Folder of the student; None is `model` in the package.
        probe: Folder of the first stage, any student; None is `probe` in the package, where there
            is one.
        threshold: Weighted average of the probe from which the student reads an article; None takes
            that of the config, else that of the probe's training. 0 lets the student read all.
        use_prefilter: Whether the prefilter runs first.
        allow_view_mismatch: Accept students of another prompt or shortening of articles.
        device: Torch device.

    Raises:
        DataNotFoundError: There is no student.
        ConfigError: A student is not one of this filter.
    """
    folder = Path(student) if student is not None else package.folder / MODEL_FOLDER
    model = _student_scorer(package, folder, use_prefilter, allow_view_mismatch, device)
    first = Path(probe) if probe is not None else package.folder / PROBE_FOLDER
    if probe is None and not (first / STUDENT_FILE).is_file():
        if threshold is not None:
            raise ConfigError([f"threshold is {threshold:g}, and there is no probe in {first}; "
                               "train one with: stillroom filter probe"])  # fmt: skip
        return model
    stage1 = _student_scorer(package, first, use_prefilter, allow_view_mismatch, device)
    configured = package.config.settings.get("hybrid_inference", {}).get("stage1", {})
    if threshold is None and "threshold" not in configured:
        threshold = getattr(stage1.student, "threshold", None)
    return HybridScorer(package, stage1, model, threshold=threshold, use_prefilter=use_prefilter)


def weighted_averages(scores: Floats, config: FilterConfig) -> Floats:
    """Give the weighted averages (N,) of raw scores (N, D), after gatekeepers."""
    names = config.dimension_names
    made = [judge_scores(dict(zip(names, row, strict=True)), config) for row in scores.tolist()]
    return np.array([one.weighted_average for one in made])


def _student_scorer(
    package: FilterPackage, folder: Path, use_prefilter: bool, mismatch: bool, device: str | None
) -> StudentScorer:
    if not (folder / STUDENT_FILE).is_file():
        raise DataNotFoundError(f"there is no student in {folder}; train one with: stillroom "
                                "filter train, or name its folder")  # fmt: skip
    own = folder / CALIBRATION_FILE
    curves = load_calibration(own, package.config) if own.is_file() else None
    if curves is None and folder.parent.resolve() != package.folder.resolve():
        curves = _NO_CURVES  # the package's curves are those of the student in it
    if curves is None and folder.name == PROBE_FOLDER:
        curves = _NO_CURVES
    return StudentScorer(
        package,
        open_score_student(folder, device=device),
        use_prefilter=use_prefilter,
        calibration=curves,
        allow_view_mismatch=mismatch,
        where=str(folder),
    )
