"""Convert the tokenizer of a GGUF file, with the pre-tokenizer that `tokenizer.ggml.pre` names.

The conversion in transformers ignores that name and splits every text like GPT-2, so that numbers
get other ids than in the model's training. Every pre-tokenizer here gives the same ids as llama.cpp
on the texts in `tests/inference/sources/reference_ids.json`; other names are refused.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from ...errors import CheckpointError, did_you_mean
from .gguf_file import GgufFile, truth, value_of, whole

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED = 1, 2, 3, 4, 5
"""Kinds of tokens in `tokenizer.ggml.token_type`."""
_MOST_TOKENS: Final = 1 << 20


@dataclass(frozen=True)
class Splitting:
    """How a text is split into parts before byte pairs are merged."""

    patterns: tuple[str, ...] = ()
    """Regular expressions, applied in turn: each match becomes a part, and so does the text between
    matches."""
    gpt2: bool = False
    """Whether the parts are then split like in GPT-2."""
    nfc: bool = False
    """Whether texts are first normalised to Unicode's composed form (NFC)."""
    whole_words: bool = False
    """Whether a part that is itself a token is not built by merges (`ignore_merges`)."""
    begin: bool = False
    """Whether texts start with the start token if the file does not say."""


_ENDINGS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)"
_WORDS = rf"{_ENDINGS}|[^\r\n\p{{L}}\p{{N}}]?\p{{L}}+"
_REST = r" ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_THREE_DIGITS = rf"{_WORDS}|\p{{N}}{{1,3}}|{_REST}"
_ONE_DIGIT = rf"{_WORDS}|\p{{N}}|{_REST}"

_GPT2 = Splitting(gpt2=True)
_DIGITS = Splitting((r"\p{N}",), gpt2=True)
_LLAMA3 = Splitting((_THREE_DIGITS,), whole_words=True, begin=True)

SPLITTINGS: Final[dict[str, Splitting]] = {
    **dict.fromkeys(("gpt-2", "mpt", "olmo", "jais", "phi-2"), _GPT2),
    **dict.fromkeys(
        ("smollm", "starcoder", "refact", "command-r", "codeshell", "exaone", "minerva-7b"),
        _DIGITS,
    ),
    **dict.fromkeys(("llama-bpe", "llama-v3", "llama3"), _LLAMA3),
    **dict.fromkeys(("dbrx", "smaug-bpe"), Splitting((_THREE_DIGITS,))),
    **dict.fromkeys(("qwen2", "deepseek-r1-qwen"), Splitting((_ONE_DIGIT,), nfc=True)),
    "stablelm2": Splitting((_ONE_DIGIT,)),
    "deepseek-v3": Splitting((
        r"\p{N}{1,3}",
        "[一-龥\u3040-ゟ゠-ヿ]+",
        r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+"""
        r"| ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    )),
}  # fmt: skip
"""Name in `tokenizer.ggml.pre` -> how texts are split."""


def write_tokenizer(file: GgufFile, folder: Path) -> None:
    """Write tokenizer.json, tokenizer_config.json and chat_template.jinja.

    Raises:
        CheckpointError: The tokenizer is incomplete, or its kind or pre-tokenizer is unknown.
    """
    tokens = _token_list(file)
    tokenizer = _tokenizer(file, tokens)
    tokenizer.save(str(folder / "tokenizer.json"), pretty=False)
    settings: dict[str, Any] = {"model_max_length": context_length(file)}
    for name, id_ in special_ids(file, len(tokens)).items():
        settings[f"{name}_token"] = tokens[id_]
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2), "utf-8")
    template = file.values.get("tokenizer.chat_template")
    if template:
        if not isinstance(template, str):
            _refuse(file, "tokenizer.chat_template is no text")
        (folder / "chat_template.jinja").write_text(template, "utf-8", newline="")


def tokenizer_fault(file: GgufFile) -> str | None:
    """Return why the tokenizer of a file is not supported; None if it is."""
    model = file.values.get("tokenizer.ggml.model")
    if model != "gpt2":
        return f"has a tokenizer of the kind {str(model)[:80]!r}; known is 'gpt2' (byte pairs)"
    pre = file.values.get("tokenizer.ggml.pre")
    if not isinstance(pre, str) or pre not in SPLITTINGS:
        return (
            f"splits texts by {str(pre)[:80]!r}, which is not known, so texts would get wrong ids; "
            f"{did_you_mean(pre, SPLITTINGS, what='splitting')}"
        )
    return None


def special_ids(file: GgufFile, vocabulary: int) -> dict[str, int]:
    """Return the ids of the tokens `bos`, `eos`, `unk` and `pad` that the file names."""
    keys = {"bos": "bos", "eos": "eos", "unk": "unknown", "pad": "padding"}
    found = {name: f"tokenizer.ggml.{key}_token_id" for name, key in keys.items()}
    return {
        name: value_of(file, key, whole(0, vocabulary - 1))
        for name, key in found.items()
        if key in file.values
    }


def context_length(file: GgufFile) -> int:
    """Return the length of the model's context, in tokens."""
    architecture = file.values.get("general.architecture")
    length: int = value_of(file, f"{architecture}.context_length", whole(1, 1 << 24))
    return length


def _token_list(file: GgufFile) -> list[str]:
    tokens: list[str] = value_of(file, "tokenizer.ggml.tokens", lambda v: isinstance(v, list))
    if not 0 < len(tokens) <= _MOST_TOKENS or not all(isinstance(t, str) for t in tokens):
        _refuse(file, "tokenizer.ggml.tokens is no vocabulary")
    if len(set(tokens)) != len(tokens):
        _refuse(file, "holds a token twice")
    return tokens


def _tokenizer(file: GgufFile, tokens: list[str]) -> Any:  # noqa: ANN401 - tokenizers is untyped
    from tokenizers import AddedToken, Tokenizer, decoders, models

    fault = tokenizer_fault(file)
    if fault is not None:
        _refuse(file, fault)
    splitting = SPLITTINGS[file.values["tokenizer.ggml.pre"]]
    kinds = value_of(
        file, "tokenizer.ggml.token_type", lambda v: isinstance(v, list) and len(v) == len(tokens)
    )
    used = len(tokens)  # unused tokens at the end only pad the vocabulary to a round size
    while used and kinds[used - 1] == UNUSED:
        used -= 1
    vocabulary = {token: id_ for id_, token in enumerate(tokens[:used])}
    merges = _merges(file, vocabulary)
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=splitting.whole_words))
    set_splitting(tokenizer, splitting)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_tokens([
        AddedToken(token, normalized=False, special=kind != USER_DEFINED)
        for token, kind in zip(tokens[:used], kinds[:used], strict=True)
        if kind in (UNKNOWN, CONTROL, USER_DEFINED)
    ])  # fmt: skip
    _add_ends(file, tokenizer, tokens, splitting)
    return tokenizer


def set_splitting(tokenizer: Any, splitting: Splitting) -> None:  # noqa: ANN401
    """Let a byte-level tokenizer split texts."""
    from tokenizers import Regex as Pattern
    from tokenizers import normalizers, pre_tokenizers

    if splitting.nfc:
        tokenizer.normalizer = normalizers.NFC()
    steps = [pre_tokenizers.Split(Pattern(p), "isolated") for p in splitting.patterns]
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=splitting.gpt2)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([*steps, bytes_]) if steps else bytes_


