"""Test that structured answers fit their schema, with random schemas, prompts and weights.

    python benchmarks/structured_output.py                   # 10,000 schemas, 200 pydantic models
    python benchmarks/structured_output.py --schemas 500 --models 30 --seed 3

Tiny untrained models answer random prompts under random JSON schemas, with sampling at temperature
1; the weights change every few hundred answers. Half of the schemas that describe objects are
requested as the arguments of a tool, half of those as a stream. Every returned answer must be JSON
that is valid for its schema according to the package `jsonschema`; every answer that `max_tokens`
cuts off must raise `TruncatedAnswerError`. About one schema in ten has a keyword that llguidance
does not support: it must be refused by `ConfigError` before a token is generated, or the complete
answer must fit or raise `AnswerMismatchError` ("unfit"). Then pydantic models are requested
(`structured_models.py`). The exit status is 1 if anything else happens.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import os
import platform
import random
import sys
import time
from collections import Counter
from decimal import Decimal
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from stillroom.inference.chat.chat_model import ChatStudent
    from stillroom.inference.checkpoints.load_student import Checkpoint

Schema = dict[str, Any]
WORDS = ("gold", "Who greets?", "日本", 'a "quoted" text', "{", "\n\n", "null", "Count.", "é")
NAMES = (
    "a", "name", "Größe", "two words", 'a"b', "back\\slash", "", "日本", "$ref", "type", "x_1",
    "😀",
)  # fmt: skip
PATTERNS = (
    "^[a-c]{2,4}$", r"^\d{1,3}-[A-Z]$", "^(yes|no)$", r'^[^"\\]{0,5}$', r'^[^"]{1,4}$',
    r"^\w+@\w+$", r"^\W{1,3}$", "^[^a-z]{2}$", r"[0-9]$", r"^\S+ \S+$", "^[äöü日]{1,3}$",
    r"^[\x00-\x7f]{1,3}$", "^.{3}$",
)  # fmt: skip
FORMATS = ("date", "uuid", "ipv4", "ipv6", "email", "hostname", "duration")
VALUES = (
    0,
    -7,
    12.5,
    True,
    None,
    "",
    "x",
    'é\n"\\',
    "\u2028",
    [1, "a"],
    {"k": [None]},
    2**53 - 1,
    -0.001,
)
HARD: tuple[tuple[Schema, bool], ...] = (
    ({"not": {"type": "null"}}, False),
    ({"if": {"type": "null"}, "then": {}, "else": {}}, False),
    ({"type": "array", "uniqueItems": True, "items": {"type": "boolean"}}, False),
    ({"type": "array", "contains": {"type": "integer"}}, False),
    ({"type": "object", "dependentRequired": {"a": ["b"]}}, False),
    ({"type": "object", "propertyNames": {"maxLength": 3}}, False),
    ({"type": "object", "minProperties": 3, "additionalProperties": {"type": "null"}}, False),
    ({"type": "string", "pattern": "^(?!a)b"}, True),
    ({"type": "string", "pattern": r"(a)\1"}, True),
    ({"type": "string", "format": "idn-email"}, False),
    ({"type": "number", "multipleOf": 0.01}, False),
    ({"type": "integer", "multipleOf": 999_983}, True),
    ({"type": "integer", "minimum": 10**30}, True),
    ({"type": "integer", "minimum": 5, "maximum": 3}, True),
    ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, False),
    ({"oneOf": [{"type": "object", "properties": {name: {}}} for name in "ab"]}, True),
    ({"$ref": "https://example.org/schema"}, True),
    ({"$ref": "#/$defs/missing"}, True),
    ({"items": [{"type": "null"}]}, False),
    ({"enum": []}, True),
    ({"unevaluatedProperties": False, "type": "object"}, False),
)
"""Words that llguidance does not know, or that no answer can be held to; those are to be refused
before an answer is made (True). Answers to the others are judged when they are complete."""


def random_schema(chance: random.Random, depth: int = 3) -> tuple[Schema, str]:
    """Make a JSON schema; say how it is to be taken: "plain", "hard" or "refused"."""
    schema = some_schema(chance, depth)
    if chance.random() < 0.1:
        return hard_schema(chance, schema)
    if chance.random() < 0.1:
        return with_reference(chance, schema), "plain"
    return schema, "plain"


def hard_schema(chance: random.Random, schema: Schema) -> tuple[Schema, str]:
    """Put a hard word where every answer comes to it; say how that is to be taken."""
    chosen, is_refused = chance.choice(HARD)
    hard, taken = dict(chosen), "refused" if is_refused else "hard"
    kind = chance.random()
    if kind < 0.3 or "$ref" in hard:
        return hard, taken
    wrapped = {"type": "object", "properties": {"a": schema, "b": hard}, "required": ["b"]}
    return (wrapped if kind < 0.7 else {"type": "array", "items": hard, "minItems": 1}), taken


def some_schema(chance: random.Random, depth: int) -> Schema:
    makers = [make_integer, make_number, make_string, make_enum, make_simple]
    if depth:
        makers += [
            make_object,
            make_object,
            make_map,
            make_array,
            make_union,
            make_tuple,
            make_both,
        ]
    return chance.choice(makers)(chance, depth)


def make_simple(chance: random.Random, depth: int) -> Schema:
    kinds = [{"type": "boolean"}, {"type": "null"}, {"type": ["boolean", "null"]}]
    untyped = [{}, {"maxLength": 3}, {"minimum": 3}]
    return chance.choice(kinds if chance.random() < 0.8 else untyped)


def make_integer(chance: random.Random, depth: int) -> Schema:
    schema: Schema = {"type": chance.choice(["integer", ["integer", "null"]])}
    low = chance.choice([None, chance.randint(-1000, 1000)])
    if low is not None:
        schema[chance.choice(["minimum", "exclusiveMinimum"])] = low
    if chance.random() < 0.5:
        schema["maximum"] = (low or 0) + chance.randint(20, 10**6)
    elif chance.random() < 0.2:
        schema["multipleOf"] = chance.choice([2, 5, 7, 10, 60])
    return schema


def make_number(chance: random.Random, depth: int) -> Schema:
    schema: Schema = {"type": "number"}
    kind = chance.random()
    if kind < 0.5:
        low = round(chance.uniform(-50, 50), chance.randint(0, 6))
        schema[chance.choice(["minimum", "exclusiveMinimum"])] = low
        schema[chance.choice(["maximum", "exclusiveMaximum"])] = low + chance.choice([3.5, 0.1])
    elif kind < 0.6:
        schema["exclusiveMinimum"] = 0
    elif kind < 0.7:
        schema["multipleOf"] = chance.choice([0.5, 0.25, 3])
    return schema


def make_string(chance: random.Random, depth: int) -> Schema:
    kind = chance.random()
    if kind < 0.35:
        return {"type": "string", "pattern": chance.choice(PATTERNS), "maxLength": 20}
    if kind < 0.5:
        return {"type": "string", "format": chance.choice(FORMATS)}
    low = chance.randint(0, 3)
    return {"type": "string", "minLength": low, "maxLength": low + chance.randint(0, 12)}


def make_enum(chance: random.Random, depth: int) -> Schema:
    if chance.random() < 0.3:
        return {"const": chance.choice(VALUES)}
    return {"enum": chance.sample(VALUES, chance.randint(1, 5))}


def make_object(chance: random.Random, depth: int) -> Schema:
    names = chance.sample(NAMES, chance.randint(0, 4))
    schema: Schema = {
        "type": "object",
        "properties": {name: some_schema(chance, depth - 1) for name in names},
        "required": [name for name in names if chance.random() < 0.7],
    }
    if chance.random() < 0.3:
        schema["additionalProperties"] = chance.choice([False, {"type": "boolean"}])
    if chance.random() < 0.1:
        schema["required"] = [*schema["required"], "unnamed"][-2:]
    if chance.random() < 0.3:
        schema |= {"title": "T", "description": "An object.", "default": {}, "x-note": 1}
    return schema


def make_map(chance: random.Random, depth: int) -> Schema:
    kind = chance.random()
    if kind < 0.2:
        return {"type": "object", "maxProperties": 1}
    if kind < 0.6:
        value = some_schema(chance, 0)
        return {"type": "object", "additionalProperties": value, "maxProperties": 2}
    patterns = {"^[a-c]_": {"type": "integer"}, r"^\d+$": some_schema(chance, 0)}
    return {"type": "object", "patternProperties": patterns, "additionalProperties": False}


def make_array(chance: random.Random, depth: int) -> Schema:
    low = chance.randint(0, 2)
    items = some_schema(chance, depth - 1)
    return {"type": "array", "items": items, "minItems": low, "maxItems": low + 2}


def make_tuple(chance: random.Random, depth: int) -> Schema:
    count = chance.randint(1, 3)
    parts = [some_schema(chance, depth - 1) for _ in range(count)]
    rest: Any = chance.choice([False, {"type": "null"}])
    most = {"maxItems": count + 1}
    return {"type": "array", "prefixItems": parts, "items": rest, "minItems": count, **most}


def make_union(chance: random.Random, depth: int) -> Schema:
    if chance.random() < 0.3:
        kinds = chance.sample(["cat", "dog", "日本"], 2)
        return {"oneOf": [tagged(chance, kind, depth) for kind in kinds]}
    return {"anyOf": [some_schema(chance, depth - 1) for _ in range(chance.randint(2, 3))]}


def tagged(chance: random.Random, kind: str, depth: int) -> Schema:
    properties = {"kind": {"const": kind}, "value": some_schema(chance, depth - 1)}
    return {"type": "object", "properties": properties, "required": ["kind"]}


def make_both(chance: random.Random, depth: int) -> Schema:
    """Make a schema of two parts that hold for the same value."""
    if chance.random() < 0.5:
        return {"type": "integer", "allOf": [{"minimum": -5}, {"maximum": chance.randint(9, 99)}]}
    parts = [
        {"properties": {name: some_schema(chance, 0)}, "required": [name]}
        for name in chance.sample(["a", "é", "x_1"], 2)
    ]
    return {"type": "object", "allOf": parts, "maxProperties": 2}


def with_reference(chance: random.Random, schema: Schema) -> Schema:
    """Put a schema below a list that refers to itself."""
    node = {
        "type": "object",
        "properties": {"value": schema, "next": {"$ref": "#/$defs/node"}},
        "required": ["value"],
    }
    return {"$defs": {"node": node}, "$ref": "#/$defs/node"}


def make_student(seed: int) -> Checkpoint:
    """Make a checkpoint with random weights, and a tokenizer of 400 tokens."""
    import torch
    from stillroom.inference.checkpoints.load_student import Checkpoint
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
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=len(fast), hidden_size=32, intermediate_size=64, num_hidden_layers=1,
        num_attention_heads=2, max_position_embeddings=2048, bos_token_id=None,
        eos_token_id=fast.eos_token_id, pad_token_id=fast.eos_token_id, initializer_range=0.3,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    return Checkpoint(model, fast, None, "random", {"status": "complete"})


async def ask(chat: ChatStudent, prompt: str, schema: Schema, seed: int) -> str:
    """Ask for an answer of a schema, as text or as a tool's arguments; give the JSON text."""
    from langchain_core.messages import AIMessageChunk

    if schema.get("type") != "object" or seed % 2:
        form = {"type": "json_schema", "json_schema": {"name": "answer", "schema": schema}}
        return str((await chat.ainvoke(prompt, response_format=form, seed=seed)).text)
    function = {"name": "tell", "description": "Tell.", "parameters": schema}
    bound = chat.bind_tools([{"type": "function", "function": function}], tool_choice="any")
    if seed % 4:
        (call,) = (await bound.ainvoke(prompt, seed=seed)).tool_calls
        return json.dumps(call["args"])
    pieces, whole = "", AIMessageChunk("")
    async for chunk in bound.astream(prompt, seed=seed):
        pieces += "".join(piece["args"] or "" for piece in chunk.tool_call_chunks)
        whole += chunk
    (call,) = whole.tool_calls
    if json.loads(pieces) != call["args"]:
        raise ValueError(f"the pieces {pieces!r} do not add up to the call {call!r}")
    return pieces


