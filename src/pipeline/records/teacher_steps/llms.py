"""Models by the names that users of distilabel and FastDistill write, each opened as a teacher.

llm = OpenAILLM(model="qwen3-32b", base_url="http://gateway.local/v1", api_key="${GATEWAY_KEY}",
                generation_kwargs={"temperature": 0.2, "max_new_tokens": 128})
llm.generate([[{"role": "user", "content": "Which metal is Au?"}]])

| class | what answers | environment |
|---|---|---|
| `OpenAILLM` | a server with OpenAI's HTTP API | `OPENAI_{BASE_URL,API_KEY,MODEL}` |
| `OllamaLLM` | Ollama | `OLLAMA_{HOST,MODEL,TIMEOUT}` |
| `SGLangLLM` | SGLang | `SGLANG_{BASE_URL,API_KEY,MODEL}` |
| `AnthropicLLM` | Anthropic's endpoint in OpenAI's form | `ANTHROPIC_{BASE_URL,API_KEY,MODEL}` |
| `vLLM` | a vLLM server | `VLLM_{BASE_URL,API_KEY,MODEL}` |
| `LlamaCppLLM` | a `.gguf` file here, or llama-server | `LLAMA_SERVER_{BASE_URL,MODEL}` |
| `TransformersLLM` | a folder or hub name in this process | |
| `ScriptedLLM` | a script, for tests | |
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import os
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, dataclass_transform

from ....errors import ConfigError, ScriptError
from ....labeling.batch.label_run import LabelRun, LabelTask
from ....labeling.batch.labeler import BatchLabeler
from ....labeling.teachers.protocol import DecodeProfile, Prompt, Teacher, TeacherAnswer
from .gateway import ProviderGateway, read_gateway
from .generation_settings import decode_profile
from .secret import Secret, read_secret

logger = logging.getLogger(__name__)
Generations = dict[str, Any]
"""`{"generations": [text or None], "statistics": {"input_tokens": [..], "output_tokens": [..]}}`"""


@dataclass_transform(kw_only_default=True)
class _Fields:
    """Makes every subclass a dataclass whose fields are keywords."""

    def __init_subclass__(cls, **given: Any) -> None:  # noqa: ANN401 - of the subclass
        super().__init_subclass__(**given)
        dataclass(kw_only=True, eq=False)(cls)


class LLM(_Fields):
    """A model that answers prompts; the base of the classes in the table above."""

    model: str | None = None
    """Name of the model; None takes it from the environment, or the only one of the server."""
    base_url: str | None = None
    """Address of the server with its version; None takes it from the environment."""
    api_key: Any = field(default=None, repr=False)
    """The key, or `${NAME}` for an environment variable; it is never written, printed or hashed."""
    api_key_env: str | None = None
    """Environment variable that holds the key; None takes the provider's own."""
    generation_kwargs: dict[str, Any] = field(default_factory=dict)
    """`temperature` (0 is greedy), `top_p`, `max_new_tokens`, `stop` and more; see
    `generation_settings.decode_profile`."""
    gateway: Any = None
    """Limits, prices and decode profiles: a `ProviderGateway`, its fields, or a YAML file."""
    timeout: float | None = None
    """Seconds for a whole answer; None takes the environment's or the gateway's."""
    use_offline_batch_generation: bool = False
    """Whether to ask through the provider's batch endpoint, at half the price and with answers
    within a day; see `TextGeneration.batch_endpoint`."""

    provider: ClassVar[str | None] = None
    """Name of the provider in `open_teacher.PROVIDERS`; None for models in this process."""
    unhashed: ClassVar[frozenset[str]] = frozenset({
        "base_url", "api_key", "api_key_env", "gateway", "timeout", "use_offline_batch_generation",
    })  # fmt: skip
    """Fields that change no answer."""

    def __post_init__(self) -> None:
        """Check the settings; nothing is opened yet."""
        self.api_key = read_secret(self.api_key)
        self.gateway = read_gateway(self.gateway)
        self._opened: Teacher | None = None
        self.profile()

    @property
    def limits(self) -> ProviderGateway:
        """The gateway."""
        found: ProviderGateway = self.gateway
        return found

    @property
    def model_name(self) -> str:
        """The model's name; opens the model where the settings name none."""
        return self.model or self.teacher().name

    def profile(self, *layers: Mapping[str, Any]) -> DecodeProfile:
        """Return how answers are decoded, with settings that go before the model's own."""
        return decode_profile(self.generation_kwargs, *layers)

    def teacher(self) -> Teacher:
        """Open the model, once.

        Raises:
            ConfigError: The address or the key is missing.
            StillroomError: As `open_teacher`.
        """
        if self._opened is None:
            self._opened = self._open()
        return self._opened

    def settings(self) -> dict[str, Any]:
        """Give the fields that the constructor takes, without a key that is written out."""
        told = {f.name: getattr(self, f.name) for f in dataclasses.fields(self) if f.init}
        key: Secret | None = self.api_key
        told["api_key"] = None if key is None or key.variable is None else str(key)
        told["gateway"] = None if self.gateway == ProviderGateway() else _plain(self.gateway)
        return told

    def hashed_settings(self) -> dict[str, Any]:
        """Give the settings that decide answers, with a model that the environment names."""
        own = {k: v for k, v in self.settings().items() if k not in self.unhashed}
        return {**own, "model": self.model or self._variable("MODEL")}

    def load(self) -> None:
        """Open the model."""
        self.teacher()

    def unload(self) -> None:
        """Forget the opened model; the next call opens it again."""
        self._opened = None

    def generate(
        self,
        inputs: Sequence[Prompt],
        num_generations: int = 1,
        **kwargs: Any,  # noqa: ANN401 - generation settings
    ) -> list[Generations]:
        """Answer prompts, with the limits and retries of the gateway.

        Args:
            inputs: Texts or lists of turns.
            num_generations: Answers per prompt, 1 or more.
            kwargs: Settings that go before `generation_kwargs`.

        Returns:
            One per prompt: `generations`, None for one that failed (the log says why), and
            `statistics` with the tokens of each.
        """
        with tempfile.TemporaryDirectory() as folder:
            labeler, tasks = self._labelling(folder, inputs, num_generations, kwargs)
            return _grouped(labeler.run(tasks), num_generations)

    async def agenerate(
        self,
        input: Prompt,
        num_generations: int = 1,
        **kwargs: Any,  # noqa: ANN401 - generation settings
    ) -> Generations:
        """Answer a prompt: see `generate`."""
        with tempfile.TemporaryDirectory() as folder:
            labeler, tasks = self._labelling(folder, [input], num_generations, kwargs)
            return _grouped(await labeler.arun(tasks), num_generations)[0]

    def __getstate__(self) -> dict[str, Any]:
        """Leave the opened model out of copies and of what is sent to workers."""
        return {**self.__dict__, "_opened": None}

    def _labelling(
        self, folder: str, inputs: Sequence[Prompt], count: int, kwargs: Mapping[str, Any]
    ) -> tuple[BatchLabeler, list[LabelTask]]:
        if count < 1:
            raise ConfigError([f"num_generations is {count}; allowed is 1 or more"])
        labeler = BatchLabeler(
            self.teacher(),
            folder,
            profile=self.profile(kwargs),
            settings=self.limits.label_settings(),
        )
        return labeler, [
            LabelTask(f"{place} {sample}", prompt, sample=sample)
            for place, prompt in enumerate(inputs)
            for sample in range(count)
        ]

    def _open(self) -> Teacher:
        from ....labeling.teachers.open_teacher import open_teacher

        gateway = self.limits
        source = self.base_url or gateway.base_url or self.provider
        if source is None:
            raise ConfigError([f"{type(self).__name__} needs a base_url"])
        key: Secret | None = self.api_key
        return open_teacher(
            source,
            model=self.model or self._variable("MODEL"),
            api_key=None if key is None else key.reveal(),
            api_key_env=None if key is not None else self._key_variable(),
            timeout_s=self._timeout_s(),
            honours_idempotency=gateway.honours_idempotency,
        )

    def _key_variable(self) -> str | None:
        """Name the environment variable of the key; None if there is none."""
        named = self.api_key_env or self.limits.api_key_env
        own = f"{self._prefix()}_API_KEY"
        return named or (own if os.environ.get(own, "").strip() else None)

    def _timeout_s(self) -> float:
        told = self._variable("TIMEOUT")
        try:
            read = None if told is None else float(told)
        except ValueError:
            raise ConfigError(
                [f"{self._prefix()}_TIMEOUT is {told!r}; allowed are seconds"]
            ) from None
        return self.timeout or read or self.limits.request_timeout_s

    def _variable(self, name: str) -> str | None:
        return os.environ.get(f"{self._prefix()}_{name}", "").strip() or None

    def _prefix(self) -> str:
        return (self.provider or "").upper().replace("-", "_")


