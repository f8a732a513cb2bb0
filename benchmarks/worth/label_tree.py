"""Compute the likelihood of every class as the answer to many prompts, in one pass per batch.

A class is scored by the tokens that distinguish it from all others: "card arr" of "card arrival" if
no other class starts like this. These events are mutually exclusive, so the likelihoods form one
distribution. The remaining tokens would double the cost and only measure how well a model completes
a name. If a class is a prefix of another one, its end token is scored too.

The tokens form a tree; all of its nodes follow each prompt and attend to the prompt and to the
nodes above them.

Sizes: B prompts, P positions of the longest one, M nodes, C classes, V vocabulary.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from stillroom.prompts import join_of
from torch import Tensor

ClassStep = tuple[int, int, int]
"""(class, row of logits, token looked up there): row 0 is the prompt's end, node n is row n + 1."""


def telling_tokens(answers: Sequence[Sequence[int]]) -> list[list[int]]:
    """Cut token sequences, none of which begins another, behind the token that makes each unique.

    >>> telling_tokens([[5, 1, 2, 0], [5, 1, 3, 0], [6, 1, 0]])
    [[5, 1, 2], [5, 1, 3], [6]]
    """
    begun = Counter(tuple(ids[:end]) for ids in answers for end in range(1, len(ids) + 1))
    lengths = [
        next(n for n in range(1, len(ids) + 1) if begun[tuple(ids[:n])] == 1) for ids in answers
    ]
    return [list(ids[:length]) for ids, length in zip(answers, lengths, strict=True)]


class LabelTree:
    """Classes as a tree of tokens.

    Args:
        classes: Texts.
        tokenizer: Of the model.
        prompt: Any prompt of the task; tells what stands between prompt and answer.
    """

    def __init__(self, classes: Sequence[str], tokenizer: Any, prompt: str) -> None:  # noqa: ANN401
        """Lay out the nodes, each behind its parent; last tokens are looked up, never read."""
        texts = [join_of(prompt) + c for c in classes]
        encoded = tokenizer(texts, add_special_tokens=False)["input_ids"]
        self.answers = telling_tokens([[*ids, int(tokenizer.eos_token_id)] for ids in encoded])
        self.tokens: list[int] = []
        self.depths: list[int] = []
        above: list[list[int]] = []
        steps: list[ClassStep] = []
        places: dict[tuple[int, ...], int] = {}
        for number, ids in enumerate(self.answers):
            nodes: list[int] = []
            steps.append((number, 0, ids[0]))
            for end in range(1, len(ids)):
                node = places.setdefault(tuple(ids[:end]), len(self.tokens))
                nodes.append(node)
                if node == len(self.tokens):
                    self.tokens.append(ids[end - 1])
                    self.depths.append(end - 1)
                    above.append(list(nodes))
                steps.append((number, node + 1, ids[end]))
        self.class_of, self.rows, self.targets = torch.tensor(steps).T
        self.sees = torch.zeros(len(self.tokens), len(self.tokens), dtype=torch.bool)  # (M, M)
        for node, seen in enumerate(above):
            self.sees[node, seen] = True


@torch.inference_mode()
def class_log_likelihoods(
    model: Any,  # noqa: ANN401 - transformers is untyped
    prompts: Sequence[Sequence[int]],
    tree: LabelTree,
    *,
    batch_size: int = 32,
) -> NDArray[np.float64]:
    """Give log p(what tells the class from the others | prompt) of each class, (prompts, C).

    Args:
        model: A causal model that takes position ids and a mask per query, as Llama.
        prompts: Token ids.
        tree: Of the classes.
        batch_size: Prompts in a pass; like lengths go together.
    """
    order = sorted(range(len(prompts)), key=lambda place: len(prompts[place]))
    out = np.zeros((len(prompts), len(tree.answers)))
    for start in range(0, len(order), batch_size):
        places = order[start : start + batch_size]
        logits = _tree_logits(model, [prompts[place] for place in places], tree)  # (B, M + 1, V)
        kept = logits[:, tree.rows, tree.targets] - logits.logsumexp(-1)[:, tree.rows]
        scores = torch.zeros(len(places), len(tree.answers)).index_add_(1, tree.class_of, kept)
        out[places] = scores.numpy()
    return out


def _tree_logits(model: Any, prompts: Sequence[Sequence[int]], tree: LabelTree) -> Tensor:  # noqa: ANN401
    """Run prompts, each ending at position P, with the tree behind them."""
    B, P, M = len(prompts), max(map(len, prompts)), len(tree.tokens)
    ids = torch.zeros(B, P + M, dtype=torch.int64)
    positions = torch.zeros(B, P + M, dtype=torch.int64)
    sees = torch.zeros(B, 1, P + M, P + M, dtype=torch.bool)
    causal = torch.ones(P, P, dtype=torch.bool).tril()
    for row, prompt in enumerate(prompts):
        first = P - len(prompt)
        ids[row, first:P] = torch.tensor(prompt)
        positions[row, first:P] = torch.arange(len(prompt))
        positions[row, P:] = torch.tensor(tree.depths) + len(prompt)
        sees[row, 0, first:P, first:P] = causal[first:, first:]
        sees[row, 0, P:, first:P] = True
    ids[:, P:] = torch.tensor(tree.tokens)
    sees[:, 0, P:, P:] = tree.sees
    sees |= torch.eye(P + M, dtype=torch.bool)  # padding sees itself: no row may see nothing
    mask = torch.zeros(sees.shape).masked_fill_(~sees, torch.finfo(torch.float32).min)
    out = model(
        input_ids=ids,
        attention_mask=mask,
        position_ids=positions,
        use_cache=False,
        logits_to_keep=M + 1,
    )
    logits: Tensor = out.logits.float()
    return logits
