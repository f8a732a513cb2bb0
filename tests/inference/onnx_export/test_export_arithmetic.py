"""An exported model computes what transformers computes, whichever rows come and go."""

from __future__ import annotations

import pytest
import torch
from stillroom.errors import ExportError
from stillroom.inference.onnx_export.layout import (
    DTYPES,
    ZERO,
    block_size,
    describe,
    lay_out,
    pack,
    quantise,
)
from stillroom.inference.scoring.choices import score_continuations as score_by_transformers
from tiny_model import make_model, make_tokenizer
from transformers import (
    AutoModelForCausalLM,
    GPT2Config,
    LlamaConfig,
    MistralConfig,
    Qwen2Config,
    Qwen3Config,
)

NEEDED = "exports need an extra: pip install 'stillroom[cpu]'"
pytest.importorskip("onnxruntime", reason=NEEDED)
pytest.importorskip("onnx", reason=NEEDED)

from stillroom.inference.onnx_export.batch import ExportedBatch, score_continuations  # noqa: E402
from stillroom.inference.onnx_export.session import StepSession  # noqa: E402

SIZES = {
    "vocab_size": 300, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
    "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 900,
    "initializer_range": 0.3,
}  # fmt: skip
LLAMA3 = {"rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0,
          "high_freq_factor": 4.0, "original_max_position_embeddings": 64}  # fmt: skip
YARN = {"rope_type": "yarn", "rope_theta": 10000.0, "factor": 4.0,
        "original_max_position_embeddings": 64}  # fmt: skip
MODELS = {
    "llama": LlamaConfig(**SIZES),
    "llama, tied": LlamaConfig(**SIZES, tie_word_embeddings=True),
    "llama, biases": LlamaConfig(**SIZES, attention_bias=True, mlp_bias=True),
    "llama, rope of 3.1": LlamaConfig(**SIZES, rope_parameters=LLAMA3),
    "llama, rope yarn": LlamaConfig(**SIZES, rope_parameters=YARN),
    "llama, one key head": LlamaConfig(**{**SIZES, "num_key_value_heads": 1}),
    "mistral, window": MistralConfig(**SIZES, sliding_window=9),
    "qwen2": Qwen2Config(**SIZES),
    "qwen2, window": Qwen2Config(
        **SIZES, use_sliding_window=True, sliding_window=9, max_window_layers=1
    ),
    "qwen3": Qwen3Config(**SIZES, head_dim=32),
}


def make(config):
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(config).eval()
    with torch.no_grad():  # biases of 0 and gains of 1 would hide their absence
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(0.2 * torch.randn_like(parameter))
    return model


def export(model, dtype="float32"):
    shape = describe(model.config)
    return StepSession(shape, dtype, lay_out(model, shape, dtype), threads=1)


def last_logits(model, ids):
    return model(input_ids=torch.tensor([ids])).logits[0, -1]


def assert_close(found, wanted):
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4 * float(wanted.abs().max()))


@pytest.mark.parametrize("name", MODELS)
@torch.inference_mode()
def test_logits_are_those_of_transformers_while_rows_come_and_go(name):
    model = make(MODELS[name])
    session = export(model)
    batch = ExportedBatch(session)
    rows = [[5, 6, 7], [9] * 20, list(range(40, 52))]
    logits = batch.add(rows)
    for step in range(16):
        for row, found in zip(rows, logits, strict=True):
            assert_close(found, last_logits(model, row))
        for row, token in zip(rows, logits.argmax(dim=-1).tolist(), strict=True):
            row.append(token)
        if step == 4:  # the last row takes the place of the first
            batch.drop(0)
            rows[0] = rows.pop()
        if step == 8:
            rows.append([7, 8, 9, 10])
            rows[-1].append(int(batch.add([rows[-1]]).argmax()))
        logits = batch.step(torch.tensor([row[-1] for row in rows]))
    assert (batch.rows, batch.tokens) == (3, sum(map(len, rows)))


