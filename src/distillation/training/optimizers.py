"""Optimizers: AdamW, or Muon for the matrices inside the layers with AdamW for everything else.

On a table of facts Muon reached .73 and AdamW alone .16 in the same number of steps. Newton-Schulz
runs on all matrices of one shape together, which saves kernel launches if they are small; at
width 256 the matrix products take the time (90 ms for 2.8M parameters on one CPU core).

Sources: Muon: Jordan et al. 2024, https://kellerjordan.github.io/posts/muon/ (quintic coefficients,
Nesterov momentum, scale sqrt(max(1, rows / columns))); torch.optim.Muon is the same update and the
oracle of our test.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.optim.adamw import adamw

from ...errors import ConfigError
from ..setting_names import OptimizerKind

NEWTON_SCHULZ: Final = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration, chosen for the steepest slope at zero (Jordan et al.)."""
NEWTON_SCHULZ_STEPS: Final = 5


def make_optimizer(
    model: nn.Module,
    *,
    kind: OptimizerKind = "adamw",
    learning_rate: float = 5e-5,
    matrix_learning_rate: float = 4e-3,
    weight_decay: float = 0.0,
) -> torch.optim.Optimizer:
    """Make the optimizer of a run, over the parameters that require a gradient now.

    Args:
        model: The student.
        kind: `adamw` for all, or `muon` for the matrices inside the layers and AdamW for
            embeddings, head, norms and biases.
        learning_rate: Learning rate of AdamW, above 0.
        matrix_learning_rate: Learning rate of Muon, above 0; not used by `adamw`.
        weight_decay: Decoupled; applied to matrices only, never to norms and biases.

    Returns:
        One optimizer whose groups a scheduler scales together.

    Raises:
        ConfigError: An argument is out of range, or nothing is trainable; all faults at once.
    """
    faults = []
    if kind not in ("adamw", "muon"):
        faults.append(f"optimizer is {kind!r}; allowed are 'adamw' and 'muon'")
    for name, rate in (
        ("learning_rate", learning_rate),
        ("matrix_learning_rate", matrix_learning_rate),
    ):
        if not 0.0 < rate < math.inf:
            faults.append(f"{name} is {rate!r}; allowed is a number above 0")
    if not 0.0 <= weight_decay < 1.0:
        faults.append(f"weight_decay is {weight_decay!r}; allowed is 0 up to 1")
    trainable = [p for p in model.parameters() if p.requires_grad]
    if not trainable:
        faults.append("no parameter of the model requires a gradient")
    if faults:
        raise ConfigError(faults)
    inner = {id(p) for p in _matrices_in_layers(model)} if kind == "muon" else set()
    rest = [p for p in trainable if id(p) not in inner]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in rest if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in rest if p.ndim < 2], "weight_decay": 0.0},
    ]
    if kind == "adamw":
        return torch.optim.AdamW([g for g in groups if g["params"]], lr=learning_rate, fused=True)
    for group in groups:
        group.update(kind="adamw", lr=learning_rate)
    matrices = [p for p in trainable if id(p) in inner]
    groups.append(
        {
            "params": matrices,
            "kind": "muon",
            "lr": matrix_learning_rate,
            "weight_decay": weight_decay,
        }
    )
    return MuonAdamW([g for g in groups if g["params"]])


def _matrices_in_layers(model: nn.Module) -> list[Tensor]:
    """List the matrices that are neither an embedding nor the head."""
    tables = {id(p) for m in model.modules() if isinstance(m, nn.Embedding) for p in m.parameters()}
    head = getattr(model, "get_output_embeddings", lambda: None)()
    if isinstance(head, nn.Module):
        tables |= {id(p) for p in head.parameters()}
    return [p for p in model.parameters() if p.ndim == 2 and id(p) not in tables]


def orthogonalize(matrices: Tensor, *, eps: float = 1e-7) -> Tensor:
    """Bring the singular values of each matrix near 1, by five Newton-Schulz steps in bf16.

    Args:
        matrices: (K, R, C), any real dtype.
        eps: Lower bound of the divisor.

    Returns:
        (K, R, C) bf16.
    """
    a, b, c = NEWTON_SCHULZ
    flipped = matrices.shape[-2] > matrices.shape[-1]
    x = matrices.bfloat16()
    if flipped:  # the Gram matrix is taken on the shorter side
        x = x.mT
    x = x / x.norm(dim=(-2, -1), keepdim=True).clamp(min=eps)  # spectral norm at most 1
    for _ in range(NEWTON_SCHULZ_STEPS):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if flipped else x


