"""Prompting a model with its tokenizer in the format of System 1 or System 2.

model, tokenizer = load_student("./student")
print(infer_student(model, tokenizer, "Name three primary colors."))
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ...errors import ConfigError
from ...prompts import SYSTEM_MODES, SystemMode, format_prompt
from ..checkpoints import load_student as checkpoints
from ..checkpoints.load_student import Checkpoint, complete_tokenizer
from ..checkpoints.training_records import training_records_of
from ..generate import generate_texts


def checkpoint_of(model: Any, tokenizer: Any) -> Checkpoint:  # noqa: ANN401 - transformers
    """Join a model and its tokenizer to a checkpoint; sets padding on the tokenizer.

    Raises:
        CheckpointError: The tokenizer has no end token.
    """
    name = str(getattr(model, "name_or_path", "") or type(model).__name__)
    complete_tokenizer(tokenizer, name)
    return Checkpoint(model.eval(), tokenizer, None, name)


def infer_student(
    model: Any,  # noqa: ANN401 - transformers is untyped
    tokenizer: Any,  # noqa: ANN401
    prompt: str,
    mode: SystemMode = "system1",
    max_new_tokens: int = 256,
    *,
    input_text: str = "",
    temperature: float = 0.0,
    seed: int = 0,
) -> str:
    """Ask a student one question.

    Args:
        model: A transformers causal language model.
        tokenizer: Its tokenizer.
        prompt: The instruction or question, without template.
        mode: `system1` or `system2`, as it was trained.
        max_new_tokens: Most tokens of the reply.
        input_text: Input of the instruction.
        temperature: 0 is greedy and deterministic.
        seed: Seed of samples.

    Returns:
        The reply.

    Raises:
        ConfigError: The student was trained on prompts of another format.
        GenerationError: The prompt is empty or fills the model's context.
    """
    require_mode(model, mode)
    (answer,) = generate_texts(
        checkpoint_of(model, tokenizer),
        [format_prompt(prompt, input_text, mode)],
        max_new_tokens=max_new_tokens,
        temperature=temperature,
        seed=seed,
    )
    return answer.text.strip()


def require_mode(model: Any, mode: SystemMode) -> None:  # noqa: ANN401
    """Refuse to prompt a student in another format than it was trained on.

    Raises:
        ConfigError: The formats differ.
    """
    trained = training_records_of(model)
    if trained is not None and trained.prompt_format != mode:
        raise ConfigError(
            [f"mode is {mode!r}, but this student was trained on prompts of "
             f"{trained.prompt_format!r}; ask it with mode={trained.prompt_format!r}"]
        )  # fmt: skip


def trained_mode(model: Any, default: SystemMode) -> SystemMode:  # noqa: ANN401
    """Return the mode that a model was trained in, or the default if unknown."""
    trained = training_records_of(model)
    known = (mode for mode in SYSTEM_MODES if trained and mode == trained.prompt_format)
    return next(known, default)


def find_checkpoint(out_dir: str | Path) -> str | None:
    """Find the checkpoint in an output folder: the folder itself, the highest `checkpoint-<N>`
    below it, or any other folder in it, names descending.

    Args:
        out_dir: The folder that a training wrote to.

    Returns:
        `out_dir` exactly as given if the model is in it, else the folder below; None without one.
    """
    found = checkpoints.find_checkpoint(out_dir)
    if found is None:
        return None
    return str(out_dir) if found == Path(out_dir) else str(found)
