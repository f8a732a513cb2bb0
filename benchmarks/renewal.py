"""Does a student get better from use, and not worse from abuse? Renewals of a small student.

    python benchmarks/renewal.py                   # an hour on one core; writes results/renewal.md
    python benchmarks/renewal.py --poisoned 2 --null 1 --no-results

A student is distilled from labels of which a teacher got a part wrong. People ask 5,000 questions
about its table in their own words; a tenth of the answers is corrected, a fifth of these
corrections are mistakes or come from hostile accounts, and some questions are those of the frozen
test. Then the student is renewed by `stillroom renew`. Null renewals train the same recipe on the
same data again; poisoned ones train on wrong answers that somebody accepted. Finished trainings are
kept in the work folder, so that an interrupted benchmark goes on.
"""

from __future__ import annotations

import argparse
import random
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import numpy as np
from processor import processor
from stillroom.agentic_workflow.conversations.open_chat import FEEDBACK
from stillroom.agentic_workflow.feedback.claims import Claim, Judged, Rules, judge_claims
from stillroom.agentic_workflow.feedback.feedback_store import Feedback, FeedbackStore
from stillroom.console import Console
from stillroom.data.questions.profile import profile_table
from stillroom.data.questions.questions import QuestionSet, build_question_set, training_stream
from stillroom.data.readers.read_table import iter_records
from stillroom.distillation.distiller import ModelDistiller
from stillroom.distillation.settings import DistillationConfig
from stillroom.distillation.starter_student import StarterSize, untrained_starter
from stillroom.errors import FeedbackLimitError
from stillroom.evaluation.predictions import Prediction
from stillroom.files import read_json, write_json, write_text
from stillroom.inference.checkpoints.load_student import load_checkpoint, save_checkpoint
from stillroom.inference.generate import generate_texts
from stillroom.pipeline.main_job.settings import ELEMENTS
from stillroom.pipeline.renewal.data_version import build_version, trained_before
from stillroom.pipeline.renewal.evidence import open_evidence
from stillroom.pipeline.renewal.frozen_test import FrozenTest
from stillroom.pipeline.renewal.judging import judge
from stillroom.pipeline.renewal.renew import (
    RenewSettings,
    renew,
    table_of,
    take_back,
    train_and_judge,
)
from stillroom.pipeline.renewal.replay_training import replay_stream
from stillroom.pipeline.renewal.versions import Version, folder_sha256
from stillroom.prompts import render
from stillroom.rate_interval import wilson_interval
from stillroom.records import Example, read_examples, write_examples
from stillroom.run_folder import PROGRESS_FILE

RESULTS = Path(__file__).parent / "results" / "renewal.md"
COLUMNS = ("symbol", "category", "period", "block")
RECORDS = 60
QUESTIONS, CORRECTED, WRONG = 5000, 0.1, 0.2
TEACHER_WRONG = 0.4
"""Share of the teacher's labels, of half of the facts, that are wrong."""
STEPS, BATCH = 240, 40
POISONED_RECORDS, POISONED_STEPS, POISON = 24, 100, 100
"""Of the smaller student that is poisoned, as that takes 60 trainings; wrong answers each time."""
SIZE = StarterSize(vocabulary=700, width=64, layers=2, heads=2)
PEOPLE = [f"person {n}" for n in range(60)]
HOSTILE = ["eve", "mallory"]
ASKED = ("{label} of {key}?", "what's the {label} for {key}", "i need the {label} of {key}",
         "{key} {label} please", "do you know the {label} of {key}?")  # fmt: skip
"""What people say; none of these is a template of the training."""


def make_run(run: Path, count: int = RECORDS, steps: int = STEPS) -> Path:
    """Distil the student that runs from the first records of the table; return its folder."""
    student = run / "student"
    if (run / PROGRESS_FILE).is_file():
        return student
    records = list(iter_records(str(ELEMENTS), flatten=True))[:count]
    profile = profile_table(records, source="elements.csv", columns=COLUMNS)
    questions = build_question_set(records, profile, seed=0)
    # Judging and summaries take most of a training, and are not what is shown here.
    questions = replace(
        questions,
        train=[one for one in questions.train if one.task == "qa"],
        held_out=[one for one in questions.held_out if one.task == "qa"],
    )
    labelled = wrong_labels(questions)
    write_examples(str(run / "data" / "train.jsonl"), questions.train)
    write_examples(str(run / "data" / "held_out.jsonl"), questions.held_out)
    write_examples(str(run / "data" / "teacher_labels.jsonl"), labelled)
    gold = [one for one in questions.train if questions.is_gold(one)]
    stream = training_stream([*gold, *labelled], questions.table, steps * BATCH, seed=1)
    start = run / "work" / "start"
    tokenizer, model = untrained_starter(stream, size=SIZE, seed=0)
    save_checkpoint(start, model, tokenizer, {"status": "complete", "steps": 0, "seed": 0})
    distiller = ModelDistiller(DistillationConfig(
        teacher_model_name="none", student_model_name=str(start), alpha=0.0, batch_size=BATCH,
        max_steps=steps, num_epochs=1, optimizer="muon", learning_rate=4.8e-3,
        matrix_learning_rate=2.4e-3, lr_scheduler="warmup_stable_decay", decay_ratio=0.6,
        warmup_ratio=0.02, max_length=4096, too_long="error", device="cpu", seed=0,
        output_dir=str(student),
    ))  # fmt: skip
    distiller.make_student(stream)
    distiller.distill(stream, work_dir=run / "work" / "student")
    distiller.save_distilled_model(student)
    questions.table.write(student)
    write_json(run / PROGRESS_FILE, {"schema_version": 1, "status": "complete", "done": {}})
    return student