class OpenAILLM(LLM):
    """A server with OpenAI's HTTP API.

    As with OpenAI's own client, `OPENAI_API_KEY` is sent to `base_url` unless another key is named.
    """

    provider: ClassVar[str | None] = "openai"


class OllamaLLM(LLM):
    """A model of Ollama."""

    host: str | None = None
    """Another name of `base_url`, as Ollama's own client reads it."""

    provider: ClassVar[str | None] = "ollama"
    unhashed: ClassVar[frozenset[str]] = LLM.unhashed | {"host"}

    def __post_init__(self) -> None:
        """Read `host`."""
        if self.host and not self.base_url:
            from ....labeling.teachers.open_teacher import ollama_address

            self.base_url = ollama_address(self.host)
        super().__post_init__()


class SGLangLLM(LLM):
    """A server of SGLang."""

    provider: ClassVar[str | None] = "sglang"


class AnthropicLLM(LLM):
    """Anthropic's endpoint in OpenAI's form."""

    provider: ClassVar[str | None] = "anthropic"


class vLLM(LLM):  # noqa: N801 - the name in distilabel
    """A server of vLLM; distilabel opens the model in its own process instead."""

    provider: ClassVar[str | None] = "vllm"


class TransformersLLM(LLM):
    """A checkpoint folder or a hub name in this process."""

    device: str | None = None
    """Torch device; None chooses."""
    bits: int | None = None
    """8 or 4 quantises the weights."""

    unhashed: ClassVar[frozenset[str]] = LLM.unhashed | {"device"}

    def _open(self) -> Teacher:
        from ....inference.sources.find_model import find_model
        from ....labeling.teachers.open_teacher import open_teacher

        if not self.model:
            raise ConfigError([f"{type(self).__name__} needs a model: a folder or a hub name"])
        return open_teacher(find_model(self.model), device=self.device, bits=self.bits)


