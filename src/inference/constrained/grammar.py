"""Grammars that constrain decoding: JSON by a schema, a regular expression, a choice of texts.

    form = json_grammar({"type": "object", "properties": {"a": {"type": "integer"}}})
    request = GenerationRequest(prompt_ids=ids, constraint=constrain(form, tokenizer, end_ids))

At every step only tokens are allowed that can continue to an answer of the grammar, so a complete
answer follows it, whatever the weights. llguidance (https://github.com/guidance-ai/llguidance)
computes these tokens in microseconds a step, and refuses grammars that would take longer.
"""

from __future__ import annotations

import json
import re
import threading
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

import numpy
from numpy.typing import NDArray

from ...errors import ConfigError, GenerationError, MissingDependencyError
from .llguidance_schema import llguidance_schema
from .schema import read_schema

if TYPE_CHECKING:
    from torch import Tensor

_MOST_CHARACTERS = 256 << 10
"""Of a pattern, or of all choices together."""
_MOST_COMPILED = 64
"""Compiled grammars kept per tokenizer."""
_LIMITS: dict[str, Any] = {
    "initial_lexer_fuel": 500_000,
    "step_lexer_fuel": 100_000,
    "max_lexer_states": 50_000,
}
"""Half or less of llguidance's own limits, with which `(a{1000}){1000}` takes over a second."""

_SPELLING = {
    "whitespace_flexible": False,
    "item_separator": ", ",
    "key_separator": ": ",
    "json_allowed_escapes": '"\\bfnrt',
}
"""As `json.dumps` writes. A small model that may choose white space can do so for ever. Without
`\\u` each text has one spelling; else `{"a": 1, "\\u0061": null}` gives a property two values."""


@dataclass(frozen=True)
class Grammar:
    """A grammar for any tokenizer; made by the functions below."""

    rules: str
    """Rules in llguidance's variant of Lark; `answer` is the start rule."""


def json_grammar(schema: Mapping[str, Any]) -> Grammar:
    """Make the grammar of JSON texts that a schema allows.

    The texts are written as by `json.dumps`, with properties in the order of the schema, without
    properties that it does not name, and with numbers that every reader of JSON reads alike
    (`llguidance_schema`).

    Some words are not fully enforced: `not`, `contains`, `maxProperties`, the converse of `if`,
    `oneOf` with overlapping alternatives, `uniqueItems` of many values. A complete answer is
    checked for them by `answer_validation.AnswerJudge`.

    Args:
        schema: JSON Schema (draft 2020-12). References only within it; no `contentSchema`,
            `$dynamicRef`, look-around in patterns, or formats beyond `regex_checks.FORMATS`.

    Raises:
        ConfigError: It is too large or too deep, would be misread, or no value fits it. Other words
            that cannot be enforced raise it in `constrain`.
    """
    return Grammar(f"answer: {json_rule(schema)}\n")


def json_rule(schema: Mapping[str, Any]) -> str:
    """Write a schema as part of a rule, for grammars that contain JSON.

    Raises:
        ConfigError: As `json_grammar`.
    """
    return _json_rule(json.dumps(read_schema(schema)))


@lru_cache(maxsize=_MOST_COMPILED)
def _json_rule(schema: str) -> str:
    return f"%json {json.dumps({**llguidance_schema(json.loads(schema)), 'x-guidance': _SPELLING})}"


def regex_grammar(pattern: str) -> Grammar:
    r"""Make the grammar of texts that a regular expression matches completely.

    Args:
        pattern: In the syntax of Rust's regex crate: no look-around, no back references.

    Raises:
        ConfigError: It is too long.

    >>> regex_grammar("a/b").rules
    'answer: /a\\/b/\n'
    """
    written = re.sub(r"\\.|[/\n]", _escaped, _bounded(pattern, "pattern"), flags=re.DOTALL)
    return Grammar(f"answer: /{written}/\n")


