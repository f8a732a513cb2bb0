"""Which parameters of the student learn: those a pattern names, or more of them epoch by epoch.

A pattern is a regular expression that is searched in parameter names such as
`model.layers.3.mlp.up_proj.weight`. What was frozen before, as under an adapter, stays frozen.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import nn
from transformers import TrainerCallback

from ...errors import ConfigError


def matching_parameters(model: nn.Module, pattern: str) -> list[str]:
    """List the names of trainable parameters that a pattern is found in.

    Raises:
        ConfigError: It is no regular expression, or it is found in none.
    """
    try:
        found = re.compile(pattern)
    except re.error as fault:
        raise ConfigError([f"{pattern!r} is no regular expression: {fault}"]) from fault
    names = [name for name, p in model.named_parameters() if p.requires_grad]
    matching = [name for name in names if found.search(name)]
    if not matching:
        raise ConfigError(
            [f"{pattern!r} is found in no name of a trainable parameter; some names are "
             f"{', '.join(names[:: max(1, len(names) // 6)][:7])}"]
        )  # fmt: skip
    return matching


@contextmanager
def only_trainable(model: nn.Module, pattern: str | None) -> Iterator[None]:
    """Freeze what the pattern does not name, and thaw it after the block.

    To be entered before the optimizer is made: an optimizer takes what requires a gradient then.

    Args:
        model: The student.
        pattern: None freezes nothing.

    Raises:
        ConfigError: The pattern is found in no trainable parameter.
    """
    if pattern is None:
        yield
        return
    keep = set(matching_parameters(model, pattern))
    frozen = [p for name, p in model.named_parameters() if p.requires_grad and name not in keep]
    for parameter in frozen:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in frozen:
            parameter.requires_grad_(True)


class GradualUnfreezing(TrainerCallback):  # type: ignore[misc]  # transformers is skipped
    """Let more of the model learn in each epoch of a run.

    The optimizer must have been made while all of these parameters required a gradient; a frozen
    one has no gradient, so AdamW leaves its value and its state alone. Under DDP, whose reducer is
    built once, use stages instead.

    Args:
        patterns: Epoch e, counted from 0, trains what the first e + 1 patterns name. After the last
            one nothing more is thawed.

    Raises:
        ConfigError: There is no pattern.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        """Keep the patterns; names are known when training begins."""
        if not patterns:
            raise ConfigError(["unfreeze has no pattern; give one per epoch, or null"])
        self.patterns = tuple(patterns)
        self._groups: list[set[str]] = []
        self._frozen: list[nn.Parameter] = []

    def on_train_begin(
        self,
        args: Any,  # noqa: ANN401
        state: Any,  # noqa: ANN401
        control: Any,  # noqa: ANN401
        model: Any = None,  # noqa: ANN401
        optimizer: Any = None,  # noqa: ANN401
        **_: Any,  # noqa: ANN401
    ) -> None:
        """Find the parameters and check that the optimizer has them."""
        if args.world_size > 1:
            raise ConfigError(
                ["unfreeze works in one process only: DDP decides once which gradients it waits "
                 "for. Use stages with trainable, one per step of the unfreezing"]
            )  # fmt: skip
        self._groups = [set(matching_parameters(model, pattern)) for pattern in self.patterns]
        placed = {id(p) for group in optimizer.param_groups for p in group["params"]}
        named = set().union(*self._groups)
        missing = [n for n, p in model.named_parameters() if n in named and id(p) not in placed]
        if missing:
            raise ConfigError(
                [f"the optimizer was made without {missing[0]!r}, so it never learns"]
            )

    def on_epoch_begin(
        self,
        args: Any,  # noqa: ANN401
        state: Any,  # noqa: ANN401
        control: Any,  # noqa: ANN401
        model: Any = None,  # noqa: ANN401
        **_: Any,  # noqa: ANN401
    ) -> None:
        """Thaw what this epoch trains, freeze the rest, and drop gradients from before."""
        self._thaw()
        learning = set().union(*self._groups[: int(state.epoch or 0) + 1])
        for name, parameter in model.named_parameters():
            if parameter.requires_grad and name not in learning:
                parameter.requires_grad_(False)
                parameter.grad = None  # an old gradient would be applied once more
                self._frozen.append(parameter)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        """Leave the model as it was set up."""
        self._thaw()

    def _thaw(self) -> None:
        for parameter in self._frozen:
            parameter.requires_grad_(True)
        self._frozen = []
