"""Steps that the tests of the pipeline are made of."""

import json
import sqlite3
import time

from stillroom.pipeline.records.step import (
    GeneratorStep,
    GlobalStep,
    Loss,
    ObserverStep,
    OrderedStep,
    Rejected,
    RowStep,
    Step,
    StepOutput,
)


class Numbers(GeneratorStep):
    """Counts from 0; `twin` repeats with the period `period`."""

    count: int = 10
    period: int = 7

    def process(self, offset=0):
        rows = [{"n": n, "twin": n % self.period, "text": f"row {n}"} for n in range(self.count)]
        rows = rows[offset:]
        for start in range(0, len(rows), self.batch_size):
            yield rows[start : start + self.batch_size], False
        yield [], True


class Times(RowStep):
    factor: int = 2

    def apply(self, record):
        return {**record, "times": record["n"] * self.factor}


class OddOnes(RowStep):
    def apply(self, record):
        return record if record["n"] % 2 else Rejected("even")


class Slow(RowStep):
    """Writes down each row that it works on; sleeps before."""

    log: str = ""
    sleep_s: float = 0.0
    is_costly = True
    unhashed = RowStep.unhashed | {"log", "sleep_s"}

    def apply(self, record):
        time.sleep(self.sleep_s)
        with open(self.log, "a") as lines:
            lines.write(f"{record['n']}\n")
        return {**record, "slow": record["n"] + 1}


class Poison(Step):
    """Fails on a batch in which `n` is among `bad`."""

    bad: list[int]

    def process(self, *inputs):
        (records,) = inputs
        if any(record["n"] in self.bad for record in records):
            raise ValueError("poison")
        yield [{**record, "fine": True} for record in records]


class Twice(Step):
    """Makes two rows of each."""

    def process(self, *inputs):
        (records,) = inputs
        yield [{**record, "copy": copy} for record in records for copy in (0, 1)]


class First(OrderedStep):
    """Keeps the first row of each `twin`; its state lies in a file."""

    def open(self, folder, run_id):
        self._state = sqlite3.connect(folder / "seen.sqlite", isolation_level=None)
        self._state.execute("pragma synchronous = off")
        self._state.execute("create table if not exists seen (twin unique, place)")

    def close(self):
        self._state.close()

    def process(self, *inputs):
        raise NotImplementedError

    def run_from(self, first_place, rows):
        output = StepOutput()
        for place, row in enumerate(rows):
            self._state.execute(
                "insert or ignore into seen values (?, ?)", (row["twin"], first_place + place)
            )
            ((owner,),) = self._state.execute(
                "select place from seen where twin = ?", (row["twin"],)
            )
            if owner == first_place + place:
                output.records.append(row)
                output.parents.append((place,))
            else:
                output.rejected.append(Loss(place, "duplicate", row))
        return output


class Total(ObserverStep):
    """Writes the number of rows and the sum of `n`."""

    def start(self, context):
        self._context, self._count, self._sum = context, 0, 0

    def observe(self, rows):
        self._count += len(rows)
        self._sum += sum(row["n"] for row in rows)

    def finish(self):
        path = self._context.folder / self.name / "manifest.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps({
            "run_id": self._context.run_id, "count": self._count, "sum": self._sum,
            "partial": self._context.partial, "inputs": [p.name for p in self._context.inputs],
            "created_at": time.time(),
        }))  # fmt: skip
        return [path]


class Backwards(GlobalStep):
    def process(self, *inputs):
        (records,) = inputs
        yield records[::-1]


class Both(Step):
    """Joins two branches."""

    def process(self, *inputs):
        yield [{**a, **b} for a, b in zip(*inputs, strict=True)]
