"""The record pipeline: steps over records, stage by stage, resumable, each row accounted for.

The names below are loaded when they are first used, so that `--help` stays quick:

    from stillroom.pipeline.records import LoadDataFromDicts, Pipeline, RuleFilter
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # type checkers do not run __getattr__; the names are those of HOMES
    from .distiset import Distiset as Distiset
    from .pipeline import Pipeline as Pipeline
    from .report_steps.agreement_reports import (
        WriteScoreAgreementReport as WriteScoreAgreementReport,
    )
    from .report_steps.cost_reports import WriteCostReport as WriteCostReport
    from .report_steps.exports import WriteDataset as WriteDataset
    from .report_steps.exports import WriteMlxDataset as WriteMlxDataset
    from .report_steps.manifests import WriteManifest as WriteManifest
    from .report_steps.quality_reports import WriteQualityReport as WriteQualityReport
    from .report_steps.timing_reports import MarkTime as MarkTime
    from .report_steps.timing_reports import WriteTimingReport as WriteTimingReport
    from .step import GeneratorStep as GeneratorStep
    from .step import GlobalStep as GlobalStep
    from .step import ObserverStep as ObserverStep
    from .step import OrderedStep as OrderedStep
    from .step import Rejected as Rejected
    from .step import RowStep as RowStep
    from .step import Step as Step
    from .step import StepResources as StepResources
    from .steps.clean_sql import CleanSqlOutput as CleanSqlOutput
    from .steps.clean_sql import SqlOutputCleaner as SqlOutputCleaner
    from .steps.clean_sql import clean_sql_output as clean_sql_output
    from .steps.columns import KeepColumns as KeepColumns
    from .steps.combine_rows import CombineRows as CombineRows
    from .steps.combine_rows import PairByScore as PairByScore
    from .steps.deduplicate import DeduplicateByField as DeduplicateByField
    from .steps.gate_filters import FormatFilter as FormatFilter
    from .steps.gate_filters import GateFilter as GateFilter
    from .steps.gate_filters import LanguageFilter as LanguageFilter
    from .steps.gate_filters import PatternFilter as PatternFilter
    from .steps.gate_filters import RuleFilter as RuleFilter
    from .steps.gate_filters import SchemaFilter as SchemaFilter
    from .steps.gate_filters import ValueFilter as ValueFilter
    from .steps.identify import AddSampleId as AddSampleId
    from .steps.identify import CanonicalizeFields as CanonicalizeFields
    from .steps.identify import ComputeHash as ComputeHash
    from .steps.keep_by_score import KeepByScore as KeepByScore
    from .steps.load_data import LoadDataFromDicts as LoadDataFromDicts
    from .steps.load_data import LoadDataFromFileSystem as LoadDataFromFileSystem
    from .steps.load_data import LoadDataFromHub as LoadDataFromHub
    from .steps.resolve_conflicts import ResolveConflicts as ResolveConflicts
    from .steps.select import FilterByBool as FilterByBool
    from .steps.select import SelectByBool as SelectByBool
    from .steps.split_by_hash import SplitByHash as SplitByHash
    from .steps.sql_evaluation import ScoreFromExecEval as ScoreFromExecEval
    from .steps.sql_evaluation import SQLiteExecEval as SQLiteExecEval
    from .teacher_steps.capability_probe import probe_capabilities as probe_capabilities
    from .teacher_steps.gateway import ProviderGateway as ProviderGateway
    from .teacher_steps.gateway import read_gateway as read_gateway
    from .teacher_steps.judge_reports import WriteJudgeReport as WriteJudgeReport
    from .teacher_steps.judge_steps import JudgePairs as JudgePairs
    from .teacher_steps.judge_steps import JudgeScore as JudgeScore
    from .teacher_steps.llms import LLM as LLM
    from .teacher_steps.llms import AnthropicLLM as AnthropicLLM
    from .teacher_steps.llms import LlamaCppLLM as LlamaCppLLM
    from .teacher_steps.llms import OllamaLLM as OllamaLLM
    from .teacher_steps.llms import OpenAILLM as OpenAILLM
    from .teacher_steps.llms import ScriptedLLM as ScriptedLLM
    from .teacher_steps.llms import SGLangLLM as SGLangLLM
    from .teacher_steps.llms import TransformersLLM as TransformersLLM
    from .teacher_steps.llms import llm_from_environment as llm_from_environment
    from .teacher_steps.llms import vLLM as vLLM
    from .teacher_steps.text_generation import TextGeneration as TextGeneration

HOMES = {
    "AddSampleId": "steps.identify",
    "AnthropicLLM": "teacher_steps.llms",
    "CanonicalizeFields": "steps.identify",
    "CleanSqlOutput": "steps.clean_sql",
    "CombineRows": "steps.combine_rows",
    "ComputeHash": "steps.identify",
    "DeduplicateByField": "steps.deduplicate",
    "Distiset": "distiset",
    "FilterByBool": "steps.select",
    "FormatFilter": "steps.gate_filters",
    "GateFilter": "steps.gate_filters",
    "GeneratorStep": "step",
    "GlobalStep": "step",
    "JudgePairs": "teacher_steps.judge_steps",
    "JudgeScore": "teacher_steps.judge_steps",
    "KeepByScore": "steps.keep_by_score",
    "KeepColumns": "steps.columns",
    "LLM": "teacher_steps.llms",
    "LanguageFilter": "steps.gate_filters",
    "LlamaCppLLM": "teacher_steps.llms",
    "LoadDataFromDicts": "steps.load_data",
    "LoadDataFromFileSystem": "steps.load_data",
    "LoadDataFromHub": "steps.load_data",
    "MarkTime": "report_steps.timing_reports",
    "ObserverStep": "step",
    "OllamaLLM": "teacher_steps.llms",
    "OpenAILLM": "teacher_steps.llms",
    "OrderedStep": "step",
    "PairByScore": "steps.combine_rows",
    "PatternFilter": "steps.gate_filters",
    "Pipeline": "pipeline",
    "ProviderGateway": "teacher_steps.gateway",
    "Rejected": "step",
    "ResolveConflicts": "steps.resolve_conflicts",
    "RowStep": "step",
    "RuleFilter": "steps.gate_filters",
    "SGLangLLM": "teacher_steps.llms",
    "SQLiteExecEval": "steps.sql_evaluation",
    "SchemaFilter": "steps.gate_filters",
    "ScoreFromExecEval": "steps.sql_evaluation",
    "ScriptedLLM": "teacher_steps.llms",
    "SelectByBool": "steps.select",
    "SplitByHash": "steps.split_by_hash",
    "SqlOutputCleaner": "steps.clean_sql",
    "Step": "step",
    "StepResources": "step",
    "TextGeneration": "teacher_steps.text_generation",
    "TransformersLLM": "teacher_steps.llms",
    "ValueFilter": "steps.gate_filters",
    "WriteCostReport": "report_steps.cost_reports",
    "WriteDataset": "report_steps.exports",
    "WriteJudgeReport": "teacher_steps.judge_reports",
    "WriteManifest": "report_steps.manifests",
    "WriteMlxDataset": "report_steps.exports",
    "WriteQualityReport": "report_steps.quality_reports",
    "WriteScoreAgreementReport": "report_steps.agreement_reports",
    "WriteTimingReport": "report_steps.timing_reports",
    "clean_sql_output": "steps.clean_sql",
    "llm_from_environment": "teacher_steps.llms",
    "probe_capabilities": "teacher_steps.capability_probe",
    "read_gateway": "teacher_steps.gateway",
    "vLLM": "teacher_steps.llms",
}
"""Public name -> module below this package. Steps and models in it can be named in YAML files."""
__all__ = sorted(HOMES)


if not TYPE_CHECKING:  # else a checker would take every misspelt name for one that is there

    def __getattr__(name: str) -> Any:  # noqa: ANN401 - whatever lives under the name
        """Load a public name from its module."""
        if name not in HOMES:
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        return getattr(import_module(f".{HOMES[name]}", __name__), name)


def __dir__() -> list[str]:
    """List the public names."""
    return __all__
