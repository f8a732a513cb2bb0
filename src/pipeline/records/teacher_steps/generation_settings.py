"""From the generation settings of a pipeline to a decode profile."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from ....errors import ConfigError, did_you_mean
from ....labeling.teachers.protocol import DecodeProfile

_NAMES: Final = {
    "temperature": "temperature", "top_p": "top_p", "seed": "seed", "stop": "stop",
    "stop_sequences": "stop", "max_new_tokens": "max_tokens", "max_tokens": "max_tokens",
    "num_predict": "max_tokens", "extra_body": "extra_body", "do_sample": "do_sample",
}  # fmt: skip
"""Names that users of distilabel, OpenAI, Ollama and transformers write -> names of ours."""
_SENT_AS_THEY_ARE: Final = frozenset({
    "frequency_penalty", "presence_penalty", "repetition_penalty", "top_k", "min_p", "logit_bias",
    "response_format", "reasoning_effort", "max_completion_tokens", "chat_template_kwargs",
})  # fmt: skip


def decode_profile(*layers: Mapping[str, Any]) -> DecodeProfile:
    r"""Build a decode profile.

    Args:
        layers: Settings, later ones before earlier ones: `temperature`, `top_p`, `max_new_tokens`,
            `stop` (a text or several), `seed`, `do_sample`, `extra_body` (further fields of a
            server's request) and common fields of requests, such as `top_k`. `options` holds
            settings in Ollama's manner. None leaves the default.

    Raises:
        ConfigError: A name is unknown, or a value out of range.

    >>> decode_profile({"temperature": 0.2, "max_new_tokens": 128}, {"stop": "\n\n"})
    DecodeProfile(max_tokens=128, temperature=0.2, top_p=1.0, seed=0, stop=('\n\n',), extra={})
    """
    fields: dict[str, Any] = {}
    extra: dict[str, Any] = {}
    unknown: list[str] = []
    for layer in layers:
        for name, value in _flat(layer).items():
            if value is None:
                continue
            if name in _SENT_AS_THEY_ARE:
                extra[name] = value
            elif name in _NAMES:
                fields[_NAMES[name]] = value
            else:
                unknown.append(name)
    if unknown:
        known = {*_NAMES, *_SENT_AS_THEY_ARE}
        raise ConfigError([
            f"generation_kwargs has {name!r}; {did_you_mean(name, known)}, and other fields of a "
            "request go into extra_body"
            for name in unknown
        ])  # fmt: skip
    if fields.pop("do_sample", None) is False:
        fields["temperature"] = 0.0
    extra |= fields.pop("extra_body", {})
    stop = fields.pop("stop", ())
    fields["stop"] = (stop,) if isinstance(stop, str) else tuple(stop)
    try:
        return DecodeProfile(**fields, extra=extra)
    except TypeError as fault:
        raise ConfigError([f"generation_kwargs is {fields}: {fault}"]) from fault


def _flat(layer: Mapping[str, Any]) -> dict[str, Any]:
    options = layer.get("options")
    inner = options if isinstance(options, Mapping) else {}
    return {**{k: v for k, v in layer.items() if k != "options"}, **inner}