def check(text: str, schema: Schema) -> None:
    """Judge an answer from outside.

    Raises:
        ValueError: It is no JSON, holds a number that is none, or does not fit its schema.
    """
    from jsonschema import Draft202012Validator, FormatChecker

    def fits(number: type[float] | type[Decimal]) -> bool:
        def finite(written: str) -> float | Decimal:
            if not math.isfinite(float(written)):
                raise ValueError(f"{written} is no number")
            return number(written)

        value = json.loads(text, parse_float=finite, parse_constant=finite)
        own = json.loads(json.dumps(schema), parse_float=number, object_hook=in_newest_draft)
        return Draft202012Validator(own, format_checker=FormatChecker()).is_valid(value)

    # Of floats 0.07 is no multiple of 0.01; of decimals it is.
    if not fits(float) and not ("multipleOf" in str(schema) and fits(Decimal)):
        raise ValueError("jsonschema does not take it")


def in_newest_draft(schema: Schema) -> Schema:
    """Write a tuple of older drafts as the judge's draft does."""
    if isinstance(schema.get("items"), list):
        schema["prefixItems"] = schema.pop("items")
    return schema


async def answer(chat: ChatStudent, seed: int) -> tuple[str, object]:
    """Ask once; say what came of it."""
    from stillroom.errors import AnswerMismatchError, ConfigError, TruncatedAnswerError

    chance = random.Random(seed)
    schema, taken = random_schema(chance)
    prompt = " ".join(chance.choices(WORDS, k=chance.randint(1, 8)))
    try:
        text = await ask(chat, prompt, schema, seed)
    except TruncatedAnswerError:
        return "cut", None
    except AnswerMismatchError as fault:
        # Deep inside a part of `allOf` without a type, `1e999` can be written; it is told, too.
        told = taken == "hard" or ("is no number" in str(fault) and "allOf" in str(schema))
        return ("unfit", None) if told else ("failed", (repr(fault)[:300], schema))
    except ConfigError as fault:
        # A few of the others no value can fit, such as a tuple that requires a name nowhere given.
        wanted = taken == "refused" or "Unsatisfiable" in str(fault)
        return ("refused", None) if wanted else ("failed", (repr(fault)[:300], schema))
    except Exception as fault:  # noqa: BLE001 - whatever else happens is what is looked for
        return "failed", (repr(fault)[:300], schema)
    if taken == "refused":
        return "failed", ("a word that cannot be enforced was let through", schema)
    try:
        check(text, schema)
    except ValueError as fault:
        return "wrong", (text, repr(fault)[:300], schema)
    return "valid", None


