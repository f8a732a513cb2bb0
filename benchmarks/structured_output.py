"""Do answers of a given form have it, whatever the weights? Random schemas, prompts and weights.

    python benchmarks/structured_output.py [--schemas 10000] [--seed 0] [--at-once 32]

A tiny model that was never trained answers random prompts by random JSON schemas, with sampling at
temperature 1. Every answer that ends must be JSON and valid for its schema (judged by the package
`jsonschema`, from outside); every answer that max_tokens cuts must raise `TruncatedAnswerError`.
Printed are the counts, and the exit status is 1 if anything else happened.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sys
import time
from collections import Counter

WORDS = ("gold", "Who greets?", "日本", "a \"quoted\" text", "{", "\n\n", "null", "Count.", "é")
NAMES = ("a", "name", "Größe", "two words", "a\"b", "back\\slash", "", "日本", "$ref", "type", "x_1")
PATTERNS = ("^[a-c]{2,4}$", "^\\d{1,3}-[A-Z]$", "^(yes|no)$", "^[^\"\\\\]{0,5}$")
VALUES = (0, -7, 12.5, True, None, "", "x", "é\n\"\\", "\u2028", [1, "a"], {"k": [None]})


def random_schema(chance: random.Random, depth: int = 3) -> dict:
    """Make a JSON schema of what `grammar` says it can enforce."""
    makers = [make_integer, make_number, make_string, make_enum, make_simple]
    if depth:
        makers += [make_object, make_object, make_array, make_union, make_tuple]
    schema = chance.choice(makers)(chance, depth)
    if depth == 3 and chance.random() < 0.1:
        return with_reference(chance, schema)
    return schema


def make_simple(chance, depth):
    return chance.choice([{"type": "boolean"}, {"type": "null"}, {"type": ["boolean", "null"]}])


def make_integer(chance, depth):
    low = chance.choice([None, chance.randint(-1000, 1000)])
    schema = {"type": "integer", **({} if low is None else {"minimum": low})}
    if chance.random() < 0.5:
        schema["maximum"] = (low or 0) + chance.randint(0, 10**6)
    elif chance.random() < 0.2:
        schema["multipleOf"] = chance.choice([2, 5, 10])
    return schema


def make_number(chance, depth):
    schema = {"type": "number"}
    if chance.random() < 0.5:
        low = round(chance.uniform(-50, 50), 2)
        schema |= {"minimum": low, chance.choice(["maximum", "exclusiveMaximum"]): low + 3.5}
    return schema


def make_string(chance, depth):
    kind = chance.random()
    if kind < 0.2:
        return {"type": "string", "pattern": chance.choice(PATTERNS)}
    if kind < 0.3:
        return {"type": "string", "format": chance.choice(["date", "uuid", "ipv4"])}
    low = chance.randint(0, 3)
    return {"type": "string", "minLength": low, "maxLength": low + chance.randint(0, 12)}


def make_enum(chance, depth):
    if chance.random() < 0.3:
        return {"const": chance.choice(VALUES)}
    return {"enum": chance.sample(VALUES, chance.randint(1, 5))}


def make_object(chance, depth):
    names = chance.sample(NAMES, chance.randint(0, 4))
    schema = {
        "type": "object",
        "properties": {name: random_schema(chance, depth - 1) for name in names},
        "required": [name for name in names if chance.random() < 0.7],
    }
    if chance.random() < 0.15:
        return {"type": "object", "additionalProperties": {"type": "boolean"}, "maxProperties": 2}
    if chance.random() < 0.3:
        schema["additionalProperties"] = False
    if chance.random() < 0.3:
        schema |= {"title": "T", "description": "An object.", "default": {}}
    return schema


def make_array(chance, depth):
    low = chance.randint(0, 2)
    items = random_schema(chance, depth - 1)
    return {"type": "array", "items": items, "minItems": low, "maxItems": low + 2}


def make_tuple(chance, depth):
    count = chance.randint(1, 3)
    parts = [random_schema(chance, depth - 1) for _ in range(count)]
    return {"type": "array", "prefixItems": parts, "items": False, "minItems": count}


def make_union(chance, depth):
    return {"anyOf": [random_schema(chance, depth - 1) for _ in range(chance.randint(2, 3))]}


def with_reference(chance, schema):
    """Put a schema below a list that refers to itself."""
    node = {
        "type": "object",
        "properties": {"value": schema, "next": {"$ref": "#/$defs/node"}},
        "required": ["value"],
    }
    return {"$defs": {"node": node}, "$ref": "#/$defs/node"}


def make_student():
    """Make a checkpoint with random weights, and a tokenizer of 400 tokens."""
    import torch
    from stillroom.inference.checkpoints import Checkpoint
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<|end|>"], initial_alphabet=alphabet, show_progress=False
    )
    texts = [json.dumps({name: list(VALUES)}) for name in NAMES] + ['{"a": [{"b": 1}, {"c": 22}]}']
    tokenizer.train_from_iterator(texts * 3, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, eos_token="<|end|>")
    fast.pad_token = fast.eos_token
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast), hidden_size=32, intermediate_size=64, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=2048, bos_token_id=None,
        eos_token_id=fast.eos_token_id, pad_token_id=fast.eos_token_id, initializer_range=0.3,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    return Checkpoint(model, fast, None, "random", {"status": "complete"})


async def answer(chat, seed: int, depth: int) -> tuple[str, object]:
    """Ask once; say what came of it."""
    from jsonschema import Draft202012Validator
    from stillroom.errors import TruncatedAnswerError

    chance = random.Random(seed)
    schema = random_schema(chance, depth)
    prompt = " ".join(chance.choices(WORDS, k=chance.randint(1, 8)))
    form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
    try:
        text = (await chat.ainvoke(prompt, response_format=form, seed=seed)).text
    except TruncatedAnswerError:
        return "cut", None
    except Exception as fault:
        return "failed", (repr(fault)[:300], schema)
    try:
        Draft202012Validator(schema).validate(json.loads(text))
    except Exception as fault:
        return "wrong", (text, repr(fault)[:300], schema)
    return "valid", None


async def ask_all(schemas: int, seed: int, at_once: int, max_tokens: int = 200) -> dict:
    """Ask for all schemas, some at a time; count what came of them."""
    from stillroom.inference.chat_model import ChatStudent

    chat = ChatStudent(model=make_student(), temperature=1.0, max_tokens=max_tokens)
    places = asyncio.Semaphore(at_once)
    faults: list[object] = []
    counts: Counter[str] = Counter()

    async def one(number: int) -> None:
        async with places:
            kind, fault = await answer(chat, seed * 10**6 + number, depth=3)
        counts[kind] += 1
        if fault is not None:
            faults.append(fault)

    await asyncio.gather(*(one(number) for number in range(schemas)))
    chat.serving_engine.close()
    return {"counts": dict(counts), "faults": faults}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--schemas", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--at-once", type=int, default=32)
    options = parser.parse_args()
    start = time.perf_counter()
    found = asyncio.run(ask_all(options.schemas, options.seed, options.at_once))
    counts = found["counts"]
    print(f"{options.schemas} schemas in {time.perf_counter() - start:.0f} s: {counts}")
    for fault in found["faults"][:10]:
        print(fault)
    return 0 if set(counts) <= {"valid", "cut"} and not found["faults"] else 1


if __name__ == "__main__":
    sys.exit(main())
