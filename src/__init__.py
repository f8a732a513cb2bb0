"""stillroom: from a table to a small model that answers, proven against its teacher.

The names below are loaded when they are first used, so that `import stillroom` costs nothing:

    from stillroom import StructuredDataLoader, ModelDistiller, MultiAgentWorkflow
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # type checkers do not run __getattr__; the names are those of _HOMES
    from .agentic_workflow.agent import AgenticWorkflow as AgenticWorkflow
    from .agentic_workflow.agent import AgentState as AgentState
    from .agentic_workflow.agent import DistilledModelAgent as DistilledModelAgent
    from .agentic_workflow.agent import MultiAgentWorkflow as MultiAgentWorkflow
    from .data.data_preparation import StructuredDataLoader as StructuredDataLoader
    from .data.data_preparation import create_sample_dataset as create_sample_dataset
    from .data.datasets.json_files import read_json as read_json
    from .data.datasets.json_files import save_json as save_json
    from .distillation.distiller import DistillationConfig as DistillationConfig
    from .distillation.distiller import DistillationLoss as DistillationLoss
    from .distillation.distiller import ModelDistiller as ModelDistiller
    from .distillation.distiller import create_distiller_from_config as create_distiller_from_config
    from .evaluation.compare_models import compare_models as compare_models
    from .evaluation.evaluate_models import evaluate_models as evaluate_models
    from .evaluation.held_out import describe_scores as describe_scores
    from .evaluation.held_out import evaluate_student as evaluate_student
    from .evaluation.held_out import score_held_out as score_held_out
    from .inference.chat.chat_model import ChatStudent as ChatStudent
    from .inference.chat.scripted_model import ScriptedModel as ScriptedModel
    from .inference.checkpoints.load_student import load_checkpoint as load_checkpoint
    from .inference.system_pair.answers import find_checkpoint as find_checkpoint
    from .inference.system_pair.answers import infer_student as infer_student
    from .inference.system_pair.models import load_student as load_student
    from .inference.system_pair.models import load_teacher as load_teacher
    from .labeling.batch.labeler import BatchLabeler as BatchLabeler
    from .labeling.batch.labeler import LabelSettings as LabelSettings
    from .labeling.batch.labeler import LabelTask as LabelTask
    from .labeling.filters.curation.sampler import StratifiedSampler as StratifiedSampler
    from .labeling.filters.filter_config import analysis_field_name as analysis_field_name
    from .labeling.filters.filter_package import load_filter_package as load_filter_package
    from .labeling.filters.oracle_reply import (
        extract_json_from_response as extract_json_from_response,
    )
    from .labeling.filters.oracle_reply import repair_json as repair_json
    from .labeling.filters.oracles.generic_labeler import GenericBatchLabeler as GenericBatchLabeler
    from .labeling.filters.oracles.generic_labeler import GenericBatchScorer as GenericBatchScorer
    from .labeling.filters.oracles.oracle_errors import ErrorType as ErrorType
    from .labeling.filters.oracles.oracle_errors import LLMAuthError as LLMAuthError
    from .labeling.filters.oracles.oracle_errors import LLMError as LLMError
    from .labeling.filters.oracles.oracle_errors import LLMRateLimitError as LLMRateLimitError
    from .labeling.filters.oracles.oracle_errors import LLMResponseError as LLMResponseError
    from .labeling.filters.oracles.oracle_errors import LLMTimeoutError as LLMTimeoutError
    from .labeling.filters.prefilter import BasePreFilter as BasePreFilter
    from .labeling.tasks.new_examples import expand_records as expand_records
    from .labeling.tasks.reasoning_labels import label_with_teacher as label_with_teacher
    from .labeling.teachers.open_teacher import open_teacher as open_teacher
    from .labeling.teachers.protocol import DecodeProfile as DecodeProfile
    from .labeling.teachers.protocol import Teacher as Teacher
    from .pipeline import MainJob as MainJob
    from .pipeline import Recipe as Recipe
    from .pipeline import run_main_job as run_main_job
    from .pipeline.easydistill.write_config import write_system1_config as write_system1_config
    from .pipeline.easydistill.write_config import write_system2_config as write_system2_config
    from .pipeline.reasoning.rows import prepare_system1_dataset as prepare_system1_dataset
    from .pipeline.reasoning.rows import prepare_system2_dataset as prepare_system2_dataset
    from .pipeline.reasoning.starter_teachers import train_starter_teacher as train_starter_teacher
    from .pipeline.systems.run import hold_out as hold_out
    from .pipeline.systems.systems import check_resume as check_resume
    from .pipeline.systems.systems import distill_system1 as distill_system1
    from .pipeline.systems.systems import distill_system2 as distill_system2
    from .pipeline.systems.systems import run_easy_distill as run_easy_distill
    from .pipeline.systems.systems import run_training_sft as run_training_sft
    from .pipeline.systems.systems import run_training_tpu as run_training_tpu
    from .prompts import format_prompt as format_prompt

__version__ = "0.1.0"

_HOMES = {
    "StructuredDataLoader": "data.data_preparation",
    "create_sample_dataset": "data.data_preparation",
    "DistillationConfig": "distillation.distiller",
    "DistillationLoss": "distillation.distiller",
    "ModelDistiller": "distillation.distiller",
    "create_distiller_from_config": "distillation.distiller",
    "ChatStudent": "inference.chat.chat_model",
    "ScriptedModel": "inference.chat.scripted_model",
    "load_checkpoint": "inference.checkpoints.load_student",
    "evaluate_models": "evaluation.evaluate_models",
    "AgentState": "agentic_workflow.agent",
    "AgenticWorkflow": "agentic_workflow.agent",
    "DistilledModelAgent": "agentic_workflow.agent",
    "MultiAgentWorkflow": "agentic_workflow.agent",
    "save_json": "data.datasets.json_files",
    "read_json": "data.datasets.json_files",
    "find_checkpoint": "inference.system_pair.answers",
    "infer_student": "inference.system_pair.answers",
    "load_teacher": "inference.system_pair.models",
    "load_student": "inference.system_pair.models",
    "format_prompt": "prompts",
    "label_with_teacher": "labeling.tasks.reasoning_labels",
    "BatchLabeler": "labeling.batch.labeler",
    "LabelSettings": "labeling.batch.labeler",
    "LabelTask": "labeling.batch.labeler",
    "DecodeProfile": "labeling.teachers.protocol",
    "Teacher": "labeling.teachers.protocol",
    "open_teacher": "labeling.teachers.open_teacher",
    "expand_records": "labeling.tasks.new_examples",
    "write_system1_config": "pipeline.easydistill.write_config",
    "write_system2_config": "pipeline.easydistill.write_config",
    "evaluate_student": "evaluation.held_out",
    "score_held_out": "evaluation.held_out",
    "describe_scores": "evaluation.held_out",
    "hold_out": "pipeline.systems.run",
    "compare_models": "evaluation.compare_models",
    "prepare_system1_dataset": "pipeline.reasoning.rows",
    "prepare_system2_dataset": "pipeline.reasoning.rows",
    "distill_system1": "pipeline.systems.systems",
    "distill_system2": "pipeline.systems.systems",
    "run_easy_distill": "pipeline.systems.systems",
    "run_training_sft": "pipeline.systems.systems",
    "check_resume": "pipeline.systems.systems",
    "train_starter_teacher": "pipeline.reasoning.starter_teachers",
    "run_training_tpu": "pipeline.systems.systems",
    "MainJob": "pipeline",
    "Recipe": "pipeline",
    "run_main_job": "pipeline",
    "GenericBatchLabeler": "labeling.filters.oracles.generic_labeler",
    "GenericBatchScorer": "labeling.filters.oracles.generic_labeler",
    "load_filter_package": "labeling.filters.filter_package",
    "analysis_field_name": "labeling.filters.filter_config",
    "extract_json_from_response": "labeling.filters.oracle_reply",
    "repair_json": "labeling.filters.oracle_reply",
    "ErrorType": "labeling.filters.oracles.oracle_errors",
    "LLMError": "labeling.filters.oracles.oracle_errors",
    "LLMTimeoutError": "labeling.filters.oracles.oracle_errors",
    "LLMRateLimitError": "labeling.filters.oracles.oracle_errors",
    "LLMAuthError": "labeling.filters.oracles.oracle_errors",
    "LLMResponseError": "labeling.filters.oracles.oracle_errors",
    "BasePreFilter": "labeling.filters.prefilter",
    "StratifiedSampler": "labeling.filters.curation.sampler",
}
__all__ = sorted([*_HOMES, "__version__"])


if not TYPE_CHECKING:  # else a checker would take every misspelt name for one that is there

    def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever lives under the name
        """Load a public name from its room."""
        if name not in _HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    """List the public names."""
    return __all__