class MuonAdamW(torch.optim.Optimizer):
    """Muon on groups with `kind="muon"`, AdamW on the others; one state, one schedule.

    Args:
        groups: Parameter groups, each with `kind`, `lr` and `weight_decay`; Muon groups hold
            matrices only.
        momentum: Momentum of Muon.
        betas: Betas of AdamW.
        eps: Epsilon of AdamW.

    Raises:
        ConfigError: A group has an unknown `kind`, or a Muon group holds other tensors.
    """

    def __init__(
        self,
        groups: Iterable[dict[str, Any]],
        *,
        momentum: float = 0.95,
        betas: tuple[float, float] = (0.9, 0.95),
        eps: float = 1e-8,
    ) -> None:
        """Check the groups; state is made at the first step."""
        # With "fused", load_state_dict moves step counts to the parameters' device.
        defaults = {"lr": 1e-3, "weight_decay": 0.0, "kind": "adamw", "fused": True}
        super().__init__(groups, defaults | {"momentum": momentum, "betas": betas, "eps": eps})
        faults = []
        for number, group in enumerate(self.param_groups):
            if group["kind"] not in ("muon", "adamw"):
                faults.append(f"group {number}: kind is {group['kind']!r}; 'muon' or 'adamw'")
            elif group["kind"] == "muon" and any(p.ndim != 2 for p in group["params"]):
                faults.append(f"group {number}: Muon takes matrices only")
        if faults:
            raise ConfigError(faults)

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        """Update every parameter that has a gradient; a closure is evaluated first."""
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        for group in self.param_groups:
            params = [p for p in group["params"] if p.grad is not None]
            if params:
                (self._muon if group["kind"] == "muon" else self._adamw)(group, params)
        return loss

    def _muon(self, group: dict[str, Any], params: list[Tensor]) -> None:
        grads = [_gradient(p) for p in params]
        buffers = [self._state(p, "momentum_buffer") for p in params]
        torch._foreach_lerp_(buffers, grads, 1.0 - group["momentum"])
        updates = torch._foreach_lerp(grads, buffers, group["momentum"])  # Nesterov
        if group["weight_decay"]:
            torch._foreach_mul_(params, 1.0 - group["lr"] * group["weight_decay"])
        for places in _places_by_shape(params):
            rows, columns = params[places[0]].shape
            scale = -group["lr"] * math.sqrt(max(1.0, rows / columns))
            steps = orthogonalize(torch.stack([updates[i] for i in places]))  # (K, R, C)
            wide = steps.to(params[places[0]].dtype).unbind()
            torch._foreach_add_([params[i] for i in places], list(wide), alpha=scale)

    def _adamw(self, group: dict[str, Any], params: list[Tensor]) -> None:
        beta1, beta2 = group["betas"]
        adamw(
            params,
            [_gradient(p) for p in params],
            [self._state(p, "exp_avg") for p in params],
            [self._state(p, "exp_avg_sq") for p in params],
            [],
            [self._count(p) for p in params],
            fused=group["fused"],
            beta1=beta1,
            beta2=beta2,
            lr=group["lr"],
            weight_decay=group["weight_decay"],
            eps=group["eps"],
            amsgrad=False,
            maximize=False,
        )

    def _count(self, p: Tensor) -> Tensor:
        """Return the step count, which `adamw` itself increases."""
        state = self.state[p]
        if "step" not in state:
            state["step"] = torch.zeros((), dtype=torch.float32, device=p.device)
        count: Tensor = state["step"]
        return count

    def _state(self, p: Tensor, name: str) -> Tensor:
        state = self.state[p]
        if name not in state:
            state[name] = torch.zeros_like(p)
        buffer: Tensor = state[name]
        return buffer


def _gradient(p: Tensor) -> Tensor:
    assert p.grad is not None
    return p.grad


def _places_by_shape(params: list[Tensor]) -> list[list[int]]:
    places: dict[torch.Size, list[int]] = defaultdict(list)
    for index, p in enumerate(params):
        places[p.shape].append(index)
    return list(places.values())
