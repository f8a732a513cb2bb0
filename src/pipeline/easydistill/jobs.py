"""All EasyDistill jobs: the stage that runs each, or why it is not supported and what to use.

A job type belongs to one generation only, so its name determines how a configuration is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from ...errors import ConfigError

Generation = Literal["1.0", "2.0"]
Teacher = Literal["none", "local", "api"]


@dataclass(frozen=True)
class Stage:
    """What a job does, with any kind of teacher."""

    flow: str
    """Input and output, for the list of jobs."""
    needs: tuple[str, ...]
    """Keys that a configuration must have."""
    names: str
    """Names of the EasyDistill 1.0 jobs that run this stage."""
    names_v2: str = ""
    """Names of the EasyDistill 2.0 jobs that run this stage."""
    function: str = "texts.run_texts"
    """`module.function` of this package; imported when a job runs, because most load torch."""
    new_tokens: int = 512
    """Most tokens of an answer if `inference.max_new_tokens` is not given."""
    judges: Literal["thought", "answer"] | None = None
    """What the teacher scores. A scoring teacher decodes greedily, in 30 simultaneous calls by
    default."""
    labels_first: bool = False
    """Whether the teacher, if the job has one, first answers records without a label."""

    @property
    def trains(self) -> bool:
        """Whether the stage trains a student."""
        return "models.student" in self.needs


_STUDENT: Final = ("dataset.labeled_path", "models.student")
_FILES: Final = ("dataset.input_path", "dataset.output_path")
_PROMPTED: Final = (*_FILES, "inference.prompt")
_PAIRS: Final = ("dataset.instruction_path", "dataset.labeled_path")
STAGES: Final[dict[str, Stage]] = {
    "black_box": Stage(
        "labeled_path -> student in output_dir", _STUDENT, "kd_black_box_local kd_black_box_api "
        "kd_black_box_train_only kd_sft kd_black_box_train_only_multi",
        function="students.run_black_box", labels_first=True),
    "white_box": Stage(
        "labeled_path, logits_path -> student in output_dir", (*_STUDENT, "dataset.logits_path"),
        "kd_white_box kd_white_box_train_only",
        function="students.run_white_box", labels_first=True),
    "conversations": Stage("conversations -> student in output_dir", _STUDENT, "agentkd_distill",
                           function="students.run_conversations"),
    "preferences": Stage(
        "prompt -> prompt, chosen, rejected -> student", (*_PAIRS, "models.student"),
        "rank_dpo_api rank_dpo_local", function="preferences.run_preferences"),
    "reward_pairs": Stage(
        "prompt -> prompt, chosen, rejected; no training",
        (*_PAIRS, "inference.positive_system_prompt", "inference.negative_system_prompt"),
        "rl_reward_api rl_reward_local", function="preferences.run_reward_pairs"),
    "answers": Stage("instruction -> instruction, response", _FILES, "", "instruct_distill"),
    "expansion": Stage("instruction -> new instruction", _PROMPTED,
                       "instruction_expansion_api instruction_expansion_batch",
                       "instruction_expansion seed_anchored_expansion"),
    "refinement": Stage("instruction -> instruction", _PROMPTED,
                        "instruction_refinement_api instruction_refinement_batch",
                        "instruction_refinement"),
    "extraction": Stage(
        "data -> instruction, output", _PROMPTED,
        "instruction_response_extraction_api instruction_response_extraction_batch",
        "instruction_response_extraction", new_tokens=1024),
    "thought": Stage("instruction -> instruction, output", _PROMPTED,
                     "cot_generation_api cot_generation_batch", "cot_distill", new_tokens=1024),
    "shorter": Stage("instruction, output -> shorter output", _PROMPTED,
                     "cot_long2short_api cot_long2short_batch", "cot_long2short", new_tokens=1024),
    "longer": Stage("instruction, output -> longer output", _PROMPTED,
                    "cot_short2long_api cot_short2long_batch", "cot_short2long", new_tokens=1024),
    "resampling": Stage("instruction -> category, resampled", _FILES,
                        "instruct_sample_api", "balanced_instruct_distill"),
    "thought_scores": Stage("instruction, output -> scores", _FILES, "cot_eval_api", "cot_eval",
                            "texts.run_scores", 8196, judges="thought"),
    "answer_scores": Stage("instruction, output -> scores", _FILES, "instruct_eval_api",
                           "instruct_eval", "texts.run_scores", 8196, judges="answer"),
}  # fmt: skip
_RL: Final = "needs an online RL stack and a reward model"
_TOOLS: Final = "needs a served tool-simulation stack"
_EAGLE: Final = "trains an EAGLE draft head with DeepSpeed"
_IMAGES: Final = "multi-modal (image) data"
_CHAIN: Final = "a chain of stages is not run by one file; run its jobs one after the other"
_REFUSED: Final[list[tuple[Generation, str, str, str]]] = [
    ("1.0", "one teacher's logits are trained on at a time; a weighted mean of several teachers is "
     "not built", "kd_white_box_train_only", "kd_white_box_train_only_multi"),
    ("1.0", _RL, "rank_dpo_local", "rl_ppo rl_grpo"),
    ("1.0", _TOOLS, "agentkd_distill", "agentkd_data_gen agentkd_solve_task "
     "agentkd_rubrics_filter"),
    ("1.0", _EAGLE, "kd_white_box", "speckd_local"),
    ("1.0", _IMAGES, "none", "mmkd_black_box_api mmkd_black_box_local mmkd_white_box "
     "mmkd_rl_grounding mmcot_eval_api"),
    ("2.0", _CHAIN, "instruct_distill", "augmented_instruct_distill advanced_instruct_distill"),
    ("2.0", _CHAIN, "cot_distill", "advanced_cot_distill"),
    ("2.0", "pairs are made and trained on in one job", "rank_dpo_api", "dpo_data_build"),
    ("2.0", "rewrites image prompts", "instruction_refinement", "agentic_rewrite pe_rewrite_eval "
     "pe_rewrite_filter pe_rewrite_build_sft pe_rewrite_distill"),
    ("2.0", "needs tool or search simulation", "agentkd_distill",
     "agent_distill search_agent_distill"),
    ("2.0", _IMAGES, "none", "mm_instruct_distill mm_cot_distill mm_cot_long2short "
     "mm_cot_short2long mm_instruct_eval mm_cot_eval advanced_mm_distill advanced_mm_cot_distill"),
    ("2.0", "image generation", "none", "t2i_distill prompt_optimize t2i_generation "
     "t2i_single_model_eval t2i_multi_model_eval ti2i_single_model_eval ti2i_multi_model_eval "
     "t2i_eval advanced_t2i_distill"),
    ("2.0", "video generation", "none", "t2v_distill t2v_prompt_optimize t2v_generation t2v_eval "
     "advanced_t2v_distill"),
]  # fmt: skip
_FAMILIES: Final = {
    "mmkd_": _IMAGES, "mmcot_": _IMAGES, "rl_": _RL, "agentkd_": _TOOLS, "speckd_": _EAGLE,
}  # fmt: skip
"""Prefix of a name -> why such jobs are refused, for names that later releases may add."""


@dataclass(frozen=True)
class Job:
    """A job type."""

    name: str
    generation: Generation
    stage: str | None = None
    """A key of `STAGES`; None for a job that is refused."""
    reason: str = ""
    """Why it is refused."""
    closest: str = "none"
    """The job to use instead."""

    @property
    def definition(self) -> Stage:
        """The stage of a supported job."""
        return STAGES[self.stage or ""]

    @property
    def teacher(self) -> Teacher:
        """Kind of teacher: a model in this process, a server, or none."""
        if self.generation == "2.0" or self.name.endswith("_api"):
            return "api"
        is_local = self.name.endswith(("_local", "_batch")) or self.name == "kd_white_box"
        return "local" if is_local else "none"

    @property
    def labels_first(self) -> bool:
        """Whether its teacher first answers records without a label."""
        return self.definition.labels_first and self.teacher != "none"


JOBS: Final[dict[str, Job]] = {
    job.name: job
    for job in (
        *(Job(name, "1.0", stage) for stage, row in STAGES.items() for name in row.names.split()),
        *(Job(name, "2.0", stage) for stage, row in STAGES.items()
          for name in row.names_v2.split()),
        *(Job(name, generation, reason=reason, closest=closest)
          for generation, reason, closest, names in _REFUSED for name in names.split()),
    )
}  # fmt: skip


def find_job(name: object) -> Job:
    """Find a supported job by its name.

    Raises:
        ConfigError: The name is unknown, or the job is not supported; the message then names the
            closest supported job.
    """
    reasons = (why for begin, why in _FAMILIES.items() if str(name).startswith(begin))
    job = JOBS.get(str(name)) or Job(str(name), "1.0", reason=next(reasons, ""))
    if job.stage is not None:
        return job
    if not job.reason:
        raise ConfigError([f"Unknown job type: {name}"])
    raise ConfigError([
        f"job_type '{name}' is recognised but not supported by stillroom: {job.reason}. "
        f"Closest supported job: {job.closest}. See: stillroom easydistill --list-jobs"
    ])  # fmt: skip


def list_jobs() -> list[str]:
    """Describe all jobs, one per line: its name with input and output, or why it is refused."""
    lines: dict[Generation, list[str]] = {"1.0": [], "2.0": []}
    for job in sorted(JOBS.values(), key=lambda job: (job.stage is None, job.name)):
        told = f"refused  {job.reason}"
        if job.stage is not None:
            first = "instruction_path -> teacher -> " if job.labels_first else ""
            told = f"run      {first}{job.definition.flow}"
        lines[job.generation].append(f"  {job.name:<{max(map(len, JOBS))}}  {told}")
    return ["EasyDistill 1.0", *lines["1.0"], "EasyDistill 2.0", *lines["2.0"]]