def _merges(file: GgufFile, vocabulary: dict[str, int]) -> list[tuple[str, str]]:
    merges = []
    for line in value_of(file, "tokenizer.ggml.merges", lambda v: isinstance(v, list), []):
        left, _, right = line.partition(" ") if isinstance(line, str) else ("", "", "")
        if left not in vocabulary or right not in vocabulary or left + right not in vocabulary:
            _refuse(file, f"merges {str(line)[:80]!r}, which are no tokens")
        merges.append((left, right))
    return merges


def _add_ends(
    file: GgufFile,
    tokenizer: Any,  # noqa: ANN401
    tokens: list[str],
    splitting: Splitting,
) -> None:
    """Add start and end tokens to every text, as the file demands."""
    from tokenizers.processors import TemplateProcessing

    ids = special_ids(file, len(tokens))
    begin = value_of(file, "tokenizer.ggml.add_bos_token", truth, splitting.begin)
    end = value_of(file, "tokenizer.ggml.add_eos_token", truth, False)
    for asked, name in ((begin, "bos"), (end, "eos")):
        if asked and name not in ids:
            _refuse(file, f"adds a token to every text and names none (tokenizer.ggml.{name}_...)")
    if not begin and not end:
        return
    first, last = (tokens[ids[name]] if name in ids else "" for name in ("bos", "eos"))
    text = [*([first] if begin else []), "{}", *([last] if end else [])]
    tokenizer.post_processor = TemplateProcessing(
        single=[part.replace("{}", "$A:0") for part in text],
        pair=[
            *(part.replace("{}", "$A:0") for part in text),
            *(part.replace("{}", "$B:1") + ("" if part == "{}" else ":1") for part in text),
        ],
        special_tokens=[(tokens[ids[n]], ids[n]) for n in ("bos", "eos") if n in ids],
    )


def _refuse(file: GgufFile, reason: str) -> NoReturn:
    raise CheckpointError(f"{file.path}: {reason}")
