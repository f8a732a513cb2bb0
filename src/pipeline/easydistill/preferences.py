"""EasyDistill jobs about pairs: the teacher's answer against the student's, or a good answer
against a bad one.

| job | chosen | rejected | then |
|---|---|---|---|
| `rank_dpo_*` | the teacher's answer | the student's | the student is trained by DPO |
| `rl_reward_*` | with `positive_system_prompt` | with `negative_system_prompt` | refused |
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from ...data.datasets.json_files import read_json, save_json
from ...distillation.training.preference_training import train_preferences
from ...errors import ConfigError, DataError, GenerationError
from ...inference.checkpoints.load_student import load_checkpoint, verify_checkpoint
from ...inference.checkpoints.training_records import TrainingRecords
from ...inference.generate import generate_texts
from ...labeling.batch.label_run import LabelTask
from ...labeling.batch.labeler import BatchLabeler
from ...labeling.tasks.free_text import ask_turns
from ...prompts import SystemMode, format_prompt
from ..reasoning.rows import read_rows
from ..reasoning.train_student import free_folder
from .config import JobConfig
from .settings import training_settings
from .students import prompt_mode
from .teachers import decode_profile, job_teacher, label_settings

logger = logging.getLogger(__name__)

Pairs = list[dict[str, str]]


def run_preferences(config: JobConfig) -> str:
    """Make the pairs, and train where the job is one of DPO.

    Returns:
        The student's folder.

    Raises:
        ConfigError: The job would train a reward model; its pairs were written before.
        GenerationError: The teacher stopped before the end.
    """
    questions, mode = _questions(config), prompt_mode(config)
    rewards = config.job.stage == "reward_pairs"
    make = _reward_pairs if rewards else _ranked_pairs
    pairs = make(config, questions, mode)
    path = str(config.dataset["labeled_path"])
    save_json(path, pairs)
    if rewards:
        raise ConfigError([
            f"{len(pairs)} pairs are in {path}. A reward model is not trained: that needs a "
            "reward-model trainer. Closest supported job: rank_dpo_local"
        ])  # fmt: skip
    settings = training_settings(config)
    folder = free_folder(settings.output_dir)
    if folder != settings.output_dir:
        print(f"{settings.output_dir} holds another student; training into {folder}")
    rendered = [{**pair, "prompt": format_prompt(pair["prompt"], "", mode)} for pair in pairs]
    written = replace(settings, output_dir=folder)
    train_preferences(written, rendered, beta=config.training.get("beta", 0.1))
    seen = [{"instruction": pair["prompt"], "output": pair["chosen"]} for pair in pairs]
    TrainingRecords.of(seen, mode, {}).write(folder)
    verify_checkpoint(folder)
    return folder


def _questions(config: JobConfig) -> list[str]:
    """Read the prompts, `prompt` or `instruction`, each once."""
    found: dict[str, None] = {}
    for number, row in enumerate(read_rows(config.dataset["instruction_path"]), start=1):
        text = row.get("prompt") or row.get("instruction")
        if not isinstance(text, str) or not text.strip():
            raise DataError("has no text under 'prompt' or 'instruction'",
                            path=config.dataset["instruction_path"], row=number)  # fmt: skip
        found[text] = None
    return list(found)


def _ranked_pairs(config: JobConfig, questions: list[str], mode: SystemMode) -> Pairs:
    """Pair the teacher's answers with the student's; equal ones teach nothing and are left out."""
    kept = _kept_pairs(config)
    missing = [text for text in questions if text not in kept]
    if missing:
        chosen = _ask(config, missing, mode, config.inference.get("system_prompt"), "chosen")
        student = load_checkpoint(config.models["student"])
        said = generate_texts(
            student,
            [format_prompt(text, "", mode) for text in missing],
            max_new_tokens=config.inference.get("max_new_tokens", 512),
        )
        for text, own in zip(missing, said, strict=True):
            rejected = own.text.strip()
            if chosen.get(text) and rejected and chosen[text] != rejected:
                kept[text] = {"prompt": text, "chosen": chosen[text], "rejected": rejected}
    pairs = [kept[text] for text in questions if text in kept]
    if len(pairs) < len(questions):
        logger.warning(
            "%d of %d prompts give no pair (no answer, or the same one)",
            len(questions) - len(pairs), len(questions),
        )  # fmt: skip
    return pairs


def _kept_pairs(config: JobConfig) -> dict[str, dict[str, str]]:
    """Read the pairs that an earlier run wrote; they stay, unless overwriting is asked for."""
    path = Path(config.dataset["labeled_path"])
    if config.inference.get("overwrite") or not path.is_file():
        return {}
    return {
        pair["prompt"]: dict(pair)
        for pair in read_json(path)
        if isinstance(pair, Mapping) and {"prompt", "chosen", "rejected"} <= set(pair)
    }


def _reward_pairs(config: JobConfig, questions: list[str], mode: SystemMode) -> Pairs:
    good = _ask(config, questions, mode, config.inference["positive_system_prompt"], "chosen")
    bad = _ask(config, questions, mode, config.inference["negative_system_prompt"], "rejected")
    return [
        {"prompt": text, "chosen": good[text], "rejected": bad[text]}
        for text in questions
        if text in good and text in bad and good[text] != bad[text]
    ]


def _ask(
    config: JobConfig, questions: list[str], mode: SystemMode, system: str | None, name: str
) -> dict[str, str]:
    """Ask the teacher; give its usable answers by question."""
    labeler = BatchLabeler(
        job_teacher(config),
        Path(f"{config.dataset['labeled_path']}.work") / name,
        profile=decode_profile(config),
        settings=label_settings(config, mode),
    )
    # A model in this process goes on with the very prompt that the student learns.
    plain = config.job.teacher == "local" and not system
    tasks = [
        LabelTask(
            str(number),
            format_prompt(text, "", mode) if plain else ask_turns(text, system),
            {"prompt": text},
        )
        for number, text in enumerate(questions, start=1)
    ]
    run = labeler.run(tasks)
    if run.stopped is not None:
        raise GenerationError(f"stopped ({run.stopped}): {run.message}. The same command goes on")
    return {
        str(one.task.record["prompt"]): one.answer.text
        for one in run.labelled
        if one.answer is not None
    }
