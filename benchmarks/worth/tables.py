"""Make Markdown tables from the files of the runs: means over seeds with 95 % t intervals."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from plan import (
    BOTH,
    BOTH_2,
    CALIBRATED,
    FEW,
    GOLD,
    GOLDS,
    OBJECTIVES,
    SOFT,
    SOFT_2,
    STEPS,
    TEXT,
    TEXTS,
    as_run,
    variants,
)
from recipes import Recipe
from runs import System
from scipy.stats import t as student_t

Run = Mapping[str, Any]
Runs = Mapping[tuple[str, str, str], Mapping[int, Run]]
"""(task, gold, name of the system) -> seed -> run."""

TITLES: Final[Mapping[System, str]] = {
    "tf-idf": "TF-IDF and logistic regression on the gold",
    "teacher": "the teacher",
    "untrained": "student, untrained",
    GOLD: "CE on gold",
    TEXT: "CE on the teacher's text",
    TEXTS: "CE on the teacher's text for every copy",
    SOFT: "soft, T = 1",
    SOFT_2: "soft, T = 2",
    CALIBRATED: "soft, T = 1, calibrated teacher",
    BOTH: "soft and gold, alpha 0.5, T = 1",
    BOTH_2: "soft and gold, alpha 0.5, T = 2",
}
PAIRED: Final = (("accuracy", "test"), ("accuracy", "unseen"), ("ece", "test"))
MEASURES: Final = (
    ("accuracy", "test", "Accuracy, %", 100),
    ("accuracy", "unseen", "Accuracy in unseen phrasing, %", 100),
    ("ece", "test", "Expected calibration error, points; 0 is best", 100),
    ("brier", "test", "Brier score x 100; 0 is best", 100),
    ("nll", "test", "Negative log-likelihood, nats; 0 is best", 1),
)


def by_system(runs: Sequence[Run]) -> Runs:
    """Sort runs by task, gold and system."""
    found: dict[tuple[str, str, str], dict[int, Run]] = {}
    for run in runs:
        found.setdefault((run["task"], run["gold"], run["system"]), {})[run["seed"]] = run
    return found


def interval(values: Sequence[float]) -> tuple[float, float]:
    """Give mean and half-width of the 95 % interval; the half-width of one value is 0."""
    mean = statistics.fmean(values)
    if len(values) < 2:
        return mean, 0.0
    quantile = float(student_t.ppf(0.975, len(values) - 1))
    return mean, quantile * statistics.stdev(values) / len(values) ** 0.5


def differences(
    runs: Runs, task: str, gold: str, ours: System, theirs: System, measure: str, part: str = "test"
) -> list[float]:
    """Subtract seed by seed: both have the same teacher, gold and first weights."""
    one, other = (runs.get((task, gold, name_of(s, task)), {}) for s in (ours, theirs))
    return [
        one[seed]["scores"][part][measure] - other[seed]["scores"][part][measure]
        for seed in sorted(set(one) & set(other))
    ]


def name_of(system: System, task: str) -> str:
    """Name a system as its files do."""
    run = as_run(system, task)
    return run if isinstance(run, str) else run.name


def hard_control(gold: str) -> Recipe:
    """Choose the labels that soft targets are compared with, beside gold."""
    return TEXTS if gold in FEW else TEXT


def all_tables(runs: Runs) -> str:
    """Write every table."""
    parts = ["### Soft targets against hard labels, paired by seed\n\n" + paired_table(runs)]
    parts.append("### Other differences, paired by seed\n\n" + differences_table(runs))
    for task in GOLDS:
        for measure, part, title, scale in MEASURES:
            parts.append(f"### {task}: {title}\n\n" + score_table(runs, task, measure, part, scale))
    parts.append("### banking77, 20% questions: objectives, T = 1\n\n" + objectives_table(runs))
    parts.append("### banking77, 20% questions: students and time\n\n" + variants_table(runs))
    parts.append("### What it takes, processor seconds\n\n" + cost_table(runs))
    return "\n\n".join(parts) + "\n"


def score_table(runs: Runs, task: str, measure: str, part: str, scale: float) -> str:
    """Write one measure of one task: systems down, gold across."""
    golds = GOLDS[task]

    def cell(system: System, gold: str) -> str:
        found = runs.get((task, gold, name_of(system, task)), {})
        values = [scale * run["scores"][part][measure] for run in found.values()]
        return _spread(values, 1 if scale > 1 else 2)

    rows = {title: [cell(system, gold) for gold in golds] for system, title in TITLES.items()}
    return _table(["", *golds], rows)


def paired_table(runs: Runs) -> str:
    """Write what soft targets add to labels: points of accuracy and of calibration error."""
    head = ["", "soft - teacher's text", "", "", "soft and gold - gold", "", ""]
    second = ["task, gold", *["accuracy", "unseen", "ECE"] * 2]
    rows = {}
    for task, golds in GOLDS.items():
        for gold in golds:
            pairs = ((best_soft(gold), hard_control(gold)), (best_both(task, gold), GOLD))
            cells = []
            for ours, theirs in pairs:
                for measure, part in PAIRED:
                    both = () if ours is None else (ours, theirs)
                    found = differences(runs, task, gold, *both, measure, part) if both else []
                    cells.append(_spread([100 * d for d in found], 1, sign=True))
            rows[f"{task}, {gold}"] = cells
    return _table(head, {second[0]: second[1:], **rows})


def differences_table(runs: Runs) -> str:
    """Write the pairs that the choice of settings rests on."""
    few = "20% questions"
    pairs: list[tuple[str, str, str, Recipe, Recipe]] = [
        ("banking77", "complete", "soft and gold at T = 2 - gold", BOTH_2, GOLD),
        ("banking77", few, "T = 2 - T = 1", SOFT_2, SOFT),
        *((task, "noisy 40%", "soft from the teacher as it is - its text", SOFT, TEXT)
          for task in GOLDS),
        *(("banking77", few, f"{other.objective} - forward_kl", other, SOFT)
          for other in OBJECTIVES),
    ]  # fmt: skip
    rows = {
        f"{task}, {gold}: {what}": [
            _spread([100 * d for d in differences(runs, task, gold, *both, measure, part)], 1,
                    sign=True)
            for measure, part in PAIRED
        ]
        for task, gold, what, *both in pairs
    }  # fmt: skip
    return _table(["", "accuracy", "unseen", "ECE"], rows)


def best_soft(gold: str) -> Recipe:
    """Choose the soft system of a setting, as the pilot did."""
    if gold.startswith("noisy"):
        return CALIBRATED
    return SOFT_2 if gold in FEW else SOFT


def best_both(task: str, gold: str) -> Recipe | None:
    """Choose the mixture of a setting, as the pilot did; noisy gold has none."""
    if gold.startswith("noisy"):
        return None
    return BOTH_2 if gold in FEW or (task, gold) == ("chinook", "complete") else BOTH


def objectives_table(runs: Runs) -> str:
    """Write what each divergence gives."""
    return _recipes_table(runs, {r: r.objective for r in (SOFT, *OBJECTIVES)})


def variants_table(runs: Runs) -> str:
    """Write other students, a teacher beside the student, and equal time."""
    titles: dict[Recipe, str] = {r: f"small, {TITLES[r]}" for r in (TEXTS, SOFT_2)}
    for recipe in variants():
        where = "teacher beside it" if recipe.source == "model" else "from the cache"
        soft = f"soft, T = 2, {where}, {recipe.steps} steps"
        what = TITLES[TEXTS] if recipe.source == "none" else soft
        titles[recipe] = f"{recipe.student}, {what}"
    return _recipes_table(runs, titles)


def _recipes_table(runs: Runs, titles: Mapping[Recipe, str]) -> str:
    rows = {}
    for recipe, title in titles.items():
        found = runs.get(("banking77", "20% questions", name_of(recipe, "banking77")), {})

        def values(of: Callable[[Run], float], found: Mapping[int, Run] = found) -> list[float]:
            return [of(run) for run in found.values()]

        rows[title] = [
            *(str(run["parameters"]) for run in list(found.values())[:1]),
            _spread(values(lambda r: 100 * r["scores"]["test"]["accuracy"]), 1),
            _spread(values(lambda r: 100 * r["scores"]["unseen"]["accuracy"]), 1),
            _spread(values(lambda r: 100 * r["scores"]["test"]["ece"]), 1),
            _spread(values(lambda r: r["seconds"]), 1),
        ]
    return _table(["", "parameters", "accuracy, %", "unseen, %", "ECE", "seconds"], rows)


def pilot_tables(runs: Runs) -> str:
    """Write everything that was tried on the validation questions."""
    parts = []
    for task, gold in sorted({(task, gold) for task, gold, _ in runs}):
        rows = {}
        for (one, other, name), seeds in runs.items():
            if (one, other) == (task, gold):
                found = [run["scores"]["validation"] for run in seeds.values()]
                rows[name.replace("_", " ").replace(",", ", ")] = [
                    _spread([100 * f["accuracy"] for f in found], 1).split(" ")[0],
                    _spread([100 * f["ece"] for f in found], 1).split(" ")[0],
                    _spread([f["nll"] for f in found], 2).split(" ")[0],
                ]
        best = dict(sorted(rows.items(), key=lambda row: -float(row[1][0])))
        table = _table(["settings that differ from the first", "accuracy, %", "ECE", "NLL"], best)
        parts.append(f"### {task}, {gold}: validation\n\n{table}")
    return "\n\n".join(parts) + "\n"


def cost_table(runs: Runs) -> str:
    """Write the medians of what each piece of work took."""
    rows = {}
    for task in GOLDS:
        mine = [run for (name, *_), seeds in runs.items() if name == task for run in seeds.values()]
        before = [run["before"] for run in mine if "before" in run]
        # Of the runs whose cache was built for them and not for one before.
        pieces = [
            [b["teacher"] for b in before if "teacher" in b],
            [b["answers"] for b in before if "answers" in b],
            [b["cache"] for b in before if "cache" in b],
            *([1000 * run["seconds"] / STEPS[task] for run in of] for of in _kinds(mine, task)),
        ]
        rows[task] = [f"{statistics.median(piece):.1f}" if piece else "" for piece in pieces]
    head = ["", "training the teacher", "its answers", "its cache", "CE step, ms"]
    return _table([*head, "step from the cache, ms"], rows)


def _kinds(runs: Sequence[Run], task: str) -> tuple[list[Run], list[Run]]:
    plain = (name_of(TEXT, task), name_of(SOFT, task))
    text, soft = ([run for run in runs if run["system"] == name] for name in plain)
    return text, soft


def _spread(values: Sequence[float], digits: int, *, sign: bool = False) -> str:
    if not values:
        return ""
    mean, half = interval(values)
    plus = "+" if sign else ""
    return f"{mean:{plus}.{digits}f} ± {half:.{digits}f}"


def _table(head: Sequence[str], rows: Mapping[str, Sequence[str]]) -> str:
    """Write a table; rows without any value are left out."""
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    lines += [f"| {title} | " + " | ".join(row) + " |" for title, row in rows.items() if any(row)]
    return "\n".join(lines)
