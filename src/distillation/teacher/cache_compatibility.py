"""Whether a cache is the right one for a run: everything is compared before the first step.

What is not known without loading the teacher is compared as far as it is known: a folder by the
hash of its weight files, a model of the hub by its commit where a process has loaded it.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...errors import ConfigError
from ...files import file_sha256
from ...inference.checkpoints.load_student import package_versions
from ...prompts import prompts_sha256
from ...records import Source
from ..batches.batching import TokenizedExample
from .cache_build import plan_sequences, sequences_hash
from .cache_format import differences, vocabulary_sha256
from .cache_reader import TeacherCache
from .cached import cache_faults

logger = logging.getLogger(__name__)


def require_fit(
    cache: TeacherCache,
    items: Sequence[TokenizedExample],
    *,
    teacher_name: str,
    teacher_model: Any,  # noqa: ANN401 - transformers is untyped
    student: Any,  # noqa: ANN401
    tokenizer: Any,  # noqa: ANN401
    loss_fn: Any,  # noqa: ANN401 - a user's own loss need not be `Tempered`
    limits: Mapping[str, int | str],
    sources: Mapping[str, Source | None] | None = None,
) -> None:
    """Refuse a cache that is not of this run's teacher, tokenizer, prompts and data.

    Args:
        cache: An opened one.
        items: The tokenised examples.
        teacher_name: Folder or name on the hub.
        teacher_model: Where something else had it loaded; None otherwise.
        student: A causal model.
        tokenizer: The student's.
        loss_fn: What is trained on.
        limits: `max_length` and `too_long` that the examples were tokenised with.
        sources: Example id -> where it came from, for messages.

    Raises:
        ConfigError: Something differs; everything that does is listed.
        DataError: A supervised position is not in the cache.
    """
    tokens = max(tokenizer.get_vocab().values()) + 1
    commit = getattr(getattr(teacher_model, "config", None), "_commit_hash", None)
    run = {
        "teacher": known_identity(teacher_name, commit),
        "tokenizer_sha256": vocabulary_sha256(tokenizer, cache.vocabulary),
        "template_sha256": prompts_sha256(),
        "vocab_size": min(cache.vocabulary, tokens),
        "data_hash": sequences_hash(plan_sequences(items)),
        **limits,
    }
    faults = cache.differences(run) + cache_faults(cache, loss_fn, student, cache.vocabulary)
    if faults:
        raise ConfigError([f"the teacher cache {cache.folder} is not of this run", *faults])
    cache.check(items, sources)
    for line in differences(cache.manifest.versions, package_versions(), "versions."):
        # Numbers on the disk do not change with a package, so this is no reason to build anew.
        logger.info("%s: %s", cache.folder, line)


def known_identity(teacher_name: str, revision: str | None) -> dict[str, str]:
    """Say what is known of a teacher without loading it, in the manifest's words."""
    folder = Path(teacher_name).expanduser()
    if not folder.is_dir():
        # A path without its folder still names the teacher: the student's machine may lack it.
        is_path = teacher_name.startswith((".", "/", "~")) or "\\" in teacher_name
        known = {"id": folder.resolve().name if is_path else teacher_name}
        return known if revision is None else {**known, "revision": revision}
    return {"id": folder.resolve().name, "weights_sha256": weight_files_sha256(folder)}


def weight_files_sha256(folder: Path) -> str:
    """Hash a folder's weight files, about a second per gigabyte; hex."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(f"{path.name} {file_sha256(path)}\n".encode())
    return digest.hexdigest()
