"""stillroom: from a table to a small model that answers, proven against its teacher.

The names below are loaded when they are first used, so that `import stillroom` costs nothing:

    from stillroom import StructuredDataLoader, ModelDistiller, MultiAgentWorkflow
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "StructuredDataLoader": "data.data_preparation",
    "create_sample_dataset": "data.data_preparation",
    "DistillationConfig": "distillation.distiller",
    "DistillationLoss": "distillation.distiller",
    "ModelDistiller": "distillation.distiller",
    "create_distiller_from_config": "distillation.distiller",
    "ChatStudent": "inference.chat_model",
    "ScriptedModel": "inference.scripted",
    "load_checkpoint": "inference.checkpoints",
    "evaluate_models": "evaluation.compare",
    "AgentState": "agentic_workflow.agent",
    "AgenticWorkflow": "agentic_workflow.agent",
    "DistilledModelAgent": "agentic_workflow.agent",
    "MultiAgentWorkflow": "agentic_workflow.agent",
    "save_json": "data.json_files",
    "read_json": "data.json_files",
    "find_checkpoint": "inference.system_answers",
    "infer_student": "inference.system_answers",
    "load_teacher": "inference.system_models",
    "load_student": "inference.system_models",
    "format_prompt": "prompts",
    "label_with_teacher": "labeling.system_labels",
    "BatchLabeler": "labeling.labeler",
    "LabelSettings": "labeling.labeler",
    "LabelTask": "labeling.labeler",
    "DecodeProfile": "labeling.teachers",
    "Teacher": "labeling.teachers",
    "open_teacher": "labeling.teachers",
    "expand_records": "labeling.expansion",
    "write_system1_config": "distillation.easydistill_configs",
    "write_system2_config": "distillation.easydistill_configs",
    "evaluate_student": "evaluation.held_out",
    "score_held_out": "evaluation.held_out",
    "describe_scores": "evaluation.held_out",
    "hold_out": "pipeline.systems_job",
    "compare_models": "evaluation.side_by_side",
    "prepare_system1_dataset": "pipeline.system_data",
    "prepare_system2_dataset": "pipeline.system_data",
    "distill_system1": "pipeline.systems",
    "distill_system2": "pipeline.systems",
    "run_easy_distill": "pipeline.systems",
    "run_training_sft": "pipeline.systems",
    "check_resume": "pipeline.systems",
    "train_starter_teacher": "pipeline.starter_teachers",
    "run_training_tpu": "pipeline.systems",
    "MainJob": "pipeline",
    "Recipe": "pipeline",
    "run_main_job": "pipeline",
}
__all__ = sorted([*_HOMES, "__version__"])


def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever lives under the name
    """Load a public name from its room."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    """List the public names."""
    return __all__
