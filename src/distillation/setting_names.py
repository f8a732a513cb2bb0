"""The words that settings of a distillation may take.

They stand apart from the code that they choose, so that settings are checked before torch is
loaded.
"""

from __future__ import annotations

from typing import Final, Literal

IGNORED: Final = -100
"""Label of a position that is not supervised; the value transformers and torch use."""

RampShape = Literal["linear", "cosine"]

Task = Literal["generation", "classification"]

TooLong = Literal["error", "truncate"]
"""What happens to examples that are longer than a model may read."""
Objective = Literal[
    "forward_kl", "reverse_kl", "jsd", "skew_forward", "skew_reverse", "tvd", "universal_logit"
]
"""`universal_logit` compares over unlike vocabularies and is in `universal_logit.py`."""
UNIVERSAL: Final = "universal_logit"
HiddenMeasure = Literal["mse", "cosine"]
AttentionMeasure = Literal["kl", "mse"]
OptimizerKind = Literal["adamw", "muon"]
