"""Convert plans to and from plain data, for YAML files that people read and edit.

Columns and forms (the classes in `language`) are written by name:

    cells:
      rows: {top: {rows: all, column: price, highest: false}}
      column: dish

The fields of each form are taken from its dataclass, so that they are defined once.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from typing import Any, Final, Literal, get_args, get_origin, get_type_hints

from ...errors import DataError, did_you_mean
from ..table.typed_table import TypedTable
from ..table.values import Day, fold
from . import language
from .language import All, Plan, Rows, Where

DEEPEST: Final = 6
"""Deepest nesting of forms that is read."""
_COLUMNS: Final = ("column", "by", "start", "end")
"""Fields that hold the number of a column."""
_TEXTS: Final = ("is", "not", "has", "lacks")
_BARE: Final = ("filled", "empty")


def _name(form: type) -> str:
    return re.sub(r"(?<!^)(?=[A-Z])", "_", form.__name__).lower()


_PLANS: Final[dict[str, type]] = {_name(form): form for form in get_args(Plan)}
_ROWS: Final[dict[str, type]] = {_name(form): form for form in get_args(Rows)}


def plan_to_data(plan: Plan, table: TypedTable) -> dict[str, Any]:
    """Convert a plan to mappings, lists, texts, numbers and booleans.

    >>> from .language import Cells
    >>> from ..table.typed_table import typed_table
    >>> table = typed_table([{"dish": "Soup", "price": "5"}])
    >>> plan_to_data(Cells(Where(0, "is", "soup"), 1), table)
    {'cells': {'rows': {'where': {'column': 'dish', 'operator': 'is', 'value': 'soup'}}, 'column': 'price'}}
    """  # noqa: E501
    written: dict[str, Any] = _write(plan, table)
    return written


def _write(form: Any, table: TypedTable) -> Any:  # noqa: ANN401 - any form of the language
    if isinstance(form, All):
        return "all"
    if isinstance(form, Where) and form.operator in _BARE:
        parts: dict[str, Any] = {"column": form.column, "operator": form.operator}
    else:
        parts = {field.name: getattr(form, field.name) for field in dataclasses.fields(form)}
    told = {}
    for name, part in parts.items():
        if name in _COLUMNS and part is not None:
            told[name] = table.columns[part].name
        elif isinstance(part, tuple):
            told[name] = [_write(one, table)["where"] for one in part]
        elif isinstance(part, Day):
            told[name] = {key: value for key, value in vars(part).items() if value}
        else:
            told[name] = _write(part, table) if dataclasses.is_dataclass(part) else part
    return {_name(type(form)): told}


def plan_from_data(data: Any, table: TypedTable) -> Plan:  # noqa: ANN401 - what a file holds
    """Convert plain data to a plan; numbers and booleans may be given as texts.

    Raises:
        DataError: The data is not a plan over this table; the message names the faulty part.
    """
    plan: Plan = _read(data, _PLANS, table, "plan", 0)
    return plan


def _read(data: Any, forms: Mapping[str, type], table: TypedTable, place: str, depth: int) -> Any:  # noqa: ANN401
    if depth > DEEPEST:
        raise DataError(f"{place} is nested more than {DEEPEST} deep; write it with fewer forms")
    if data == "all" and "all" in forms:
        return All()
    if not isinstance(data, Mapping) or len(data) != 1:
        raise DataError(f"{place} is {_shown(data)}; write one of {', '.join(forms)}, with its parts below it")  # noqa: E501  # fmt: skip
    [(name, parts)] = data.items()
    if name not in forms:
        raise DataError(f"{place} has no form {name!r}; {did_you_mean(name, forms, what='form')}")
    return _read_form(parts, forms[name], table, f"{place}.{name}", depth)


def _read_form(parts: Any, form: type, table: TypedTable, place: str, depth: int) -> Any:  # noqa: ANN401
    fields = {field.name: field for field in dataclasses.fields(form)}
    if not isinstance(parts, Mapping):
        raise DataError(f"{place} is {_shown(parts)}; give {', '.join(fields)}")
    for name in parts:
        if name not in fields:
            raise DataError(f"{place} has no part {name!r}; {did_you_mean(name, fields, what='part')}")  # noqa: E501  # fmt: skip
    hints = get_type_hints(form, vars(language))
    read: dict[str, Any] = {}
    for name, field in fields.items():
        if name in parts:
            inside = f"{place}.{name}"
            if form is Where and name == "value":
                read[name] = _value(parts[name], read.get("operator"), inside)
            else:
                read[name] = _part(parts[name], name, hints[name], table, inside, depth)
        elif field.default is dataclasses.MISSING:
            if name == "column" and type(None) in get_args(hints[name]):
                read[name] = None
                continue
            raise DataError(f"{place} lacks {name}; add it")
    if form is Where and "value" not in read and read["operator"] not in _BARE:
        raise DataError(f"{place} lacks value, which the operator {read['operator']!r} needs")
    return form(**read)


def _part(data: Any, name: str, hint: Any, table: TypedTable, place: str, depth: int) -> Any:  # noqa: ANN401
    kinds = get_args(hint)
    if name in _COLUMNS:
        if type(None) in kinds and data in (None, "", "null"):
            return None
        if not isinstance(data, str) or data not in table.numbered:
            near = did_you_mean(data, list(table.numbered), what="column")
            raise DataError(f"{place} names the column {_shown(data)}, which the table does not have; {near}")  # noqa: E501  # fmt: skip
        return table.numbered[data]
    if hint is bool:
        found = {"true": True, "false": False}.get(str(data).lower())
        if found is None:
            raise DataError(f"{place} is {_shown(data)}; write true or false")
        return found
    if hint is int:
        return _whole(data, place)
    if get_origin(hint) is Literal:
        if data not in kinds:
            raise DataError(f"{place} is {_shown(data)}; write one of {', '.join(map(str, kinds))}")
        return data
    if get_origin(hint) is tuple:
        if not isinstance(data, list) or len(data) < 2:
            raise DataError(f"{place} is {_shown(data)}; write a list of two or more conditions")
        return tuple(_read_form(one, Where, table, f"{place}[{n}]", depth + 1)
                     for n, one in enumerate(data, 1))  # fmt: skip
    return _read(data, _ROWS, table, place, depth + 1)


def _value(data: Any, operator: str | None, place: str) -> str | float | Day:  # noqa: ANN401
    if operator in _BARE:
        raise DataError(f"{place} is {_shown(data)}; the operator {operator!r} takes no value")
    if operator in _TEXTS:
        if isinstance(data, str) and fold(data):
            return fold(data)
        raise DataError(f"{place} is {_shown(data)}; write the text to compare with")
    if isinstance(data, Mapping):
        parts = {name: _whole(part, f"{place}.{name}") for name, part in data.items()
                 if name in ("year", "month", "day")}  # fmt: skip
        if not parts or len(parts) < len(data):
            raise DataError(f"{place} is {_shown(data)}; a date is written as year, month, day")
        return Day(**{"year": 0, **parts})
    try:
        number = float(data)
    except (TypeError, ValueError):
        number = float("nan")
    if not abs(number) < float("inf"):
        raise DataError(f"{place} is {_shown(data)}; write a number, or a date as year, month, day")
    return number


def _whole(data: Any, place: str) -> int:  # noqa: ANN401
    try:
        return int(data)
    except (TypeError, ValueError) as fault:
        raise DataError(f"{place} is {_shown(data)}; write a whole number") from fault


def _shown(data: Any) -> str:  # noqa: ANN401
    kind = {dict: "a mapping", list: "a list", type(None): "empty"}.get(type(data))
    return kind or repr(data)[:60]
