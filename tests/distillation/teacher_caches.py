"""Small teacher caches for the tests of this folder."""

from __future__ import annotations

import kd_models
from stillroom.distillation.teacher.cache_build import build_cache, plan_sequences, sequences_hash
from stillroom.distillation.teacher.cache_format import CacheSpec, TeacherIdentity

VERSIONS = {"torch": "1"}


def spec_of(items, **given):
    """What a cache of some items is to hold; parts of about three sequences."""
    values = {
        "teacher": TeacherIdentity("teacher"),
        "tokenizer_sha256": "a" * 64,
        "template_sha256": "b" * 64,
        "vocab_size": kd_models.V,
        "data_hash": sequences_hash(plan_sequences(items)),
        "k": 8,
        "tokens_per_part": 30,
    }
    return CacheSpec(**values | given)


def build(folder, items, teacher=None, *, share=(1, 1), batch_tokens=64, versions=None, **given):
    return build_cache(
        folder,
        kd_models.llama(1) if teacher is None else teacher,
        plan_sequences(items),
        spec_of(items, **given),
        versions=VERSIONS if versions is None else versions,
        pad_id=0,
        batch_tokens=batch_tokens,
        share=share,
    )


def files(folder):
    """Give every file of a cache with its bytes."""
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}
