"""A teacher cache on the disk: keys, columns, manifest, parts; shared and damaged builds."""

import hashlib
import logging
import struct

import kd_models
import numpy as np
import pyarrow as pa
import pytest
import teacher_caches
import torch
from stillroom.distillation.batches.batching import TokenizedExample
from stillroom.distillation.teacher.cache_build import (
    plan_batches,
    plan_parts,
    plan_sequences,
    sequences_hash,
)
from stillroom.distillation.teacher.cache_format import read_manifest, sequence_key
from stillroom.distillation.teacher.cache_reader import TeacherCache
from stillroom.errors import (
    CheckpointError,
    ConfigError,
    DataNotFoundError,
    EmptyDataError,
    UnreadableFileError,
)
from stillroom.files import file_sha256, read_json, write_json

ITEMS = kd_models.random_items(12)


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """Every file of a cache that was built without a break."""
    folder = tmp_path_factory.mktemp("cache") / "whole"
    assert teacher_caches.build(folder, ITEMS).complete
    return teacher_caches.files(folder)


def restore(folder, contents):
    folder.mkdir(exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return folder


# ------------------------------------------------------------------------- form


def test_the_key_is_the_sha256_of_little_endian_int32():
    expected = "4636993d3e1da4e9d6b8f87b79e8f7c6d018580d52661950eabc3845c5897a4d"
    assert sequence_key([1, 2, 3]).hex() == expected
    assert sequence_key((1, 2, 3)) == sequence_key(np.array([1, 2, 3], dtype=np.int64))
    assert sequence_key([70000, 1]) == hashlib.sha256(struct.pack("<2i", 70000, 1)).digest()


def test_columns_of_a_part(whole, tmp_path):
    folder = restore(tmp_path, whole)
    table = pa.ipc.open_file(str(folder / "part-00000.arrow")).read_all()
    assert [(field.name, str(field.type)) for field in table.schema] == [
        ("sequence_key", "fixed_size_binary[32]"),
        ("position", "list<item: int32>"),
        ("ids", "list<item: fixed_size_list<item: int32>[8]>"),
        ("delta", "list<item: fixed_size_list<item: halffloat>[8]>"),
        ("log_tail", "list<item: fixed_size_list<item: float>[3]>"),
    ]
    by_key = {sequence_key(item.input_ids): item for item in ITEMS}
    for row in table.to_pylist():
        item = by_key[row["sequence_key"]]
        assert row["position"] == list(range(max(item.prompt_length, 1), len(item.input_ids)))
        assert len(row["ids"]) == len(row["delta"]) == len(row["log_tail"]) == len(row["position"])
        for position, ids in zip(row["position"], row["ids"], strict=True):
            assert item.input_ids[position] in ids
            assert len(set(ids)) == 8


def test_the_manifest_says_all_that_the_contract_asks_for(whole, tmp_path):
    folder = restore(tmp_path, whole)
    manifest = read_json(folder / "manifest.json")
    assert set(manifest) >= {
        *("schema_version", "teacher", "tokenizer_sha256", "template_sha256", "vocab_size", "k"),
        *("selection", "temperatures", "data_hash", "versions", "sequences", "tokens"),
        *("bytes_per_token", "parts", "complete"),
    }
    assert set(manifest["teacher"]) >= {"id", "revision", "dtype", "quantisation"}
    assert manifest["complete"] is True
    assert manifest["sequences"] == sum(part["rows"] for part in manifest["parts"]) == 12
    assert manifest["tokens"] == sum(len(s.positions) for s in plan_sequences(ITEMS))
    for part in manifest["parts"]:
        assert file_sha256(folder / part["file"]) == part["sha256"]
    assert sorted(whole) == ["manifest.json", *(part["file"] for part in manifest["parts"])]
    assert read_manifest(folder).to_dict() == manifest


# ------------------------------------------------------------------------- plan


def test_equal_sequences_share_one_entry_with_all_positions():
    ids = (5, 6, 7, 8, 9)
    items = [TokenizedExample(str(n), ids, length) for n, length in enumerate((3, 0, 4, 2))]
    (sequence,) = plan_sequences(items)
    assert list(sequence.positions) == [1, 2, 3, 4]


def test_the_plan_depends_on_the_data_alone():
    plan = plan_sequences(ITEMS)
    again = plan_sequences([*ITEMS[::-1], *ITEMS[:3]])
    assert [s.key for s in plan] == [s.key for s in again] == sorted(s.key for s in plan)
    assert sequences_hash(plan) == sequences_hash(again)
    others = [
        ITEMS[:-1],
        [*ITEMS[:-1], TokenizedExample("x", ITEMS[-1].input_ids, ITEMS[-1].prompt_length - 1)],
        [*ITEMS[:-1], TokenizedExample("x", (*ITEMS[-1].input_ids, 3), ITEMS[-1].prompt_length)],
    ]
    assert len({sequences_hash(plan_sequences(items)) for items in (ITEMS, *others)}) == 4


@pytest.mark.parametrize("tokens", [1, 30, 10**6])
def test_parts_and_batches_hold_each_sequence_once(tokens):
    plan = plan_sequences(ITEMS)
    parts = plan_parts(plan, tokens)
    assert [s for part in parts for s in part] == plan
    for part in parts:
        assert len(part) == 1 or sum(len(s.positions) for s in part) <= tokens
        batches = list(plan_batches(part, 40))
        assert sorted(s.key for batch in batches for s in batch) == [s.key for s in part]
        for batch in batches:
            longest = max(len(s.input_ids) for s in batch)
            assert len(batch) == 1 or longest * len(batch) <= 40


def test_data_without_a_supervised_token():
    with pytest.raises(EmptyDataError, match="no example has a supervised token"):
        plan_sequences([TokenizedExample("a", (5,), 0)])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"k": 0}, "top_k is 0; allowed is 1 to 60"),
        ({"k": kd_models.V}, "top_k is 61; allowed is 1 to 60"),
        ({"temperatures": ()}, "give each once, at least one"),
        ({"temperatures": (1.0, 1.0)}, "give each once"),
        ({"temperatures": (1.0, -2.0)}, "temperature -2.0 is not a number above 0"),
        ({"selection": "random_sampling"}, "random sampling draws at exactly one"),
        ({"selection": "top_p"}, "selection is 'top_p'"),
    ],
)
def test_values_that_make_no_cache(given, message):
    with pytest.raises(ConfigError, match=message):
        teacher_caches.spec_of(ITEMS, **given)


