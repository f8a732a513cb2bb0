from __future__ import annotations

import math
import pickle
import re

import pytest
from jinja2 import Environment
from stillroom.errors import ConfigError, DataError
from stillroom.record_template import RecordTemplate


@pytest.mark.parametrize(
    ("template", "record", "text"),
    [
        ("{{ a }}: {{ b }}", {"a": "x", "b": 0}, "x: 0"),
        ("{{ a }}\n", {"a": "<b> & {{ c }}"}, "<b> & {{ c }}\n"),
        ("{% for t in a %}{{ t }},{% endfor %}", {"a": [1, 2]}, "1,2,"),
        ("{{ a or 'none' }}{{ b is defined }}", {"a": None}, "noneFalse"),
    ],
)
def test_a_template_is_filled_with_the_columns(template, record, text):
    assert RecordTemplate(template).render(record) == text


@pytest.mark.parametrize(
    "template",
    [
        "a {{ x }} b\n", "{{x}}{{ y }}", "{{ self }}", "{{ true }}", "{% if x %}a{% endif %}", "",
        "{{ x|upper }}", "plain\r\n{{ x }}\r", "{# c #}{{ x }}", "{% raw %}{{ x }}{% endraw %}",
        "{{ x }} \n {{- y }}", "{% set x = 'q' %}{{ x }}", "{{ 'a' }}", "{{ x, y }}", "{{ range }}",
        "{{ loop }}", "{% block x %}{{ y }}{% endblock %}{{ x }}", "{{ x }}{{ n }}",
    ],
)  # fmt: skip
def test_a_template_is_filled_as_jinja_fills_it(template):
    record = {"x": "<X> ", "y": "Y", "n": 1.0, "self": "s", "true": "t", "range": "r", "loop": "l"}
    jinja = Environment(keep_trailing_newline=True).from_string(template)
    text = RecordTemplate(template).render(record)
    assert re.sub(r"0x\w+", "", text) == re.sub(r"0x\w+", "", jinja.render(record))


@pytest.mark.parametrize(
    ("template", "record", "told"),
    [
        ("{{ a }}{{ b }}", {"a": 1}, "undefined template variable: 'b' is undefined"),
        ("{{ a.b }}", {"a": {}}, "undefined template variable"),
        ("{{ a }}", {"a": None}, "variable is null"),
        ("{{ a }}", {"a": math.nan}, "is NaN"),
        ("{{ a + 1 }}", {"a": "x"}, "cannot be filled"),
        ("{{ a.__class__.__mro__ }}", {"a": 1}, "template variable|cannot be filled"),
    ],
)
def test_nothing_missing_becomes_an_empty_text(template, record, told):
    with pytest.raises(DataError, match=told):
        RecordTemplate(template).render(record)


def test_a_template_is_sent_to_other_processes():
    template = pickle.loads(pickle.dumps(RecordTemplate("{{ a|upper }}")))
    assert (template.render({"a": "x"}), template.variables) == ("X", {"a"})


def test_a_mistake_in_a_template_is_told_by_its_line():
    with pytest.raises(ConfigError, match="line 2"):
        RecordTemplate("x\n{{ a ")