class LlamaCppLLM(LLM):
    """A `.gguf` file in this process, or a model of llama-server where there is a `base_url`."""

    model_path: str | None = None
    """The file; another name of `model`."""

    provider: ClassVar[str | None] = "llama-server"

    def _open(self) -> Teacher:
        if self.model_path is None:
            return super()._open()
        from ....inference.sources.find_model import find_model
        from ....labeling.teachers.open_teacher import open_teacher

        return open_teacher(find_model(self.model_path))


class ScriptedLLM(LLM):
    """A model that answers from a script, for tests of pipelines without a model."""

    replies: Any = field(default_factory=dict)
    """Last user turn -> answer, as a mapping, or a function."""
    model: str | None = "scripted"

    def _open(self) -> Teacher:
        return _ScriptedTeacher(str(self.model), self.replies)


class _ScriptedTeacher:
    """Implements `protocol.Teacher` with a script; every word counts as a token."""

    revision: str | None = None
    honours_idempotency = True

    def __init__(self, name: str, replies: Mapping[str, str] | Callable[[str], str]) -> None:
        self.name, self._replies = name, replies

    async def ask(
        self, prompt: Prompt, profile: DecodeProfile, *, call_id: str = ""
    ) -> TeacherAnswer:
        asked = prompt if isinstance(prompt, str) else prompt[-1]["content"]
        if callable(self._replies):
            text = self._replies(asked)
        elif asked in self._replies:
            text = self._replies[asked]
        else:
            raise ScriptError(f"the script has no reply to {asked!r}")
        await asyncio.sleep(0)
        return TeacherAnswer(text, "stop", len(asked.split()), len(text.split()), self.name)

    async def close(self) -> None:
        """Do nothing."""