# ------------------------------------------------------------------------- building


def test_builds_are_equal_byte_for_byte(whole, tmp_path):
    """Another order of the data, and duplicates."""
    teacher_caches.build(tmp_path / "b", [*ITEMS[::-1], *ITEMS[:5]])
    assert teacher_caches.files(tmp_path / "b") == whole


def test_shares_of_several_processes_make_the_same_cache(whole, tmp_path):
    results = [teacher_caches.build(tmp_path / "c", ITEMS, share=(n, 3)) for n in (2, 3, 1)]
    assert [r.complete for r in results] == [False, False, True]
    assert sum(r.built for r in results) == results[0].parts
    assert teacher_caches.files(tmp_path / "c") == whole


def test_a_finished_build_is_not_done_again(whole, tmp_path):
    folder = restore(tmp_path, whole)
    times = {path: path.stat().st_mtime_ns for path in folder.glob("part-*")}
    result = teacher_caches.build(folder, ITEMS)
    assert (result.built, result.complete) == (0, True)
    assert times == {path: path.stat().st_mtime_ns for path in folder.glob("part-*")}


@pytest.mark.parametrize("damage", ["cut", "flipped", "emptied", "removed", "swapped"])
def test_a_damaged_part_is_found_and_built_again(whole, tmp_path, damage, caplog):
    folder = restore(tmp_path, whole)
    path = folder / "part-00001.arrow"
    content = bytearray(path.read_bytes())
    if damage == "flipped":
        # A bit of a value that no header or offset holds.
        content[bytes(content).index(np.float32(read_log_tail(path)).tobytes())] ^= 1
    damaged = {
        "cut": content[:-1],
        "flipped": content,
        "emptied": b"",
        "swapped": whole["part-00002.arrow"],
    }
    path.unlink() if damage == "removed" else path.write_bytes(damaged[damage])
    if damage in ("cut", "emptied", "removed"):
        with pytest.raises(UnreadableFileError, match=r"part-00001.arrow: is (cut off|missing)"):
            TeacherCache(folder)
    with caplog.at_level(logging.WARNING):
        result = teacher_caches.build(folder, ITEMS)
    assert (result.built, result.complete) == (1, True)
    assert ("built again" in caplog.text) is (damage != "removed")
    assert teacher_caches.files(folder) == whole


