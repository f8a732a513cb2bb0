"""Write a model as a GGUF file, as llama.cpp, Ollama and LM Studio read it.

    write_gguf(load_checkpoint("outputs/student"), "outputs/student.gguf")
    write_gguf(load_checkpoint("outputs/student"), "outputs/small.gguf", dtype="q8_0")

The reverse of `convert_gguf`, for the same architectures and tokenizers. Of a float32 file
llama.cpp gives the same greedy tokens; its own tools make smaller types of it (`llama-quantize`).
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from ...errors import CheckpointError, did_you_mean
from ...files import atomic_path
from ..sources.convert_gguf import ARCHITECTURES, llama3_factors, tensor_places
from ..sources.gguf_tokenizer import (
    CONTROL,
    NORMAL,
    SPLITTINGS,
    UNUSED,
    USER_DEFINED,
    set_splitting,
)

if TYPE_CHECKING:
    from ..checkpoints.load_student import Checkpoint

GgufDtype = Literal["float32", "q8_0"]

_PROBES: Final = (
    "I'm sure they'LL say: it's 1234567 of 3.14, x2y!", " two  spaces\tand\n\n lines \r\n end ",
    "Zürich e\u0301 Łódź naïve", "漢字とカナ 12 中文。한국어", "٣٤٥ ⅷ ½ ²",
    "#if (a->b != c) { return f(x)[0]; } // ---", "\u00a0no\u2003break  ", "'s'S 'tX ''re a'b",
    "emoji 👩‍🔬🇩🇪 … “quoted”",
)  # fmt: skip
"""Texts that all splittings of `SPLITTINGS` split differently."""


def write_gguf(checkpoint: Checkpoint, path: str | Path, *, dtype: GgufDtype = "float32") -> Path:
    """Write a checkpoint; the file appears when it is whole.

    Args:
        checkpoint: A loaded checkpoint.
        path: The file, usually with the suffix `.gguf`.
        dtype: `float32`, or `q8_0`: matrices in blocks of 32 eight-bit numbers with one scale,
            some 27 % of the size. Matrices whose rows are no multiple of 32 long stay float32.

    Raises:
        CheckpointError: Its architecture, a setting or its tokenizer is not supported.
    """
    from gguf import GGMLQuantizationType, GGUFWriter, LlamaFileType
    from gguf.quants import quantize

    eight = GGMLQuantizationType.Q8_0

    config = checkpoint.model.config.to_dict()
    faults = gguf_export_faults(checkpoint)
    if faults:
        raise CheckpointError(f"{checkpoint.name} cannot be written as GGUF: {'; '.join(faults)}")
    with atomic_path(path) as unfinished:
        writer = GGUFWriter(str(unfinished), config["model_type"])
        with closing(writer):
            _add_settings(writer, checkpoint.name, config)
            kind = LlamaFileType.ALL_F32 if dtype == "float32" else LlamaFileType.MOSTLY_Q8_0
            writer.add_file_type(kind)
            _add_tokenizer(writer, checkpoint, config["vocab_size"])
            for name, values in _tensors(checkpoint, config):
                if dtype == "q8_0" and values.ndim == 2 and values.shape[1] % 32 == 0:
                    writer.add_tensor(name, quantize(values, eight), raw_dtype=eight)
                else:
                    writer.add_tensor(name, values)
            writer.write_header_to_file()
            writer.write_kv_data_to_file()
            writer.write_tensors_to_file()
    return Path(path)


def gguf_export_faults(checkpoint: Checkpoint) -> list[str]:
    """List why a checkpoint cannot be written as GGUF."""
    config = checkpoint.model.config.to_dict()
    kind = config["model_type"]
    architecture = ARCHITECTURES.get(kind)
    if architecture is None or type(checkpoint.model).__name__ != architecture.class_name:
        told = did_you_mean(kind, ARCHITECTURES, what="architecture")
        return [f"it is a {type(checkpoint.model).__name__} ({kind}); {told}"]
    faults = []
    rope = config["rope_parameters"]
    if rope.get("rope_type", "default") not in ("default", "llama3"):
        faults.append(f"rope_type is {rope['rope_type']!r}; 'default' and 'llama3' are supported")
    for name, fine in (("hidden_act", "silu"), ("mlp_bias", False), ("use_sliding_window", False)):
        if config.get(name, fine) != fine:
            faults.append(f"{name} is {config[name]!r}; {fine!r} is supported")
    if bool(config.get("attention_bias", False)) and not architecture.biases:
        faults.append("attention_bias is True; False is supported")
    return faults + _tokenizer_faults(checkpoint.tokenizer)


def _add_settings(writer: Any, name: str, config: Mapping[str, Any]) -> None:  # noqa: ANN401
    """Write the settings of config.json."""
    rope, head_dim = config["rope_parameters"], _head_dim(config)
    writer.add_name(name)
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(config["num_attention_heads"])
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_rope_dimension_count(head_dim)
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])


def _tensors(
    checkpoint: Checkpoint, config: Mapping[str, Any]
) -> Iterator[tuple[str, NDArray[np.float32]]]:
    """Give the weights by their names in the file."""
    architecture = ARCHITECTURES[config["model_type"]]
    weights = checkpoint.model.state_dict()
    heads = {"attn_q": config["num_attention_heads"], "attn_k": config["num_key_value_heads"]}
    sized = {**config, "head_dim": _head_dim(config)}
    for name, (theirs, shape) in tensor_places(architecture, sized).items():
        values = weights[theirs].detach().float().cpu().numpy()
        if values.shape != shape:
            raise CheckpointError(f"{theirs} has the shape {values.shape}; {shape} is needed")
        part = name.split(".")[-2]
        if architecture.interleaved and part in heads:
            values = _interleave_halves(values, heads[part])
        yield name, np.ascontiguousarray(values)
    rope = config["rope_parameters"]
    if rope.get("rope_type") == "llama3":
        factors = llama3_factors(rope["rope_theta"], _head_dim(config), rope["factor"])
        yield "rope_freqs.weight", factors.astype(np.float32)


def _head_dim(config: Mapping[str, Any]) -> int:
    return int(config.get("head_dim") or config["hidden_size"] // config["num_attention_heads"])


def _interleave_halves(rows: NDArray[np.float32], heads: int) -> NDArray[np.float32]:
    """Reorder the rows of queries or keys from halves to interleaved pairs, for each head."""
    halves = rows.reshape(heads, 2, rows.shape[0] // heads // 2, *rows.shape[1:])
    return halves.swapaxes(1, 2).reshape(rows.shape)


def _add_tokenizer(writer: Any, checkpoint: Checkpoint, vocabulary: int) -> None:  # noqa: ANN401
    """Write tokens, merges, special tokens and the chat template."""
    tokenizer = checkpoint.tokenizer
    backend = json.loads(tokenizer.backend_tokenizer.to_str())
    tokens = {id_: text for text, id_ in tokenizer.get_vocab().items()}
    added = {
        token["id"]: CONTROL if token["special"] else USER_DEFINED
        for token in backend["added_tokens"]
    }
    ids = range(vocabulary)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(_splitting_of(tokenizer))
    writer.add_token_list([tokens.get(id_, f"[PAD{id_}]") for id_ in ids])
    writer.add_token_types([added.get(id_, NORMAL if id_ in tokens else UNUSED) for id_ in ids])
    merges = backend["model"]["merges"]
    writer.add_token_merges([one if isinstance(one, str) else " ".join(one) for one in merges])
    first, last = _ends(tokenizer)
    writer.add_add_bos_token(first)
    writer.add_add_eos_token(last)
    stops = checkpoint.model.generation_config.eos_token_id
    stops = [stops] if isinstance(stops, int) else list(stops or [])
    end = tokenizer.eos_token_id if tokenizer.eos_token_id is not None else next(iter(stops), None)
    turn = next((id_ for id_ in stops if id_ != end), None)
    for add, id_ in (
        (writer.add_bos_token_id, tokenizer.bos_token_id), (writer.add_eos_token_id, end),
        (writer.add_eot_token_id, turn), (writer.add_unk_token_id, tokenizer.unk_token_id),
        (writer.add_pad_token_id, tokenizer.pad_token_id),
    ):  # fmt: skip
        if id_ is not None:
            add(id_)
    if isinstance(tokenizer.chat_template, str):
        writer.add_chat_template(tokenizer.chat_template)


def _ends(tokenizer: Any) -> tuple[bool, bool]:  # noqa: ANN401
    """Tell whether the tokenizer puts its start and end tokens around a text."""
    plain = tokenizer("a", add_special_tokens=False)["input_ids"]
    ids = tokenizer("a")["input_ids"]
    return ids[: -len(plain)] == [tokenizer.bos_token_id], ids[len(plain) :] == [
        tokenizer.eos_token_id
    ]


def _tokenizer_faults(tokenizer: Any) -> list[str]:  # noqa: ANN401
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return ["its tokenizer is not a fast one"]
    told = json.loads(backend.to_str())
    if told["model"]["type"] != "BPE" or (told["decoder"] or {}).get("type") != "ByteLevel":
        return [f"its tokenizer is {told['model']['type']}; byte-level BPE is supported"]
    plain, ids = (tokenizer("a", add_special_tokens=s)["input_ids"] for s in (False, True))
    if len(ids) != len(plain) + sum(_ends(tokenizer)):
        return ["its tokenizer puts other tokens than start and end around a text"]
    if _splitting_of(tokenizer) is None:
        return ["its tokenizer splits texts in a way that llama.cpp has no name for"]
    return []


def _splitting_of(tokenizer: Any) -> str | None:  # noqa: ANN401
    """Find the name of a splitting that splits texts as the tokenizer does."""
    from tokenizers import Tokenizer, models

    backend = tokenizer.backend_tokenizer
    whole_words = bool(json.loads(backend.to_str())["model"].get("ignore_merges"))
    wanted = _pieces(backend)
    for name, splitting in SPLITTINGS.items():
        other = Tokenizer(models.BPE())
        set_splitting(other, splitting)
        if splitting.whole_words == whole_words and _pieces(other) == wanted:
            return name
    return None


def _pieces(backend: Any) -> list[list[str]]:  # noqa: ANN401 - a tokenizer of tokenizers
    """Split the probes."""
    normal = [
        text if backend.normalizer is None else backend.normalizer.normalize_str(text)
        for text in _PROBES
    ]
    if backend.pre_tokenizer is None:
        return [[text] for text in normal]
    return [[piece for piece, _ in backend.pre_tokenizer.pre_tokenize_str(text)] for text in normal]