def choice_grammar(choices: Sequence[str]) -> Grammar:
    """Make the grammar of a choice of texts.

    Args:
        choices: Texts, none empty. One may be the beginning of another; the model then chooses
            whether to end.

    Raises:
        ConfigError: There are none, one is empty, or they are too many.
    """
    if not choices or not all(choices):
        raise ConfigError([f"choices are {list(choices)!r}; give one text or more, none empty"])
    # One pattern, not one rule per choice: thousands of rules at one place are refused.
    return regex_grammar("|".join(literal_pattern(choice) for choice in dict.fromkeys(choices)))


class GrammarConstraint:
    """A compiled grammar during one request; see `engine.protocol.LogitsConstraint`."""

    def __init__(self, matcher: Any, words: int) -> None:  # noqa: ANN401 - a Rust object
        """Take a matcher of its own, and the size of the vocabulary."""
        self._matcher = matcher
        self._words = words

    def mask(self, generated: Sequence[int]) -> Tensor:
        """Return which tokens may come next, as (V,) bool on the CPU.

        Raises:
            GenerationError: None may, because the vocabulary cannot write what the grammar
                requires, or the grammar became too costly.
        """
        import torch

        allowed = _unpacked(self._matcher.compute_bitmask(), self._words)
        # After an error llguidance allows the end, which would pass for a complete answer.
        if self._matcher.is_error() or not allowed.any():
            reason = _first_line(self._matcher.get_error()) or "the vocabulary lacks a character"
            raise GenerationError(f"no token continues an answer of the wanted form: {reason}")
        return torch.from_numpy(allowed)

    def accept(self, token_id: int) -> bool:
        """Take the chosen token; return whether the answer is complete.

        Raises:
            GenerationError: It was not among the allowed ones.
        """
        if not self._matcher.consume_token(token_id):
            reason = _first_line(self._matcher.get_error())
            raise GenerationError(f"token {token_id} does not fit the wanted form: {reason}")
        return bool(self._matcher.is_stopped())


def constrain(
    grammar: Grammar,
    tokenizer: Any,  # noqa: ANN401 - transformers is untyped
    end_ids: Collection[int],
    *,
    lead: str = "",
) -> GrammarConstraint:
    """Compile a grammar for a tokenizer, or take it from the cache.

    Args:
        grammar: The grammar.
        tokenizer: A fast tokenizer of transformers.
        end_ids: Tokens that end an answer.
        lead: Text that must come before the answer, such as the separator of the prompt's format.

    Raises:
        ConfigError: llguidance cannot enforce the grammar, or not with this tokenizer.
        MissingDependencyError: llguidance is not installed.
    """
    start = f"start: {json.dumps(lead)} answer" if lead else "start: answer"
    with _guard:
        vocabulary = _vocabularies.get(tokenizer)
        if vocabulary is None or vocabulary.end_ids != frozenset(end_ids):
            vocabulary = _vocabularies[tokenizer] = _Vocabulary(tokenizer, frozenset(end_ids))
        return vocabulary.constraint(f"{start}\n{grammar.rules}")


_vocabularies: WeakKeyDictionary[Any, _Vocabulary] = WeakKeyDictionary()
_guard = threading.Lock()


