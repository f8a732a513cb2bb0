"""A folder with all that the examples of the commands' help name: tables, labels, a small model."""

import csv
import json
import sqlite3

import numpy as np
from project_paths import ROOT

FRUIT = ["apple", "pear", "plum", "fig", "kiwi", "lime", "date", "melon", "quince", "cherry"]
DIMENSIONS = ("joy", "reach", "evidence")


def table(path, rows, separator=",", encoding="utf-8", before=""):
    with path.open("w", encoding=encoding, newline="") as file:
        file.write(before)
        csv.writer(file, delimiter=separator).writerows(rows)


def lines(path, records):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps(one) + "\n" for one in records), encoding="utf-8")


def write_world(folder):
    """Write everything."""
    _tables(folder)
    _filters(folder)
    _models(folder)
    pipeline = (ROOT / "examples/fastdistill/fastdistill_pipeline.yaml").read_bytes()
    (folder / "pipeline.yaml").write_bytes(pipeline)
    (folder / "env.yaml").write_text("{}\n", encoding="utf-8")
    (folder / "examples").symlink_to(ROOT / "examples")
    (folder / "configs").symlink_to(ROOT / "configs")


def _tables(folder):
    rows = [[name, f"{n + 1}.50", str(3 * n)] for n, name in enumerate(FRUIT)]
    head = ["name", "price", "stock"]
    for name in ("mine.csv", "shop.csv", "prices.csv"):
        table(folder / name, [head, *rows])
    dearer = [[name, str(float(price) + 1), stock] for name, price, stock in rows]
    table(folder / "prices_may.csv", [head, *dearer])
    table(folder / "prices_june.csv", [["name", "cost", "stock"], *dearer])
    table(folder / "old.csv", [head, *rows], ";", "cp1252", "Prices\nof March\n")
    table(folder / "asked.csv", [["question"], ["what does the apple cost?"], ["cheapest?"]])
    faq = [[f"What is {n} + {n + 1}?", str(2 * n + 1)] for n in range(50)]
    for name in ("faq.csv", "fifty.csv"):
        table(folder / name, [["question", "answer"], *faq])
    table(folder / "labels.csv", [["question", "answer"], *faq[:8]], ";")
    table(folder / "questions.csv", [["question", "answer"], *faq[:5]])
    table(folder / "more.csv", [head, *rows, ["mango", "4.20", "1"]])
    (folder / "empty.csv").write_bytes(b"")
    for name in ("shop.sqlite", "shop.db"):
        with sqlite3.connect(folder / name) as base:
            base.execute("create table products (name text, price real, stock int)")
            base.executemany("insert into products values (?, ?, ?)", rows)
            base.execute("create table people (name text, city text)")
        base.close()
    lines(folder / "train.jsonl", [{"prompt": a, "completion": b} for a, b in faq[:6]])
    rng = np.random.default_rng(0)
    for name, error in (("a.csv", 1.0), ("b.csv", 0.9)):
        scores = [[f"q{n}", f"{5 + rng.normal(0, error):.3f}"] for n in range(60)]
        table(folder / name, [["sample_id", "score"], *scores])


def _models(folder):
    """Write a model with random weights: a teacher, and a student with its table."""
    from stillroom.data.questions.profile import profile_table
    from stillroom.data.questions.questions import build_question_set
    from stillroom.data.readers.read_table import read_table
    from stillroom.distillation.starter_student import StarterSize, new_model, train_tokenizer
    from stillroom.inference.checkpoints.load_student import save_checkpoint
    from stillroom.pipeline.commands.chat import read_own_table
    from stillroom.records import write_examples

    texts = [f"What is the price of {name}? It costs {n}.50." for n, name in enumerate(FRUIT)]
    tokenizer = train_tokenizer(texts * 3, 300)
    size = StarterSize(layers=2, width=64, heads=1, positions=256)
    for place in ("teacher", "outputs/prices/student", "outputs/elements/student"):
        model = new_model(tokenizer, size, seed=0)
        save_checkpoint(folder / place, model, tokenizer, {"status": "complete", "steps": 0})
    for run in ("prices", "elements"):
        read_own_table(folder / "prices.csv", "prices.csv").write(folder / f"outputs/{run}/student")
    records = read_table(folder / "prices.csv")
    made = build_question_set(records, profile_table(records, source="prices.csv"))
    (folder / "outputs/elements/data").mkdir()
    write_examples(str(folder / "outputs/elements/data/held_out.jsonl"), made.held_out[:6])
    settings = {"teacher_model_name": "./teacher", "student_model_name": "./teacher",
                "data": "fifty.csv", "max_steps": 1, "batch_size": 2, "output_dir": "distilled",
                "max_length": 64}  # fmt: skip
    (folder / "mine.json").write_text(json.dumps(settings), encoding="utf-8")


def _filters(folder):
    """Write articles, labels and scores of the filter that an example makes."""
    rng = np.random.default_rng(0)
    true = rng.uniform(0, 10, (300, 3)).round(1)

    def article(n):
        text = " ".join(rng.choice(FRUIT, 60))
        return {"id": f"r{n}", "title": f"Title {n}", "content": f"{n} {text}",
                "language": "en" if n % 2 else "de"}  # fmt: skip

    articles = [article(n) for n in range(300)]

    def label(n, error=0.0):
        own = np.clip(true[n] + rng.normal(0, error, 3), 0, 10).round(1).tolist()
        analysis = {"dimensions": dict(zip(DIMENSIONS, own, strict=True)), "prompt_hash": "p",
                    "analyzed_by": "x"}  # fmt: skip
        return articles[n] | {"uplifting_analysis": analysis}

    def scores(path, error, numbers=range(300)):
        lines(path, [
            {"id": f"r{n}", "scores": dict(zip(
                DIMENSIONS, np.clip(true[n] + rng.normal(0, error, 3), 0, 10).tolist(), strict=True,
            ))}
            for n in numbers
        ])  # fmt: skip

    lines(folder / "corpus/one.jsonl", articles)
    lines(folder / "articles.jsonl", articles)
    labels = [label(n) for n in range(240)]
    lines(folder / "datasets/uplifting/labeled_batch_001.jsonl", labels)
    lines(folder / "labels/labeled_batch_001.jsonl", labels)
    lines(folder / "renewal/uplifting/labeled_batch_001.jsonl",
          [label(n) for n in range(240, 300)])  # fmt: skip
    lines(folder / "anchors.jsonl", labels)
    lines(folder / "again.jsonl", [label(n, 0.3) for n in range(240)])
    scores(folder / "june.jsonl", 1.0, range(150))
    scores(folder / "july.jsonl", 1.0, range(100, 300))
    scores(folder / "scored/one.jsonl", 1.0)
    scores(folder / "old.jsonl", 1.6)
    for name in ("new", "seed1", "seed2", "seed3"):
        scores(folder / f"{name}.jsonl", 0.6)
