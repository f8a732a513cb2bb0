"""EasyDistill jobs about pairs of a chosen and a rejected answer to one prompt.

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
from ...errors import ConfigError, DataError
from ...inference.checkpoints.load_student import load_checkpoint, verify_checkpoint
from ...inference.checkpoints.training_records import TrainingRecords
from ...inference.generate import generate_texts
from ...labeling.batch.label_run import LabelTask
from ...labeling.tasks.free_text import ask_turns
from ...prompts import SystemMode, format_prompt
from ..reasoning.rows import read_rows
from ..reasoning.train_student import free_folder
from .config import JobConfig
from .settings import training_settings
from .students import prompt_mode
from .teacher import ask_teacher

logger = logging.getLogger(__name__)

Pairs = list[dict[str, str]]


def run_preferences(config: JobConfig) -> str:
    """Pair the teacher's answers with the student's, and train the student by DPO.

    Returns:
        The student's folder.
    """
    mode = prompt_mode(config)
    pairs = _ranked_pairs(config, _prompts(config), mode)
    save_json(config.dataset["labeled_path"], pairs)
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


def run_reward_pairs(config: JobConfig) -> str:
    """Write pairs for a reward model.

    Raises:
        ConfigError: Always, after the pairs were written: a reward model is not trained.
    """
    prompts, mode, path = _prompts(config), prompt_mode(config), config.dataset["labeled_path"]
    good = _ask(config, prompts, mode, config.inference["positive_system_prompt"], "chosen")
    bad = _ask(config, prompts, mode, config.inference["negative_system_prompt"], "rejected")
    pairs = [
        {"prompt": text, "chosen": good[text], "rejected": bad[text]}
        for text in prompts
        if text in good and text in bad and good[text] != bad[text]
    ]
    save_json(path, pairs)
    raise ConfigError([
        f"{len(pairs)} pairs are in {path}. A reward model is not trained: that needs a "
        "reward-model trainer. Closest supported job: rank_dpo_local"
    ])  # fmt: skip


def _prompts(config: JobConfig) -> list[str]:
    """Read the distinct texts under `prompt` or `instruction`."""
    found, path = dict[str, None](), config.dataset["instruction_path"]
    for number, row in enumerate(read_rows(path), start=1):
        text = row.get("prompt") or row.get("instruction")
        if not isinstance(text, str) or not text.strip():
            raise DataError("has no text under 'prompt' or 'instruction'", path=path, row=number)
        found[text] = None
    return list(found)


def _ranked_pairs(config: JobConfig, prompts: list[str], mode: SystemMode) -> Pairs:
    """Keep the pairs of an earlier run and make those that are missing. A prompt whose two answers
    are equal gives no pair."""
    path = Path(config.dataset["labeled_path"])
    earlier = read_json(path) if path.is_file() and not config.inference.get("overwrite") else []
    kept = {
        pair["prompt"]: dict(pair)
        for pair in earlier
        if isinstance(pair, Mapping) and {"prompt", "chosen", "rejected"} <= set(pair)
    }
    missing = [text for text in prompts if text not in kept]
    if missing:
        chosen = _ask(config, missing, mode, config.inference.get("system_prompt"), "chosen")
        said = generate_texts(
            load_checkpoint(config.models["student"]),
            [format_prompt(text, "", mode) for text in missing],
            max_new_tokens=config.inference.get("max_new_tokens", 512),
        )
        for text, own in zip(missing, said, strict=True):
            rejected = own.text.strip()
            if chosen.get(text) and rejected and chosen[text] != rejected:
                kept[text] = {"prompt": text, "chosen": chosen[text], "rejected": rejected}
    pairs = [kept[text] for text in prompts if text in kept]
    if len(pairs) < len(prompts):
        logger.warning("%d of %d prompts give no pair (no answer, or the same one)",
                       len(prompts) - len(pairs), len(prompts))  # fmt: skip
    return pairs


def _ask(
    config: JobConfig, prompts: list[str], mode: SystemMode, system: str | None, name: str
) -> dict[str, str]:
    """Ask the teacher; give its usable answers by prompt."""
    # A model in this process continues the prompt that the student learns.
    plain = config.job.teacher == "local" and not system
    tasks = [
        LabelTask(
            str(number),
            format_prompt(text, "", mode) if plain else ask_turns(text, system),
            {"prompt": text},
        )
        for number, text in enumerate(prompts, start=1)
    ]
    run = ask_teacher(config, tasks, f"{config.dataset['labeled_path']}.work/{name}", mode=mode)
    return {str(one.task.record["prompt"]): one.answer.text for one in run.labelled if one.answer}