def wrong_labels(questions: QuestionSet) -> list[Example]:
    """Label the facts without gold answers, a part of them wrong in all wordings."""
    rng = random.Random(5)
    values: dict[str, list[str]] = {}
    for one in questions.train:
        if one.task == "qa":
            values.setdefault(one.fields["column"], []).append(one.target or "")
    said: dict[str, str] = {}
    found = []
    for one in questions.train:
        if questions.is_gold(one):
            continue
        right, fact = one.fields["right"], str(one.fact)
        if fact not in said:
            others = [v for v in values[one.fields["column"]] if v != right]
            said[fact] = rng.choice(others) if rng.random() < TEACHER_WRONG else right
        found.append(replace(one, target=said[fact], label={"teacher": "simulated"}))
    return found


def simulate_use(run: Path, student: Path) -> dict[str, int]:
    """Let people ask and correct; what they say is stored as the chat page stores it."""
    counts_file = run / "use.json"
    if counts_file.is_file():
        counts: dict[str, int] = read_json(counts_file)
        return counts
    rng = random.Random(9)
    table = table_of(student)
    labels = {column.name: column.label for column in table.columns}
    test = [one for one in read_examples(str(run / "data" / "held_out.jsonl")) if one.task == "qa"]
    asked = []
    for _ in range(QUESTIONS):
        row, column = rng.choice(table.rows), rng.choice(COLUMNS)
        while column not in row.values:
            row, column = rng.choice(table.rows), rng.choice(COLUMNS)
        text = rng.choice(ASKED).replace("{label}", labels[column]).replace("{key}", row.key)
        if rng.random() < 0.03:  # somebody asks a question of the frozen test
            held = rng.choice(test)
            text, column = held.fields["text"], held.fields["column"]
            row = next(one for one in table.rows if one.key == held.fields["key"])
        asked.append((text, row, column))
    texts = list(dict.fromkeys(text for text, _, _ in asked))
    model = load_checkpoint(student, device="cpu")
    made = generate_texts(model, [render("s2-qa", text) for text in texts], max_new_tokens=24,
                          batch_size=128)  # fmt: skip
    answers = {text: one.text.strip() for text, one in zip(texts, made, strict=True)}
    values = {name: [row.values[name] for row in table.rows if name in row.values]
              for name in COLUMNS}  # fmt: skip
    store = FeedbackStore(run / "chat" / FEEDBACK)
    counts = Counter[str]()
    count = 0
    due = Counter({"right": round(QUESTIONS * CORRECTED * (1 - WRONG)),
                   "wrong": round(QUESTIONS * CORRECTED * WRONG)})  # fmt: skip
    for number, (text, row, column) in enumerate(asked):
        right, answer = row.values[column], answers[text]
        is_right = answer == right
        owner, correction, opinion = rng.choice(PEOPLE), "", "good" if is_right else "wrong"
        left = QUESTIONS - number
        if not is_right and due["right"] and rng.random() < 3 * due["right"] / left:
            correction, kind = right, "right"
        elif due["wrong"] and rng.random() < due["wrong"] / left * 1.5:
            kind = "wrong"
            hostile = rng.random() < 0.5
            owner = rng.choice(HOSTILE) if hostile else owner
            others = [value for value in values[column] if value != right]
            correction = '=HYPERLINK("http://evil.example")' if number % 50 == 0 else (
                values[column][0] if hostile and values[column][0] != right else rng.choice(others)
            )  # fmt: skip
            opinion = "wrong"
        elif is_right and rng.random() < 0.1:
            kind = "liked"
        else:
            continue
        if correction:
            due[kind] -= 1
        try:
            store.give(Feedback(f"run {number}", owner, text, answer, opinion,
                                correction=correction, about=f"elements.csv row {row.row}",
                                given_at=clock(number)))  # fmt: skip
        except FeedbackLimitError:
            counts["refused by the caps of the store"] += 1
            continue
        counts[kind] += 1
        count += 1
    store.close()
    counts["opinions"] = count
    write_json(counts_file, dict(counts))
    return dict(counts)


