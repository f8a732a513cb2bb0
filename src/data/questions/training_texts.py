"""Training texts: a text column, or the prompt of a question joined with its answer."""

from __future__ import annotations

from collections.abc import Iterable

from ...prompts import joint, render
from ..readers.nulls import NullPolicy, fill_nulls
from ..readers.read_report import ReadReport
from ..readers.read_table import SourcedRecord


def texts_of_records(
    records: Iterable[SourcedRecord],
    body: list[str],
    label: str | None,
    context: str | None,
    null: NullPolicy,
    report: ReadReport,
) -> list[dict[str, str]]:
    """Make training texts.

    Args:
        records: Records with the columns below.
        body: The text column, or the columns of question and answer.
        label: Column of labels; None for none.
        context: Column of contexts for the prompt; None for none.
        null: Policy for body and label; a null context is left out of the prompt.
        report: Counts dropped records.

    Returns:
        Dictionaries with `text` and, if it is named, `label`.

    Raises:
        DataError: A cell is null and the policy is "error".
    """
    columns = [name for name in (*body, label, context) if name is not None]
    optional = int(context is not None)
    texts: list[dict[str, str]] = []
    for path, row, record in records:
        values = [record.get(name) for name in columns]
        cells = fill_nulls(values, columns, null, report, optional=optional, path=path, row=row)
        if cells is None:
            continue
        if len(body) == 1:
            text = cells[0]
        else:
            text = training_text(cells[0], cells[1], context=cells[-1] if optional else None)
        texts.append({"text": text} | ({} if label is None else {"label": cells[len(body)]}))
    return texts


def training_text(question: str, answer: str, *, context: str | None = None) -> str:
    r"""Join question and answer as in training and serving.

    >>> training_text("Q", "A")
    'Question: Q\n\nAnswer: A'
    """
    return render("s2-qa", question, context=context) + joint("s2-qa") + answer