async def ask_all(
    schemas: int, seed: int, at_once: int, max_tokens: int = 200, each: int = 500
) -> dict[str, Any]:
    """Ask for all schemas, some at a time; count what came of them."""
    from stillroom.inference.chat.chat_model import ChatStudent

    faults: list[object] = []
    counts: Counter[str] = Counter()
    for first in range(0, schemas, each):
        model = make_student(seed + first)
        chat = ChatStudent(model=model, temperature=1.0, max_tokens=max_tokens)
        places = asyncio.Semaphore(at_once)

        async def one(number: int, chat: ChatStudent, places: asyncio.Semaphore) -> None:
            async with places:
                kind, fault = await answer(chat, seed * 10**6 + number)
            counts[kind] += 1
            if fault is not None:
                faults.append((number, fault))

        numbers = range(first, min(first + each, schemas))
        await asyncio.gather(*(one(number, chat, places) for number in numbers))
        chat.serving_engine.close()
        print(f"{sum(counts.values())} of {schemas}: {dict(counts)}", file=sys.stderr, flush=True)
    return {"counts": dict(counts), "faults": faults}


def main() -> int:
    from structured_models import ask_models

    parser = argparse.ArgumentParser(description=__doc__.split("\n", 1)[0])
    parser.add_argument("--schemas", type=int, default=10_000)
    parser.add_argument(
        "--models", type=int, default=200, help="pydantic models, four answers each"
    )
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--at-once", type=int, default=32)
    options = parser.parse_args()
    start = time.perf_counter()
    of_schemas = asyncio.run(ask_all(options.schemas, options.seed, options.at_once))
    of_models = ask_models(options.models, options.seed)
    print(f"{platform.machine()}, {os.cpu_count()} cores, {time.perf_counter() - start:.0f} s\n")
    kinds = ("valid", "cut", "unfit", "refused", "wrong", "failed")
    print("| asked for | valid | cut | unfit | refused | wrong | failed |")
    print("|:--|--:|--:|--:|--:|--:|--:|")
    for what, found in (
        (f"{options.schemas} schemas", of_schemas),
        (f"{options.models} pydantic models, 4 times each", of_models),
    ):
        print("|", " | ".join([what, *(str(found["counts"].get(kind, 0)) for kind in kinds)]), "|")
    faults = [*of_schemas["faults"], *of_models["faults"]]
    for fault in faults[:10]:
        print(fault)
    return 0 if not faults else 1


if __name__ == "__main__":
    sys.exit(main())