def clock(second: int) -> str:
    """Write a time of the simulated day."""
    return f"2026-01-01T{second // 3600:02}:{second // 60 % 60:02}:{second % 60:02}+00:00"


def wrong_ones(judged: Sequence[Judged], table: Any) -> tuple[int, int, int]:  # noqa: ANN401
    """Count accepted answers, wrong accepted answers, and wrong answers in all."""
    labels = {column.label: column.name for column in table.columns}

    def is_wrong(one: Judged) -> bool:
        text = one.claim.question.casefold()
        rows = [row for row in table.rows if row.key.casefold() in text]
        row = max(rows, key=lambda row: len(row.key))
        label = max((label for label in labels if label.casefold() in text), key=len)
        return row.values[labels[label]].casefold() != one.answer.casefold()

    accepted = [one for one in judged if one.status == "accepted"]
    return len(accepted), sum(map(is_wrong, accepted)), sum(map(is_wrong, judged))


def trial(run: Path, name: str, new: Callable[[random.Random], list[Example]], number: int,
          seeds: int) -> dict[str, Any]:  # fmt: skip
    """Train and judge one renewal that serves nothing."""
    folder = run / "trials" / name / f"{number:04d}"
    place = folder / "verdict.json"
    if place.is_file():
        found: dict[str, Any] = read_json(place)
        return found
    student = run / "student"
    frozen, table = FrozenTest.read(run), table_of(student)
    old, _ = trained_before(run, table)
    version = Version(folder)
    version.store(status="training")
    settings = RenewSettings(seeds=seeds)
    examples = new(random.Random(number))
    found = train_and_judge(student, run, frozen, version, settings, Console(), old, examples,
                            first_seed=1000 + 10 * number)  # fmt: skip
    write_json(place, found)
    for part in ("seeds", "work"):
        shutil.rmtree(folder / part, ignore_errors=True)
    return found


def poison(run: Path) -> Callable[[random.Random], list[Example]]:
    """Make wrong answers that are accepted: at random, one value everywhere, or one column."""
    table, frozen = table_of(run / "student"), FrozenTest.read(run)
    values = {name: [row.values[name] for row in table.rows if name in row.values]
              for name in COLUMNS}  # fmt: skip
    labels = {column.name: column.label for column in table.columns}

    def make(rng: random.Random) -> list[Example]:
        kind = rng.choice(("random", "one value", "one column"))
        names = [rng.choice(COLUMNS)] if kind == "one column" else list(COLUMNS)
        judged = []
        for n in range(POISON):
            row, column = rng.choice(table.rows), rng.choice(names)
            if column not in row.values:
                continue
            text = rng.choice(ASKED).replace("{label}", labels[column]).replace("{key}", row.key)
            fixed = values[column][0]
            answer = fixed if kind == "one value" else rng.choice(values[column])
            if answer == row.values[column]:
                continue
            claim = Claim(f"p{n}", text, answer, ("eve",))
            judged.append(Judged(claim, "accepted", "poison", answer))
        return build_version([], judged, table, frozen).new

    return make


def simulated_nulls(rounds: int) -> int:
    """Count null renewals that are promoted, simulated at the level of scores."""
    rng = np.random.default_rng(3)
    promoted = 0
    for _ in range(rounds):
        base = rng.normal(0, 1.2, 700) + np.repeat(rng.normal(0, 0.6, 140), 5)
        runs = []
        for _ in range(4):
            right = rng.random(700) < 1 / (1 + np.exp(base - 1 - rng.normal(0, 0.12)))
            runs.append([Prediction(str(n), "", "", "", bool(one), f"t:{n // 5}",
                                    "qa" if n % 3 else "validate")
                         for n, one in enumerate(right)])  # fmt: skip
        promoted += judge(runs[:3], runs[3]).promoted
    return promoted


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--work", default="outputs/renewal_benchmark", help="folder to work in")
    parser.add_argument("--null", type=int, default=3, help="trained null renewals")
    parser.add_argument("--poisoned", type=int, default=20, help="trained poisoned renewals")
    parser.add_argument("--simulated", type=int, default=200, help="simulated null renewals")
    parser.add_argument("--no-results", action="store_true", help="write no results/renewal.md")
    args = parser.parse_args()
    run = Path(args.work) / "elements"
    student = make_run(run)
    used = simulate_use(run, student)
    print(used, flush=True)
    table, frozen = table_of(student), FrozenTest.read(run)
    evidence = open_evidence(student)
    judged = evidence.queue.judged()
    said = evidence.queue.opinions()
    evidence.close()
    found_wrong = wrong_ones(judged, table)
    alone = wrong_ones(judge_claims(said, (), lambda _: None, rules=Rules()), table)
    print("claims accepted, wrong among them, wrong in all", found_wrong, alone, flush=True)
    before = folder_sha256(student)
    kept = run / "renewed.json"
    if not kept.is_file():
        write_json(kept, renew(student, RenewSettings()).to_dict())
        old, _ = trained_before(run, table)
        made = build_version(old, judged, table, frozen)
        stream = replay_stream(made.old, made.new, table, STEPS * BATCH, seed=1)
        outcome = {
            "in_training": len(frozen.split([*made.old, *made.new, *stream])[1]),
            "left_out": len(made.left_out),
            "before": before,
            "served": folder_sha256(student),
        }
        if read_json(kept)["status"] == "served":
            take_back(student)
        write_json(run / "outcome.json", outcome | {"back": folder_sha256(student)})
    renewed, outcome = read_json(kept), read_json(run / "outcome.json")
    print(renewed["status"], renewed["verdict"].get("reasons"), outcome, flush=True)
    nulls = [trial(run, "null", lambda _: [], n, 3) for n in range(args.null)]
    small = Path(args.work) / "poisoned"
    make_run(small, POISONED_RECORDS, POISONED_STEPS)
    make = poison(small)
    poisoned = [trial(small, "poisoned", make, n, 3) for n in range(args.poisoned)]
    simulated = simulated_nulls(args.simulated)
    text = results(used, found_wrong, alone, renewed, outcome, nulls, poisoned, simulated, args)
    print(text)
    if not args.no_results:
        write_text(RESULTS, text)


