"""Test that answers in the form of pydantic models validate with any weights.

This is a part of `structured_output.py`. It uses twenty models written by hand and any number of
generated ones: nested, recursive, with unions, discriminated unions, constrained numbers and texts,
dates, decimals, maps, sets and tuples. Each is requested as an answer and as the arguments of a
tool. An answer is valid if pydantic makes an object of it, once through the chat model and once
from its JSON text.
"""

from __future__ import annotations

import datetime
import decimal
import random
import sys
import uuid
from collections import Counter
from enum import Enum
from typing import Annotated, Any, Literal, NamedTuple, Union

from pydantic import (
    AnyUrl,
    BaseModel,
    ConfigDict,
    Field,
    HttpUrl,
    NonNegativeInt,
    RootModel,
    StringConstraints,
    create_model,
)


class Colour(Enum):
    red = "red"
    quoted = 'a "b"'
    wide = "größe\n"


class Tree(BaseModel):
    value: bool
    children: list[Tree] = Field(default_factory=list, max_length=2)


class Chain(BaseModel):
    name: str = Field(max_length=5)
    after: Chain | None = None


class Even(BaseModel):
    odd: Odd | None


class Odd(BaseModel):
    even: Even | None


class Number(BaseModel):
    kind: Literal["number"]
    value: int = Field(ge=0, le=99)


class Sum(BaseModel):
    left: Term
    right: Term
    kind: Literal["sum"]


class Negation(BaseModel):
    kind: Literal["negation"]
    inner: Term


Term = Annotated[Number | Sum | Negation, Field(discriminator="kind")]


class Expression(BaseModel):
    """A recursive union of which one field tells the kind."""

    term: Term


class Cat(BaseModel):
    model_config = ConfigDict(extra="forbid")
    lives: int = Field(ge=1, le=9)


class Dog(BaseModel):
    breed: str = Field(min_length=1, max_length=6)
    owner: Annotated[str, StringConstraints(pattern=r"^[A-Z][a-z]{1,5}$")] | None = None


class Pet(RootModel[Cat | Dog]):
    """A union at the top."""


class Points(RootModel[list[tuple[float, float]]]):
    """A list at the top."""

    root: list[tuple[float, float]] = Field(max_length=3)


class Bounds(BaseModel):
    low: float = Field(gt=-1.5, lt=2.25)
    step: float = Field(multiple_of=0.25, ge=0, le=10)
    share: float = Field(multiple_of=0.01, ge=0, le=1)
    count: int = Field(multiple_of=7, gt=0, lt=1000)
    size: NonNegativeInt


class Price(BaseModel):
    amount: decimal.Decimal = Field(max_digits=6, decimal_places=2, ge=0)
    free: decimal.Decimal
    rounded: Annotated[decimal.Decimal, Field(decimal_places=0)]


class Event(BaseModel):
    day: datetime.date
    at: datetime.datetime
    clock: datetime.time
    lasts: datetime.timedelta
    id: uuid.UUID
    token: uuid.UUID = Field(json_schema_extra={"format": "uuid4"})


class Maps(BaseModel):
    by_name: dict[str, int] = Field(max_length=2)
    by_number: dict[int, bool] = Field(max_length=2)
    by_colour: dict[Colour, int]
    by_kind: dict[Literal["a", "b"], bool]
    by_day: dict[datetime.date, Literal[1]] = Field(max_length=1)
    by_code: dict[Annotated[str, StringConstraints(pattern="^[a-c]{2}$")], int] = Field(
        max_length=2
    )
    least: dict[str, bool] = Field(min_length=1, max_length=2)


class Sets(BaseModel):
    colours: set[Colour] = Field(min_length=1)
    flags: frozenset[bool]
    dice: set[Annotated[int, Field(ge=1, le=4)]] = Field(max_length=3)
    words: set[Annotated[str, StringConstraints(min_length=3, max_length=9)]] = Field(max_length=2)


class Pair(NamedTuple):
    first: int
    second: Literal["x", "y"]


class Tuples(BaseModel):
    pair: Pair
    three: tuple[bool, int, None]
    many: tuple[Annotated[int, Field(ge=0)], ...] = Field(max_length=3)


class Aliased(BaseModel):
    model_config = ConfigDict(populate_by_name=True, title="A title with blanks")
    number: int = Field(alias="the number", ge=0)
    ref: bool = Field(alias="$ref")
    quoted: Literal['"', "\\", "日本"] = Field(alias='a"b')


class Links(BaseModel):
    page: HttpUrl
    any_page: AnyUrl
    raw: bytes = Field(max_length=0)


class Optionals(BaseModel):
    a: int | None = None
    b: int | Literal["x"] | None
    c: list[int | None] | None = Field(default=None, max_length=2)
    d: Annotated[int, Field(gt=3)] | Annotated[str, Field(max_length=2)] = 4


class Empty(BaseModel):
    """Nothing to say."""


class Deep(BaseModel):
    """Models three deep, each used twice."""

    one: Bounds
    two: list[Optionals] = Field(min_length=1, max_length=2)
    pets: dict[str, Pet] = Field(max_length=1)


class Patterns(BaseModel):
    code: str = Field(pattern=r"^\d{3}-[A-Z]{2}$")
    word: str = Field(pattern=r"^(foo|bar)+$", max_length=9)
    open_end: str = Field(pattern="^a", max_length=6)
    anything: Any = None


for _model in (Tree, Chain, Even, Odd, Sum, Negation, Expression):
    _model.model_rebuild()

