"""Distil an agent into a bundle.

    <output_dir>/<run_id>/
        spec.yaml        the agent: task, prompts, instructions
        pipeline.yaml    the pipeline that asked and checked; `stillroom pipeline run` reads it
        agent_card.md    what was made, and what it can and cannot do
        artifacts/       reports, manifests, mlx (training data), model (the student), model.gguf

The same call with the same run id goes on: instructions that are written and answers that have
arrived are asked for no more.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...errors import CheckpointError, ConfigError, StillroomError
from ...files import read_json, write_text
from ..records.run_folder import new_run_id
from .card import agent_card, limits_told
from .settings import EMBEDDED_MODEL, AgentConfig
from .spec import PROMPT_TEMPLATE, DistillAgentSpec, Instruction, read_spec, write_spec
from .student import AgentStudent, planned_steps, train_agent

if TYPE_CHECKING:
    from ..records.teacher_steps.llms import LLM

logger = logging.getLogger(__name__)
SECONDS_PER_EXAMPLE = 0.007
"""Of a training, per million parameters of the teacher, on two cores: a forward pass of the
teacher, and one forward and backward of a student of half its layers."""
Say = Callable[[str, str], None]
"""Prints a name and a text."""


@dataclass(frozen=True)
class AgentBundle:
    """Where the parts of an agent are."""

    root: Path
    student: AgentStudent | None = None
    gguf: Path | None = None

    @property
    def artifacts(self) -> Path:
        """Folder of reports, manifests, training data and student."""
        return self.root / "artifacts"

    def told(self) -> dict[str, str | None]:
        """Name all parts, as the command prints them."""
        return {
            "bundle_root": str(self.root),
            "spec_path": str(self.root / "spec.yaml"),
            "pipeline_path": str(self.root / "pipeline.yaml"),
            "agent_card": str(self.root / "agent_card.md"),
            "artifacts_root": str(self.artifacts),
            "reports_dir": str(self.artifacts / "reports"),
            "manifests_dir": str(self.artifacts / "manifests"),
            "mlx_dir": str(self.artifacts / "mlx"),
            "gguf_path": None if self.gguf is None else str(self.gguf),
        }


def distill_agent(config: AgentConfig, say: Say = lambda name, text: None) -> AgentBundle:
    """Distil an agent.

    Args:
        config: The settings.
        say: Prints what is done.

    Raises:
        ConfigError: The settings do not fit what is there.
        StillroomError: The teacher cannot be asked, or nothing of use came of it.
    """
    llm, weights = open_agent_teacher(config)
    name = config.agent.name or " ".join(str(config.agent.task).split()[:6])
    bundle = AgentBundle(
        Path(config.agent.output_dir).expanduser() / (config.agent.run_id or new_run_id(name))
    )
    spec = _spec(config, llm, bundle, name, say)
    result = _run_pipeline(spec, llm, bundle, say)
    student = _train(config, weights, bundle, say) if config.trains else None
    gguf = None if student is None else _write_gguf(config, student, bundle, say)
    bundle = AgentBundle(bundle.root, student, gguf)
    (bundle.artifacts / "model").mkdir(parents=True, exist_ok=True)
    numbers = {**result, "instructions": len(spec.instructions),
               "wanted": config.agent.num_instructions}  # fmt: skip
    limits = limits_told(config, spec, numbers, student)
    write_text(bundle.root / "agent_card.md", agent_card(spec, numbers, student, limits))
    for line in limits:
        say("limits", line)
    return bundle


def open_agent_teacher(config: AgentConfig) -> tuple[LLM, str | None]:
    """Open the teacher; give the folder of its weights as well where it runs in this process.

    Raises:
        ConfigError: Its settings are not complete.
        ModelNotFoundError: The packaged model was not added.
    """
    from ...inference.sources.find_model import find_model
    from ..records.teacher_steps import llms

    teacher = config.teacher
    common: dict[str, Any] = {"generation_kwargs": dict(teacher.generation_kwargs)}
    if teacher.is_local:
        common["generation_kwargs"] = {"max_new_tokens": 320, "temperature": 0.0} | common[
            "generation_kwargs"
        ]
        folder = str(find_model(teacher.model or EMBEDDED_MODEL))
        return llms.TransformersLLM(model=folder, **common), folder
    given = {
        name: value
        for name in ("model", "base_url", "api_key", "api_key_env")
        if (value := getattr(teacher, name)) is not None
    }
    if teacher.provider == "openrouter" and not given:
        return llms.llm_from_environment("openrouter"), None
    kinds = {
        "anthropic": llms.AnthropicLLM, "ollama": llms.OllamaLLM, "openai": llms.OpenAILLM,
        "sglang": llms.SGLangLLM, "vllm": llms.vLLM,
        "openrouter": type(llms.llm_from_environment("openrouter")),
    }  # fmt: skip
    return kinds[teacher.provider](**given, **common), None


def _spec(
    config: AgentConfig, llm: LLM, bundle: AgentBundle, name: str, say: Say
) -> DistillAgentSpec:
    """Read the bundle's spec, or let the teacher write the instructions of a new one."""
    from .instructions import write_instructions

    path, task = bundle.root / "spec.yaml", str(config.agent.task).strip()
    if path.is_file():
        spec = read_spec(path)
        if spec.task != task:
            raise ConfigError([
                f"{bundle.root} holds an agent with the task {spec.task!r}; give another run_id"
            ])  # fmt: skip
        say("spec", f"{len(spec.instructions)} instructions, written before: {path}")
        return spec
    wanted = config.agent.num_instructions
    calls = -(-wanted // 8)
    say("teacher", f"{llm.model_name} writes {wanted} instructions, in {calls} calls or more")
    written = write_instructions(task, llm, wanted)
    left_out = ", ".join(f"{count} {reason}" for reason, count in written.left_out.most_common())
    say("spec", f"{len(written.kept)} of {wanted} instructions from {written.calls} calls"
        + (f"; left out: {left_out}" if left_out else ""))  # fmt: skip
    if len(written.kept) < 2:
        raise StillroomError(
            f"the teacher wrote {len(written.kept)} instructions of use, too few for an agent; "
            "name another teacher (teacher.provider), or say more in the task"
        )
    distill = config.distill
    spec = DistillAgentSpec(
        name=name,
        task=task,
        description=f"An agent for this task: {task}",
        system_prompt=distill.system_prompt or _system_prompt(task, config),
        prompt_template=distill.prompt_template or PROMPT_TEMPLATE,
        instructions=[Instruction(text) for text in written.kept],
        teacher_model=llm.model or llm.model_name,
        student_model=config.student if config.trains else None,
        min_output_chars=distill.min_output_chars,
        max_output_chars=distill.max_output_chars,
        train_ratio=distill.train_ratio,
        metadata={"wanted": wanted, "calls": written.calls, "left_out": dict(written.left_out)},
    )
    write_spec(spec, path)
    return spec


def _system_prompt(task: str, config: AgentConfig) -> str:
    brief = " Answer in one to three sentences." if config.teacher.is_local else ""
    return f"You are a precise assistant. Your task: {task}{brief}"


def _run_pipeline(
    spec: DistillAgentSpec, llm: LLM, bundle: AgentBundle, say: Say
) -> dict[str, Any]:
    """Run the pipeline; its own files lie beside reports and exports in `artifacts`."""
    import yaml  # type: ignore[import-untyped]

    from .pipeline import agent_pipeline

    pipeline = agent_pipeline(
        spec, llm, bundle.artifacts, bundle.root.name, bundle.artifacts / ".cache"
    )
    dumped = yaml.safe_dump(pipeline.dump(), sort_keys=False, allow_unicode=True, width=100)
    write_text(bundle.root / "pipeline.yaml", dumped)
    say("teacher", f"answers {len(spec.instructions)} instructions")
    pipeline.run(artifacts_dir=bundle.root, run_id=bundle.artifacts.name)
    report = read_json(bundle.artifacts / "reports" / "teacher_candidates" / "quality_report.json")
    kept = report["kept"] or 0
    reasons = {k: v for k, v in (report["reject_reason_counts"] or {}).items() if k != "ok"}
    lost = len(spec.instructions) - report["total"]
    if lost:
        reasons["no complete answer"] = lost
    told = ", ".join(f"{count} {reason}" for reason, count in reasons.items())
    say("kept", f"{kept} of {len(spec.instructions)} answers{told and '; left out: '}{told}")
    return {"kept": kept, "left_out": reasons}


def _train(config: AgentConfig, weights: str | None, bundle: AgentBundle, say: Say) -> AgentStudent:
    train = bundle.artifacts / "mlx" / "train.jsonl"
    examples = sum(1 for _ in train.open(encoding="utf-8")) if train.is_file() else 0
    steps = planned_steps(config, examples)
    say("training", f"{steps} steps over {examples} examples of {config.student}; about "
        f"{_minutes(config, weights, steps)} minutes on two cores")  # fmt: skip
    student = train_agent(
        config, weights, bundle.artifacts / "mlx", bundle.artifacts / "model",
        bundle.artifacts / "model.work",
    )  # fmt: skip
    if student.loss_after is not None:
        teacher = "" if student.loss_teacher is None else f"; the teacher {student.loss_teacher}"
        say("held out", f"{student.held_out} answers, nats per character: {student.loss_before} "
            f"before, {student.loss_after} after{teacher}")  # fmt: skip
    say("student", str(student.folder))
    return student


def _write_gguf(
    config: AgentConfig, student: AgentStudent, bundle: AgentBundle, say: Say
) -> Path | None:
    """Write the student as a GGUF file, where that is wanted and llama.cpp can run it."""
    from ...inference.checkpoints.load_student import load_checkpoint
    from ...inference.gguf_export.write_gguf import write_gguf

    if not config.training.export_gguf:
        return None
    named = config.training.gguf_output
    path = Path(named).expanduser() if named else bundle.artifacts / "model.gguf"
    try:
        write_gguf(load_checkpoint(str(student.folder)), path)
    except CheckpointError as fault:
        say("gguf", f"not written: {fault}")
        return None
    say("gguf", f"{path}: float32, for llama.cpp and Ollama")
    return path


def _minutes(config: AgentConfig, weights: str | None, steps: int) -> str:
    """Estimate the time of a training from the size of the weights."""
    from ..main_job.estimate_named import parameters_of

    count = None if weights is None else parameters_of(weights)
    if count is None:
        return "an unknown number of"
    seconds = steps * config.training.batch_size * count / 1e6 * SECONDS_PER_EXAMPLE
    return f"{max(1, round(seconds / 60))}"