def results(
    used: dict[str, int],
    claims: tuple[int, int, int],
    alone: tuple[int, int, int],
    renewed: dict[str, Any],
    outcome: dict[str, Any],
    nulls: list[dict[str, Any]],
    poisoned: list[dict[str, Any]],
    simulated: int,
    args: argparse.Namespace,
) -> str:
    """Write the page of results."""
    overall = renewed["verdict"]["overall"]
    rows = [
        ("real", [renewed["verdict"]]),
        ("null: the same data, other seeds", nulls),
        (f"poisoned: {POISON} wrong answers accepted", poisoned),
    ]

    def rate(count: int, of: int) -> str:
        low, high = wilson_interval(count, of)
        return f"{count} of {of} ({100 * low:.1f} to {100 * high:.1f} %)"

    table = "\n".join(
        f"| {name} | {len(found)} | "
        f"{100 * float(np.mean([one['overall']['difference'] for one in found])):+.1f} | "
        f"{rate(sum(one['promoted'] for one in found), len(found))} |"
        for name, found in rows if found
    )  # fmt: skip
    forgot = "\n".join(
        f"| {name} | {one['known']} | {one['forgotten']} | {one['learned']} |"
        for name, one in renewed["verdict"]["forgetting"].items()
    )
    same = outcome["back"] == outcome["before"]
    return f"""# Renewal: from use back to training

`python benchmarks/renewal.py`, {date.today().isoformat()}, {processor()}, one thread.
A student of {SIZE.layers} layers and width {SIZE.width} of the first {RECORDS} records of
elements.csv, distilled in {STEPS} steps of {BATCH} from labels of which a simulated teacher got
{100 * TEACHER_WRONG:.0f} % wrong for half of the facts.
Each trained renewal has three seeds. In brackets: 95 % intervals (Wilson).

{QUESTIONS:,} questions in people's own words: {used["right"]} right corrections,
{used["wrong"]} wrong or hostile ones, {used.get("liked", 0)} likes.

| | accepted answers | wrong among them | wrong claims in all |
|---|--:|--:|--:|
| with the table | {claims[0]} | {claims[1]} | {claims[2]} |
| people alone, no table, no gold answers | {alone[0]} | {alone[1]} | {alone[2]} |

The renewed student is right for {100 * overall["candidate"]:.1f} % of {overall["records"]:,}
questions of the frozen test, the running one for {100 * overall["baseline"]:.1f} %: difference
{100 * overall["difference"]:+.1f} points, interval {100 * overall["low"]:+.1f} to
{100 * overall["high"]:+.1f}, verdict `{overall["verdict"]}`, {renewed["status"]}. Evaluation
records in its training: {outcome["in_training"]}; left out because they are of the test:
{outcome["left_out"]}. The student after `--back` is byte-identical to the one before: {same}.

| task | known before | forgotten | learned |
|---|--:|--:|--:|
{forgot}

| renewals, trained | number | mean difference, points | promoted |
|---|--:|--:|--:|
{table}

The poisoned student is of {POISONED_RECORDS} records and {POISONED_STEPS} steps.

Null renewals simulated at the level of scores: {rate(simulated, args.simulated)} promoted; at most
5 % may be.
"""


if __name__ == "__main__":
    main()
