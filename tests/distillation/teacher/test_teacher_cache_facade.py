"""`stillroom cache-logits`, and `ModelDistiller` with `teacher_cache`: no teacher, same student."""

import json
import logging
import shutil
import subprocess
import sys

import kd_models
import pytest
import torch
from stillroom.cli import main
from stillroom.distillation.distiller import DistillationConfig, ModelDistiller
from stillroom.distillation.settings import config_hash
from stillroom.distillation.teacher import cache_job
from stillroom.distillation.teacher.cache_job import CacheSettings, cache_teacher_logits
from stillroom.distillation.teacher.cache_reader import TeacherCache
from stillroom.distillation.teacher.cached import CachedTeacher
from stillroom.distillation.training.run_record import weights_sha256
from stillroom.errors import ConfigError, DataError, UnreadableFileError, VocabularyError
from stillroom.files import read_json
from stillroom.inference.checkpoints.load_student import Checkpoint, save_checkpoint
from stillroom.prompts import FORMATS, PromptFormat, prompts_sha256, render
from stillroom.records import Example, Source

RECORDS = [
    {"question": f"What is the symbol of {name}?", "answer": symbol}
    for name, symbol in (("gold", "Au"), ("silver", "Ag"), ("iron", "Fe"), ("tin", "Sn"))
] + [
    {"text": "Au is gold."},
    {"instruction": "Name tin", "output": "Sn", "input": "metals"},
    {"messages": [{"role": "user", "content": "Zinc?"}, {"role": "assistant", "content": "Zn"}]},
]
TOKENIZER = kd_models.tokenizer([render("s2-qa", r.get("question", "Au Ag")) for r in RECORDS])
IDS = len(TOKENIZER)


def model(seed, **given):
    return kd_models.llama(seed, vocabulary=IDS, **given)


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """A teacher, a student and a cache of the records, made by the command."""
    root = tmp_path_factory.mktemp("models")
    save_checkpoint(root / "teacher", model(1), TOKENIZER, {})
    save_checkpoint(root / "student", model(2, layers=1), TOKENIZER, {})
    lines = "".join(json.dumps(record) + "\n" for record in RECORDS)
    (root / "train.jsonl").write_text(lines, encoding="utf-8")
    assert main(command(root, "--top-k", str(IDS - 1), "--batch-tokens", "100")) == 0
    return root


def command(root, *more, output="cache", data="train.jsonl", teacher="teacher"):
    paths = {"--teacher": root / teacher, "--data": root / data, "--output": root / output}
    given = [text for name, path in paths.items() for text in (name, str(path))]
    return ["cache-logits", *given, "--dtype", "float32", "--device", "cpu", *more]


def config(root, *, cached=True, **given):
    defaults = {
        "teacher_model_name": str(root / "teacher"),
        "student_model_name": str(root / "student"),
        "teacher_cache": str(root / "cache") if cached else None,
        "batch_size": 2,
        "max_steps": 6,
        "learning_rate": 1e-2,
        "dtype": "float32",
        "device": "cpu",
        "progress": False,
    }
    return DistillationConfig(**defaults | given)


def distilled(root, records=RECORDS, **given):
    distiller = ModelDistiller(config(root, **given))
    return distiller, distiller.distill(records)


# ------------------------------------------------------------------------- the command


def test_the_command_builds_a_cache_and_says_what_is_in_it(folders, capsys):
    manifest = TeacherCache(folders / "cache").manifest
    assert manifest.spec.teacher.id == "teacher"
    assert manifest.spec.teacher.dtype == "float32"
    assert (manifest.spec.vocab_size, manifest.spec.k) == (IDS, IDS - 1)
    assert manifest.spec.template_sha256 == prompts_sha256()
    assert manifest.sequences == len(RECORDS)
    assert main(command(folders, "--top-k", str(IDS - 1))) == 0
    said = capsys.readouterr().out
    assert "0 of 1 parts built, 1 were there" in said
    assert f"{len(RECORDS)} sequences, {manifest.tokens} supervised tokens" in said


