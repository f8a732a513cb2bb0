from __future__ import annotations

import json
import shutil
import subprocess
import sys

import httpx
import pytest
import torch
from huggingface_hub.errors import GatedRepoError, RepositoryNotFoundError
from stillroom.errors import CheckpointError, ConfigError, ModelNotFoundError
from stillroom.inference.checkpoints.load_student import (
    choose_device,
    choose_training_dtype,
    find_checkpoint,
    load_checkpoint,
    save_checkpoint,
    verify_checkpoint,
)
from stillroom.inference.generate import generate_texts
from stillroom.prompts import prompts_sha256
from tiny_model import PAIRS, make_model
from tokenizers import pre_tokenizers
from transformers import (
    PreTrainedTokenizerFast,
    Qwen2Config,
    Qwen2ForCausalLM,
)


def test_loaded_model_is_the_saved_one(tiny, saved, loaded):
    before, after = tiny.model.state_dict(), loaded.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)
    assert not loaded.model.training
    assert loaded.model.dtype == torch.float32
    assert (loaded.path, loaded.name) == (saved, "tiny")
    answers = [g.text for g in generate_texts(loaded, list(PAIRS))]
    assert answers == list(PAIRS.values())


def test_saving_writes_run_and_extra_files_whole(saved):
    run = json.loads((saved / "run.json").read_text(encoding="utf-8"))
    assert run["schema_version"] == 1
    assert run["status"] == "complete"
    assert run["prompt_sha256"] == prompts_sha256()
    assert run["seed"] == 0
    assert {"python", "torch", "transformers", "stillroom"} <= run["versions"].keys()
    assert (saved / "README.md").read_text(encoding="utf-8") == "tiny"
    assert [path.name for path in saved.parent.iterdir()] == ["tiny"]  # no leftovers


def test_saving_replaces_an_older_checkpoint(tiny, tmp_path):
    for seed in (1, 2):
        save_checkpoint(tmp_path / "m", tiny.model, tiny.tokenizer, {"seed": seed})
    assert load_checkpoint(tmp_path / "m").run["seed"] == 2
    assert [path.name for path in tmp_path.iterdir()] == ["m"]


def test_saving_refuses_a_file_outside_the_folder(tiny, tmp_path):
    with pytest.raises(CheckpointError, match="plain file name"):
        save_checkpoint(tmp_path / "m", tiny.model, tiny.tokenizer, {}, {"../x.txt": ""})
    assert list(tmp_path.iterdir()) == []


def test_weights_in_bfloat16_are_computed_in_float32_on_the_cpu(tiny, tmp_path):
    model = make_model(tiny.tokenizer).to(torch.bfloat16)
    folder = save_checkpoint(tmp_path / "m", model, tiny.tokenizer, {})
    assert load_checkpoint(folder, device="cpu").model.dtype == torch.float32
    half = load_checkpoint(folder, device="cpu", dtype=torch.bfloat16)
    assert half.model.dtype == torch.bfloat16


def test_tokenizer_of_a_qwen2_folder_is_the_saved_one(tiny, tmp_path):
    """AutoTokenizer replaces the pre-tokenizer of such a folder without a word."""
    model = Qwen2ForCausalLM(
        Qwen2Config(vocab_size=len(tiny.tokenizer), hidden_size=32, intermediate_size=64,
                    num_hidden_layers=1, num_attention_heads=2, num_key_value_heads=2,
                    bos_token_id=0, eos_token_id=0)
    )  # fmt: skip
    folder = save_checkpoint(tmp_path / "q", model, tiny.tokenizer, {})
    text = "gold at 1064 degrees, cafe\u0301"
    wanted = tiny.tokenizer(text)["input_ids"]
    assert load_checkpoint(folder).tokenizer(text)["input_ids"] == wanted


def test_a_changed_tokenizer_is_noticed(saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "m")
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"))
    tokenizer.backend_tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.backend_tokenizer.save(str(folder / "tokenizer.json"))
    with pytest.raises(CheckpointError, match="by its hash"):
        load_checkpoint(folder)
    _edit(folder, "run.json", tokenizer_sha256=None)  # as a run of version 0.1
    with pytest.raises(CheckpointError, match="other ids than when"):
        load_checkpoint(folder)


