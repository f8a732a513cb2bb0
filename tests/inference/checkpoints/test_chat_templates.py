from __future__ import annotations

from pathlib import Path

import pytest
import trl
from jinja2.sandbox import SandboxedEnvironment
from stillroom.errors import CheckpointError
from stillroom.inference.checkpoints.chat_templates import check_template

IN_USE = sorted((Path(trl.__file__).parent / "chat_templates").glob("*.jinja"))


@pytest.mark.parametrize("path", IN_USE, ids=lambda path: path.stem)
def test_templates_in_use_are_allowed(path):
    """Those of Qwen, Llama, Gemma, Phi, GLM, Cohere and others that come with TRL."""
    text = path.read_text(encoding="utf-8")
    assert check_template(text, path) == text


def test_there_are_templates_to_look_at():
    assert len(IN_USE) > 20


@pytest.mark.parametrize(
    "text",
    [
        "{{ messages[0]['content'] | trim }}",
        "{% for m in messages %}{% if m.role == 'tool' %}{% continue %}{% endif %}{% endfor %}",
        "{% generation %}{{ m.content }}{% endgeneration %}",
        "{{ 2 * 3 }}{{ '%.2f' | format(x) }}{{ loop.index0 % 2 }}",
        "{{ messages | selectattr('role', 'equalto', role) | map(attribute='content') | list }}",
        "text with __init__ outside of braces",
        "{%- set ns = namespace(found=false) -%}{%- set ns.found = true -%}",
        "{{ raise_exception('roles must alternate') }}{{ strftime_now('%d %b %Y') }}",
    ],
)
def test_what_templates_need_is_allowed(text):
    check_template(text, Path("a"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{{ x|map(attribute='__class__')|list }}", "reaches into Python"),
        ("{{ x|selectattr('__class__') }}", "reaches into Python"),
        ("{{ x['__cla' ~ 'ss__'] }}{{ ''|attr('_' * 2) }}", "attr"),
        ("{% macro a() %}{{ a.__globals__ }}{% endmacro %}", "reaches into Python"),
        ("{% from 'x' import y %}", "reads other files"),
        ("{{ cycler.__init__.__globals__.os.popen('id') }}", "reaches into Python"),
        ("{{ 'a' * 1000000 }}", "grow without bound"),
        ("{{ '{:1000000000}'.format(1) }}", "width that may be huge"),
        ("{{ '%*d' % (n, 1) }}", "width that may be huge"),
        ("{% for i in range(999999) %}{% endfor %}", "counts further"),
        ("{% if a %}" * 70 + "{% endif %}" * 70, "nested more than"),
        ("{{ " + "[" * 3000, "not readable"),
        ("x" * (300 << 10), "larger than 256 KiB"),
        ("{{ 1e999 }}", "counts further"),
    ],
)
def test_what_no_template_needs_is_refused(text, words):
    with pytest.raises(CheckpointError, match=words) as caught:
        check_template(text, Path("model/chat_template.jinja"))
    assert str(caught.value).startswith("model/chat_template.jinja: ")


def test_a_refused_template_would_have_worked():
    """The sandbox alone does not refuse everything that is refused here."""
    text = "{{ '%1000d' % 1 }}"
    assert len(SandboxedEnvironment().from_string(text).render()) == 1000
    with pytest.raises(CheckpointError):
        check_template(text, Path("a"))
