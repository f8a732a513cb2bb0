"""The cheap first stage of a cascade: an encoder that is not tuned, and a small network on it.

probe = open_score_student("filters/uplifting/v1/probe")
probe.predict(["Title\\n\\nContent"])     # (1, D)
probe.threshold                          # weighted average from which stage 2 reads a text

Sizes: N texts, E width of the encoder, D dimensions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from ...errors import CheckpointError
from ...files import atomic_folder
from .base_model import TextReader
from .head_student import read_base
from .protocol import WEIGHTS_FILE, Floats, StudentFacts, write_student_file

HIDDEN_SIZES: Final = (256, 128)
DROPOUT: Final = 0.2


class MLPProbe(nn.Module):
    """A network of linear layers with ReLU and dropout between them."""

    def __init__(
        self,
        input_dim: int,
        output_dim: int,
        hidden_sizes: Sequence[int] = HIDDEN_SIZES,
        dropout: float = DROPOUT,
    ) -> None:
        """Make the layers; their weights are random.

        Args:
            input_dim: E.
            output_dim: D.
            hidden_sizes: Widths of the layers between; none makes a linear map.
            dropout: Share of values that training leaves out, 0 to below 1.
        """
        super().__init__()
        self.input_dim, self.output_dim = input_dim, output_dim
        self.hidden_sizes, self.dropout = tuple(hidden_sizes), dropout
        widths = [input_dim, *hidden_sizes]
        layers: list[nn.Module] = []
        for width, following in pairwise(widths):
            layers += [nn.Linear(width, following), nn.ReLU(), nn.Dropout(dropout)]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], output_dim))
        self.register_buffer("mean", torch.zeros(input_dim))
        self.register_buffer("scale", torch.ones(input_dim))

    def set_scaler(self, vectors: Tensor) -> None:
        """Set the mean and the standard deviation of the vectors (N, E), which are taken off."""
        self.mean = vectors.mean(dim=0)
        self.scale = vectors.std(dim=0).clamp_min(1e-6)

    def forward(self, vectors: Tensor) -> Tensor:
        """Give (N, D) of vectors (N, E)."""
        made: Tensor = self.layers((vectors - self.mean) / self.scale)
        return made


@dataclass(frozen=True)
class ProbeStudent:
    """An encoder and a probe on its vectors."""

    facts: StudentFacts
    encoder: TextReader
    probe: MLPProbe
    """In eval mode."""
    threshold: float | None = None
    """Weighted average from which stage 2 reads a text; None where no threshold was chosen."""
    told: Mapping[str, Any] | None = None
    """How it was trained and what it missed on validation."""
    kind: str = "probe"

    @property
    def dimensions(self) -> tuple[str, ...]:
        """Names, in the order of the columns of `predict`."""
        return self.facts.dimensions

    @property
    def view_hash(self) -> str:
        """Hash of the view of the labels that it learned from."""
        return self.facts.view_hash

    @torch.inference_mode()
    def predict(self, texts: Sequence[str]) -> Floats:
        """Score texts; (N, D)."""
        scores = self.probe(torch.from_numpy(self.encoder.vectors(texts)))
        return self.facts.clipped(scores.numpy().astype(np.float64))

    def int8(self) -> ProbeStudent:
        """Give the same student with an encoder in eight bits."""
        return replace(self, encoder=self.encoder.int8())

    def save(self, folder: str | Path) -> Path:
        """Write the probe into a folder, whole or not at all; give the folder."""
        from safetensors.torch import save_file

        more = {
            "base": asdict(self.encoder.base),
            "cut": asdict(self.encoder.cut),
            "hidden_sizes": list(self.probe.hidden_sizes),
            "input_dim": self.probe.input_dim,
            "dropout": self.probe.dropout,
            "threshold": self.threshold,
            "training": dict(self.told or {}),
        }
        with atomic_folder(folder) as made:
            write_student_file(made, self.kind, self.facts, more)
            save_file(
                {name: one.contiguous() for name, one in self.probe.state_dict().items()},
                made / WEIGHTS_FILE,
            )
        return Path(folder)


def open_probe(
    folder: Path, facts: StudentFacts, settings: Mapping[str, Any], device: str | None
) -> ProbeStudent:
    """Open a saved probe.

    Raises:
        CheckpointError: A file is missing, damaged, or does not fit the others.
        ModelNotFoundError: The encoder is not on this machine.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    base, cut = read_base(folder, settings)
    encoder = TextReader(base, cut, device=device)
    try:
        probe = MLPProbe(
            int(settings["input_dim"]), len(facts.dimensions), settings["hidden_sizes"],
            float(settings["dropout"]),
        )  # fmt: skip
        probe.load_state_dict(load_file(folder / WEIGHTS_FILE))
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as fault:
        raise CheckpointError(f"{folder} holds no probe that can be read: {fault}") from fault
    if probe.input_dim != encoder.width:
        raise CheckpointError(f"{folder}: the probe reads {probe.input_dim} numbers, and "
                              f"{base.name} gives {encoder.width}")  # fmt: skip
    threshold = settings.get("threshold")
    return ProbeStudent(
        facts, encoder, probe.eval(), None if threshold is None else float(threshold),
        settings.get("training"),
    )  # fmt: skip