def test_search_order_of_find_checkpoint(saved, tmp_path):
    assert find_checkpoint(tmp_path / "missing") is None
    assert find_checkpoint(tmp_path) is None
    (tmp_path / "zzz").mkdir()
    (tmp_path / "zzz" / "config.json").write_text("{}", encoding="utf-8")
    assert find_checkpoint(tmp_path) is None, "config alone is no checkpoint"
    for name in ("alpha", "beta", "zebra.tmp-12", "zebra.old-12"):
        shutil.copytree(saved, tmp_path / name)
    assert find_checkpoint(tmp_path) == tmp_path / "beta"
    for name in ("checkpoint-9", "checkpoint-10"):
        shutil.copytree(saved, tmp_path / name)
    assert find_checkpoint(tmp_path) == tmp_path / "checkpoint-10"
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    assert find_checkpoint(tmp_path) == tmp_path


def test_verify_returns_the_run(saved):
    assert verify_checkpoint(saved)["seed"] == 0


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda folder: _edit(folder, "run.json", status="running"), "running"),
        (lambda folder: (folder / "run.json").unlink(), "no run.json"),
    ],
)
def test_verify_refuses_unfinished_runs(saved, tmp_path, change, reason):
    folder = shutil.copytree(saved, tmp_path / "m")
    change(folder)
    with pytest.raises(CheckpointError, match=reason):
        verify_checkpoint(folder)


def test_verify_refuses_weights_that_are_no_numbers(tiny, tmp_path):
    model = make_model(tiny.tokenizer)
    with torch.no_grad():
        model.model.norm.weight[0] = float("nan")
    folder = save_checkpoint(tmp_path / "m", model, tiny.tokenizer, {})
    with pytest.raises(CheckpointError, match="not finite"):
        verify_checkpoint(folder)


def test_a_foreign_checkpoint_loads_without_run(saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "m")
    for name in ("run.json", "tokenizer_check.json"):
        (folder / name).unlink()
    assert load_checkpoint(folder).run is None


def test_missing_padding_token_becomes_the_end_token(saved, tmp_path):
    folder = shutil.copytree(saved, tmp_path / "m")
    config = json.loads((folder / "tokenizer_config.json").read_text(encoding="utf-8"))
    del config["pad_token"]
    (folder / "tokenizer_config.json").write_text(json.dumps(config), encoding="utf-8")
    tokenizer = load_checkpoint(folder).tokenizer
    assert tokenizer.pad_token_id == tokenizer.eos_token_id


@pytest.mark.parametrize("name", ["./no/such", "/no/such", "a/b/c", "~/nothing-here-at-all"])
def test_a_missing_folder_is_said_to_be_missing(name):
    with pytest.raises(ModelNotFoundError, match="no folder here, and no model name"):
        load_checkpoint(name)


def test_without_network_nothing_is_said_about_the_name(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(ModelNotFoundError, match="could not be asked") as caught:
        load_checkpoint("owner/no-such-model-at-all")
    assert "knows no such model" not in str(caught.value)


_ANSWER = httpx.Response(404, request=httpx.Request("GET", "https://hub.invalid/owner/model"))


@pytest.mark.parametrize(
    ("cause", "kind", "words"),
    [
        (RepositoryNotFoundError("404", response=_ANSWER), ModelNotFoundError, "no such model"),
        (GatedRepoError("403", response=_ANSWER), ModelNotFoundError, "accepted its terms"),
        (httpx.ConnectError("refused"), ModelNotFoundError, "could not be asked"),
        (ValueError("half a file"), CheckpointError, "does not load: .*half a file"),
    ],
    ids=["unknown", "gated", "unreachable", "other"],
)
@pytest.mark.parametrize("wrapped", [False, True], ids=["itself", "wrapped"])
def test_what_the_hub_answers_becomes_our_error(cause, kind, words, wrapped, monkeypatch):
    def answer(*_, **__):
        if wrapped:
            raise OSError(f"snapshot_download failed: {cause}") from cause
        raise cause

    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")  # an address that resolves
    monkeypatch.setattr("huggingface_hub.snapshot_download", answer)
    with pytest.raises(kind, match=words) as caught:
        load_checkpoint("owner/model")
    assert "'owner/model'" in str(caught.value)


def test_devices():
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto") == choose_device(None)
    with pytest.raises(ConfigError, match="unknown"):
        choose_device("abacus")
    if not torch.cuda.is_available():
        with pytest.raises(ConfigError, match="no CUDA"):
            choose_device("cuda")
    assert choose_training_dtype(torch.device("cpu")) in (torch.bfloat16, torch.float32)


def test_importing_the_package_is_light():
    code = (
        "import sys, stillroom.inference, stillroom.evaluation; "
        "print([m for m in ('torch', 'transformers', 'langchain_core') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def _edit(folder, name, **changes):
    value = json.loads((folder / name).read_text(encoding="utf-8"))
    (folder / name).write_text(json.dumps({**value, **changes}), encoding="utf-8")
