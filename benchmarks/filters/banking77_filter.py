"""banking77 as a filter: a package, its articles, and a scripted oracle of stated noise.

    python benchmarks/filters/banking77_filter.py write --folder work      # package and articles
    python benchmarks/filters/banking77_filter.py serve --port 8123        # the oracle

The requests of banking77 (`../shared/data/banking77`, CC BY 4.0) are scored on three dimensions of
ours: how much money is at risk, whether an account or card is in others' hands, and how urgent it
is. True scores follow from the intent (the first line of `RULES` that is found in its name) and
from words of the request that make it more urgent. The oracle sees the request alone: it speaks as
much of OpenAI's HTTP as `stillroom filter label` needs, and answers with the true scores and noise,
normal with a standard deviation of `NOISE` points on each dimension, drawn by the hash of the text,
cut to 0 to 10 and rounded to halves. A student that knew the true scores would have a mean absolute
error of 0.76 against its labels.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import json
import random
import re
from dataclasses import dataclass
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

DATA = Path(__file__).resolve().parents[3] / "shared" / "data" / "banking77" / "train.csv"
NOISE = 1.0
"""Standard deviation of the oracle's noise, in points of 0 to 10."""
DIMENSIONS = ("money_at_risk", "security", "urgency")
RULES = (
    ("compromised|lost_or_stolen", (9.0, 9.5, 9.5)),
    ("not_recognised", (8.5, 8.5, 8.0)),
    ("swallowed", (5.5, 6.5, 8.5)),
    ("charged_twice|wrong_amount_of_cash", (8.0, 3.0, 6.5)),
    ("not_received|balance_not_updated", (7.5, 2.5, 6.5)),
    ("declined|failed|reverted|beneficiary_not_allowed|cancel_transfer", (6.0, 2.5, 7.0)),
    ("blocked|passcode|unable_to_verify", (3.0, 6.5, 7.0)),
    ("refund|Refund|extra_charge", (6.5, 2.0, 4.5)),
    ("pending", (5.0, 1.5, 4.5)),
    ("not_working", (3.0, 3.0, 6.0)),
    ("wrong_exchange|_charge|fee", (4.5, 1.0, 3.0)),
    ("verify|source_of_funds|change_pin|terminate|edit_personal", (1.5, 5.0, 3.0)),
    ("arrival|delivery|receiving|transfer_timing|transfer_into", (2.0, 1.5, 3.5)),
    ("", (1.0, 0.7, 1.2)),
)
URGENT = re.compile(
    r"\b(urgent\w*|asap|immediately|right (now|away)|emergency|stolen|fraud\w*|help|scam\w*)\b|!",
    re.IGNORECASE,
)
CONFIG = """\
filter:
  name: request_triage
  version: "1.0"
  description: Which requests to a bank must be read at once.
scoring:
  dimensions:
    money_at_risk: {weight: 0.4, description: How much of the customer's money may be lost.}
    security: {weight: 0.25, description: Whether others may have the card or the account.}
    urgency: {weight: 0.35, description: How soon somebody must act.}
  tiers:
    at_once: {threshold: 6.5, description: Read first.}
    today: {threshold: 4.5, description: Read today.}
    in_turn: {threshold: 2.5, description: Read in turn.}
    self_service: {threshold: 0, description: An article of the help answers it.}
  pass_threshold: 4.5
"""
PROMPT = """\
Score the request of a bank's customer from 0 to 10 on money_at_risk, security and urgency.

[Paste the summary of the article here]

Answer with one JSON object: {"money_at_risk": 0, "security": 0, "urgency": 0}
"""
README = "# Request triage\n\nScores requests of a bank's customers; a benchmark of stillroom.\n"
TITLE = "Request"


@dataclass(frozen=True)
class Request:
    """One request of the data set."""

    id: str
    text: str
    intent: str

    def article(self) -> dict[str, str]:
        """Give it as an article."""
        return {"id": self.id, "title": TITLE, "content": self.text}


@cache
def requests(path: Path = DATA) -> tuple[Request, ...]:
    """Read the requests, in an order drawn by their texts; each text once."""
    with open(path, encoding="utf-8", newline="") as rows:
        found = {" ".join(row["text"].split()): row["category"] for row in csv.DictReader(rows)}
    order = sorted(found, key=lambda text: hashlib.sha256(text.encode()).digest())
    return tuple(Request(f"b{n}", text, found[text]) for n, text in enumerate(order))


@cache
def by_text() -> dict[str, Request]:
    """Find requests by their text."""
    return {one.text: one for one in requests()}


def true_scores(one: Request) -> list[float]:
    """Give the scores without noise, (D,)."""
    base = next(scores for pattern, scores in RULES if re.search(pattern, one.intent))
    bonus = 1.5 if URGENT.search(one.text) else 0.0
    return [base[0], base[1], min(10.0, base[2] + bonus)]


def oracle_scores(one: Request, noise: float = NOISE) -> list[float]:
    """Give what the oracle says, (D,); the same for the same text."""
    rng = random.Random(hashlib.sha256(one.text.encode()).digest())
    noisy = [score + rng.gauss(0.0, noise) for score in true_scores(one)]
    return [min(10.0, max(0.0, round(2 * score) / 2)) for score in noisy]


def write_package(folder: Path) -> Path:
    """Write the package; give its folder."""
    package = folder / "request_triage" / "v1"
    package.mkdir(parents=True, exist_ok=True)
    prefilter = 'version: "1.0"\nmin_content_length: 5\n'
    for name, text in (
        ("config.yaml", CONFIG),
        ("prompt-compressed.md", PROMPT),
        ("prefilter.yaml", prefilter),
        ("README.md", README),
    ):
        (package / name).write_text(text, encoding="utf-8")
    return package


def write_articles(path: Path) -> Path:
    """Write all requests as articles."""
    lines = [json.dumps(one.article(), ensure_ascii=False) + "\n" for one in requests()]
    path.write_text("".join(lines), encoding="utf-8")
    return path


class Oracle(BaseHTTPRequestHandler):
    """Answers chat completions about requests of the data set."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Say nothing."""

    def do_GET(self) -> None:
        """List the model."""
        self._send({"object": "list", "data": [{"id": "scripted", "object": "model"}]})

    def do_POST(self) -> None:
        """Score the request that the prompt shows."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        prompt = body["messages"][-1]["content"]
        text = re.search(r"\nPublished: [^\n]*\n\n(.*?)\n\nAnswer with", prompt, re.DOTALL)
        one = by_text().get(text[1]) if text else None
        scores = dict(zip(DIMENSIONS, oracle_scores(one), strict=True)) if one else {}
        answer = {"role": "assistant", "content": json.dumps(scores)}
        self._send({
            "id": "1", "object": "chat.completion", "model": "scripted",
            "choices": [{"index": 0, "message": answer, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 80, "completion_tokens": 30, "total_tokens": 110},
        })  # fmt: skip

    def _send(self, told: dict[str, Any]) -> None:
        body = json.dumps(told).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def main() -> None:
    """Write the files, or serve the oracle."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0] if __doc__ else "")
    parser.add_argument("action", choices=("write", "serve"))
    parser.add_argument("--folder", type=Path, default=Path("banking77_filter"))
    parser.add_argument("--port", type=int, default=8123)
    args = parser.parse_args()
    if args.action == "serve":
        ThreadingHTTPServer(("127.0.0.1", args.port), Oracle).serve_forever()
    print(write_package(args.folder))
    print(write_articles(args.folder / "articles.jsonl"))


if __name__ == "__main__":
    main()
