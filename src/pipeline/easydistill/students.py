"""EasyDistill jobs that train a student, and those that pair a better with a worse answer.

| job | chosen | rejected | then |
|---|---|---|---|
| `rank_dpo_*` | the teacher's answer | the student's | the student is trained by DPO |
| `rl_reward_*` | with `positive_system_prompt` | with `negative_system_prompt` | refused |
"""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from ...data.datasets.chat_records import instruction_records, text_of
from ...data.datasets.conversations import conversation_records
from ...data.datasets.json_files import read_json, save_json
from ...data.datasets.thought_views import LABEL, RATIONALE
from ...distillation.teacher.cache_format import MANIFEST_FILE
from ...distillation.teacher.cache_job import CacheSettings, cache_teacher_logits
from ...distillation.training.preference_training import KEYS, train_preferences
from ...errors import ConfigError, DataError, EmptyDataError
from ...inference.checkpoints.load_student import load_checkpoint
from ...inference.generate import generate_texts
from ...prompts import format_prompt
from ...records import data_hash
from ..reasoning.rows import read_rows
from ..reasoning.train_student import train_student, training_examples_of
from .config import JobConfig
from .teacher import answered_records

logger = logging.getLogger(__name__)

Records = list[dict[str, Any]]


def run_black_box(config: JobConfig) -> str:
    """Train on labels and return the student's folder.

    The job's teacher, if it has one, first labels records without an answer.
    """
    return _train(config, _labels(config))


def run_white_box(config: JobConfig) -> str:
    """Train on labels and on the teacher's logits for them, and return the student's folder.

    Cached logits are looked up by the token ids of a sequence, not by its position in a file.
    """
    cache, settings = str(config.dataset["logits_path"]), config.settings
    if not config.job.labels and not (Path(cache) / MANIFEST_FILE).is_file():
        raise ConfigError([
            f"dataset.logits_path is {cache!r}, which is not a folder of cached logits. Files of "
            "EasyDistill hold logits of other answers than the labels, so they are not read; "
            "kd_white_box makes the folder"
        ])  # fmt: skip
    records = _labels(config)
    if config.job.labels:
        wanted = CacheSettings(
            settings.teacher_model_name,
            cache,
            top_k=config.inference["top_logits_num"],
            temperatures=(float(settings.temperature),),
            max_length=settings.max_length,
        )
        cache_teacher_logits(wanted, training_examples_of(records, config.mode))
    return _train(config, records)


def run_conversations(config: JobConfig) -> str:
    """Train on each turn of the assistant, after the turns before it; return the folder."""
    rows = _rows(config, "labeled_path")
    return _train(
        config, [r for n, row in enumerate(rows, 1) for r in conversation_records(row, n)]
    )


def run_preferences(config: JobConfig) -> str:
    """Pair the teacher's answers with the student's, train by DPO, and return the student's folder.

    Pairs of an earlier run are kept, unless `inference.overwrite` is true.
    """
    path, prompts, given = config.dataset["labeled_path"], _prompts(config), config.inference
    kept = Path(path).is_file() and not given.get("overwrite")
    pairs = {pair["prompt"]: pair for pair in (read_json(path) if kept else [])
             if isinstance(pair, Mapping) and set(KEYS) <= set(pair)}  # fmt: skip
    missing = [text for text in prompts if text not in pairs]
    if missing:
        chosen = _answers(config, missing, given.get("system_prompt"), "chosen")
        said = generate_texts(
            load_checkpoint(config.models["student"]),
            [format_prompt(text, "", config.mode) for text in missing],
            max_new_tokens=given["max_new_tokens"],
        )
        rejected = {text: one.text.strip() for text, one in zip(missing, said, strict=True)}
        pairs |= {pair["prompt"]: pair for pair in _pairs(missing, chosen, rejected)}
    found = [dict(pairs[text]) for text in prompts if text in pairs]
    save_json(path, found)
    rendered = [{**pair, "prompt": format_prompt(pair["prompt"], "", config.mode)}
                for pair in found]  # fmt: skip
    beta = config.training["beta"]
    return _train(
        config,
        [{"instruction": pair["prompt"], "output": pair["chosen"]} for pair in found],
        train=lambda settings: train_preferences(settings, rendered, beta=beta),
        decided_by={"pairs": data_hash(rendered), "beta": str(beta)},
    )