HAND_WRITTEN: tuple[type[BaseModel], ...] = (
    Tree, Chain, Even, Expression, Cat, Dog, Pet, Points, Bounds, Price, Event, Maps, Sets, Tuples,
    Aliased, Links, Optionals, Empty, Deep, Patterns, Sum,
)  # fmt: skip


def random_model(chance: random.Random, name: str, depth: int = 2) -> type[BaseModel]:
    """Make a pydantic model of fields at random; one in five refers to itself."""
    fields: dict[str, Any] = {}
    for number in range(chance.randint(1, 4)):
        hint = random_type(chance, f"{name}_{number}", depth)
        optional = chance.random() < 0.3
        fields[f"f{number}"] = (Union[hint, None], None) if optional else (hint, ...)  # noqa: UP007
    if chance.random() < 0.2:
        kind = chance.choice([f"{name} | None", f"list[{name}]"])
        limit = {"max_length": 2} if kind.startswith("list") else {}
        default = None if kind.endswith("None") else ...
        fields["again"] = (kind, Field(default, **limit))
    config = ConfigDict(extra=chance.choice(["forbid", "ignore"]))
    model: type[BaseModel] = create_model(name, __config__=config, **fields)
    model.model_rebuild(_types_namespace={name: model})
    return model


def random_type(chance: random.Random, name: str, depth: int) -> Any:  # noqa: ANN401
    low = chance.randint(-50, 50)
    leaves: list[Any] = [
        bool,
        None,
        Annotated[int, Field(ge=low, le=low + chance.randint(0, 300))],
        Annotated[float, Field(gt=low / 4, lt=low / 4 + 3)],
        Annotated[float, Field(multiple_of=chance.choice([0.1, 0.5, 0.01]), ge=0, le=50)],
        Annotated[str, Field(min_length=chance.randint(0, 2), max_length=chance.randint(2, 8))],
        Annotated[str, Field(pattern=chance.choice([r"^\d{2,4}$", "^[a-f]+-$", r"^\w\S$"]))],
        Annotated[decimal.Decimal, Field(max_digits=5, decimal_places=chance.randint(0, 3))],
        Literal[1, "one", None, True],
        Colour,
        datetime.date,
        datetime.datetime,
        uuid.UUID,
        HttpUrl,
    ]
    if depth == 0 or chance.random() < 0.5:
        return chance.choice(leaves)
    inner = random_type(chance, name, depth - 1)
    most = Field(max_length=chance.randint(1, 3))
    kind = chance.randint(0, 6)
    if kind == 0:
        return Annotated[list[inner], most]
    if kind == 1:
        return Annotated[dict[chance.choice([str, int, Colour]), inner], Field(max_length=3)]
    if kind == 2:
        return tuple[inner, random_type(chance, name, 0)]
    if kind == 3:
        return Annotated[set[chance.choice([bool, Colour, datetime.date])], most]
    if kind == 4:
        return Union[inner, random_type(chance, name, 0)]  # noqa: UP007
    if kind == 5:
        return random_model(chance, f"{name}m", depth - 1)
    return discriminated(chance, name, depth)


def discriminated(chance: random.Random, name: str, depth: int) -> Any:  # noqa: ANN401
    """Make a union of models that a field tells apart."""
    models = []
    for number, kind in enumerate(chance.sample(["cat", "dog", "日本"], 2)):
        value = random_type(chance, f"{name}k{number}", depth - 1)
        told = {"kind": (Literal[kind], ...), "value": (value, ...)}
        models.append(create_model(f"{name}_{number}", **told))  # type: ignore[call-overload]
    return Annotated[Union[tuple(models)], Field(discriminator="kind")]  # noqa: UP007


def models_of(count: int, seed: int) -> list[type[BaseModel]]:
    """Give those written by hand, and others up to a count."""
    made = [
        random_model(random.Random(f"{seed} {number}"), f"M{number}")
        for number in range(max(0, count - len(HAND_WRITTEN)))
    ]
    return [*HAND_WRITTEN, *made][:count]


def ask_models(count: int, seed: int, answers: int = 4, max_tokens: int = 300) -> dict[str, Any]:
    """Ask for each model some times; count what came of it."""
    from stillroom.errors import AnswerMismatchError, ConfigError, TruncatedAnswerError
    from stillroom.inference.chat.chat_model import ChatStudent
    from structured_output import make_student

    counts: Counter[str] = Counter()
    faults: list[object] = []
    chat = ChatStudent(model=make_student(seed), temperature=1.0, max_tokens=max_tokens)
    for number, model in enumerate(models_of(count, seed)):
        for turn in range(answers):
            by_tool = turn % 2 == 1 and not issubclass(model, Points)
            method = "function_calling" if by_tool else "json_schema"
            asked = chat.with_structured_output(model, method=method)
            try:
                made = asked.invoke("gold", seed=seed + 10 * number + turn)
                model.model_validate_json(made.model_dump_json(by_alias=True))
                kind = "valid" if type(made) is model else "wrong"
            except TruncatedAnswerError:
                kind = "cut"
            except ConfigError as fault:
                kind = "refused"
                faults.append((model.__name__, kind, str(fault)[:300]))
            except AnswerMismatchError as fault:
                kind = "unfit"
                print(model.__name__, str(fault)[:200], file=sys.stderr)
            except Exception as fault:  # noqa: BLE001 - whatever else happens is looked for
                kind = "wrong"
                faults.append((model.__name__, kind, repr(fault)[:400]))
            counts[kind] += 1
    chat.serving_engine.close()
    print(f"{count} models: {dict(counts)}", file=sys.stderr, flush=True)
    return {"counts": dict(counts), "faults": faults}
