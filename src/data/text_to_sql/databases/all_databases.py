"""All databases by name: those to train on, and those that are held out for measuring."""

from typing import Final

from ....errors import ConfigError
from ..database import Database
from .held_out import HARBOUR, MUSEUM
from .leisure import FILM, FOOTBALL, LIBRARY, MUSIC
from .services import AIRLINE, HOSPITAL, RESTAURANT, UNIVERSITY
from .trade import FARM, OFFICE, SHOP

TRAINING: Final = {
    one.name: one
    for one in (
        MUSIC, FILM, LIBRARY, FOOTBALL, HOSPITAL, UNIVERSITY, AIRLINE, RESTAURANT, SHOP, FARM,
        OFFICE,
    )
}  # fmt: skip
"""Databases whose questions models may be trained on."""
HELD_OUT: Final = {one.name: one for one in (MUSEUM, HARBOUR)}
"""Databases that no model is trained on."""
DATABASES: Final = {**TRAINING, **HELD_OUT}


def database_of(name: str) -> Database:
    """Return the database of a name.

    Raises:
        ConfigError: There is none.
    """
    if name not in DATABASES:
        raise ConfigError([f"database is {name!r}; there are {sorted(DATABASES)}"])
    return DATABASES[name]
