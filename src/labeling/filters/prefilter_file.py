"""Read the prefilter of a package: rules in `prefilter.yaml`, code in `prefilter.py`, or keywords.

version: "1.0"
min_content_length: 300
exclusions:                  # category: patterns that block
  vaporware: ["concept study", "could one day"]
category_overrides:          # category: patterns that keep an article all the same
  vaporware: ["in operation since"]
required:                    # category: patterns of which one must match
  off_topic: ["solar|wind|battery"]
required_languages: [en]
"""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from ...config import as_settings, read_written_text, read_written_yaml
from ...errors import ConfigError, did_you_mean
from .patterns import compile_pattern
from .prefilter import BasePreFilter

RULES_FILE: Final = "prefilter.yaml"
CODE_FILE: Final = "prefilter.py"
_TEXTS: Final = {"version": "VERSION"}
_NUMBERS: Final = {
    "min_content_length": "MIN_CONTENT_LENGTH",
    "max_prefilter_content": "MAX_PREFILTER_CONTENT",
    "positive_threshold": "POSITIVE_THRESHOLD",
}
_LISTS: Final = {
    "override_keywords": "OVERRIDE_KEYWORDS",
    "positive_patterns": "POSITIVE_PATTERNS",
    "required_languages": "REQUIRED_LANGUAGES",
}
_CATEGORIES: Final = {
    "exclusions": "EXCLUSION_PATTERNS",
    "category_overrides": "CATEGORY_OVERRIDES",
    "domain_exclusions": "DOMAIN_EXCLUSIONS",
    "required": "REQUIRED_PATTERNS",
}
_KNOWN: Final = {**_TEXTS, **_NUMBERS, **_LISTS, **_CATEGORIES}
_NO_PATTERNS: Final = ("required_languages", "domain_exclusions")


def read_prefilter(
    folder: str | Path, settings: Mapping[str, Any], *, allow_code: bool = False
) -> tuple[BasePreFilter | None, list[str]]:
    """Read the prefilter of a package.

    Args:
        folder: The package.
        settings: The part `prefilter` of its config; its keywords are the rules where the package
            has no file of its own.
        allow_code: Whether `prefilter.py` may be run. Without, it is only parsed.

    Returns:
        The prefilter, and the faults, each with file and key. It is None where there are faults,
        where the config disables it, and where there is code that may not be run.
    """
    rules, code = Path(folder) / RULES_FILE, Path(folder) / CODE_FILE
    if rules.is_file() and code.is_file():
        return None, [f"{RULES_FILE}: stands beside {CODE_FILE}; delete one of the two"]
    if rules.is_file():
        made, faults = _from_rules(rules)
    elif code.is_file():
        made, faults = _from_code(code, allow_code=allow_code)
    else:
        made, faults = _from_keywords(settings)
    return (None if faults or settings.get("enabled") is False else made), faults


def _from_rules(path: Path) -> tuple[BasePreFilter | None, list[str]]:
    try:
        given = as_settings(read_written_yaml(path), path)
    except ConfigError as fault:
        return None, [one.replace(f"{path}", RULES_FILE, 1) for one in fault.faults]
    faults: list[str] = []
    attributes: dict[str, Any] = {}
    for key, value in given.items():
        if key not in _KNOWN:
            faults.append(f"{key} is no known key; {did_you_mean(key, _KNOWN)}")
            continue
        wrong = _value_faults(key, value)
        faults += wrong
        if not wrong:
            attributes[_KNOWN[key]] = value
    for category in given.get("category_overrides") or ():
        if category not in (given.get("exclusions") or ()):
            faults.append(f"category_overrides.{category} overrides no exclusion of that name")
    if faults:
        return None, [f"{RULES_FILE}: {one}" for one in faults]
    return type("RulePreFilter", (BasePreFilter,), attributes)(), []


def _value_faults(key: str, value: Any) -> list[str]:  # noqa: ANN401 - any YAML value
    if key in _TEXTS:
        fine = isinstance(value, str) and bool(value.strip())
        return [] if fine else [f"{key} is {value!r}; allowed is a text such as '1.0'"]
    if key in _NUMBERS:
        fine = isinstance(value, int) and not isinstance(value, bool) and value >= 0
        return [] if fine else [f"{key} is {value!r}; allowed is a whole number from 0 on"]
    if key in _LISTS:
        return _list_faults(key, value, patterns=key not in _NO_PATTERNS)
    if not isinstance(value, Mapping):
        return [f"{key} is {value!r}; allowed is an object of categories"]
    return [
        fault
        for category, ones in value.items()
        for fault in _list_faults(f"{key}.{category}", ones, patterns=key not in _NO_PATTERNS)
    ]


def _list_faults(key: str, value: Any, *, patterns: bool) -> list[str]:  # noqa: ANN401
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        return [f"{key} is {value!r}; allowed is a list of texts that are not empty"]
    faults = []
    for one in value if patterns else ():
        try:
            compiled = compile_pattern(one)
        except re.error as fault:
            faults.append(f"{key} has {one!r}, which is no regular expression ({fault})")
            continue
        if compiled.search("") is not None:
            faults.append(f"{key} has {one!r}, which matches every article")
    return faults


def _from_keywords(settings: Mapping[str, Any]) -> tuple[BasePreFilter, list[str]]:
    """Make rules of the keywords in the config, which are words and not patterns."""

    def words(name: str) -> list[str]:
        return [rf"(?<!\w){re.escape(one)}(?!\w)" for one in settings.get(name, ())]

    blocked = words("block_keywords")
    attributes = {
        "EXCLUSION_PATTERNS": {"keyword": blocked} if blocked else {},
        "OVERRIDE_KEYWORDS": words("pass_keywords"),
    }
    return type("KeywordPreFilter", (BasePreFilter,), attributes)(), []


def _from_code(path: Path, *, allow_code: bool) -> tuple[BasePreFilter | None, list[str]]:
    try:
        tree = ast.parse(read_written_text(path))
    except (SyntaxError, ValueError, RecursionError) as fault:
        line = getattr(fault, "lineno", None)
        where = "" if line is None else f", line {line}"
        return None, [f"{CODE_FILE}{where}: is no Python ({getattr(fault, 'msg', fault)})"]
    except ConfigError as fault:
        return None, [one.replace(f"{path}", CODE_FILE, 1) for one in fault.faults]
    written = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.bases]
    if not written:
        return None, [f"{CODE_FILE}: defines no subclass of BasePreFilter"]
    if not allow_code:
        return None, []
    return _run_code(path)


def _run_code(path: Path) -> tuple[BasePreFilter | None, list[str]]:
    name = "stillroom_prefilter_" + re.sub(r"\W", "_", str(path.resolve()))
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
        found = [
            one for one in vars(module).values()
            if isinstance(one, type) and issubclass(one, BasePreFilter)
            and one.__module__ == name
        ]  # fmt: skip
        if len(found) != 1:
            names = [one.__name__ for one in found]
            return None, [f"{CODE_FILE}: defines {len(found)} subclasses of BasePreFilter "
                          f"{names}; exactly one is needed"]  # fmt: skip
        return found[0](), []
    except Exception as fault:  # noqa: BLE001 - code of the user, which may raise anything
        return None, [f"{CODE_FILE}: failed with {type(fault).__name__}: {fault}"]
    finally:
        sys.modules.pop(name, None)
