"""Random rows and their teachers, and the two ways to the loss of a row."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from stillroom.distillation.losses.dense import dense_distillation
from stillroom.distillation.losses.fused import fused_distillation
from stillroom.distillation.losses.rows import HeadRows, SparseTeacherRows
from torch.nn import functional
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

SIGNALS = ("sparse", "head", "logits")


@dataclass(frozen=True)
class Rows:
    """Everything a loss of N rows depends on."""

    hidden: torch.Tensor
    weight: torch.Tensor
    bias: torch.Tensor | None
    labels: torch.Tensor
    theirs: HeadRows
    vocabulary: int
    weights: torch.Tensor | None = None

    @property
    def teacher_logits(self):
        return functional.linear(self.theirs.hidden, self.theirs.weight, self.theirs.bias)

    @property
    def logits(self):
        return functional.linear(self.hidden, self.weight, self.bias)[:, : self.vocabulary]

    def signal(self, kind, temperature=1.0, k=4):
        if kind == "sparse":
            return kept_rows(self.teacher_logits, k, temperature)
        return self.theirs if kind == "head" else self.teacher_logits

    def with_gradients(self):
        tensors = {name: getattr(self, name) for name in ("hidden", "weight", "bias")}
        return replace(
            self,
            **{
                n: None if t is None else t.detach().clone().requires_grad_()
                for n, t in tensors.items()
            },
        )

    @property
    def parameters(self):
        return [t for t in (self.hidden, self.weight, self.bias) if t is not None]


def random_rows(
    seed=0, *, N=7, H=5, V=11, padding=0, bias=True, scale=1.5, dtype=torch.float64, weighted=False
):
    """Logits of a few whole units, so that a wrong temperature or class is seen."""
    source = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=source, dtype=torch.float64).to(dtype)

    return Rows(
        hidden=normal(N, H),
        weight=scale * normal(V + padding, H),
        bias=normal(V + padding) if bias else None,
        labels=torch.randint(V, (N,), generator=source),
        theirs=HeadRows(normal(N, 3), scale * normal(V, 3), normal(V)),
        vocabulary=V,
        weights=torch.rand(N, generator=source).to(dtype) if weighted else None,
    )


def kept_rows(teacher_logits, k, temperature):
    """The k largest classes and the tail, computed without what is under test."""
    log_p = (teacher_logits / temperature).log_softmax(-1)
    log_kept, ids = log_p.topk(k)
    tail = log_p.scatter(1, ids, float("-inf")).logsumexp(-1)
    return SparseTeacherRows(ids, log_kept, tail)


def fused(rows, signal, mixture, chunk=None):
    head = HeadRows(rows.hidden, rows.weight, rows.bias, rows.vocabulary)
    return fused_distillation(
        head, rows.labels, signal, mixture, weights=rows.weights, chunk=chunk
    )[0]


def dense(rows, signal, mixture):
    return dense_distillation(rows.logits, rows.labels, signal, mixture, weights=rows.weights)[0]


PATHS = {"fused": fused, "dense": dense}


def value_and_gradients(path, rows, signal, mixture, **options):
    """The loss, and its gradients by hidden states, head and bias."""
    rows = rows.with_gradients()
    total = PATHS[path](rows, signal, mixture, **options)
    return total.detach(), torch.autograd.grad(total, rows.parameters)


def relative(one, other):
    return float((one - other).norm() / other.norm())


class Shapes(TorchDispatchMode):
    """Note the shape of every tensor that any operation makes, and the products."""

    def __init__(self):
        super().__init__()
        self.made, self.products = [], []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        out = func(*args, **(kwargs or {}))
        tensors = [t for t in tree_leaves(out) if isinstance(t, torch.Tensor)]
        held = [t for t in tensors if t.untyped_storage().nbytes() >= t.numel() * t.element_size()]
        self.made += [tuple(t.shape) for t in held]  # an expanded view holds nothing
        if func.overloadpacket in (torch.ops.aten.mm, torch.ops.aten.addmm, torch.ops.aten.addmm_):
            matrices = [a for a in args if isinstance(a, torch.Tensor)][-2:]
            self.products.append((tuple(tensors[0].shape), matrices[0].dtype))
        return out