class _Vocabulary:
    """llguidance's view of a tokenizer, and the grammars compiled for it."""

    def __init__(self, tokenizer: Any, end_ids: frozenset[int]) -> None:  # noqa: ANN401
        try:
            from llguidance import LLMatcher, LLTokenizer
            from llguidance._lib import LLParserLimits
        except ImportError as fault:
            raise MissingDependencyError("llguidance", "grammar") from fault
        self.end_ids = end_ids
        self._matcher = LLMatcher
        self._limits = LLParserLimits(**_LIMITS)
        size = max(tokenizer.get_vocab().values()) + 1
        try:
            self._tokens = LLTokenizer(
                _for_llguidance(tokenizer),
                n_vocab=size,
                eos_token=sorted(token for token in end_ids if token < size),
            )
        except Exception as fault:  # the Rust library raises plain ValueError for all it refuses
            raise ConfigError(
                [f"forms of answers need a tokenizer of bytes or with byte fallback ({fault})"]
            ) from fault
        self._compiled: OrderedDict[str, Any] = OrderedDict()

    def constraint(self, rules: str) -> GrammarConstraint:
        """Return a constraint in its initial state."""
        form = self._compiled.pop(rules, None)
        if form is None:
            form = self._compile(rules)
        self._compiled[rules] = form
        if len(self._compiled) > _MOST_COMPILED:
            self._compiled.popitem(last=False)
        return GrammarConstraint(form.deep_copy(), self._tokens.vocab_size)

    def _compile(self, rules: str) -> Any:  # noqa: ANN401
        try:
            written = self._matcher.grammar_from_lark(rules)
            form = self._matcher(self._tokens, written, log_level=0, limits=self._limits)
            fault = form.get_error() or self._first_step_fault(form)
            if "NoExtensionBias" in fault:
                fault = "it refers to nothing but itself, or the vocabulary lacks a character"
        except UnicodeEncodeError as surrogate:
            fault = str(surrogate)
        if fault:
            raise ConfigError(
                [f"this form of answers cannot be enforced: {_first_line(fault)}; say it otherwise"]
            )
        return form

    def _first_step_fault(self, form: Any) -> str:  # noqa: ANN401
        """Take one step on a copy: most grammars that are too costly fail there."""
        trial = form.deep_copy()
        allowed = _unpacked(trial.compute_bitmask(), self._tokens.vocab_size)
        if trial.is_error() or not allowed.any():
            return trial.get_error() or "the vocabulary lacks a character"
        if not trial.is_stopped() and trial.consume_token(int(allowed.argmax())):
            trial.compute_bitmask()
        return str(trial.get_error())


def _for_llguidance(tokenizer: Any) -> str:  # noqa: ANN401
    """Write a tokenizer as JSON that tokenises any text as plain text.

    llguidance tokenises text that must come next. Prefix spaces are switched off, and added tokens
    get names that do not occur in texts, so that their names in a text are not taken for them.
    """
    written = json.loads(tokenizer.backend_tokenizer.to_str())
    written |= {"padding": None, "truncation": None, "post_processor": None}
    step = written.get("pre_tokenizer") or {}
    for part in [step, *step.get("pretokenizers", ())]:
        if "add_prefix_space" in part:
            part["add_prefix_space"] = False
    model = written["model"]
    for token in written.get("added_tokens", ()):
        old, new = token["content"], token_name(token["content"], token["id"])
        token |= {"content": new, "special": True}
        if isinstance(model["vocab"], dict) and old in model["vocab"]:
            model["vocab"][new] = model["vocab"].pop(old)
        if model.get("unk_token") == old:
            model["unk_token"] = new
    return json.dumps(written)


def token_name(content: str, token_id: int = 0) -> str:
    """Return the name of an added token in rules: `<`, a private-use character, the name and
    `>`."""
    bare = content[1:-1]
    plain = re.fullmatch(r"<[a-z_/]+>", content) is not None
    return f"<\ue000{bare}>" if plain else f"<\ue000{token_id}>"


def _unpacked(packed: bytes, words: int) -> NDArray[numpy.bool_]:
    bits = numpy.frombuffer(packed, dtype=numpy.uint8)
    return numpy.unpackbits(bits, count=words, bitorder="little").view(numpy.bool_)


def literal_pattern(text: str) -> str:
    """Escape a text as a pattern that matches only it."""
    return re.sub(r"[!-/:;=?@\[-`{-~]", r"\\\g<0>", text)  # `\<` and `\>` mean something else


def _escaped(found: re.Match[str]) -> str:
    return {"/": "\\/", "\n": "\\n"}.get(found[0], found[0])


def _bounded(text: str, kind: str) -> str:
    if len(text) > _MOST_CHARACTERS:
        raise ConfigError([f"the {kind} has {len(text)} characters; allowed: {_MOST_CHARACTERS}"])
    return text


def _first_line(text: str) -> str:
    return text.split("\n", 1)[0][:300]
