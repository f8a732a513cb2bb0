"""All EasyDistill jobs: the stage that runs each, or why it is not supported and what to use.

A job type belongs to one generation only, so its name determines how a configuration is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal, get_args

from ...errors import ConfigError

Generation = Literal["1.0", "2.0"]
_STUDENT: Final = ("dataset.labeled_path", "models.student")
_FILES: Final = ("dataset.input_path", "dataset.output_path")
_PROMPTED: Final = (*_FILES, "inference.prompt")


@dataclass(frozen=True)
class Stage:
    """What a job does, with any kind of teacher."""

    name: str
    flow: str
    """Input and output, for the list of jobs."""
    needs: tuple[str, ...]
    """Keys that a configuration must have, without those that the job's kind of teacher needs."""
    jobs: str
    """Names of the EasyDistill 1.0 jobs that run this stage."""
    jobs_v2: str = ""
    """Names of the EasyDistill 2.0 jobs that run this stage."""
    function: str = "texts.run_texts"
    """`module.function` of this package; imported when a job runs, because most load torch."""
    new_tokens: int = 512
    """Most tokens of an answer if `inference.max_new_tokens` is not given."""
    judges: Literal["thought", "answer"] | None = None
    """What the teacher scores. A scoring teacher decodes greedily, in 30 simultaneous calls by
    default."""
    prompt_v2: str = ""
    """Default prompt of a 2.0 job."""

    @property
    def trains(self) -> bool:
        """Whether the stage trains a student."""
        return "models.student" in self.needs


STAGES: Final = (
    Stage("black_box", "labeled_path -> student in output_dir", _STUDENT,
          "kd_black_box_local kd_black_box_api kd_black_box_train_only kd_sft "
          "kd_black_box_train_only_multi", function="students.run_black_box"),
    Stage("white_box", "labeled_path, logits_path -> student in output_dir",
          (*_STUDENT, "dataset.logits_path"), "kd_white_box kd_white_box_train_only",
          function="students.run_white_box"),
    Stage("conversations", "conversations -> student in output_dir", _STUDENT, "agentkd_distill",
          function="students.run_conversations"),
    Stage("preferences", "prompt, chosen, rejected -> student", _STUDENT,
          "rank_dpo_api rank_dpo_local", function="students.run_preferences"),
    Stage("reward_pairs", "prompt, chosen, rejected; no training",
          ("dataset.labeled_path", "inference.positive_system_prompt",
           "inference.negative_system_prompt"),
          "rl_reward_api rl_reward_local", function="students.run_reward_pairs"),
    Stage("answers", "instruction -> instruction, response", _FILES, "", "instruct_distill"),
    Stage("expansion", "instruction -> new instruction", _PROMPTED,
          "instruction_expansion_api instruction_expansion_batch",
          "instruction_expansion seed_anchored_expansion",
          prompt_v2="Write one new instruction in the manner of the examples below, but on another "
          "matter. Put it between <answer> and </answer>."),
    Stage("refinement", "instruction -> instruction", _PROMPTED,
          "instruction_refinement_api instruction_refinement_batch", "instruction_refinement",
          prompt_v2="Rewrite the instruction below so that it is clear and complete. Put it "
          "between <answer> and </answer>."),
    Stage("extraction", "data -> instruction, output", _PROMPTED,
          "instruction_response_extraction_api instruction_response_extraction_batch",
          "instruction_response_extraction", new_tokens=1024,
          prompt_v2="Find an instruction that the text below answers. Put it between <instruction> "
          "and </instruction>, and the answer between <response> and </response>."),
    Stage("thought", "instruction -> instruction, output", _PROMPTED,
          "cot_generation_api cot_generation_batch", "cot_distill", new_tokens=1024,
          prompt_v2="Solve the problem below step by step, then give the answer."),
    Stage("shorter", "instruction, output -> shorter output", _PROMPTED,
          "cot_long2short_api cot_long2short_batch", "cot_long2short", new_tokens=1024,
          prompt_v2="You make reasoning short and keep what it needs."),
    Stage("longer", "instruction, output -> longer output", _PROMPTED,
          "cot_short2long_api cot_short2long_batch", "cot_short2long", new_tokens=1024,
          prompt_v2="You write reasoning out in full."),
    Stage("resampling", "instruction -> category, resampled", _FILES, "instruct_sample_api",
          "balanced_instruct_distill"),
    Stage("thought_scores", "instruction, output -> scores", _FILES, "cot_eval_api", "cot_eval",
          "texts.run_scores", 8196, judges="thought"),
    Stage("answer_scores", "instruction, output -> scores", _FILES, "instruct_eval_api",
          "instruct_eval", "texts.run_scores", 8196, judges="answer"),
)  # fmt: skip
_RL: Final = "needs an online RL stack and a reward model"
_TOOLS: Final = "needs a served tool-simulation stack"
_EAGLE: Final = "trains an EAGLE draft head with DeepSpeed"
_IMAGES: Final = "multi-modal (image) data"
_CHAIN: Final = "a chain of stages is not run by one file; run its jobs one after the other"
_REFUSED: Final[tuple[tuple[Generation, str, str, str], ...]] = (
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
)  # fmt: skip
"""Generation, reason, closest supported job, and names of the jobs that are refused."""
_FAMILIES: Final = {
    "mmkd_": _IMAGES, "mmcot_": _IMAGES, "rl_": _RL, "agentkd_": _TOOLS, "speckd_": _EAGLE,
}  # fmt: skip
"""Prefix of a name -> why such jobs are refused, for names that later releases may add."""


