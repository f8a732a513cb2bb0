"""An engine for any causal language model or classifier of transformers, in this process.

    engine = serve_checkpoint(load_checkpoint("outputs/elements/student"))
    stream = engine.submit(GenerationRequest(prompt_ids=ids))

transformers' own continuous batching is not used: on a CPU it is slower than plain `generate`
(see benchmarks/serving_speed.py).
"""

from __future__ import annotations

from functools import partial
from typing import Any

from ..checkpoints.load_student import Checkpoint
from ..checkpoints.padding import agree_on_padding
from ..scoring.choices import score_continuations, score_labels
from ..scoring.model_limits import context_length, end_token_ids, model_lock
from .batch import open_batch
from .batch_engine import BatchEngine
from .label_batch import LabelBatch
from .worker_thread import ServedModel


def serve_checkpoint(checkpoint: Checkpoint, **limits: Any) -> BatchEngine:  # noqa: ANN401
    """Serve a checkpoint.

    Args:
        checkpoint: Model and tokenizer. The weights are shared, except that small
            Llamas are copied into another layout (`llama.weights`).
        limits: `most_running`, `most_waiting` and so on of `BatchEngine`.
    """
    model, labels = checkpoint.model, checkpoint.label_tokens
    if labels is not None:
        pad_id = agree_on_padding(checkpoint.tokenizer, model)
        served = ServedModel(
            name=checkpoint.name,
            context_length=context_length(model),
            vocabulary=model.get_input_embeddings().weight.shape[0],
            end_ids=frozenset(range(len(labels.labels))),
            open_batch=partial(LabelBatch, model, pad_id),
            score=partial(score_labels, model),
            lock=model_lock(model),
            device=checkpoint.device,
            longest_answer=1,
            checkpoint=checkpoint,
        )
        return BatchEngine(served, **limits)
    served = ServedModel(
        name=checkpoint.name,
        context_length=context_length(model),
        vocabulary=model.get_input_embeddings().weight.shape[0],
        end_ids=end_token_ids(model, checkpoint.tokenizer),
        open_batch=partial(open_batch, model),
        score=partial(score_continuations, model),
        lock=model_lock(model),
        device=checkpoint.device,
        checkpoint=checkpoint,
    )
    return BatchEngine(served, **limits)
