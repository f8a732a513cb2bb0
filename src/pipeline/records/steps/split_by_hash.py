"""The part of each record, train, val or test, by the hash of its id."""

from __future__ import annotations

from ....data.identity.hash_split import split_key, split_part
from ..step import Record, RowStep


class SplitByHash(RowStep):
    """Adds the part of a record; it follows from the id alone, so it never changes.

    With few records a part may be empty; steps that write training files then move one over.

    >>> records = [{"sample_id": "a"}, {"sample_id": "b"}]
    >>> [record["split"] for record in next(SplitByHash(train_ratio=0.5).process(records))]
    ['val', 'train']
    """

    train_ratio: float = 0.9
    """Share of the training part; at most 0: nothing, at least 1: everything."""
    val_ratio: float | None = None
    """Share of the validation part, the rest is "test"; None: all that is not "train"."""
    id_field: str = "sample_id"
    """Field of the id; a record without one goes by its whole content."""
    output_field: str = "split"

    def __post_init__(self) -> None:
        """Check the shares."""
        super().__post_init__()
        split_part("", self.train_ratio, self.val_ratio)

    @property
    def outputs(self) -> list[str]:
        """The part."""
        return [self.output_field]

    def apply(self, record: Record) -> Record:
        """Add the part of a record.

        Raises:
            IdentityError: The record has no id, and its values are no JSON.
        """
        content = {name: value for name, value in record.items() if name != self.output_field}
        part = split_part(split_key(content, self.id_field), self.train_ratio, self.val_ratio)
        return {**record, self.output_field: part}
