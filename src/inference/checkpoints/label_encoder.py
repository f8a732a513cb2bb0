"""A classifier on a sentence encoder: the mean of its last hidden states, and a linear head.

Sentence encoders such as all-MiniLM are trained so that this mean carries the meaning of a text.
The classification heads of transformers read the first token instead, and start from weights that
know nothing of it (Reimers and Gurevych 2019, arXiv 1908.10084, section 3, compare both).

Sizes: B texts, T positions, D width of the encoder, C labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from typing import Any, Final

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import AutoModel, PreTrainedModel
from transformers.modeling_outputs import SequenceClassifierOutput

from ...errors import ConfigError

ARCHITECTURE: Final = "MeanPoolingForSequenceClassification"
"""As `config.json` of a saved one names it."""
SCALE: Final = 20.0
"""Length of the vectors that the head reads. At length 1 a head would need weights so large that
usual learning rates do not move it."""


class MeanPoolingForSequenceClassification(PreTrainedModel):  # type: ignore[misc]
    """Choose one of C labels for a text.

    Args:
        config: An encoder's, with `num_labels` of C and names in `id2label`.
    """

    base_model_prefix = "encoder"
    _supports_sdpa = True

    def __init__(self, config: Any) -> None:  # noqa: ANN401 - transformers is untyped
        """Make the model; its weights are random."""
        super().__init__(config)
        self.encoder = AutoModel.from_config(config)
        self.dropout = nn.Dropout(getattr(config, "hidden_dropout_prob", 0.1))
        self.classifier = nn.Linear(config.hidden_size, config.num_labels)
        self.post_init()

    @classmethod
    def from_config(cls, config: Any) -> MeanPoolingForSequenceClassification:  # noqa: ANN401
        """Make the model of a config, as the Auto classes of transformers do."""
        return cls(config)

    def _init_weights(self, module: nn.Module) -> None:
        """Leave an encoder's weights to the encoder; only the head is drawn here."""
        if isinstance(module, nn.Linear) and module is getattr(self, "classifier", None):
            nn.init.normal_(module.weight, std=0.02)
            nn.init.zeros_(module.bias)

    def forward(
        self,
        input_ids: Tensor,
        attention_mask: Tensor | None = None,
        **options: Any,  # noqa: ANN401
    ) -> SequenceClassifierOutput:
        """Give `logits` (B, C) of texts `input_ids` (B, T); `attention_mask` is 1 on tokens."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        out = self.encoder(input_ids=input_ids, attention_mask=mask, **options)
        pooled = mean_pooled(out.last_hidden_state, mask)
        return SequenceClassifierOutput(
            logits=self.classifier(self.dropout(SCALE * pooled)),
            hidden_states=out.hidden_states,
            attentions=out.attentions,
        )

    @torch.no_grad()
    def pooled(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Give the vectors (B, D), of length 1, that the head reads times `SCALE`."""
        out = self.encoder(input_ids=input_ids, attention_mask=attention_mask)
        return mean_pooled(out.last_hidden_state, attention_mask)

    def head_logits(self, pooled: Tensor) -> Tensor:
        """Give logits (N, C) of vectors (N, D) from `pooled`."""
        logits: Tensor = self.classifier(SCALE * pooled)
        return logits

    @torch.no_grad()
    def set_head(self, weight: Tensor, bias: Tensor) -> None:
        """Set the head from one that reads vectors of length 1: (C, D) and (C,)."""
        self.classifier.weight.copy_(weight / SCALE)
        self.classifier.bias.copy_(bias)


def mean_pooled(hidden: Tensor, mask: Tensor) -> Tensor:
    """Average hidden states (B, T, D) over the tokens, 1 in `mask` (B, T), to length 1; (B, D)."""
    # At length 1 the sum is the same as the mean.
    return functional.normalize((hidden * mask[..., None].to(hidden.dtype)).sum(dim=1), dim=-1)


def classifier_on(encoder: Any, labels: Sequence[str]) -> MeanPoolingForSequenceClassification:  # noqa: ANN401
    """Put a head, untrained, on a copy of an encoder.

    Args:
        encoder: One vector per token, such as BERT; a language-model head is left behind.
        labels: Names, two or more, all different; their order numbers them.

    Returns:
        A model in eval mode, in the encoder's type and on its device.

    Raises:
        ConfigError: There are fewer than two labels, or two are the same.
    """
    if len(labels) < 2 or len(set(labels)) < len(labels):
        raise ConfigError(
            [f"labels are {list(labels)[:20]!r}; allowed are two or more, all different"]
        )
    config = deepcopy(encoder.config)
    config.id2label = dict(enumerate(labels))
    config.label2id = {label: number for number, label in enumerate(labels)}
    config.problem_type = "single_label_classification"
    config.architectures = [ARCHITECTURE]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        model = MeanPoolingForSequenceClassification(config)
    found = encoder.base_model.state_dict()
    missing = set(model.encoder.state_dict()) - set(found)
    # A pooler that the checkpoint lacks is never read: the mean is over the last hidden states.
    found |= {k: v for k, v in model.encoder.state_dict().items() if k in missing and "pooler" in k}
    model.encoder.load_state_dict(found)
    model.to(device=encoder.device, dtype=encoder.dtype)
    model.eval()
    return model
