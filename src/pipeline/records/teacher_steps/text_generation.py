"""`TextGeneration`: asks a model about each record and adds its answer.

step = TextGeneration(llm=OpenAILLM(model="qwen3-32b", base_url="http://gateway.local/v1"),
                      template="Schema: {{ schema }}\\nQuestion: {{ instruction }}\\nSQL:",
                      columns=["schema", "instruction"])
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from ....errors import ConfigError, DataError, did_you_mean
from ....labeling.batch.batch_loop import BatchEndpoint
from ....labeling.batch.label_run import LabelFault, Labelled, LabelRun, LabelSettings, LabelTask
from ....labeling.batch.labeler import BatchLabeler
from ....labeling.teachers.protocol import DecodeProfile, TeacherAnswer
from ..step import Loss, Record, StepOutput, fault_reason
from .asking_step import AskingStep, require_end
from .prompt_template import PromptTemplate, named_record, prompt_fault
from .token_statistics import METADATA, raw_output, statistics, with_metadata

logger = logging.getLogger(__name__)
_ASKED_ALIKE = "%s asks %d times for the likeliest answer; set a temperature above 0"


class TextGeneration(AskingStep):
    """Adds `generation`, `model_name` and the metadata of the answer to each record."""

    unhashed: ClassVar[frozenset[str]] = AskingStep.unhashed | {"batch_endpoint"}

    system_prompt: str | None = None
    """System turn; a record's column `system_prompt` goes before it."""
    template: str = "{{ instruction }}"
    """Jinja text with the columns as variables; an undefined one is an error."""
    columns: str | list[str] = "instruction"
    """Columns that the template may use."""
    num_generations: int = 1
    """Answers per record, 1 or more."""
    group_generations: bool = False
    """Whether the answers to a record are a list in one record; else each is a record."""
    add_raw_output: bool = True
    """Whether the metadata holds the answer with the model's reasoning."""
    add_raw_input: bool = True
    """Whether the metadata holds the turns that were asked."""
    decode_profile: str | None = None
    """Name of one of the gateway's decode profiles; its `n` is the number of answers."""
    batch_endpoint: bool | dict[str, Any] = False
    """Whether to ask through the provider's batch endpoint, at half the price and with answers
    within a day; or the fields of a `BatchEndpoint`. The rows that the step is given at once are
    one batch, so its `input_batch_size` is at least fifty thousand."""

    def __post_init__(self) -> None:
        """Check the settings; nothing is opened yet."""
        super().__post_init__()
        if isinstance(self.columns, str):
            self.columns = [self.columns]
        if self.num_generations < 1:
            raise ConfigError([f"num_generations is {self.num_generations}; allowed: 1 or more"])
        self._prompts = PromptTemplate(self.template, self.columns, self.system_prompt)
        layer = dict(self._profile_settings())
        self._count = int(layer.pop("n", self.num_generations))
        self._profile = self.model.profile(layer)
        if self._count > 1 and self._profile.temperature == 0:
            logger.warning(_ASKED_ALIKE, type(self).__name__, self._count)
        self._endpoint = self._read_endpoint()
        if self._endpoint is not None:
            self.input_batch_size = max(self.input_batch_size, self._endpoint.most_requests)

    @property
    def inputs(self) -> list[str]:
        """The columns of the template."""
        return list(self.columns)

    @property
    def outputs(self) -> list[str]:
        """Columns that the step adds."""
        return ["generation", "model_name", METADATA]

    def hashed_settings(self) -> dict[str, Any]:
        """Give the settings that decide answers; of the gateway's profiles the one that is used."""
        return {**super().hashed_settings(), "profile": self._profile, "count": self._count}

    @property
    def profile(self) -> DecodeProfile:
        """How answers are decoded."""
        return self._profile

    @property
    def records_per_row(self) -> int:
        """As many as there are answers, unless they are grouped."""
        return 1 if self.group_generations else self._count

    @property
    def calls_per_record(self) -> int:
        """As many as there are answers, if they are grouped."""
        return self._count if self.group_generations else 1

    @property
    def price_factor(self) -> float:
        """That of the batch endpoint, if it is used."""
        return 1.0 if self._endpoint is None else self._endpoint.price_factor

    def limits(self) -> LabelSettings:
        """Return the limits of the calls; the likeliest answer is not asked for a second time."""
        limits = super().limits()
        greedy = self._profile.temperature == 0
        return dataclasses.replace(limits, max_rejections=1) if greedy else limits

    def run_rows(self, *inputs: Sequence[Record]) -> StepOutput:
        """Ask about each row of a batch.

        Raises:
            LabelingStoppedError: The model or the budget ends the run; no row is lost.
            ConfigError: The model cannot be asked in this way.
        """
        (rows,) = inputs
        read = [self._read(row) for row in rows]
        prompts: dict[int, list[dict[str, str]]] = {}
        output = StepOutput()
        for place, record in enumerate(read):
            try:
                prompts[place] = self._asked(record)
            except DataError as fault:
                if not output.dead:
                    logger.warning("%s: %s", named_record(record), fault)
                output.dead.append(Loss(place, fault_reason(fault), dict(rows[place])))
        answered = self._ask(prompts)
        for place, turns in prompts.items():
            answers = [one.answer for one in answered[place] if one.answer is not None]
            if answers:
                made = self._records(read[place], turns, answers)
                output.records += [self._written(record, rows[place]) for record in made]
                output.parents += [(place,)] * len(made)
            else:
                output.dead.append(self._dead(place, rows[place], answered[place][0].fault))
        output.dead.sort(key=lambda loss: loss.place)
        return output

    def process(self, *inputs: list[Record]) -> Iterator[list[Record]]:
        """Ask about the records of a batch: see `AskingStep.process`.

        Raises:
            DataError: A template variable is undefined; names the record. In a pipeline only this
                row is dead.
        """
        for record in inputs[0]:
            try:
                self._asked(record)
            except DataError as fault:
                raise DataError(f"{named_record(record)}: {fault}") from fault
        yield from super().process(*inputs)

    def _asked(self, record: Record) -> list[dict[str, str]]:
        """Write the turns of a record, which must be fit to be sent and its answer to be stored."""
        turns = self._prompts.turns(record)
        told = prompt_fault(turns)
        if told is not None:
            raise DataError(told)
        with_metadata(record, {})
        return turns

    def _ask(self, prompts: Mapping[int, list[dict[str, str]]]) -> dict[int, list[Labelled]]:
        tasks = [
            LabelTask(f"{place} {sample}", turns, sample=sample)
            for place, turns in prompts.items()
            for sample in range(self._count)
        ]
        run = self._run(tasks)
        require_end(run)
        results = iter(run.results)
        return {place: [next(results) for _ in range(self._count)] for place in prompts}

    def _run(self, tasks: list[LabelTask]) -> LabelRun:
        labeler = BatchLabeler(
            self.model.teacher(),
            self.calls(),
            profile=self._profile,
            settings=self.limits(),
            batch_endpoint=self._endpoint,
        )
        return labeler.run(tasks)

    def _records(
        self, record: Record, turns: list[dict[str, str]], answers: list[TeacherAnswer]
    ) -> list[Record]:
        if self.group_generations:
            texts = [answer.text for answer in answers]
            return [self._record(record, turns, answers, texts)]
        return [self._record(record, turns, [answer], answer.text) for answer in answers]

    def _record(
        self,
        record: Record,
        turns: list[dict[str, str]],
        answers: list[TeacherAnswer],
        generation: str | list[str],
    ) -> Record:
        step = self.own_name
        told = statistics(answers, step)
        if self.add_raw_output:
            raw = [raw_output(answer) for answer in answers]
            told[f"raw_output_{step}"] = raw if self.group_generations else raw[0]
        if self.add_raw_input:
            told[f"raw_input_{step}"] = turns
        made = {**record, "generation": generation, "model_name": self.model.model_name}
        return with_metadata(made, told)

    def _dead(self, place: int, row: Record, fault: LabelFault | None) -> Loss:
        """Lose a row for the kind of its fault; the message is in its metadata."""
        if fault is None:
            raise RuntimeError("a call has neither an answer nor a fault")
        reason = fault.message if fault.kind == "rejected" else fault.kind
        return Loss(place, reason, with_metadata(row, {f"fault_{self.own_name}": fault.message}))

    def _read_endpoint(self) -> BatchEndpoint | None:
        wanted = self.batch_endpoint or self.model.use_offline_batch_generation
        if not wanted:
            return None
        given = wanted if isinstance(wanted, dict) else {}
        known = [one.name for one in dataclasses.fields(BatchEndpoint)]
        faults = [f"batch_endpoint has {name!r}; {did_you_mean(name, known)}"
                  for name in given if name not in known]  # fmt: skip
        if faults:
            raise ConfigError(faults)
        return BatchEndpoint(**given)

    def _profile_settings(self) -> Mapping[str, Any]:
        profiles = self.model.limits.decode_profiles
        if self.decode_profile is None:
            return {}
        if self.decode_profile not in profiles:
            known = did_you_mean(self.decode_profile, profiles, what="profile")
            raise ConfigError([f"decode_profile is {self.decode_profile!r}; {known}"])
        return profiles[self.decode_profile]
