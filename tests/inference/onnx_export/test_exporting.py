"""`stillroom export`: whole or not at all, compared with the checkpoint, and never silent."""

from __future__ import annotations

import json
import math
import shutil

import pytest
import torch
from stillroom.cli import main
from stillroom.errors import DataError, DataNotFoundError, ExportError, ModelNotFoundError
from stillroom.files import file_sha256, write_json_lines
from stillroom.inference.checkpoints.load_student import load_checkpoint, save_checkpoint
from stillroom.inference.scoring.choices import encode_completion, encode_prompt
from tiny_model import PAIRS, make_model, make_tokenizer, train

NEEDED = "exports need an extra: pip install 'stillroom[cpu]'"
pytest.importorskip("onnxruntime", reason=NEEDED)
pytest.importorskip("onnx", reason=NEEDED)

from stillroom.inference.onnx_export import export as exporting  # noqa: E402
from stillroom.inference.onnx_export.engine import serve_export  # noqa: E402
from stillroom.inference.onnx_export.export import export_checkpoint  # noqa: E402


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A run folder with a trained student and held-out examples; do not change it."""
    tokenizer = make_tokenizer()
    model = make_model(tokenizer, head_dim=16)
    train(model, tokenizer)
    run = tmp_path_factory.mktemp("run")
    save_checkpoint(run / "student", model, tokenizer, {})
    lines = [{"prompt": prompt, "target": answer} for prompt, answer in PAIRS.items()]
    write_json_lines(run / "data" / "held_out.jsonl", lines)
    return run


@pytest.fixture
def run(made, tmp_path):
    return shutil.copytree(made, tmp_path / "run")


def manifest(folder):
    return json.loads((folder / "export.json").read_text())


def test_the_manifest_says_what_it_was_made_from(run):
    exported = export_checkpoint(run / "student")
    assert exported.folder == run / "student" / "export"
    told = manifest(exported.folder)
    assert (told["schema_version"], told["dtype"]) == (1, "float32")
    for name, value in told["source"]["sha256"].items():
        assert file_sha256(run / "student" / name) == value
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= told["source"]["sha256"].keys()
    assert told["weights_sha256"] == file_sha256(exported.folder / "export.safetensors")
    assert {"stillroom", "torch", "onnxruntime"} <= told["versions"].keys()
    assert (told["loss"]["top1_agreement"], told["loss"]["answers_unchanged"]) == (1.0, 1.0)
    assert told["loss"]["kl_nats"] < 1e-9
    assert told["prompts_from"] == "data/held_out.jsonl"
    assert str(run) not in json.dumps(told)


def test_the_loss_of_eight_bits_is_what_the_definitions_say(run):
    """Against the weights rounded by hand, pass by pass, in float64."""
    exported = export_checkpoint(run / "student", dtype="int8")
    checkpoint = load_checkpoint(run / "student", device="cpu")
    engine = serve_export(exported.folder, threads=1)
    nats, divergence, tokens, same = [0.0, 0.0], 0.0, 0, 0
    for prompt, target in PAIRS.items():
        ids = encode_prompt(checkpoint, prompt)
        answer = [*encode_completion(checkpoint, prompt, target), checkpoint.tokenizer.eos_token_id]
        for place, token in enumerate(answer):
            so_far = [*ids, *answer[:place]]
            with torch.inference_mode():
                logits = checkpoint.model(input_ids=torch.tensor([so_far])).logits[0, -1]
            exact = logits.double().log_softmax(-1)
            vocabulary = [[word] for word in range(len(exact))]
            scores = engine.score_choices(so_far, vocabulary).result(60)
            found = torch.tensor(scores, dtype=torch.float64)
            divergence += float((exact.exp() * (exact - found)).sum())
            nats[0] -= float(exact[token])
            nats[1] -= float(found[token])
            same += int(exact.argmax() == found.argmax())
            tokens += 1
    engine.close()
    loss = exported.loss
    assert (loss.prompts, loss.tokens) == (len(PAIRS), tokens)
    assert loss.top1_agreement == pytest.approx(same / tokens, abs=1e-9)
    assert loss.kl_nats == pytest.approx(divergence / tokens, rel=0.05)
    assert loss.kl_nats > 1e-9  # eight bits do lose something, and it is seen
    assert loss.perplexity_before == pytest.approx(math.exp(nats[0] / tokens), rel=1e-5)
    assert loss.perplexity_after == pytest.approx(math.exp(nats[1] / tokens), rel=1e-3)


def test_the_command_prints_the_loss(run, capsys):
    assert main(["export", str(run / "student"), "--int8"]) == 0
    told = capsys.readouterr().out
    loss = manifest(run / "student" / "export")["loss"]
    assert f"{100 * loss['top1_agreement']:.2f} % of {loss['tokens']} tokens" in told
    assert f"KL {loss['kl_nats']:.2g}" in told
    assert "perplexity" in told
    assert "data/held_out.jsonl" in told
    sizes = [path.stat().st_size for path in (run / "student").rglob("*.safetensors")]
    assert min(sizes) < 0.5 * max(sizes)  # a table of this size is half scales and headers


def test_eight_bits_without_prompts_are_refused(run, capsys):
    shutil.rmtree(run / "data")
    assert main(["export", str(run / "student"), "--int8"]) == 1
    assert "--prompts FILE.jsonl" in capsys.readouterr().err
    assert not (run / "student" / "export").exists()
    assert export_checkpoint(run / "student").prompts_from == "fixed tokens"


def test_prompts_without_targets_are_answered_by_the_checkpoint(run):
    prompts = run / "questions.jsonl"
    write_json_lines(prompts, [{"prompt": prompt} for prompt in PAIRS])
    exported = export_checkpoint(run / "student", dtype="int8", prompts=prompts)
    targets = export_checkpoint(run / "student", dtype="int8")
    assert exported.loss == targets.loss  # the student knows all answers by heart


@pytest.mark.parametrize(
    ("lines", "said"),
    [("", "no prompts"), ("{", "JSON Lines"), ('{"target": "a"}', "row 1"),
     ('{"prompt": "a"}\n{"prompt": "a", "target": 5}', "row 2"), ("[1]", "row 1")],
)  # fmt: skip
def test_prompts_of_another_form_are_refused(run, lines, said):
    path = run / "prompts.jsonl"
    path.write_text(lines)
    with pytest.raises(DataError, match=said):
        export_checkpoint(run / "student", prompts=path)
    with pytest.raises(DataNotFoundError, match=r"none\.jsonl"):
        export_checkpoint(run / "student", prompts=run / "none.jsonl")


def test_nothing_is_left_of_an_export_that_failed(run, monkeypatch):
    export_checkpoint(run / "student")
    before = file_sha256(run / "student" / "export" / "export.safetensors")

    def fail(*_):
        raise RuntimeError("the power went")

    monkeypatch.setattr(exporting, "measure_loss", fail)
    with pytest.raises(RuntimeError, match="power"):
        export_checkpoint(run / "student", dtype="int8")
    assert file_sha256(run / "student" / "export" / "export.safetensors") == before
    assert not list((run / "student").glob("export.*"))


def test_an_export_that_computes_something_else_is_refused(run, monkeypatch):
    lay_out = exporting.lay_out

    def wrong(*given):
        stored = lay_out(*given)
        stored["1.norm_between"] = stored["1.norm_between"] * 1.1
        return stored

    monkeypatch.setattr(exporting, "lay_out", wrong)
    with pytest.raises(ExportError, match="does not compute what the checkpoint does"):
        export_checkpoint(run / "student")
    assert not (run / "student" / "export").exists()


def test_only_exports_are_replaced(run):
    (run / "mine").mkdir()
    (run / "mine" / "thesis.txt").write_text("years of work")
    with pytest.raises(ExportError, match="is no export and is not replaced"):
        export_checkpoint(run / "student", output=run / "mine")
    assert (run / "mine" / "thesis.txt").read_text() == "years of work"
    export_checkpoint(run / "student", output=run / "served")
    again = export_checkpoint(run / "student", output=run / "served", dtype="int8")
    assert manifest(run / "served")["dtype"] == again.dtype == "int8"
    with pytest.raises(ExportError, match="is a file"):
        export_checkpoint(run / "student", output=run / "mine" / "thesis.txt")


def test_other_architectures_and_missing_folders_are_refused_before_weights_are_read(run, capsys):
    config = run / "student" / "config.json"
    settings = json.loads(config.read_text())
    config.write_text(json.dumps({**settings, "hidden_act": "gelu"}))
    with pytest.raises(ExportError, match=r"'gelu'.*engine='transformers'"):
        export_checkpoint(run / "student")
    with pytest.raises(ModelNotFoundError, match="no folder here"):
        export_checkpoint(run / "nothing")
    assert main(["export", str(run / "nothing")]) == 1
    assert "no such folder" in capsys.readouterr().err
