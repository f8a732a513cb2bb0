"""A mixture of teachers: each record is learned from the teacher of its own source alone."""

import json

import kd_models
import pytest
import torch
from stillroom.cli import main
from stillroom.distillation.batches.batching import collator_for, tokenize_examples
from stillroom.distillation.distiller import DistillationConfig, ModelDistiller
from stillroom.distillation.losses.distillation_loss import DistillationLoss
from stillroom.distillation.teacher.cache_reader import TeacherCache
from stillroom.distillation.teacher.cached import CachedTeacher
from stillroom.distillation.teacher.teacher_mixture import TeacherMixture
from stillroom.distillation.training_data import training_examples
from stillroom.errors import ConfigError, DataError
from stillroom.files import read_json
from stillroom.inference.checkpoints.load_student import save_checkpoint

SOURCES = {"metals": 1, "gases": 3}
"""Source -> the seed of its teacher."""
RECORDS = [
    {"question": f"What is the symbol of {name}?", "answer": symbol, "source": source}
    for name, symbol, source in (
        ("gold", "Au", "metals"), ("silver", "Ag", "metals"), ("neon", "Ne", "gases"),
        ("argon", "Ar", "gases"), ("tin", "Sn", "metals"),
    )
]  # fmt: skip
TOKENIZER = kd_models.tokenizer([r["question"] + r["answer"] for r in RECORDS])


@pytest.fixture
def folders(tmp_path):
    """Make a teacher per source and a student; each teacher is cached by the command."""
    for name, seed in {**SOURCES, "student": 2}.items():
        made = kd_models.llama(seed, vocabulary=len(TOKENIZER)).float()
        save_checkpoint(tmp_path / name, made, TOKENIZER, {})
    return tmp_path


def cache(folders, records=RECORDS, sources=SOURCES, top_k=8):
    data = folders / "train.jsonl"
    data.write_text("".join(json.dumps(record) + "\n" for record in records))
    for source in sources:
        command = ["cache-logits", "--teacher", str(folders / source), "--data", str(data)]
        command += ["--source", source, "--output", str(folders / f"cache-{source}")]
        assert main([*command, "--top-k", str(top_k), "--dtype", "float32"]) == 0
    return {source: str(folders / f"cache-{source}") for source in SOURCES}


def distill(folders, caches, records=RECORDS, **given):
    values = {"temperature": 2.0, "alpha": 1.0, "max_steps": 10, "batch_size": 5}
    config = DistillationConfig(
        "mixture", str(folders / "student"), teacher_cache=caches, learning_rate=1e-2,
        progress=False, **values | given,
    )  # fmt: skip
    distiller = ModelDistiller(config)
    return distiller, distiller.distill(records)


def rows(reader, records):
    items = tokenize_examples(training_examples(records), TOKENIZER)
    return CachedTeacher(reader, DistillationLoss(2.0, 1.0)).rows(collator_for(TOKENIZER)(items))


def test_each_record_has_the_rows_of_its_own_teacher(folders):
    caches = cache(folders)
    mixture = TeacherMixture(caches)
    apart = []
    for source, folder in caches.items():
        own = [record for record in RECORDS if record["source"] == source]
        alone, mixed = rows(TeacherCache(folder), own), rows(mixture, own)
        for name in ("ids", "log_kept", "log_tail"):
            assert torch.equal(getattr(alone, name), getattr(mixed, name))
        apart.append(alone.log_kept)
    assert len(mixture.parts) == len(caches)
    assert not torch.equal(apart[0][:2], apart[1][:2])


def test_a_student_learns_from_all_and_its_run_names_them(folders):
    distiller, summary = distill(folders, cache(folders))
    assert summary.losses[-1][1] < 0.7 * summary.losses[0][1]
    distiller.save_distilled_model(folders / "out")
    teacher = read_json(folders / "out" / "run.json")["teacher"]
    assert teacher["id"] == "mixture"
    assert {s: one["id"] for s, one in teacher["by_source"].items()} == {s: s for s in SOURCES}
    hashes = {one["weights_sha256"] for one in teacher["by_source"].values()}
    assert len(hashes) == len(SOURCES)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (
            {"source": "gases"},
            "has the source 'gases', and its teacher's cache is that of 'metals'",
        ),
        ({"source": "liquids"}, "'liquids', and a mixture of teachers needs one of 'metals', 'gas"),
        ({"source": None}, "has the source None, and a mixture of teachers needs one of"),
    ],
)
def test_a_record_of_another_source_than_its_cache_is_refused(change, words, folders):
    caches = cache(folders)
    with pytest.raises(DataError, match=words):
        distill(folders, caches, [RECORDS[0] | change, *RECORDS[1:]])


def test_a_record_that_no_teacher_saw_is_refused(folders):
    caches = cache(folders, RECORDS[1:])
    with pytest.raises(ConfigError, match="data_hash"):
        distill(folders, caches)


def test_two_teachers_of_one_record_are_refused(folders):
    caches = cache(folders, [*RECORDS, RECORDS[0] | {"source": "gases"}])
    with pytest.raises(DataError, match="1 sequences are in the caches of two teachers"):
        TeacherMixture(caches)


def test_caches_of_other_sizes_are_refused(folders):
    cache(folders, sources=["metals"], top_k=4)
    caches = cache(folders, sources=["gases"])
    with pytest.raises(ConfigError, match=r"do not go together: k: the cache has 4, .* 8"):
        TeacherMixture(caches)


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"teacher_model_name": "mixture", "teacher_cache": "one"}, "source -> folder"),
        ({"teacher_model_name": "./teacher", "teacher_cache": {"a": "b"}}, "are named 'mixture'"),
        ({"teacher_model_name": "mixture", "teacher_cache": {}}, "allowed is null or a folder, or"),
    ],
)
def test_names_that_do_not_fit_are_refused(given, words):
    with pytest.raises(ConfigError, match=words):
        DistillationConfig(**given)


def test_a_source_without_records_is_refused_with_those_there_are(folders, capsys):
    caches = cache(folders)
    command = ["cache-logits", "--teacher", str(folders / "metals"), "--source", "metal"]
    command += ["--data", str(folders / "train.jsonl"), "--output", str(folders / "other")]
    assert main(command) != 0
    assert "no record is of the source 'metal'; there is 'gases', 'metals'" in (
        capsys.readouterr().err
    )
    assert len(caches) == len(SOURCES)


def test_the_command_distils_from_a_mixture(folders, capsys):
    config = {
        "teacher_model_name": "mixture", "student_model_name": str(folders / "student"),
        "teacher_cache": cache(folders), "data": str(folders / "train.jsonl"), "max_steps": 2,
        "temperature": 2.0, "output_dir": str(folders / "made"),
    }  # fmt: skip
    (folders / "job.json").write_text(json.dumps(config))
    assert main(["distill", str(folders / "job.json")]) == 0
    assert (folders / "made" / "model.safetensors").is_file()
    config["teacher_cache"] = {"metals": str(folders / "nowhere")}
    (folders / "job.json").write_text(json.dumps(config))
    assert main(["distill", str(folders / "job.json")]) != 0
    assert "there is no such folder" in capsys.readouterr().err
