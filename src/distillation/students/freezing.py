"""Train only the parameters that a pattern names, or more of them in each epoch.

A pattern is a regular expression that is searched in parameter names such as
`model.layers.3.mlp.up_proj.weight`. Parameters that were frozen before, as below an adapter, stay
frozen.
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
    """List the names of trainable parameters in which a pattern is found.

    Raises:
        ConfigError: It is no regular expression, or it is found in no name.
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
    """Freeze the parameters that the pattern does not name, until the end of the block.

    Enter it before the optimizer is made, which takes the parameters that then require a gradient.
    No-op without a pattern.

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
    """Train more of the model in each epoch of a run.

    The optimizer must have been made while all of these parameters required a gradient. AdamW does
    not change a frozen one, which has no gradient. DDP decides once which gradients to wait for, so
    use stages there.

    Args:
        patterns: Epoch e, counted from 0, trains the parameters that the first e + 1 patterns name.

    Raises:
        ConfigError: There is no pattern.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        """Keep the patterns."""
        if not patterns:
            raise ConfigError(["unfreeze has no pattern; give one per epoch, or null"])
        self.patterns = tuple(patterns)
        self._groups: list[set[str]] = []
        self._frozen: list[nn.Parameter] = []

    def on_train_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:  # noqa: ANN401
        """Find the parameters and check that the optimizer has them."""
        if args.world_size > 1:
            raise ConfigError(
                ["unfreeze works in one process only: DDP decides once which gradients it waits "
                 "for. Use stages with trainable, one per step of the unfreezing"]
            )  # fmt: skip
        model, optimizer = given["model"], given["optimizer"]
        self._groups = [set(matching_parameters(model, pattern)) for pattern in self.patterns]
        placed = {id(p) for group in optimizer.param_groups for p in group["params"]}
        named = set().union(*self._groups)
        missing = [n for n, p in model.named_parameters() if n in named and id(p) not in placed]
        if missing:
            raise ConfigError(
                [f"the optimizer was made without {missing[0]!r}, so it never learns"]
            )

    def on_epoch_begin(self, args: Any, state: Any, control: Any, **given: Any) -> None:  # noqa: ANN401
        """Unfreeze the parameters of this epoch, and freeze the others."""
        self._unfreeze()
        learning = set().union(*self._groups[: int(state.epoch or 0) + 1])
        for name, parameter in given["model"].named_parameters():
            if parameter.requires_grad and name not in learning:
                parameter.requires_grad_(False)
                parameter.grad = None  # an old gradient would be applied again
                self._frozen.append(parameter)

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
        """Unfreeze everything again."""
        self._unfreeze()

    def _unfreeze(self) -> None:
        for parameter in self._frozen:
            parameter.requires_grad_(True)
        self._frozen = []
