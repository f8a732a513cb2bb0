"""Every EasyDistill job by name: run, or refused with the reason and what to use instead.

The names of the two generations are disjoint, so a name alone says which configuration it is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from ...errors import ConfigError

Stage = Literal[
    "black_box", "white_box", "preferences", "expansion", "refinement", "extraction", "thought",
    "shorter", "longer", "thought_scores", "answer_scores", "resampling", "tool_talks",
    "reward_pairs", "answers",
]  # fmt: skip
"""What a job does; each has one function."""
Teacher = Literal["none", "local", "api"]


@dataclass(frozen=True)
class Job:
    """A job type."""

    name: str
    generation: Literal["1.0", "2.0"]
    stage: Stage | None = None
    """None for a job that is refused."""
    teacher: Teacher = "none"
    """Who answers: a model in this process, or a server."""
    flow: str = ""
    """What is read and written, for the list."""
    several: bool = False
    """Lists of teachers and their logits."""
    reason: str = ""
    """Why it is refused."""
    closest: str = "none"
    """The job to use instead."""

    @property
    def refusal(self) -> str:
        """The sentence that refuses it."""
        return (
            f"job_type '{self.name}' is recognised but not supported by stillroom: {self.reason}. "
            f"Closest supported job: {self.closest}. See: stillroom easydistill --list-jobs"
        )


_BLACK: Final = "instruction_path -> teacher -> labeled_path -> student in output_dir"
_WHITE: Final = "instruction_path -> labels and top-k logits -> student in output_dir"
_RL: Final = "needs an online RL stack and a reward model"
_REWARD: Final = "needs a reward-model trainer"
_TOOLS: Final = "needs a served tool-simulation stack"
_EAGLE: Final = "trains an EAGLE draft head with DeepSpeed"
_IMAGES: Final = "multi-modal (image) data"
_MAKES_IMAGES: Final = "image generation"
_MAKES_VIDEO: Final = "video generation"
_SEARCH: Final = "needs tool or search simulation"
_REWRITE: Final = "rewrites image prompts"


def _both(
    name: str, stage: Stage, flow: str, second: Literal["batch", "local"] = "batch"
) -> list[Job]:
    """Give the two forms of a 1.0 job: one asks a server, one a model in this process."""
    return [
        Job(f"{name}_api", "1.0", stage, "api", flow),
        Job(f"{name}_{second}", "1.0", stage, "local", flow),
    ]


def _refused(
    generation: Literal["1.0", "2.0"], reason: str, names: str, closest: str = "none"
) -> list[Job]:
    return [Job(name, generation, reason=reason, closest=closest) for name in names.split()]


_FIRST: Final = [
    Job("kd_black_box_local", "1.0", "black_box", "local", _BLACK),
    Job("kd_black_box_api", "1.0", "black_box", "api", _BLACK),
    Job("kd_black_box_train_only", "1.0", "black_box", flow="labeled_path -> student"),
    Job("kd_sft", "1.0", "black_box", flow="labeled_path -> student"),
    Job("kd_black_box_train_only_multi", "1.0", "black_box", flow="labeled_path -> student"),
    Job("kd_white_box", "1.0", "white_box", "local", _WHITE),
    Job("kd_white_box_train_only", "1.0", "white_box", flow="labeled_path, logits_path -> student"),
    *_both("rank_dpo", "preferences", "prompt -> prompt, chosen, rejected -> student", "local"),
    *_both("instruction_expansion", "expansion", "instruction -> new instruction"),
    *_both("instruction_refinement", "refinement", "instruction -> instruction"),
    *_both("instruction_response_extraction", "extraction", "data -> instruction, output"),
    *_both("cot_generation", "thought", "instruction -> instruction, output"),
    *_both("cot_long2short", "shorter", "instruction, output -> shorter output"),
    *_both("cot_short2long", "longer", "instruction, output -> longer output"),
    Job("cot_eval_api", "1.0", "thought_scores", "api", "instruction, output -> scores"),
    Job("instruct_eval_api", "1.0", "answer_scores", "api", "instruction, output -> scores"),
    Job("instruct_sample_api", "1.0", "resampling", "api", "instruction -> category, resampled"),
    Job("agentkd_distill", "1.0", "tool_talks", flow="conversations -> student in output_dir"),
    *_both("rl_reward", "reward_pairs", "prompt -> prompt, chosen, rejected; no training", "local"),
    Job("kd_white_box_train_only_multi", "1.0", reason="one teacher's logits are trained on at a "
        "time; a weighted mean of several teachers is not built", closest="kd_white_box_train_only",
        several=True),
    *_refused("1.0", _RL, "rl_ppo rl_grpo", "rank_dpo_local"),
    *_refused("1.0", _TOOLS, "agentkd_data_gen agentkd_solve_task agentkd_rubrics_filter",
              "agentkd_distill"),
    *_refused("1.0", _EAGLE, "speckd_local", "kd_white_box"),
    *_refused("1.0", _IMAGES, "mmkd_black_box_api mmkd_black_box_local mmkd_white_box "
              "mmkd_rl_grounding mmcot_eval_api"),
]  # fmt: skip

_SECOND: Final = [
    Job("instruct_distill", "2.0", "answers", "api", "instruction -> instruction, response"),
    Job("instruction_expansion", "2.0", "expansion", "api", "instruction -> new instruction"),
    Job("seed_anchored_expansion", "2.0", "expansion", "api", "instruction -> new instruction"),
    Job("instruction_refinement", "2.0", "refinement", "api", "instruction -> instruction"),
    Job("instruction_response_extraction", "2.0", "extraction", "api",
        "data -> instruction, output"),
    Job("instruct_eval", "2.0", "answer_scores", "api", "instruction, output -> scores"),
    Job("cot_distill", "2.0", "thought", "api", "instruction -> instruction, output"),
    Job("cot_long2short", "2.0", "shorter", "api", "instruction, output -> shorter output"),
    Job("cot_short2long", "2.0", "longer", "api", "instruction, output -> longer output"),
    Job("cot_eval", "2.0", "thought_scores", "api", "instruction, output -> scores"),
    Job("balanced_instruct_distill", "2.0", "resampling", "api",
        "instruction -> category, resampled"),
    *_refused("2.0", "a chain of stages is not run by one file; run its jobs one after the other",
              "augmented_instruct_distill advanced_instruct_distill", "instruct_distill"),
    *_refused("2.0", "a chain of stages is not run by one file; run its jobs one after the other",
              "advanced_cot_distill", "cot_distill"),
    *_refused("2.0", "pairs are made and trained on in one job", "dpo_data_build", "rank_dpo_api"),
    *_refused("2.0", _REWRITE, "agentic_rewrite pe_rewrite_eval pe_rewrite_filter "
              "pe_rewrite_build_sft pe_rewrite_distill", "instruction_refinement"),
    *_refused("2.0", _SEARCH, "agent_distill search_agent_distill", "agentkd_distill"),
    *_refused("2.0", _IMAGES, "mm_instruct_distill mm_cot_distill mm_cot_long2short "
              "mm_cot_short2long mm_instruct_eval mm_cot_eval advanced_mm_distill "
              "advanced_mm_cot_distill"),
    *_refused("2.0", _MAKES_IMAGES, "t2i_distill prompt_optimize t2i_generation "
              "t2i_single_model_eval t2i_multi_model_eval ti2i_single_model_eval "
              "ti2i_multi_model_eval t2i_eval advanced_t2i_distill"),
    *_refused("2.0", _MAKES_VIDEO, "t2v_distill t2v_prompt_optimize t2v_generation t2v_eval "
              "advanced_t2v_distill"),
]  # fmt: skip

JOBS: Final[dict[str, Job]] = {job.name: job for job in (*_FIRST, *_SECOND)}
_FAMILIES: Final = {
    "mmkd_": _IMAGES, "mmcot_": _IMAGES, "rl_": _RL, "agentkd_": _TOOLS, "speckd_": _EAGLE,
}  # fmt: skip
"""Beginnings of names that later releases may add."""


def find_job(name: object) -> Job:
    """Find a job that is run.

    Raises:
        ConfigError: There is no job of this name, or it is refused; says which to use.
    """
    job = JOBS.get(name) if isinstance(name, str) else None
    if job is None and isinstance(name, str):
        family = next((begin for begin in _FAMILIES if name.startswith(begin)), None)
        job = Job(name, "1.0", reason=_FAMILIES[family]) if family else None
    if job is None:
        raise ConfigError([f"Unknown job type: {name}"])
    if job.stage is None:
        raise ConfigError([job.refusal])
    return job


def list_jobs() -> list[str]:
    """Write all jobs, one per line: name, and what it reads and writes or why it is refused."""
    width = max(map(len, JOBS))
    return [
        line
        for generation in ("1.0", "2.0")
        for line in (
            f"EasyDistill {generation}",
            *_lines((job for job in JOBS.values() if job.generation == generation), width),
        )
    ]


def _lines(jobs: Iterable[Job], width: int) -> Iterable[str]:
    for job in sorted(jobs, key=lambda job: (job.stage is None, job.name)):
        told = f"run      {job.flow}" if job.stage else f"refused  {job.reason}"
        yield f"  {job.name:<{width}}  {told}"
