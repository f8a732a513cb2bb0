"""The format of a teacher cache on disk: keys, columns and manifest.

    folder/manifest.json      teacher, data and settings; `complete` once every part is written
    folder/part-00000.arrow   one entry per tokenised sequence, sorted by key

A part is an uncompressed Arrow IPC file of one record batch, which a reader maps into memory.
Measured on 7,200 positions of a Zipf teacher, K = 64: 400 bytes per position and 0.17 ms for 1,200
rows. Parquet with zstd takes 237 to 266 bytes, but cannot be mapped, and decoding the part that
holds a shuffled sequence takes 18 ms.

| column | type | meaning |
|---|---|---|
| `sequence_key` | 32 bytes | sha256 of the token ids as little-endian int32 |
| `position` | list of int32 | index of each *predicted* token, ascending, never 0 |
| `ids` | list of K int32 | kept ids, largest logit first, ties by lower id; includes the label |
| `delta` | list of K float16 | largest logit - logit of each id |
| `log_tail` | list of G float32 | log p of all other ids together, per temperature of the grid |

Random sampling has `count` (K uint16 with the sum K) instead of the last two, and its ids are
sorted by descending count.

Sizes: K kept ids (or draws), G temperatures of the grid.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, get_args

import numpy as np

from ...errors import ConfigError, DataNotFoundError, UnreadableFileError
from ...files import file_sha256, read_json, write_json
from ...records import record_hash, stable_json

Selection = Literal["top_k_tail", "random_sampling"]

SCHEMA_VERSION: Final = 1
MANIFEST_FILE: Final = "manifest.json"
LARGEST_DRAWS: Final = 2**16 - 1
"""Most draws per position: counts are stored as uint16."""


@dataclass(frozen=True)
class TeacherIdentity:
    """The model whose logits are cached; a field is None if it is unknown or does not apply."""

    id: str
    """Last part of the folder's path, or the name on the hub."""
    revision: str | None = None
    """Commit on the hub."""
    weights_sha256: str | None = None
    """Hash of the folder's weight files."""
    dtype: str = "float32"
    """Precision of the forward pass."""
    quantisation: str | None = None
    """Method of quantisation, if the weights are quantised."""


@dataclass(frozen=True)
class CacheSpec:
    """Everything that determines the content of a cache.

    Raises:
        ConfigError: Values are out of range; lists all faults.
    """

    teacher: TeacherIdentity
    tokenizer_sha256: str
    """Hash of the tokens of ids 0 to `vocab_size` - 1."""
    template_sha256: str
    """Hash of the prompt formats, and of the chat template if there is one."""
    vocab_size: int
    """V_eff: number of ids that the tokenizer and the head share."""
    data_hash: str
    """Hash of the keys and first positions of all sequences."""
    k: int = 64
    """Ids kept per position; for random sampling the number of draws."""
    selection: Selection = "top_k_tail"
    """How the ids are chosen."""
    temperatures: tuple[float, ...] = (1.0, 2.0, 4.0)
    """Temperatures that a student can be trained with."""
    max_length: int | None = None
    """Most tokens of a sequence when the data was tokenised."""
    too_long: str | None = None
    """Whether longer sequences were cut (`truncate`) or refused (`error`)."""
    tokens_per_part: int = 32768
    """About how many supervised positions a part has; a killed build loses at most one part."""

    def __post_init__(self) -> None:
        """Check the values."""
        faults = []
        if self.selection not in get_args(Selection):
            faults.append(f"selection is {self.selection!r}; allowed are {get_args(Selection)}")
        largest = min(self.vocab_size - 1, LARGEST_DRAWS)
        if not 1 <= self.k <= largest:
            faults.append(
                f"top_k is {self.k!r}; allowed is 1 to {largest}, below the {self.vocab_size} ids "
                "of the vocabulary"
            )
        faults += grid_faults(self.temperatures, self.selection)
        if self.tokens_per_part < 1:
            faults.append(f"tokens_per_part is {self.tokens_per_part!r}; allowed is 1 or more")
        if faults:
            raise ConfigError(faults)

    def to_dict(self) -> dict[str, Any]:
        """Return the values as plain JSON values."""
        plain: dict[str, Any] = json.loads(stable_json(asdict(self)))
        return plain


@dataclass(frozen=True)
class PartEntry:
    """A part in the manifest."""

    file: str
    rows: int
    """Number of sequences."""
    bytes: int
    """Size of the file."""
    sha256: str
    """Hash of the file."""


@dataclass(frozen=True)
class Manifest:
    """Content of `manifest.json`. It has no timestamp, so that equal builds give equal files."""

    spec: CacheSpec
    versions: Mapping[str, str]
    """Versions of the packages that computed the logits. A build must match them; a training only
    logs differences."""
    sequences: int
    """Number of sequences."""
    tokens: int
    """Number of supervised positions."""
    parts: tuple[PartEntry, ...] = ()
    """The parts; empty until all of them are written."""

    @property
    def complete(self) -> bool:
        """Whether every part was written."""
        return bool(self.parts)

    @property
    def build(self) -> str:
        """Hash of everything that determines the logits.

        Each part stores it, so that parts of different builds are never mixed.
        """
        return record_hash({**self.spec.to_dict(), "versions": dict(self.versions)})

    def to_dict(self) -> dict[str, Any]:
        """Return the content of the file."""
        size = sum(part.bytes for part in self.parts)
        return {
            "schema_version": SCHEMA_VERSION,
            **self.spec.to_dict(),
            "versions": dict(self.versions),
            "sequences": self.sequences,
            "tokens": self.tokens,
            "bytes_per_token": round(size / self.tokens, 2) if self.complete else None,
            "parts": [asdict(part) for part in self.parts],
            "complete": self.complete,
        }

    def sha256(self) -> str:
        """Hash the whole content, including the hashes of the parts."""
        return record_hash(self.to_dict())

    def write(self, folder: Path) -> None:
        """Write the file atomically."""
        write_json(folder / MANIFEST_FILE, self.to_dict())