def llm_from_environment(provider: str | None = None) -> LLM:
    """Open the model that the environment names.

    Args:
        provider: `openrouter`, `ollama`, `sglang`, `openai` or `anthropic`; None takes
            `FASTDISTILL_PROVIDER`, else `ollama`.

    `OPENROUTER_{TEMPERATURE,TOP_P,MAX_TOKENS,STOP,TIMEOUT}` set the answers of OpenRouter, texts in
    `STOP` separated by a vertical bar; its key may be in `OPENAI_API_KEY` too.

    Raises:
        ConfigError: The provider is unknown, or a variable is missing or no number.
    """
    chosen = provider or os.environ.get("FASTDISTILL_PROVIDER", "").strip().lower() or "ollama"
    classes: dict[str, type[LLM]] = {
        "openrouter": _OpenRouter, "ollama": OllamaLLM, "sglang": SGLangLLM,
        "openai": OpenAILLM, "anthropic": AnthropicLLM,
    }  # fmt: skip
    if chosen not in classes:
        raise ConfigError([f"FASTDISTILL_PROVIDER is {chosen!r}; allowed are {sorted(classes)}"])
    kind = classes[chosen]
    if kind is not _OpenRouter:
        return kind()
    told = _variables("OPENROUTER", ("TEMPERATURE", "TOP_P", "MAX_TOKENS"))
    stop = os.environ.get("OPENROUTER_STOP", "")
    kwargs: dict[str, Any] = {name.lower(): value for name, value in told.items()}
    if "max_tokens" in kwargs:
        kwargs["max_tokens"] = int(kwargs["max_tokens"])
    if stop:
        kwargs["stop"] = [text for text in stop.split("|") if text]
    return kind(generation_kwargs=kwargs)


class _OpenRouter(OpenAILLM):
    """OpenRouter, whose settings are in the environment."""

    provider: ClassVar[str | None] = "openrouter"

    def _key_variable(self) -> str | None:
        found = super()._key_variable()
        return found or ("OPENAI_API_KEY" if os.environ.get("OPENAI_API_KEY", "").strip() else None)


def _variables(prefix: str, names: Iterable[str]) -> dict[str, float]:
    found, faults = {}, []
    for name in names:
        told = os.environ.get(f"{prefix}_{name}", "").strip()
        if told:
            try:
                found[name] = float(told)
            except ValueError:
                faults.append(f"{prefix}_{name} is {told!r}; allowed is a number")
    if faults:
        raise ConfigError(faults)
    return found


def _grouped(run: LabelRun, count: int) -> list[Generations]:
    if run.stopped is not None:
        logger.warning("generation stopped early: %s", run.message)
    if run.reasons:
        told = ", ".join(f"{number} x {reason}" for reason, number in run.reasons.most_common())
        logger.warning("%d generations failed: %s", len(run.failed), told)
    found = []
    for start in range(0, len(run.results), count):
        answers = [one.answer for one in run.results[start : start + count]]
        found.append({
            "generations": [None if one is None else one.text for one in answers],
            "statistics": {
                "input_tokens": [0 if one is None else one.prompt_tokens for one in answers],
                "output_tokens": [0 if one is None else one.completion_tokens for one in answers],
            },
        })  # fmt: skip
    return found


def _plain(gateway: ProviderGateway) -> dict[str, Any]:
    """Write a gateway as its fields that are not the defaults."""
    default = dataclasses.asdict(ProviderGateway())
    return {k: v for k, v in dataclasses.asdict(gateway).items() if v != default[k]}


def as_llm(given: LLM | Teacher | str | Path | object) -> LLM:
    """Return a model as one of the classes above.

    Args:
        given: One of these, or what `open_teacher` takes: a teacher, a LangChain chat model, an
            address, a provider's name, a folder or a hub name.
    """
    return given if isinstance(given, LLM) else OpenedLLM(source=given)


class OpenedLLM(LLM):
    """Whatever `open_teacher` opens."""

    source: Any = None
    """A teacher, a chat model, an address, a provider's name, a folder or a hub name."""

    def hashed_settings(self) -> dict[str, Any]:
        """Give what decides answers; of a teacher its name and revision."""
        source = self.source
        told = [source.name, source.revision] if isinstance(source, Teacher) else source
        return {**super().hashed_settings(), "source": told}

    def _open(self) -> Teacher:
        from ....labeling.teachers.open_teacher import open_teacher

        return open_teacher(self.source)
