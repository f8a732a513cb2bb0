"""The record pipeline of an agent: the teacher answers, rules check, what is kept is exported."""

from __future__ import annotations

from pathlib import Path

from ..records.pipeline import Pipeline
from ..records.report_steps.exports import WriteMlxDataset
from ..records.report_steps.manifests import WriteManifest
from ..records.report_steps.quality_reports import WriteQualityReport
from ..records.steps.deduplicate import DeduplicateByField
from ..records.steps.gate_filters import RuleFilter
from ..records.steps.identify import CanonicalizeFields, ComputeHash
from ..records.steps.load_data import LoadDataFromDicts
from ..records.steps.select import FilterByBool
from ..records.teacher_steps.llms import LLM
from ..records.teacher_steps.text_generation import TextGeneration
from .spec import DistillAgentSpec


def agent_pipeline(
    spec: DistillAgentSpec, llm: LLM, artifacts: Path, run_id: str, cache_dir: Path
) -> Pipeline:
    """Make the pipeline.

    Args:
        spec: The agent.
        llm: The teacher.
        artifacts: Folder of reports, manifests and exports.
        run_id: Name that the reports give.
        cache_dir: Folder of the teacher's answers.
    """
    with Pipeline(spec.name, spec.description, cache_dir=cache_dir) as pipeline:
        load = LoadDataFromDicts(name="raw", data=spec.rows())
        canonical = CanonicalizeFields(name="canonical", fields=["instruction", "context"])
        identified = ComputeHash(
            name="hashed", fields=["task_id", "canonical_input"], output_field="sample_id"
        )
        unique = DeduplicateByField(name="unique", field="sample_id")
        teacher = TextGeneration(
            name="teacher",
            llm=llm,
            system_prompt=spec.system_prompt or None,
            template=spec.prompt_template,
            columns=["instruction", "context"],
            input_batch_size=8,
        )
        rules = RuleFilter(
            name="rules", min_chars=spec.min_output_chars, max_chars=spec.max_output_chars
        )
        candidates = WriteQualityReport(
            name="report_candidates",
            stage="teacher_candidates",
            output_dir=str(artifacts / "reports"),
            run_id=run_id,
        )
        kept = FilterByBool(name="kept", field="keep")
        distilled = WriteQualityReport(
            name="report_distilled",
            stage="distilled",
            output_dir=str(artifacts / "reports"),
            run_id=run_id,
        )
        export = WriteMlxDataset(
            name="export",
            output_dir=str(artifacts / "mlx"),
            prompt_template=spec.prompt_template,
            system_prompt=spec.system_prompt or None,
            train_ratio=spec.train_ratio,
            metadata_fields=["sample_id", "task_id"],
        )
        manifest = WriteManifest(
            name="manifest",
            stage="distilled",
            output_dir=str(artifacts / "manifests"),
            run_id=run_id,
        )
        load >> canonical >> identified >> unique >> teacher >> rules >> [candidates, kept]
        for observer in (distilled, export, manifest):
            kept >> observer
    return pipeline
