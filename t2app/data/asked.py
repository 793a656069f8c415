"""Rows as they are asked: the question with its context and options, and what counts as right.

Cells that say that there is no value, such as ``nan``, count as empty. Of a list of right answers
the first is learned, any is right. A question about a program says what to call the function.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from t2app.data import choices
from t2app.data.columns import Columns
from t2app.data.facts import facts_of
from t2app.data.table import Rejected, Row, Table
from t2app.errors import T2Error
from t2app.tasks import asserts
from t2app.tasks.closed import in_front

# What programs write for no value, in any case; and what may be a word as well, such as a label.
ABSENT = frozenset(("nan", "-nan", "null", "<na>", "#n/a", "#na", "#null!", "<null>"))
PERHAPS = frozenset(("None", "none", "NONE", "N/A", "n/a", "NA", "n.a.", "nil", "NIL"))
NO_CONTEXT = frozenset(("<noinput>", "noinput", "no input", "<nocontext>"))


@dataclass(frozen=True)
class Example:
    """A row as the model meets it.

    ``question`` includes context and options; ``gold`` is what the reward compares with (the tests
    for code); ``answer`` is the cell as it stands in the file, ``also`` other right answers.
    """

    number: int
    question: str
    answer: str
    gold: str
    options: choices.Options = ()
    system: str | None = None
    also: tuple[str, ...] = ()

    def messages(self, instruction: str = "") -> list[dict[str, str]]:
        """The conversation up to where the answer begins; what the model is told in front."""
        system = [{"role": "system", "content": self.system}] if self.system else []
        return [*system, {"role": "user", "content": in_front(instruction, self.question)}]


# Reasons that end in one of these have a plural.
_COUNTED = tuple("cell duplicate value answer conversation call picture".split())


class Sieve:
    """Collects rejected rows."""

    def __init__(self, table: Table) -> None:
        self.rejected = list(table.rejected)
        self._cells = {row.number: row.cells for row in table.rows}

    def reject(self, number: int, reason: str) -> None:
        """Leave a row out; the reason begins with its kind and a colon."""
        self.rejected.append(Rejected(number, reason, self._cells[number]))


def examples_of(table: Table, columns: Columns, sieve: Sieve) -> list[Example]:
    """The rows whose cells are there and undamaged."""
    reader = _Reader(table, columns)
    found = []
    for row in table.rows:
        if reason := reader.reason(row):
            sieve.reject(row.number, reason)
        else:
            found.append(reader.example(row))
    return found


class _Reader:
    """Makes examples of the rows of a table."""

    def __init__(self, table: Table, columns: Columns) -> None:
        self.table, self.columns = table, columns
        self.at = {name: i for i, name in enumerate(table.columns)}
        self.absent = {name: _absent(table.column(name)) for name in self._used()}
        if columns.context:
            cells = table.column(columns.context)
            self.absent[columns.context] |= {c for c in cells if c.lower() in NO_CONTEXT}
        self.needed = [c for c in (columns.answer, columns.tests) if c]
        if columns.tests and columns.answer:
            self.needed.remove(columns.answer)  # the tests judge; answers are only to learn from

    def reason(self, row: Row) -> str | None:
        """Why a row cannot be used; None where it can."""
        for name in self._used():
            if "\ufffd" in row.cells[self.at[name]]:
                return (
                    f"damaged text: a character in {name!r} cannot be read; is "
                    f"{self.table.encoding} the right encoding?"
                )
        asked = [c for c in (self.columns.question, self.columns.context) if c]
        if not any(self.cell(row, name) for name in asked):
            return self._empty(row, asked[0])
        missing = next((name for name in self.needed if not self.texts(row, name)), None)
        return self._empty(row, missing) if missing else None

    def example(self, row: Row) -> Example:
        """The row as it is asked."""
        columns = self.columns
        parts = (self.cell(row, columns.question), self.cell(row, columns.context))
        if len(columns.choices) == 1:
            options = choices.from_cell(self.cell(row, columns.choices[0]))
        else:
            options = choices.from_cells([self.cell(row, name) for name in columns.choices])
        answer, *also = self.texts(row, columns.answer) or [""]
        return Example(
            row.number,
            choices.below("\n".join(filter(None, parts)), options),
            answer,
            self.cell(row, columns.tests) or answer,
            options,
            self.cell(row, columns.system) or None,
            tuple(also),
        )

    def cell(self, row: Row, name: str | None) -> str:
        """The cell of a column; empty where it says that there is no value."""
        if name is None:
            return ""
        text = row.cells[self.at[name]]
        return "" if text in self.absent[name] else text

    def texts(self, row: Row, name: str | None) -> list[str]:
        """The right answers in a cell: one, unless the column holds lists."""
        text = self.cell(row, name)
        if name not in self.table.lists or not text.startswith("["):
            return [text] if text else []
        return list(dict.fromkeys(t for v in json.loads(text) if (t := _text(v))))

    def _used(self) -> list[str]:
        c = self.columns
        return [*filter(None, (c.question, c.answer, c.tests, c.context, c.system)), *c.choices]

    def _empty(self, row: Row, name: str) -> str:
        text = row.cells[self.at[name]]
        if text in self.absent[name]:
            return f"missing value: {text!r} in {name!r} stands for none"
        return f"empty cell: nothing in {name!r}"


def _text(value: object) -> str:
    return (value if isinstance(value, str) else json.dumps(value)).strip()


def _absent(cells: Sequence[str]) -> set[str]:
    """What stands for no value in a column.

    A word such as *none* does so beside ``nan`` and the like, and where it is no label that repeats
    among others.
    """
    counts = Counter(cells)
    found = {cell for cell in counts if cell.lower() in ABSENT}
    perhaps = PERHAPS & counts.keys()
    if not found and facts_of(cells).labels:
        perhaps = {word for word in perhaps if counts[word] < 2}
    return found | perhaps


def naming_functions(examples: Sequence[Example]) -> tuple[list[Example], str]:
    """Questions about a program that say what the tests call it, and a note on how many did not."""
    found, named = [], 0
    for example in examples:
        name = _function(example.gold)
        if name and not re.search(rf"(?<!\w){re.escape(name)}(?!\w)", example.question):
            question = f"{example.question}\nThe function is named {name}."
            example, named = replace(example, question=question), named + 1
        found.append(example)
    if not named:
        return found, ""
    return found, (
        f"{named} of {len(examples)} questions did not say what their tests call the function: "
        "each says it now"
    )


def _function(tests: str) -> str | None:
    try:
        return asserts.read(tests).function
    except T2Error:
        return None


def kinds(rejected: Sequence[Rejected]) -> str:
    """How many rows were left out for what: ``2 empty cells, 1 duplicate, 1 too long``."""
    counts: Mapping[str, int] = Counter(row.reason.split(":")[0] for row in rejected)
    ranked = sorted(counts.items(), key=lambda item: -item[1])
    return ", ".join(
        f"{n} {kind}{'s' if n > 1 and kind.endswith(_COUNTED) else ''}" for kind, n in ranked
    )