def read_log_tail(path):
    return pa.ipc.open_file(str(path)).read_all().column("log_tail")[0].as_py()[0][0]


def test_a_cut_part_of_an_unfinished_build_is_built_again(whole, tmp_path):
    folder = tmp_path / "half"
    teacher_caches.build(folder, ITEMS, share=(1, 2))
    path = folder / "part-00000.arrow"
    path.write_bytes(path.read_bytes()[:200])
    result = teacher_caches.build(folder, ITEMS)
    assert result.complete
    assert teacher_caches.files(folder) == whole


def test_another_build_is_refused_with_all_differences(whole, tmp_path):
    folder = restore(tmp_path, whole)
    with pytest.raises(ConfigError) as caught:
        teacher_caches.build(
            folder,
            ITEMS[:-1],
            k=9,
            temperatures=(1.0, 3.0),
            tokenizer_sha256="c" * 64,
            versions={"torch": "2"},
        )
    for name in ("k", "temperatures", "tokenizer_sha256", "data_hash", "versions.torch"):
        assert any(fault.startswith(f"{name}: the cache has") for fault in caught.value.faults)
    assert len(caught.value.faults) == 6
    assert teacher_caches.files(folder) == whole


def test_a_folder_with_other_files_is_left_alone(tmp_path):
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(ConfigError, match="not empty and holds no teacher cache"):
        teacher_caches.build(tmp_path, ITEMS)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_a_broken_teacher_is_named(tmp_path):
    teacher = kd_models.llama(1)
    with torch.no_grad():
        teacher.lm_head.weight[3] = float("nan")
    with pytest.raises(CheckpointError, match="teacher: the teacher's logits are not finite"):
        teacher_caches.build(tmp_path / "x", ITEMS, teacher)


def test_shares_are_checked(tmp_path):
    with pytest.raises(ConfigError, match="share is 3/2"):
        teacher_caches.build(tmp_path, ITEMS, share=(3, 2))


# ------------------------------------------------------------------------- opening


def test_an_unfinished_cache_is_not_opened(tmp_path):
    teacher_caches.build(tmp_path / "half", ITEMS, share=(1, 2))
    with pytest.raises(UnreadableFileError, match="not finished"):
        TeacherCache(tmp_path / "half")
    with pytest.raises(DataNotFoundError, match="no teacher cache"):
        TeacherCache(tmp_path / "none")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"schema_version": 2}, "schema_version is 2"),
        ({"k": "many"}, "is damaged"),
        ({"parts": [{"file": 1}]}, "is damaged"),
        ({"k": 9}, "has not the columns"),
        ({"data_hash": "d" * 64}, "belongs to another build"),
        ({"sequences": 99}, "the manifest says 99"),
        ({"parts": [{"file": "../part-00000.arrow", "rows": 1, "bytes": 2, "sha256": ""}]}, "says"),
    ],
)
def test_a_manifest_that_does_not_fit_its_parts(whole, tmp_path, change, message):
    folder = restore(tmp_path, whole)
    write_json(folder / "manifest.json", read_json(folder / "manifest.json") | change)
    with pytest.raises(UnreadableFileError, match=message):
        TeacherCache(folder)


def test_a_manifest_that_is_no_json(whole, tmp_path):
    folder = restore(tmp_path, whole)
    (folder / "manifest.json").write_text("{")
    with pytest.raises(UnreadableFileError, match="is no JSON"):
        TeacherCache(folder)
