"""Asks llama.cpp for the ids and log-probabilities that conversions are compared with.

    python tests/inference/sources/make_references.py SmolLM2-135M-Instruct.Q4_1.gguf

It needs the package xllamacpp, which the tests do not. Each splitting is asked with a small
vocabulary whose merges were learnt without any splitting, so that a text that is split elsewhere
gets other ids.
"""

from __future__ import annotations

import json
import sys
import tempfile
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
from gguf_files import byte_characters, write_gguf
from reference_texts import TEXTS
from stillroom.inference.sources.convert_gguf import ARCHITECTURES
from stillroom.inference.sources.gguf_tokenizer import SPLITTINGS

TARGET = Path(__file__).parent / "reference_ids.json"
TOKENS = 1500
PROMPT = list(range(2, 40))
"""Ids whose next token is asked for."""


def learn_merges() -> tuple[list[str], list[str]]:
    """Learn a byte-level vocabulary and its merges, across every boundary of words."""
    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(
        vocab_size=TOKENS, initial_alphabet=byte_characters(), show_progress=False,
        max_token_length=12,
    )  # fmt: skip
    tokenizer.train_from_iterator(
        [text for text in TEXTS if "<" not in text for _ in range(2)], trainer
    )
    model = json.loads(tokenizer.to_str())["model"]
    return list(model["vocab"]), [" ".join(pair) for pair in model["merges"]]


def ask(path: Path, use: Callable[[Callable[[str, dict[str, Any]], Any]], Any]) -> Any:
    """Serve a file by llama.cpp and use the server."""
    import xllamacpp

    settings = xllamacpp.CommonParams()
    settings.model.path = str(path)
    settings.n_ctx, settings.warmup, settings.verbosity = 512, False, 0
    settings.cpuparams.n_threads = 1
    server = xllamacpp.Server(settings)

    def post(place: str, body: dict[str, Any]) -> Any:
        reply = httpx.post(server.listening_address + place, json=body, timeout=60)
        return reply.raise_for_status().json()

    return use(post)


def small_model(architecture: str) -> dict[str, Any]:
    """Describe a model whose every token is an ASCII character.

    llama.cpp gives no probabilities behind bytes that are no whole character.
    """
    ascii_only = [character for character in byte_characters() if "!" <= character <= "~"]
    return {
        "architecture": architecture,
        "tokens": [*ascii_only, "Ġ", "Ċ", "ab"],
        "merges": ["a b"],
        "tied": architecture != "llama",
    }


def ids_of(path: Path, texts: list[str]) -> list[list[int]]:
    """Ask for the ids of texts, special tokens included."""
    settings = {"add_special": True, "parse_special": True}
    return ask(
        path, lambda post: [post("/tokenize", {"content": t, **settings})["tokens"] for t in texts]
    )


def next_tokens(path: Path) -> list[list[float]]:
    """Ask for the ten most likely tokens behind the prompt, with their log-probabilities."""
    body = {"prompt": PROMPT, "n_predict": 1, "n_probs": 10, "temperature": 0}
    reply = ask(path, lambda post: post("/completion", body))
    likely = reply["completion_probabilities"][0]["top_logprobs"]
    return [[one["id"], one["logprob"]] for one in likely]


def main() -> None:
    """Write the references."""
    tokens, merges = learn_merges()
    composed = [unicodedata.normalize("NFC", text) for text in TEXTS]
    asked: dict[str, list[list[int]] | str] = {}
    """Ids by splitting; or the name of another splitting with the same ids."""
    logits = {}
    with tempfile.TemporaryDirectory() as work:
        for pre, splitting in SPLITTINGS.items():
            path = write_gguf(Path(work) / f"{pre}.gguf", pre=pre, tokens=tokens, merges=merges)
            found = ids_of(path, composed if splitting.nfc else TEXTS)
            asked[pre] = next((other for other, ids in asked.items() if ids == found), found)
        for name in ARCHITECTURES:
            path = write_gguf(Path(work) / f"{name}.gguf", **small_model(name))
            logits[name] = next_tokens(path)
    references = {
        "texts": TEXTS,
        "smollm2": ids_of(Path(sys.argv[1]), TEXTS),
        "tokens": tokens,
        "merges": merges,
        "splittings": asked,
        "prompt": PROMPT,
        "next_tokens": logits,
    }
    lines = [f"{json.dumps(k)}: {json.dumps(v, ensure_ascii=False)}" for k, v in references.items()]
    TARGET.write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")


if __name__ == "__main__":
    main()
