"""Read `config.yaml` of a filter package, and list all its faults with their keys."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from ...config import as_settings, read_written_text, read_written_yaml
from ...errors import ConfigError, did_you_mean
from .filter_config import (
    HIGHEST,
    LOWEST,
    OPERATING_POINT,
    CompressionSettings,
    ContentCap,
    Dimension,
    FilterConfig,
    Gatekeeper,
    HeadTail,
    Tier,
    major_version,
)
from .patterns import compile_pattern

CONFIG_FILE: Final = "config.yaml"
WEIGHT_TOLERANCE: Final = 1e-6
_SPLIT_TOLERANCE: Final = 0.01
NAME: Final = re.compile(r"[a-z][a-z0-9_]*")
"""Form of the name of a filter or dimension."""
_KEYS: Final[dict[str, tuple[str, ...]]] = {
    "": ("filter", "scoring", "prefilter", "oracle", "preprocessing", "training",
         "hybrid_inference", "deployment", "source_filter"),
    "scoring": ("dimensions", "tiers", "gatekeeper_rules", "gatekeepers", "content_type_caps",
                "score_scale_factor", "classes", "pass_threshold", "pass_classes",
                "tier_from_normalized"),
    "dimension": ("weight", "description", "scale", "critical_filters", "requirements",
                  "indicators", "examples", "category", "evidence_focus", "gatekeeper",
                  "gatekeeper_threshold", "gatekeeper_max_score"),
    "tier": ("threshold", "description"),
    "rule": ("threshold", "max_overall_if_below", "reasoning"),
    "gatekeeper": ("dimension", "threshold", "max_score", "reason"),
    "cap": ("max_score", "max_overall", "triggers", "exceptions", "requirements_to_pass"),
    "class": ("description", "examples"),
    "prefilter": ("enabled", "expected_pass_rate", "block_keywords", "pass_keywords",
                  "description"),
    "oracle": ("recommended", "candidates"),
    "preprocessing": ("head_tail", "compression"),
    "head_tail": ("enabled", "head_tokens", "tail_tokens", "separator"),
    "compression": ("max_words", "tail_share", "keep_patterns"),
    "training": ("target_samples", "train_val_split", "train_val_test_split",
                 "recommended_model", "expected_mae", "expected_accuracy", "quality_threshold"),
    "hybrid_inference": ("stage1", "stage2"),
    "stage1": ("embedding_model", "probe_path", "threshold"),
    "stage2": ("model",),
}  # fmt: skip
"""Known keys of each part; `filter` and `deployment` may hold any."""
_MISSING: Final = object()


@dataclass
class _Part:
    """One object of the file, which is read key by key; faults go to a shared list."""

    values: Mapping[str, Any]
    place: str
    faults: list[str] = field(default_factory=list)

    def key(self, name: str) -> str:
        return f"{self.place}.{name}" if self.place else name

    def fault(self, name: str, words: str) -> None:
        self.faults.append(f"{CONFIG_FILE}: {self.key(name)} {words}")

    def known(self, kind: str) -> None:
        for name in self.values:
            if name not in _KEYS[kind]:
                self.fault(name, f"is no known key; {did_you_mean(name, _KEYS[kind])}")

    def part(self, name: str, kind: str | None = None, *, needed: bool = False) -> _Part:
        """Read an object below; one that is missing or of another type is empty."""
        value = self.values.get(name)
        if not isinstance(value, Mapping):
            if value is not None:
                self.fault(name, f"is {value!r}; allowed is an object of keys")
            elif needed:
                self.fault(name, "is missing; give an object of keys")
            value = {}
        made = _Part({str(key): one for key, one in value.items()}, self.key(name), self.faults)
        if kind is not None:
            made.known(kind)
        return made

    def parts(self, name: str, kind: str) -> Iterable[tuple[str, _Part]]:
        """Read an object of objects."""
        own = self.part(name)
        for key in own.values:
            yield key, own.part(key, kind, needed=True)

    def number(
        self,
        name: str,
        low: float = LOWEST,
        high: float = HIGHEST,
        default: Any = _MISSING,  # noqa: ANN401 - None or a number
    ) -> Any:  # noqa: ANN401
        """Read a finite number; one with a fault is NaN."""
        value = self.values.get(name, _MISSING)
        if value is _MISSING or (value is None and default is not _MISSING):
            if default is _MISSING:
                self.fault(name, f"is missing; give a number{_range(low, high)}")
                return math.nan
            return default
        fine = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not (fine and math.isfinite(value) and low <= value <= high):
            self.fault(name, f"is {value!r}; allowed is a number{_range(low, high)}")
            return math.nan
        return float(value)

    def whole(self, name: str, low: int, default: int) -> int:
        value = self.values.get(name, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < low:
            self.fault(name, f"is {value!r}; allowed is a whole number from {low} on")
            return default
        return value

    def truth(self, name: str, default: bool = False) -> bool:
        value = self.values.get(name, default)
        if not isinstance(value, bool):
            self.fault(name, f"is {value!r}; allowed is true or false")
            return default
        return value

    def text(self, name: str, default: str | None = "") -> str:
        value = self.values.get(name, default)
        if value is None:
            self.fault(name, "is missing; give a text")
            return ""
        if not isinstance(value, str):
            self.fault(name, f"is {value!r}; allowed is a text")
            return ""
        return value

    def texts(self, name: str) -> tuple[str, ...]:
        value = self.values.get(name) or []
        if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
            self.fault(name, f"is {value!r}; allowed is a list of texts that are not empty")
            return ()
        return tuple(value)

    def patterns(self, name: str) -> tuple[str, ...]:
        found = self.texts(name)
        for one in found:
            try:
                compile_pattern(one)
            except re.error as fault:
                self.fault(name, f"has {one!r}, which is no regular expression ({fault})")
        return found


def read_config(folder: str | Path) -> tuple[FilterConfig | None, list[str]]:
    """Read the config of a package.

    Args:
        folder: The package, `<name>/v<N>`.

    Returns:
        The config, None where it has faults; and the faults, each with file and key.
    """
    folder = Path(folder)
    path = folder / CONFIG_FILE
    if not path.is_file():
        return None, [f"{CONFIG_FILE}: there is no such file in {folder}"]
    try:
        settings = as_settings(read_written_yaml(path), path)
        faults = [f"{CONFIG_FILE}: {key} stands twice; delete one" for key in _doubles(path)]
    except ConfigError as fault:
        return None, [one.replace(f"{path}", CONFIG_FILE, 1) for one in fault.faults]
    root = _Part(settings, "", faults)
    root.known("")
    config = _config(root, folder)
    return (None if faults else config), faults


def _config(root: _Part, folder: Path) -> FilterConfig:
    about = root.part("filter", needed=True)
    scoring = root.part("scoring", "scoring", needed=True)
    dimensions = _dimensions(scoring)
    classes = {name: one.text("description") for name, one in scoring.parts("classes", "class")}
    _check_kind(scoring, dimensions, classes)
    pass_classes = scoring.texts("pass_classes")
    for name in pass_classes:
        if name not in classes:
            scoring.fault("pass_classes", f"has {name!r}; {did_you_mean(name, classes)}")
    preprocessing = root.part("preprocessing", "preprocessing")
    for name in ("oracle", "hybrid_inference"):
        _check_other(root, name)
    name, version = _identity(about, folder)
    return FilterConfig(
        name=name,
        version=version,
        description=about.text("description"),
        dimensions=dimensions,
        tiers=_tiers(scoring, needed=bool(dimensions)),
        gatekeepers=_gatekeepers(scoring, {one.name for one in dimensions}),
        caps=_caps(scoring),
        classes=classes,
        pass_threshold=scoring.number("pass_threshold", default=OPERATING_POINT),
        pass_classes=pass_classes,
        tier_from_normalized=scoring.truth("tier_from_normalized"),
        compression=_compression(preprocessing),
        head_tail=_head_tail(preprocessing),
        prefilter=_prefilter(root),
        training=_training(root),
        settings=root.values,
    )


def _identity(about: _Part, folder: Path) -> tuple[str, str]:
    name = about.text("name", None)
    here = folder.resolve()
    if name and not NAME.fullmatch(name):
        about.fault("name", f"is {name!r}; allowed are lower-case letters, digits and _")
    elif name and name != here.parent.name:
        about.fault("name", f"is {name!r}, and the folder is {here.parent.name!r}; rename one")
    written = about.values.get("version")
    is_number = isinstance(written, (int, float)) and not isinstance(written, bool)
    version = str(written) if is_number else about.text("version", None)
    number = major_version(version)
    if version and number is None:
        about.fault("version", f"is {version!r}; allowed is a version such as '1.0'")
    elif version and here.name != f"v{number}":
        about.fault("version", f"is {version!r}, and the folder is {here.name!r}; rename one")
    return name, version


def _dimensions(scoring: _Part) -> tuple[Dimension, ...]:
    made = []
    for name, one in scoring.parts("dimensions", "dimension"):
        weight = one.number("weight", 0.0, math.inf)
        details = {
            key: value for key, value in one.values.items()
            if key not in ("weight", "description") and not key.startswith("gatekeeper")
        }  # fmt: skip
        made.append(Dimension(name, weight, one.text("description"), details))
        if not NAME.fullmatch(name):
            scoring.fault(f"dimensions.{name}", "is no name; allowed are lower-case letters, "
                          "digits and _")  # fmt: skip
    total = math.fsum(one.weight for one in made)
    if made and not math.isnan(total) and abs(total - 1.0) > WEIGHT_TOLERANCE:
        scoring.fault("dimensions", f"have weights that sum to {total:.6g}; they must sum to 1")
    return tuple(made)


def _check_kind(
    scoring: _Part, dimensions: tuple[Dimension, ...], classes: Mapping[str, str]
) -> None:
    if "dimensions" in scoring.values and "classes" in scoring.values:
        scoring.fault("classes", "stand beside dimensions; a filter has one of the two")
    elif classes and len(classes) < 2:
        scoring.fault("classes", "are fewer than two; give at least two")
    elif not dimensions and not classes and scoring.values:
        scoring.fault("dimensions", "are missing; give at least one, or classes")


def _tiers(scoring: _Part, *, needed: bool) -> tuple[Tier, ...]:
    made = [
        Tier(name, one.number("threshold"), one.text("description"))
        for name, one in scoring.parts("tiers", "tier")
    ]
    if needed and not made:
        scoring.fault("tiers", "are missing; give at least one with a threshold")
    thresholds = [one.threshold for one in made if not math.isnan(one.threshold)]
    for value in sorted({one for one in thresholds if thresholds.count(one) > 1}):
        names = [one.name for one in made if one.threshold == value]
        scoring.fault("tiers", f"{names} have the same threshold {value:g}; make them differ")
    return tuple(sorted(made, key=lambda one: -one.threshold))


def _gatekeepers(scoring: _Part, dimensions: Iterable[str]) -> tuple[Gatekeeper, ...]:
    """Read the three forms in which configs write gatekeepers; equal ones are one."""
    made: list[Gatekeeper] = []

    def add(part: _Part, name: str, threshold: str, cap: str, reason: str) -> None:
        made.append(Gatekeeper(name, part.number(threshold), part.number(cap), part.text(reason)))

    def check(part: _Part, key: str, name: str) -> None:
        if name not in dimensions:
            part.fault(key, f"names the dimension {name!r}; {did_you_mean(name, dimensions)}")

    for name, one in scoring.parts("gatekeeper_rules", "rule"):
        check(scoring, f"gatekeeper_rules.{name}", name)
        add(one, name, "threshold", "max_overall_if_below", "reasoning")
    for _, one in scoring.parts("gatekeepers", "gatekeeper"):
        name = one.text("dimension", None)
        check(one, "dimension", name)
        add(one, name, "threshold", "max_score", "reason")
    silent = _Part({}, "")  # other faults of dimensions are listed where they are read
    own = _Part(scoring.values, scoring.place, silent.faults).part("dimensions")
    for name in own.values:
        quiet = own.part(name)
        if quiet.values.get("gatekeeper") or "gatekeeper_max_score" in quiet.values:
            loud = _Part(quiet.values, quiet.place, scoring.faults)
            add(loud, name, "gatekeeper_threshold", "gatekeeper_max_score", "")
    unique: dict[tuple[str, float, float], Gatekeeper] = {}
    for keeper in made:
        unique.setdefault((keeper.dimension, keeper.threshold, keeper.cap), keeper)
    return tuple(unique.values())


def _caps(scoring: _Part) -> tuple[ContentCap, ...]:
    made = []
    for name, one in scoring.parts("content_type_caps", "cap"):
        given = [key for key in ("max_score", "max_overall") if key in one.values]
        if len(given) != 1:
            one.fault("max_score", f"and max_overall: {len(given)} are given; give one of the two")
        cap = one.number(given[0]) if given else math.nan
        details = {key: value for key, value in one.values.items() if key not in given}
        made.append(ContentCap(name, cap, details))
    return tuple(made)


def _compression(preprocessing: _Part) -> CompressionSettings:
    one = preprocessing.part("compression", "compression")
    default = CompressionSettings()
    return CompressionSettings(
        one.whole("max_words", 20, default.max_words),
        one.number("tail_share", 0.0, 0.8, default.tail_share),
        one.patterns("keep_patterns"),
    )


def _head_tail(preprocessing: _Part) -> HeadTail:
    one = preprocessing.part("head_tail", "head_tail")
    default = HeadTail()
    return HeadTail(
        one.truth("enabled"),
        one.whole("head_tokens", 1, default.head_tokens),
        one.whole("tail_tokens", 0, default.tail_tokens),
        one.text("separator", default.separator),
    )


def _prefilter(root: _Part) -> Mapping[str, Any]:
    one = root.part("prefilter", "prefilter")
    one.truth("enabled", True)
    one.number("expected_pass_rate", 0.0, 1.0, None)
    one.text("description")
    return {
        **one.values,
        "block_keywords": one.texts("block_keywords"),
        "pass_keywords": one.texts("pass_keywords"),
    }


def _training(root: _Part) -> Mapping[str, Any]:
    one = root.part("training", "training")
    one.whole("target_samples", 1, 1)
    one.text("recommended_model")
    one.number("expected_mae", 0.0, HIGHEST, None)
    one.number("expected_accuracy", 0.0, 1.0, None)
    one.number("quality_threshold", 0.0, math.inf, None)
    one.number("train_val_split", 0.0, 1.0, None)
    shares = one.values.get("train_val_test_split")
    if shares is not None and not _is_split(shares):
        one.fault("train_val_test_split", f"is {shares!r}; allowed are three shares that sum to 1")
    return one.values


def _is_split(shares: Any) -> bool:  # noqa: ANN401 - any YAML value
    return (
        isinstance(shares, list)
        and len(shares) == 3
        and all(isinstance(one, (int, float)) and 0 <= one <= 1 for one in shares)
        and abs(sum(shares) - 1) <= _SPLIT_TOLERANCE
    )


def _check_other(root: _Part, name: str) -> None:
    part = root.part(name, name)
    if name == "hybrid_inference":
        stage1, stage2 = part.part("stage1", "stage1"), part.part("stage2", "stage2")
        stage1.number("threshold", default=None)
        for stage, key in ((stage1, "embedding_model"), (stage1, "probe_path"), (stage2, "model")):
            stage.text(key)


def _range(low: float, high: float) -> str:
    return f" from {low:g} on" if math.isinf(high) else f" from {low:g} to {high:g}"


def _doubles(path: Path) -> list[str]:
    """List keys that stand twice in one object, of which YAML would take the last."""
    import yaml  # type: ignore[import-untyped]

    found: list[str] = []

    def walk(node: Any, place: str) -> None:  # noqa: ANN401 - yaml has no types
        if isinstance(node, yaml.SequenceNode):
            for number, one in enumerate(node.value):
                walk(one, f"{place}[{number}]")
        if not isinstance(node, yaml.MappingNode):
            return
        seen: set[str] = set()
        for key, value in node.value:
            name = f"{place}.{key.value}" if place else str(key.value)
            if name in seen:
                found.append(name)
            seen.add(name)
            walk(value, name)

    make: Callable[[str], Any] = yaml.compose
    walk(make(read_written_text(path)), "")
    return found