def test_the_command_and_the_function_make_the_same_cache(folders, tmp_path):
    settings = CacheSettings(
        str(folders / "teacher"),
        str(tmp_path / "cache"),
        top_k=IDS - 1,
        dtype="float32",
        device="cpu",
        progress=False,
    )
    result = cache_teacher_logits(settings, RECORDS[::-1])
    cache = TeacherCache(folders / "cache")
    assert result.manifest.spec == cache.manifest.spec
    assert result.manifest.sha256() == TeacherCache(tmp_path / "cache").manifest.sha256()


def test_shares_and_random_sampling_as_options(folders, tmp_path, capsys):
    options = ("--selection", "random_sampling", "--temperatures", "2", "--top-k", "5")
    output = tmp_path / "sampled"
    assert main(command(folders, *options, "--share", "2/2", output=output)) == 0
    assert "not complete yet" in capsys.readouterr().out
    assert main(command(folders, *options, "--share", "1/2", output=output)) == 0
    assert TeacherCache(output).selection == "random_sampling"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--top-k", "0"], "--top-k is '0'; allowed is a whole number from 1 on"),
        (["--temperatures", "1,zwei"], "--temperatures is '1,zwei'; allowed are numbers above 0"),
        (["--share", "3/2"], "--share is '3/2'"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_wrong_options_are_refused_before_anything_is_loaded(folders, options, said, capsys):
    assert main(command(folders, *options, output="none")) == 2
    assert said in capsys.readouterr().err
    assert not (folders / "none").exists()


@pytest.mark.parametrize(
    ("given", "options", "said"),
    [
        ({"data": "none.jsonl"}, [], "none.jsonl: no such file"),
        ({"data": "bad.jsonl"}, [], "bad.jsonl: row 2: has the keys 'frage'"),
        ({"teacher": "none"}, [], "there is no such folder"),
        ({}, ["--top-k", "9999"], "--top-k is 9999; allowed is 1 to"),
        ({}, ["--selection", "random_sampling"], "random sampling draws at exactly one"),
        (
            {},
            ["--max-length", "4", "--too-long", "error"],
            "max_length is 4. Raise it, shorten the record, or pass --too-long 'truncate'",
        ),
        ({"output": "cache"}, ["--top-k", "3"], "k: the cache has"),
        ({"output": "teacher"}, [], "holds no teacher cache"),
    ],
)
def test_faults_end_with_one_sentence_and_code_1(folders, given, options, said, capsys):
    (folders / "bad.jsonl").write_text('{"text": "a"}\n{"frage": "b"}\n')
    arguments = {"output": "none"} | given
    assert main(command(folders, *options, **arguments)) == 1
    captured = capsys.readouterr()
    assert said in captured.err
    assert captured.err.startswith("stillroom: ")
    assert not (folders / "none").exists()


def test_help_needs_no_torch(tmp_path):
    script = (
        "import sys; from stillroom.cli import main\n"
        "try: main(['cache-logits', '--help'])\n"
        "finally: print('LOADED', [m for m in ('torch', 'transformers', 'pyarrow', 'numpy') "
        "if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=False, cwd=tmp_path
    )
    assert "LOADED []" in done.stdout
    assert "--temperatures" in done.stdout
    assert done.returncode == 0


# ------------------------------------------------------------------------- training


def test_a_student_from_a_cache_is_the_one_from_the_teacher(folders):
    """K = V - 1, so what differs is the rounding of float16."""
    online, with_teacher = distilled(folders, cached=False)
    cached, from_cache = distilled(folders)
    assert online.teacher_model is not None
    assert cached.teacher_model is None
    losses = [loss for _, loss in with_teacher.losses]
    assert [loss for _, loss in from_cache.losses] == pytest.approx(losses, rel=2e-3)
    assert weights_sha256(cached.student_model) != weights_sha256(online.student_model)


def test_the_teacher_need_not_be_there(folders, tmp_path):
    """On a machine with the cache and the student only."""
    for name in ("student", "cache"):
        shutil.copytree(folders / name, tmp_path / name)
    here, _ = distilled(folders)
    there, _ = distilled(tmp_path)
    assert weights_sha256(here.student_model) == weights_sha256(there.student_model)


def test_the_run_names_the_cache_and_not_its_place(folders, tmp_path):
    distiller, _ = distilled(folders)
    sha256 = TeacherCache(folders / "cache").manifest.sha256()
    run = read_json(distiller.save_distilled_model(tmp_path / "out") / "run.json")
    assert run["teacher_cache_sha256"] == sha256
    chosen = config(folders)
    assert run["config_hash"] == config_hash(chosen, dtype="float32", teacher_cache_sha256=sha256)
    moved = config(folders, teacher_cache="elsewhere")
    hashes = [
        config_hash(chosen, dtype="float32", teacher_cache_sha256=sha256),
        config_hash(moved, dtype="float32", teacher_cache_sha256=sha256),
        config_hash(chosen, dtype="float32", teacher_cache_sha256="other"),
        config_hash(config(folders, cached=False), dtype="float32"),
    ]
    assert hashes[0] == hashes[1]
    assert len(set(hashes)) == 3


def test_at_alpha_zero_no_cache_is_opened(folders):
    assert distilled(folders, alpha=0.0, teacher_cache="nowhere")[1].steps == 6


class CrashError(Exception):
    pass


def test_a_broken_off_run_goes_on_and_another_cache_begins_anew(
    folders, tmp_path, monkeypatch, caplog
):
    def run(work_dir, last=10**9, **given):
        calls = iter(range(last))
        original = CachedTeacher.rows

        def rows(self, batch):
            if next(calls, None) is None:
                raise CrashError
            return original(self, batch)

        with monkeypatch.context() as patch:
            patch.setattr(CachedTeacher, "rows", rows)
            distiller = ModelDistiller(config(folders, save_steps=2, **given))
            summary = distiller.distill(RECORDS, work_dir=work_dir)
        return weights_sha256(distiller.student_model), summary

    expected, _ = run(tmp_path / "whole")
    with pytest.raises(CrashError):
        run(tmp_path / "work", last=5)
    shutil.copytree(folders / "cache", tmp_path / "moved")
    weights, summary = run(tmp_path / "work", teacher_cache=str(tmp_path / "moved"))
    assert summary.resumed_from.name == "checkpoint-4"
    assert weights == expected
    assert main(command(folders, "--top-k", "7", output=tmp_path / "small")) == 0
    with caplog.at_level(logging.WARNING):
        _, summary = run(tmp_path / "work", teacher_cache=str(tmp_path / "small"))
    assert summary.resumed_from is None
    assert "starts again, because config_hash was" in caplog.text


# ------------------------------------------------------------------------- refusal


def faults_of(folders, **given):
    with pytest.raises(ConfigError) as caught:
        distilled(folders, **given)
    return [fault.split(":")[0] for fault in caught.value.faults[1:]]


def test_everything_that_differs_is_listed_at_once(folders, tmp_path, monkeypatch):
    """Other teacher weights and name, tokenizer, prompts, data, temperature and objective."""
    other = kd_models.tokenizer(["zinc and lead and copper"], IDS)  # it has fewer tokens
    save_checkpoint(tmp_path / "student", model(2), other, {})
    save_checkpoint(tmp_path / "professor", model(3), TOKENIZER, {})
    student, teacher = str(tmp_path / "student"), str(tmp_path / "professor")
    changed = PromptFormat("Q: {text}", "C: {context} Q: {text}")
    # run.json of both checkpoints is older than the change, as for any older folder.
    for folder in (student, teacher):
        (tmp_path / folder / "run.json").unlink()
    monkeypatch.setitem(FORMATS, "s2-qa", changed)
    assert faults_of(
        folders,
        records=RECORDS[1:],
        student_model_name=student,
        teacher_model_name=teacher,
        temperature=3.0,
        max_length=32,
    ) == [
        "teacher.id",
        "teacher.weights_sha256",
        "tokenizer_sha256",
        "template_sha256",
        "vocab_size",
        "data_hash",
        "max_length",
        "temperature is 3.0; the teacher cache " + str(folders / "cache") + " is exact at 1, 2, 4 "
        "only. Use one of these, or build a cache with --temperatures",
    ]


def test_other_weights_under_the_same_name(folders, tmp_path):
    save_checkpoint(tmp_path / "teacher", model(3), TOKENIZER, {})
    given = {"teacher_model_name": str(tmp_path / "teacher")}
    assert faults_of(folders, **given) == ["teacher.weights_sha256"]


def test_another_commit_of_a_hub_model(folders):
    cache = TeacherCache(folders / "cache")
    fields = {"teacher": {"id": "teacher", "revision": "abc"}}
    assert cache.differences(fields) == [
        "teacher.revision: the cache has None, this run 'abc'",
    ]


def test_one_record_more(folders):
    assert faults_of(folders, records=[*RECORDS, {"text": "one more"}]) == ["data_hash"]


def test_texts_cut_elsewhere(folders):
    assert faults_of(folders, max_length=12) == ["data_hash", "max_length"]


def test_another_limit_that_cuts_nothing_is_no_difference(folders):
    assert distilled(folders, max_length=60)[1].steps == 6


def test_a_missing_sequence_names_file_and_record(folders, monkeypatch):
    """Not even a cache whose manifest fits is believed."""
    records = [
        Example(f"e{n}", "", text, "text", source=Source("facts.csv", n))
        for n, text in enumerate(["Au is gold.", "Ag is silver."], start=1)
    ]
    monkeypatch.setattr(TeacherCache, "differences", lambda *_: [])
    with pytest.raises(DataError, match=r"^facts.csv, row 2: example 'e2' .* is not in the teach"):
        distilled(folders, records=records)


def test_a_damaged_cache_stops_the_run(folders, tmp_path):
    shutil.copytree(folders / "cache", tmp_path / "cache")
    part = tmp_path / "cache" / "part-00000.arrow"
    part.write_bytes(part.read_bytes()[:-9])
    with pytest.raises(UnreadableFileError, match=r"part-00000\.arrow: is cut off or damaged"):
        distilled(folders, teacher_cache=str(tmp_path / "cache"))


def test_a_head_without_all_ids_is_refused(tmp_path, monkeypatch):
    narrow = model(1)
    narrow.resize_token_embeddings(IDS - 20)  # load_checkpoint refuses such a folder
    teacher = Checkpoint(narrow, TOKENIZER, None, "narrow")
    monkeypatch.setattr(cache_job, "load_checkpoint", lambda *_, **__: teacher)
    settings = CacheSettings("narrow", str(tmp_path / "x"), device="cpu", progress=False)
    with pytest.raises(VocabularyError, match="the head of narrow has only"):
        cache_teacher_logits(settings, RECORDS)


def test_settings_are_checked():
    with pytest.raises(ConfigError, match="teacher_cache is ' '; allowed is null or a folder"):
        DistillationConfig(teacher_cache=" ")
    with pytest.raises(ConfigError) as caught:
        CacheSettings("t", "o", top_k=0, dtype="float16", share=(2, 1), temperatures=(0.0,))
    assert len(caught.value.faults) == 4


def test_bfloat16_is_cached_as_a_training_would_run_it(folders, tmp_path):
    """Autocast, not narrow weights; rows near those of float32."""
    settings = {"top_k": 8, "device": "cpu", "progress": False}
    for dtype in ("bfloat16", "float32"):
        cache_teacher_logits(
            CacheSettings(str(folders / "teacher"), str(tmp_path / dtype), dtype=dtype, **settings),
            RECORDS,
        )
    narrow, wide = (TeacherCache(tmp_path / dtype) for dtype in ("bfloat16", "float32"))
    assert narrow.manifest.spec.teacher.dtype == "bfloat16"
    tails = [cache.parts[0].values["log_tail"] for cache in (narrow, wide)]
    assert 0.0 < float(abs(tails[0] - tails[1]).mean()) < 0.2
    assert torch.get_default_dtype() == torch.float32