@pytest.mark.parametrize("name", ["llama", "mistral, window"])
@torch.inference_mode()
def test_long_prompts_are_read_in_parts(name):
    model = make(MODELS[name])
    batch = ExportedBatch(export(model))
    ids = torch.randint(0, 300, (800,), generator=torch.Generator().manual_seed(1)).tolist()
    batch.add([[1, 2, 3]])
    assert_close(batch.add([ids])[0], last_logits(model, ids))
    assert_close(batch.step(torch.tensor([4, 5]))[1], last_logits(model, [*ids, 5]))
    kept = ExportedBatch(export(model)).read_all(ids, 300)
    assert_close(kept, model(input_ids=torch.tensor([ids])).logits[0, -300:])


@torch.inference_mode()
def test_many_prompts_of_all_lengths_at_once():
    model = make(MODELS["qwen2"])
    batch = ExportedBatch(export(model))
    lengths = torch.randint(1, 300, (40,), generator=torch.Generator().manual_seed(2)).tolist()
    prompts = [[(7 * row + place) % 300 for place in range(n)] for row, n in enumerate(lengths)]
    for found, prompt in zip(batch.add(prompts), prompts, strict=True):
        assert_close(found, last_logits(model, prompt))


@pytest.mark.parametrize("name", ["llama, tied", "qwen3"])
@torch.inference_mode()
def test_scores_are_those_of_transformers(name):
    model = make(MODELS[name])
    session = export(model)
    prompt = [9, 8, 7, 6]
    answers = [[3], [4, 5, 6], [3, 9], [3, 8], [1, 2, 3, 4, 5], [7]]
    wanted = score_by_transformers(model, prompt, answers)
    assert score_continuations(session, prompt, answers) == pytest.approx(wanted, abs=1e-4)
    many = [[place % 300, place % 7, place % 11][: 1 + place % 3] for place in range(150)]
    wanted = score_by_transformers(model, prompt, many)
    assert score_continuations(session, prompt, many) == pytest.approx(wanted, abs=1e-4)
    alone = [score_continuations(session, prompt, [answer])[0] for answer in answers]
    assert alone == pytest.approx(wanted_first(model, prompt, answers), abs=1e-4)


def wanted_first(model, prompt, answers):
    """Log-likelihoods by their definition: a pass over everything per answer."""
    sums = []
    for answer in answers:
        ids = torch.tensor([[*prompt, *answer]])
        logprobs = model(input_ids=ids).logits[0].double().log_softmax(dim=-1)
        places = range(len(prompt) - 1, ids.shape[1] - 1)
        sums.append(sum(float(logprobs[p, ids[0, p + 1]]) for p in places))
    return sums


def rounded(weight, bits):
    """What the codes and scales of a matrix stand for."""
    codes, scales = quantise(weight, bits)
    return ((codes.float() - ZERO[bits]) * scales[..., None]).flatten(1)[:, : weight.shape[1]]


@pytest.mark.parametrize("name", ["llama, tied", "llama, biases", "qwen3"])
@pytest.mark.parametrize("dtype", ["int8", "int4"])
@torch.inference_mode()
def test_few_bits_are_close_to_the_rounded_weights_in_float32(name, dtype):
    """The reference is transformers with every matrix rounded as `quantise` says."""
    model = make(MODELS[name])
    session = export(model, dtype)
    exact = [last_logits(model, ids) for ids in ([5, 6, 7], [9] * 20)]
    words = {id(model.get_input_embeddings().weight), id(model.lm_head.weight)}
    for parameter in {id(p): p for p in model.parameters() if p.dim() == 2}.values():
        parameter.copy_(rounded(parameter, 8 if dtype == "int8" or id(parameter) in words else 4))
    found = ExportedBatch(session).add([[5, 6, 7], [9] * 20])
    for one, ids, before in zip(found, ([5, 6, 7], [9] * 20), exact, strict=True):
        wanted = last_logits(model, ids)
        # What is left is the rounding of inputs to eight bits.
        assert float((one - wanted).norm() / wanted.norm()) < 0.1
        assert float((one - before).norm() / before.norm()) < (0.2 if dtype == "int8" else 0.5)


