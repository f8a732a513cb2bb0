"""Articles for benchmarks of filters, recombined from the sentences of public texts.

No article is a real one: each is a title and a number of paragraphs of sentences that were drawn at
random from the English and German paragraphs of XQuAD, the problems of GSM8K and the sentences of
EmoBank (`../shared/data`). Their lengths are those of news: half are shorter than 420 words, one in
a hundred is longer than 4,000.
"""

from __future__ import annotations

import csv
import gzip
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
_END = re.compile(r"(?<=[.!?])\s+")


def sentences(data: Path = DATA) -> list[str]:
    """Read all sentences of the public texts."""
    found: list[str] = []
    for language in ("en", "de"):
        with gzip.open(data / "xquad" / f"xquad.{language}.json.gz", "rt", encoding="utf-8") as one:
            for article in json.load(one)["data"]:
                for paragraph in article["paragraphs"]:
                    found += _END.split(paragraph["context"])
    with gzip.open(data / "gsm8k" / "train.jsonl.gz", "rt", encoding="utf-8") as lines:
        for line in lines:
            found += _END.split(json.loads(line)["question"])
    with gzip.open(data / "emobank" / "emobank.train-dev.csv.gz", "rt", encoding="utf-8") as rows:
        found += [row["text"] for row in csv.DictReader(rows)]
    return [one.strip() for one in found if one.strip()]


def made_articles(count: int, seed: int = 0, data: Path = DATA) -> Iterator[dict[str, Any]]:
    """Yield articles with `id`, `title`, `content`, `source` and `language`."""
    rng, pool = random.Random(seed), sentences(data)
    for number in range(count):
        words, wanted = 0, rng.lognormvariate(6.04, 0.97)
        paragraphs: list[str] = []
        while words < wanted:
            paragraph = " ".join(rng.choices(pool, k=rng.randrange(2, 7)))
            words += paragraph.count(" ") + 1
            paragraphs.append(paragraph)
        yield {
            "id": f"made-{number}",
            "title": rng.choice(pool)[:120],
            "content": "\n\n".join(paragraphs),
            "source": "made",
            "language": "en",
        }
