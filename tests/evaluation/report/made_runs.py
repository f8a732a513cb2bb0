"""Run folders as a job leaves them, made without training: for tests of the report."""

from __future__ import annotations

import random

from stillroom.evaluation.export_price import PRICE_FILE
from stillroom.evaluation.predictions import PREDICTIONS, Prediction, write_predictions
from stillroom.evaluation.scores import ModelScores, TaskScores
from stillroom.files import write_json, write_json_lines

RATES = {
    "teacher": 0.95, "student_untrained": 0.02, "student_without_teacher": 0.7,
    "student_teacher_text": 0.88, "student": 0.9, "student_all_gold": 0.97, "lookup": 1.0,
    "nearest_question": 0.6,
}  # fmt: skip
EVIL = "<script src=https://evil.example/x.js></script>"


def made_answers(name, rate, count=240, seed=0):
    """Answers to the same questions in every model; each has its own mistakes."""
    draw = random.Random(f"{name}{seed}")
    made = []
    for number in range(count):
        gold = f"value {number}" if number % 3 else f"a longer value that tells of record {number}"
        right = draw.random() < rate
        confidence = draw.uniform(0.6, 1.0) if right else draw.uniform(0.2, 0.95)
        made.append(Prediction(
            sample_id=f"{number}:colour:qa:0",
            question=f"What is the colour of star {number}?" + (EVIL if number % 5 == 0 else ""),
            gold=gold, answer=gold if right else f"value {number + 1}", right=right,
            source_id=f"stars.csv:{number // 2}",
            category=("qa", "validate", "summarize")[number % 3],
            column=("colour", "distance")[number % 2], f1=float(right), confidence=confidence,
        ))  # fmt: skip
    return made


def make_answer_run(folder, *, rates=RATES, int8=True, seed=0):
    """Write the folder of a finished main job."""
    scores = {}
    for name, rate in rates.items():
        made = made_answers(name, rate, seed=seed)
        write_predictions(folder / PREDICTIONS / f"{name}.jsonl", made)
        if name in ("lookup", "nearest_question"):
            continue
        share = sum(one.right for one in made) / len(made)
        whole = TaskScores(share, share, 0.9, 1.2, len(made))
        big = name == "teacher"
        scores[name] = ModelScores(
            share, share, 0.9, 1.2, len(made), {"qa": whole},
            parameters=2_800_000 if big else 1_200_000, weights_bytes=4_800_000,
            bytes_on_disk=11_400_000 if big else 5_000_000, peak_memory_bytes=480_000_000,
            tokens_per_second=480.0 if big else 812.0,
            latency_p50_ms=40.0 if big else 18.0, latency_p95_ms=66.0 if big else 31.0,
            latency_mean_ms=44.0 if big else 20.0,
        )  # fmt: skip
    write_json(folder / "metrics.json", {name: one.to_dict() for name, one in scores.items()})
    write_json(folder / "timing.json", {"busy_s": {"training": 95.5, "measuring": 20.0}})
    write_json(folder / "student" / "run.json", {
        "run_id": "20260101T000000Z-abc123", "created_at": "2026-01-01T00:00:00Z", "seed": 0,
        "steps": 400, "data_hash": "d" * 64, "config_hash": "c" * 64, "prompt_sha256": "e" * 64,
        "config": {"temperature": 1.0, "alpha": 0.5}, "teacher": {"id": "teacher"},
        "student": {"id": "every_second"}, "versions": {"torch": "2.13"},
    })  # fmt: skip
    for name, end in (("teacher", 0.1), ("student", 0.2)):
        write_json_lines(folder / name / "losses.jsonl", [
            {"step": step, "loss": end + 3.0 / step} for step in range(1, 401)
        ])  # fmt: skip
    write_json(folder / "student" / "table.json", {"source": "stars.csv", "rows": [{}] * 120})
    write_json(folder / "progress.json", {"owner": {
        "source": {"data": "stars.csv"}, "settings": {"teacher": "starter", "gold_share": 0.5},
    }})  # fmt: skip
    if int8:
        write_json(folder / PRICE_FILE, {
            "float32": {"right": 134, "n": 150, "rate": 0.893, "rate_ci95": [0.834, 0.933],
                        "weights_bytes": 4_800_000, "latency_p50_ms": 12.0, "latency_p95_ms": 20.0,
                        "tokens_per_second": 900.0},
            "int8": {"right": 133, "n": 150, "rate": 0.887, "rate_ci95": [0.826, 0.928],
                     "weights_bytes": 1_400_000, "latency_p50_ms": 9.0, "latency_p95_ms": 15.0,
                     "tokens_per_second": 1200.0},
            "words": "Both have the same likeliest token in 99.10 % of 700 tokens",
        })  # fmt: skip
    return folder


def make_filter_run(folder):
    """Write the folder of a filter's students with an evaluation."""
    rows = [
        {"student": name, "n": 300, "mae": {"joy": error, "depth": error + 0.1},
         "mean_mae": error + 0.05, "mean_spearman": None if speed is None else 0.7,
         "tier_kappa": 0.5, "tier_accuracy": 0.7, "pass_accuracy": 0.86,
         "texts_per_second_core": speed, "train_s": speed and 12.0, "train_examples": 900}
        for name, error, speed in (("mean baseline", 1.9, None), ("tfidf", 1.3, 5200.0),
                                   ("frozen", 1.1, 60.0))
    ]  # fmt: skip
    write_json(folder / "students.json", {"filter": "uplifting", "version": "1.0", "rows": rows,
                                          "notes": ["tuned did not help"]})  # fmt: skip
    dimension = {"mae": 1.1, "verdict": "better", "words": "the student is better than the mean "
                 "baseline: difference +0.80, 95 % interval +0.70 to +0.90"}  # fmt: skip
    rate = dict.fromkeys(("accuracy", "recall", "precision", "specificity"), 0.86)
    write_json(folder / "evaluation.json", {
        "filter_name": "uplifting", "filter_version": "1.0", "n": 300, "noise_from": None,
        "dimensions": {"joy": dimension, "depth": dimension, "weighted_average": dimension},
        "passing": {**rate, **{f"{name}_ci95": [0.82, 0.9] for name in rate},
                    "words": "the student is better than always the commoner verdict"},
        "categories": {}, "reliability": [
            {"from": 2.0 * n, "to": 2.0 * n + 2, "n": 60, "predicted": 2.0 * n + 1,
             "true": 2.0 * n + 0.7, "true_ci95": None} for n in range(5)],
        "worst": [{"id": f"a{n}", "title": f"Article {n} {EVIL}", "predicted": 7.0, "true": 2.0,
                   "predicted_tier": "high", "tier": "low"} for n in range(10)],
        "conclusion": ["On 300 held-out articles the student is off by 1.10 points.",
                       "It is better than the mean baseline in 2 of 2 dimensions."],
    })  # fmt: skip
    return folder
