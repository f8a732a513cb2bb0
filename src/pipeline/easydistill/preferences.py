"""EasyDistill jobs about pairs of a chosen and a rejected answer to one prompt.

| job | chosen | rejected | then |
|---|---|---|---|
| `rank_dpo_*` | the teacher's answer | the student's | the student is trained by DPO |
| `rl_reward_*` | with `positive_system_prompt` | with `negative_system_prompt` | refused |
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

from ...data.datasets.chat_records import text_of
from ...data.datasets.json_files import read_json, save_json
from ...distillation.training.preference_training import KEYS, train_preferences
from ...errors import ConfigError, DataError
from ...inference.checkpoints.load_student import load_checkpoint
from ...inference.generate import generate_texts
from ...prompts import SystemMode, format_prompt
from ...records import data_hash
from ..reasoning.rows import read_rows
from .config import JobConfig
from .students import prompt_mode, train
from .teacher import ask_instructions

logger = logging.getLogger(__name__)

Pairs = list[dict[str, str]]


def run_preferences(config: JobConfig) -> str:
    """Pair the teacher's answers with the student's, and train the student by DPO.

    Pairs of an earlier run are kept, unless `inference.overwrite` is true.

    Returns:
        The student's folder.
    """
    mode, prompts, path = prompt_mode(config), _prompts(config), config.dataset["labeled_path"]
    kept = Path(path).is_file() and not config.inference.get("overwrite")
    pairs = {pair["prompt"]: pair for pair in (read_json(path) if kept else [])
             if isinstance(pair, Mapping) and set(KEYS) <= set(pair)}  # fmt: skip
    missing = [text for text in prompts if text not in pairs]
    if missing:
        chosen = _ask(config, missing, mode, config.inference.get("system_prompt"), "chosen")
        rejected = _students_answers(config, missing, mode)
        pairs |= {pair["prompt"]: pair for pair in _pairs(missing, chosen, rejected)}
    found = [dict(pairs[text]) for text in prompts if text in pairs]
    save_json(path, found)
    rendered = [{**pair, "prompt": format_prompt(pair["prompt"], "", mode)} for pair in found]
    taught = [{"instruction": pair["prompt"], "output": pair["chosen"]} for pair in found]
    beta = config.training.get("beta", 0.1)
    return train(
        config, taught, mode,
        train=lambda settings: train_preferences(settings, rendered, beta=beta),
        decided_by={"pairs": data_hash(rendered), "beta": str(beta)},
    )  # fmt: skip


def run_reward_pairs(config: JobConfig) -> str:
    """Write pairs for a reward model.

    Raises:
        ConfigError: Always, after the pairs were written: a reward model is not trained.
    """
    mode, prompts, path = prompt_mode(config), _prompts(config), config.dataset["labeled_path"]
    good, bad = (_ask(config, prompts, mode, config.inference[f"{side}_system_prompt"], name)
                 for side, name in (("positive", "chosen"), ("negative", "rejected")))  # fmt: skip
    pairs = _pairs(prompts, good, bad)
    save_json(path, pairs)
    raise ConfigError([
        f"{len(pairs)} pairs are in {path}. A reward model is not trained: that needs a "
        "reward-model trainer. Closest supported job: rank_dpo_local"
    ])  # fmt: skip


def _prompts(config: JobConfig) -> list[str]:
    """Read the distinct texts under `prompt` or `instruction`."""
    found, path = dict[str, None](), config.dataset["instruction_path"]
    for number, row in enumerate(read_rows(path), start=1):
        text = text_of(row, number, "prompt", "instruction")
        if not text:
            raise DataError("has no text under 'prompt' or 'instruction'", path=path, row=number)
        found[text] = None
    return list(found)


def _ask(
    config: JobConfig, prompts: list[str], mode: SystemMode, system: str | None, name: str
) -> dict[str, str]:
    """Ask the teacher; return prompt -> usable answer."""
    folder = f"{config.dataset['labeled_path']}.work/{name}"
    records = [{"instruction": text} for text in prompts]
    run = ask_instructions(config, records, mode, system, folder)
    return {one.task.record["instruction"]: one.answer.text for one in run.labelled if one.answer}


def _students_answers(config: JobConfig, prompts: list[str], mode: SystemMode) -> dict[str, str]:
    """Let the untrained student answer; return prompt -> answer."""
    said = generate_texts(
        load_checkpoint(config.models["student"]),
        [format_prompt(text, "", mode) for text in prompts],
        max_new_tokens=config.inference.get("max_new_tokens", 512),
    )
    return {text: one.text.strip() for text, one in zip(prompts, said, strict=True)}


def _pairs(prompts: list[str], chosen: Mapping[str, str], rejected: Mapping[str, str]) -> Pairs:
    """Pair the answers; a prompt that lacks an answer, or with equal answers, gives no pair."""
    pairs = [
        {"prompt": text, "chosen": chosen[text], "rejected": rejected[text]}
        for text in prompts
        if chosen.get(text) and rejected.get(text) and chosen[text] != rejected[text]
    ]
    if len(pairs) < len(prompts):
        logger.warning("%d of %d prompts give no pair (no answer, or the same one)",
                       len(prompts) - len(pairs), len(prompts))  # fmt: skip
    return pairs