@pytest.mark.parametrize("dtype", ["int8", "int4"])
@torch.inference_mode()
def test_a_row_does_not_depend_on_the_rows_beside_it_in_few_bits(dtype):
    session = export(make(MODELS["llama"]), dtype)
    alone = ExportedBatch(session).add([[5, 6, 7, 8]])[0].clone()
    among = ExportedBatch(session).add([[5, 6, 7, 8], [250, 1, 99, 3], [11, 11, 11, 11]])[0]
    torch.testing.assert_close(among, alone, rtol=0, atol=1e-4 * float(alone.abs().max()))


@pytest.mark.parametrize("inputs", [64, 100, 128, 896])
def test_eight_bits_are_off_by_half_a_step_at_most(inputs):
    weight = torch.randn(7, inputs, generator=torch.Generator().manual_seed(3))
    weight[2] = 0
    codes, scales = quantise(weight, 8)
    assert codes.min() >= 1  # so that a weight and its negative are equally exact
    assert bool((codes.flatten(1)[:, inputs:] == ZERO[8]).all())
    room = scales.repeat_interleave(codes.shape[2], dim=1)[:, :inputs] / 2
    assert bool(((rounded(weight, 8) - weight).abs() <= room * 1.0001).all())


@pytest.mark.parametrize("inputs", [64, 100, 896])
def test_no_usual_scale_of_four_bits_has_a_smaller_error(inputs):
    """Against every block's largest magnitude at 7 and at 8; errors count by the weight squared."""
    weight = torch.randn(50, inputs, generator=torch.Generator().manual_seed(3))
    weight[2] = 0
    block = block_size(inputs, 4)
    width = -(-inputs // block) * block
    padded = torch.nn.functional.pad(weight, (0, width - inputs)).view(50, -1, block)
    found = torch.nn.functional.pad(rounded(weight, 4), (0, width - inputs)).view_as(padded)
    assert bool((found[2] == 0).all())

    def error(approximate):
        return ((approximate - padded) * padded).square().sum(dim=-1)

    for most in (7, 8):
        scales = padded.abs().amax(dim=-1, keepdim=True).clamp_min(1e-30) / most
        usual = (padded / scales).round().clamp(-8, 7) * scales
        assert bool((error(found) <= 1.0001 * error(usual)).all())
        assert float(error(found).sum()) < 0.8 * float(error(usual).sum())


def test_two_codes_share_a_byte_the_first_in_its_lower_half():
    codes = torch.tensor([[[1, 2, 15, 0]]], dtype=torch.uint8)
    assert pack(codes).tolist() == [[[0x21, 0x0F]]]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (GPT2Config(n_embd=64, n_layer=1, n_head=4), "gpt2"),
        (LlamaConfig(**SIZES, hidden_act="gelu"), "'gelu'"),
        (LlamaConfig(**{**SIZES, "num_attention_heads": 8}), "size 8"),
        (LlamaConfig(**SIZES, rope_parameters={"rope_type": "dynamic", "rope_theta": 1e4,
                                               "factor": 2.0}), "'dynamic'"),
        (LlamaConfig(**{**SIZES, "max_position_embeddings": 1 << 20}), "1048576"),
    ],
)  # fmt: skip
def test_what_cannot_be_exported_is_refused_with_the_reason(config, said):
    with pytest.raises(ExportError, match=f"{said}.*engine='transformers'"):
        describe(config)


def test_all_tensors_are_named_beforehand():
    model = make_model(make_tokenizer(), head_dim=16)
    for dtype in DTYPES:
        named = describe(model.config).tensors(dtype)
        stored = lay_out(model, describe(model.config), dtype)
        assert {name: tuple(t.shape) for name, t in stored.items()} == {
            name: sizes for name, (_, sizes) in named.items()
        }
