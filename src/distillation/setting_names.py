"""Names that settings may take, apart from the code they choose, so that checks load no torch."""

from __future__ import annotations

from typing import Final, Literal

IGNORED: Final = -100
"""Label of a position that is not supervised; the value transformers and torch use."""

EVERY_SECOND: Final = "every_second_layer"
"""Student name that means a copy of every second layer of the teacher. It is for teachers such as
the starter; a pretrained model loses all of its knowledge."""
PRUNED: Final = "from_teacher"
"""Student name that means the teacher, pruned by the importance of its parts on the training
data."""
FROM_TEACHER: Final = (EVERY_SECOND, PRUNED)
"""Student names that need no weights but the teacher's."""
FROM_SCRATCH: Final = "from_scratch"
"""Student name that means an untrained model in the teacher's family, of `student_layers` and
`student_width`."""
MIXTURE: Final = "mixture"
"""Teacher name that means several teachers, each with a cache of the records of its source."""

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
