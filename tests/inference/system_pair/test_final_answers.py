"""The answer at the end of a chain of thought."""

import pytest
from stillroom.inference.system_pair.final_answers import final_answer, same_answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{\frac{1}{2}}.", r"\frac{1}{2}"),  # the peer cuts at the first brace
        (r"\boxed{1} no, \boxed{2}", "2"),
        (r"\boxed{open", r"\boxed{open"),
        ("a\n#### 42\nand more text 7", "42"),  # the peer swallows the lines after it
        ("#### 1\n#### 2", "2"),
        ("I think the answer is -5.", "-5"),  # the peer drops the sign
        ("The answer is 3.14. Or so.", "3.14"),
        ("The final answer is: yes.", "yes"),
        ("That makes 3 apples and 1,200 pears, not", "1,200"),
        ("7-5 is what", "5"),
        ("temperature fell to -12", "-12"),
        ("First line\nParis", "Paris"),
        ("  \n", ""),
        ("", ""),
    ],
)
def test_the_answer_is_found(text, answer):
    assert final_answer(text) == answer


@pytest.mark.parametrize(
    ("first", "second", "same"),
    [
        ("72", "72.0", True),
        ("$1,200", "1200", True),
        ("50%", "0.5", True),
        ("1/2", "0.5", True),
        ("5", "-5", False),
        ("5", "five", False),
        ("Yes", "yes.", True),
        ("Paris", "London", False),
        ("", "", False),
        ("1/0", "1/0", True),
        ("\u22125", "-5", True),
        ("1e3", "1000", True),
        ("1e99999999999", "5", False),  # as a fraction it would have as many digits
        ("1e-9_999_999_999", "0", False),
    ],
)
def test_answers_are_compared_by_what_they_mean(first, second, same):
    assert same_answer(first, second) is same
    assert same_answer(second, first) is same