def run_reward_pairs(config: JobConfig) -> str:
    """Write pairs for a reward model.

    Raises:
        ConfigError: Always, after the pairs were written: a reward model is not trained.
    """
    path, prompts, given = config.dataset["labeled_path"], _prompts(config), config.inference
    chosen = _answers(config, prompts, given["positive_system_prompt"], "chosen")
    rejected = _answers(config, prompts, given["negative_system_prompt"], "rejected")
    pairs = _pairs(prompts, chosen, rejected)
    save_json(path, pairs)
    raise ConfigError([
        f"{len(pairs)} pairs are in {path}. A reward model is not trained: that needs a "
        "reward-model trainer. Closest supported job: rank_dpo_local"
    ])  # fmt: skip


def _train(config: JobConfig, records: Records, **special: Any) -> str:  # noqa: ANN401
    """Train the student of a job; `special` are further arguments of `train_student`."""
    overwrite = bool(config.training.get("overwrite_output_dir", False))
    return train_student(config.settings, records, config.mode, overwrite=overwrite, **special)


def _labels(config: JobConfig) -> Records:
    """Return the labelled records of a job; its teacher answers records without a label.

    Existing labels are kept, unless `inference.overwrite` is true.

    Raises:
        EmptyDataError: There is nothing to train on.
    """
    place = Path(config.dataset["labeled_path"])
    is_there = place.is_file() or "labeled_path" in config.records
    known = _instructions(config, "labeled_path") if is_there else []
    if not config.job.labels:
        return known
    asked = {_question(record): record for record in _instructions(config, "instruction_path")}
    order = dict.fromkeys([*asked, *map(_question, known)])
    kept = [] if config.inference.get("overwrite") else known
    answers = {_question(record): record for record in kept if record["output"]}
    missing = [record for key, record in asked.items() if key not in answers]
    if missing:
        system = config.inference.get("system_prompt") if config.job.teacher == "api" else None
        made = answered_records(config, missing, system)
        answers |= {_question(record): record for record in made}
    labelled = [answers[key] for key in order if key in answers]
    if not labelled:
        raise EmptyDataError("the teacher gave no usable answer", path=place)
    if missing:
        save_json(place, labelled)
    logger.info("%d records, %d answered by the teacher", len(labelled), len(missing))
    return labelled


def _instructions(config: JobConfig, key: str) -> Records:
    """Read instruction records, and keep the `view` of two-task records."""
    rows = _rows(config, key)
    return [
        {**record, **({"view": row["view"]} if row.get("view") in (LABEL, RATIONALE) else {})}
        for row, record in zip(rows, instruction_records(rows), strict=True)
    ]


def _rows(config: JobConfig, key: str) -> Sequence[Mapping[str, Any]]:
    return read_rows(config.records.get(key, config.dataset[key]))


def _question(record: Mapping[str, Any]) -> tuple[str, str]:
    return str(record["instruction"]), str(record.get("input") or "")


def _prompts(config: JobConfig) -> list[str]:
    """Read the distinct texts under `prompt` or `instruction`."""
    path = config.dataset["instruction_path"]
    rows = enumerate(read_rows(path), start=1)
    texts = [text_of(row, number, "prompt", "instruction") for number, row in rows]
    if "" in texts:
        number = texts.index("") + 1
        raise DataError("has no text under 'prompt' or 'instruction'", path=path, row=number)
    return list(dict.fromkeys(texts))


def _answers(
    config: JobConfig, prompts: list[str], system: str | None, name: str
) -> dict[str, str]:
    """Ask the teacher; return prompt -> usable answer."""
    made = answered_records(config, [{"instruction": text} for text in prompts], system, name)
    return {record["instruction"]: record["output"] for record in made}


def _pairs(
    prompts: list[str], chosen: Mapping[str, str], rejected: Mapping[str, str]
) -> list[dict[str, str]]:
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
