"""Words beside names are those of the practice questions, not what fills their holes."""

import pytest
from stillroom.understanding.practice.beside_names import beside_names
from stillroom.understanding.table.values import stem


@pytest.mark.parametrize(
    ("word", "before", "after"),
    [
        ("run", True, True),
        ("work", False, True),
        ("speak", False, True),
        ("steht", True, False),
        ("new", False, True),
        ("ore", False, False),
        ("chloride", False, False),
        ("greater", False, False),
        ("city", False, False),
        ("k", False, False),
    ],
)
def test_a_word_is_beside_names_where_people_put_it(word, before, after):
    found = beside_names()
    assert (stem(word) in found.before, stem(word) in found.after) == (before, after)


def test_names_are_joined_by_words_of_both_languages():
    assert {"and", "or", "und", "oder"} <= beside_names().between
    assert not {"of", "vor", "nach", "behind"} & beside_names().between
