"""Names that settings may take, apart from the code they choose, so that checks load no torch."""

from __future__ import annotations

from typing import Final, Literal

IGNORED: Final = -100
"""Label of a position that is not supervised; the value transformers and torch use."""

FROM_TEACHER: Final = ("every_second_layer", "from_teacher")
"""Student names that mean a copy of every second layer of the teacher. Both mean the same."""
FROM_SCRATCH: Final = "from_scratch"
"""Student name that means an untrained model in the teacher's family, of `student_layers` and
`student_width`."""

RampShape = Literal["linear", "cosine"]
Task = Literal["generation", "classification"]
TooLong = Literal["error", "truncate"]
"""What happens to examples that are longer than `max_length`."""
Objective = Literal[
    "forward_kl", "reverse_kl", "jsd", "skew_forward", "skew_reverse", "tvd", "universal_logit"
]
UNIVERSAL: Final = "universal_logit"
"""The objective that compares different vocabularies (`losses/universal.py`)."""
HiddenMeasure = Literal["mse", "cosine"]
AttentionMeasure = Literal["kl", "mse"]
OptimizerKind = Literal["adamw", "muon"]