@dataclass(frozen=True)
class Job:
    """A job type: the stage of a supported job, or the reason why it is refused."""

    name: str
    generation: Generation
    stage: Stage | None = None
    reason: str = ""
    closest: str = "none"
    """The job to use instead of a refused one."""

    @property
    def teacher(self) -> Literal["none", "local", "api"]:
        """Kind of teacher: a model in this process, a server, or none."""
        if self.generation == "2.0" or self.name.endswith("_api"):
            return "api"
        is_local = self.name.endswith(("_local", "_batch")) or self.name == "kd_white_box"
        return "local" if is_local else "none"

    @property
    def labels(self) -> bool:
        """Whether the job's teacher answers records of `instruction_path` into `labeled_path`."""
        needs = self.stage.needs if self.stage else ()
        return self.teacher != "none" and "dataset.labeled_path" in needs


JOBS: Final = {
    name: Job(name, generation, stage)
    for stage in STAGES
    for generation, names in zip(get_args(Generation), (stage.jobs, stage.jobs_v2), strict=True)
    for name in names.split()
} | {
    name: Job(name, generation, None, reason, closest)
    for generation, reason, closest, names in _REFUSED
    for name in names.split()
}


def find_job(name: object) -> tuple[Job, Stage]:
    """Find a supported job by its name.

    Raises:
        ConfigError: The name is unknown, or the job is not supported; the message then names the
            closest supported job.
    """
    reasons = (why for begin, why in _FAMILIES.items() if str(name).startswith(begin))
    job = JOBS.get(str(name)) or Job(str(name), "1.0", reason=next(reasons, ""))
    if job.stage is not None:
        return job, job.stage
    if not job.reason:
        raise ConfigError([f"Unknown job type: {name}"])
    raise ConfigError([
        f"job_type '{name}' is recognised but not supported by stillroom: {job.reason}. "
        f"Closest supported job: {job.closest}. See: stillroom easydistill --list-jobs"
    ])  # fmt: skip


def list_jobs() -> list[str]:
    """Describe all jobs, one per line: its name with input and output, or why it is refused."""
    lines = []
    for generation in get_args(Generation):
        lines.append(f"EasyDistill {generation}")
        for job in sorted(JOBS.values(), key=lambda job: (job.stage is None, job.name)):
            told = f"refused  {job.reason}"
            if job.stage is not None:
                first = "instruction_path -> teacher -> " if job.labels else ""
                told = f"run      {first}{job.stage.flow}"
            if job.generation == generation:
                lines.append(f"  {job.name:<{max(map(len, JOBS))}}  {told}")
    return lines