def read_manifest(folder: str | Path) -> Manifest:
    """Read and check `manifest.json`.

    Raises:
        DataNotFoundError: There is no such folder, or no manifest in it.
        UnreadableFileError: It is damaged, or of another version.
    """
    path = Path(folder) / MANIFEST_FILE
    try:
        value = read_json(path)
    except (FileNotFoundError, NotADirectoryError):
        raise DataNotFoundError(
            f"{folder}: is no teacher cache, it has no {MANIFEST_FILE}; make one with stillroom "
            "cache-logits"
        ) from None
    except ValueError as fault:
        raise UnreadableFileError(f"is no JSON ({fault}); build the cache again", path=path) from (
            fault
        )
    version = value.get("schema_version") if isinstance(value, dict) else None
    if version != SCHEMA_VERSION:
        raise UnreadableFileError(
            f"schema_version is {version!r}; this version of stillroom reads {SCHEMA_VERSION}. "
            "Build the cache again",
            path=path,
        )
    try:
        return _manifest(value)
    except (KeyError, TypeError, ValueError) as fault:
        raise UnreadableFileError(f"is damaged ({fault}); build the cache again", path=path) from (
            fault
        )


def _manifest(value: Mapping[str, Any]) -> Manifest:
    spec = {name: value[name] for name in CacheSpec.__dataclass_fields__}
    spec["teacher"] = TeacherIdentity(**spec["teacher"])
    spec["temperatures"] = tuple(spec["temperatures"])
    return Manifest(
        CacheSpec(**spec),
        dict(value["versions"]),
        int(value["sequences"]),
        int(value["tokens"]),
        tuple(PartEntry(**part) for part in value["parts"]),
    )


def sequence_key(input_ids: Iterable[int]) -> bytes:
    """Hash the token ids of one sequence: sha256 of little-endian int32, 32 bytes.

    >>> sequence_key([1, 2, 3]).hex()[:16]
    '4636993d3e1da4e9'
    """
    return hashlib.sha256(np.asarray(input_ids, dtype="<i4").tobytes()).digest()


def vocabulary_sha256(tokenizer: Any, size: int) -> str:  # noqa: ANN401 - transformers is untyped
    """Hash the tokens of the ids 0 to `size` - 1, with None for an id without a token.

    Merges and other rules are not hashed: if they split the texts differently, the keys differ.
    """
    tokens = {number: token for token, number in tokenizer.get_vocab().items()}
    return record_hash([tokens.get(number) for number in range(size)])


def known_identity(teacher_name: str, revision: str | None) -> dict[str, str]:
    """Return the fields of `TeacherIdentity` that are known without loading the teacher.

    They are the hash of the weight files for a folder, and `revision`, if given, for other names.
    """
    folder = Path(teacher_name).expanduser()
    if not folder.is_dir():
        # A path without its folder still names the teacher: the student's machine may lack it.
        is_path = teacher_name.startswith((".", "/", "~")) or "\\" in teacher_name
        known = {"id": folder.resolve().name if is_path else teacher_name}
        return known if revision is None else {**known, "revision": revision}
    digest = hashlib.sha256()  # about a second per gigabyte
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(f"{path.name} {file_sha256(path)}\n".encode())
    return {"id": folder.resolve().name, "weights_sha256": digest.hexdigest()}


def grid_faults(temperatures: Sequence[float], selection: str) -> list[str]:
    """List the faults in the temperatures of a cache; empty if there are none."""
    faults = [
        f"temperature {value!r} is not a number above 0"
        for value in temperatures
        if not (isinstance(value, (int, float)) and 0.0 < value < math.inf)
    ]
    if not temperatures or len(set(temperatures)) != len(temperatures):
        faults.append(f"temperatures are {list(temperatures)}; give each once, at least one")
    if selection == "random_sampling" and len(temperatures) != 1:
        faults.append(
            f"temperatures are {list(temperatures)}; random sampling draws at exactly one, because "
            "draws at one temperature say nothing about another"
        )
    return faults


def differences(
    cache: Mapping[str, Any], run: Mapping[str, Any], place: str = "", name: str = "this run"
) -> list[str]:
    """List the fields of `run` whose value differs in `cache`; other fields are not compared.

    Args:
        cache: The content of a manifest.
        run: The required values, nested in the same way.
        place: Prefix of the field names in the messages.
        name: Name of `run` in the messages.
    """
    lines = []
    for key, wanted in run.items():
        found = cache.get(key)
        if isinstance(wanted, Mapping):
            inner = found if isinstance(found, Mapping) else {}
            lines += differences(inner, wanted, f"{place}{key}.", name)
        elif found != wanted:
            lines.append(f"{place}{key}: the cache has {_short(found)}, {name} {_short(wanted)}")
    return lines


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 48 else f"{text[:13]}...{text[-1]}"
