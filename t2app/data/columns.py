"""Which column is the question, which the answer, and which holds options, tests or instructions.

Guessed from the names and from the cells; every role can be given by hand. A guess is told in
``Columns.notes``; where several columns could be meant, or the cells of the one found are JSON,
Unclear is raised.
"""

from __future__ import annotations

import difflib
import itertools
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from t2app.data.building import short
from t2app.data.facts import LEAST_FILLED, Facts, facts_of
from t2app.data.names import NAMES, ROLES, option_letter, pair_of, plain, role_rank
from t2app.data.table import Table
from t2app.data.unclear import Unclear
from t2app.errors import T2Error

_PART = re.compile(rf"({'|'.join(ROLES)})\s*=(.*?)(?=,\s*(?:{'|'.join(ROLES)})\s*=|$)", re.DOTALL)
# Names that are trusted whatever the cells look like.
_SURE = len("question prompt instruction query problem input".split())
_UNUSED_SHOWN = 8
# So many whole numbers, each above the one before, are ids.
_SURELY_IDS = 12


@dataclass(frozen=True)
class Columns:
    """The column of each role, by name.

    ``context`` is put below the question (as ``input`` below ``instruction``). ``choices`` are the
    columns of the options A, B, C …, or the one column that lists them. ``tests`` make an answer
    column unnecessary: answers are programs then. ``system`` holds a system prompt for each row.
    ``notes`` tell people what was guessed; ``guessed`` is False where question and answer were
    named by hand.
    """

    question: str
    answer: str | None = None
    context: str | None = None
    choices: tuple[str, ...] = ()
    tests: str | None = None
    system: str | None = None
    notes: tuple[str, ...] = field(default=(), compare=False)
    guessed: bool = field(default=False, compare=False)

    def to_dict(self) -> dict[str, object]:
        """The roles that are filled."""
        found = {role: getattr(self, role) for role in ROLES}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in found.items() if v}

    def option(self) -> str:
        """As ``--columns`` has them: ``question=text,answer=label``."""
        named = {k: "+".join(v) if isinstance(v, list) else v for k, v in self.to_dict().items()}
        return ",".join(f"{role}={name}" for role, name in named.items())


def guess(table: Table, chosen: Mapping[str, str | Sequence[str] | None] | None = None) -> Columns:
    """The columns of a table; roles in ``chosen`` are taken from there (None or "": no column).

    Raises T2Error that names the columns there are, where a chosen one is not among them, and
    Unclear where question or answer cannot be told.
    """
    given = {role: _find(table, role, value) for role, value in (chosen or {}).items()}
    found = _Guess(table, given)
    found.by_name()
    found.by_cells()
    columns = found.columns()
    _refuse_json(table, columns, given)
    return columns


class _Guess:
    """The roles while they are filled, and the columns that are free."""

    def __init__(self, table: Table, given: Mapping[str, tuple[str, ...]]) -> None:
        self.table, self.given = table, given
        known = {r: (c,) for r, c in table.roles.items() if c in table.columns} | dict(given)
        self.roles = {r: next(iter(known.get(r, ())), None) for r in ROLES if r != "choices"}
        self.choices = known.get("choices")
        self.known = known
        taken = {name for names in known.values() for name in names}
        self.free = [c for c in table.columns if c not in taken]
        self.facts: dict[str, Facts] = {c: facts_of(table.column(c)) for c in table.columns}
        self.tied: set[str] = set()
        self.notes: list[str] = []

    def by_name(self) -> None:
        """Fill roles from the names of columns that have cells worth it."""
        self._take("tests", self.free)
        self._take("system", [c for c in self.free if self.facts[c].filled])
        if self.choices is None:
            self.choices = _options(self.table, self.free)
            self.free = [c for c in self.free if c not in self.choices]
        whole = bool(self.table.roles.get("question"))
        pair = None if whole or {"question", "context"} & {*self.given} else pair_of(self.free)
        if pair:
            self._set("question", pair[0])
            self._set("context", pair[1])
        self._take("question", self._asking())
        self._take("answer", self._spelled_out(self._filled()))
        if self.roles["question"] and not whole:
            self._take("context", [c for c in self.free if self.facts[c].filled])
            self._second_question()

    def by_cells(self) -> None:
        """Fill what is missing by what the cells look like; raises Unclear."""
        missing = [r for r in ("question", "answer") if self._missing(r)]
        if not missing:
            return
        every = [c for c in self.free if not _is_counter(self.table, c)]
        left = [c for c in every if self._may_be_used(c)]
        if len(every) == len(missing):
            left = every
        if self.tied & {*missing}:
            raise self._cannot_tell(missing)
        found = self._pair(left) if len(missing) == 2 else self._one(missing[0], left)
        if found is None:
            raise self._cannot_tell(missing)
        for role, name in zip(missing, found, strict=True):
            self._set(role, name)

    def columns(self) -> Columns:
        """What was found. Raises Unclear where a role is missing for good."""
        if not self.roles["question"] or not (self.roles["answer"] or self.roles["tests"]):
            raise self._cannot_tell([r for r in ("question", "answer") if not self.roles[r]])
        by_hand = {"question"} | ({"answer"} if self.roles["answer"] else {"tests"})
        columns = Columns(choices=tuple(self.choices or ()), **self.roles)
        return replace(
            columns, notes=tuple(self._told(columns)), guessed=not by_hand <= {*self.known}
        )

    # -- names --

    def _take(self, role: str, names: Sequence[str]) -> None:
        """The best named of some columns for a role that has none yet."""
        if role in self.known or self.roles[role]:
            return
        ranked = sorted((*self._fit(name, role, rank), i, name) for i, name in enumerate(names)
                        if (rank := role_rank(name, role)) is not None)  # fmt: skip
        if not ranked:
            return
        misfit, rank, _, name = ranked[0]
        loose = rank > len(NAMES[role])  # one word of the name, not all of it
        if loose and sum(r[0] < 2 and r[1] == rank for r in ranked) > 1:
            self.tied.add(role)
            return
        if loose and misfit:
            return
        self._set(role, name)

    def _fit(self, name: str, role: str, rank: int) -> tuple[int, int]:
        """How badly the cells fit the role, and the rank of the name; (0, 0) is best."""
        facts = self.facts[name]
        if role == "answer":
            return (2 if facts.constant else int(facts.aside)), rank
        if role != "question" or rank < _SURE:
            return 0, rank
        return int(facts.aside or facts.constant or facts.labels), rank

    def _set(self, role: str, name: str) -> None:
        self.roles[role] = name
        self.free = [c for c in self.free if c != name]

    def _filled(self) -> list[str]:
        return [c for c in self.free if self.facts[c].filled >= LEAST_FILLED]

    def _asking(self) -> list[str]:
        """Columns that may be the question; ``instruction`` may leave it to ``input``."""
        filled = self._filled()
        if not any(role_rank(c, "context") is not None for c in filled):
            return filled
        sure = [
            c
            for c in self.free
            if self.facts[c].filled and (rank := role_rank(c, "question")) is not None
            if rank < _SURE
        ]
        return [c for c in self.free if c in filled or c in sure]

    def _spelled_out(self, names: Sequence[str]) -> list[str]:
        """Without columns of numbers that stand for labels which another column spells out."""
        by_plain = {plain(c): c for c in names}
        coded = {
            column
            for text, column in by_plain.items()
            if self.facts[column].numbers >= LEAST_FILLED
            and any(other in by_plain for other in (f"{text} text", f"{text} name", f"text {text}"))
        }
        return [c for c in names if c not in coded]

    def _second_question(self) -> None:
        """A text below a question that is the same for all rows, or is in another language."""
        question = self.roles["question"]
        if question is None or self.roles["context"] or "context" in self.known:
            return
        rank, same = role_rank(question, "question"), self.facts[question].constant
        for name in self._filled():
            other = role_rank(name, "question")
            foreign = other == rank == len(NAMES["question"]) and not self.facts[name].aside
            if other is not None and (foreign or (same and not self.facts[name].labels)):
                self._set("context", name)
                return

    # -- cells --

    def _missing(self, role: str) -> bool:
        needed = not (role == "answer" and self.roles["tests"])
        return needed and not self.roles[role] and role not in self.given

    def _may_be_used(self, name: str) -> bool:
        facts = self.facts[name]
        return facts.filled >= LEAST_FILLED and not facts.constant and not facts.aside

    def _pair(self, left: Sequence[str]) -> tuple[str, str] | None:
        """Question and answer of columns whose names say nothing."""
        texts = [c for c in left if self.facts[c].text]
        labels = [c for c in left if self._is_label(c)]
        if len(texts) == 1 and len(labels) == 1:
            [question], [answer] = texts, labels
            first = left.index(answer) < left.index(question)
            order = ": the label comes first, so they are swapped" if first else ""
            self.notes.append(
                f"question {question!r} and answer {answer!r} were told by their cells{order}"
            )
            return question, answer
        if len(left) == 2:
            self.notes.append(f"{left[0]!r} is taken for the question, {left[1]!r} for the answer")
            return left[0], left[1]
        return None

    def _is_label(self, name: str) -> bool:
        facts = self.facts[name]
        return facts.labels or (facts.numbers > LEAST_FILLED and not facts.text)

    def _one(self, role: str, left: Sequence[str]) -> tuple[str] | None:
        """The one column that can be what is missing."""
        fits = [c for c in left if self.facts[c].text if role == "question"]
        if role == "answer":
            fits = [c for c in left if self._is_label(c)]
        found = left if len(left) == 1 else fits
        if len(found) != 1 or (role == "question" and self.facts[found[0]].aside):
            return None
        rank = role_rank(found[0], role)
        if rank is None or rank >= len(NAMES[role]):
            self.notes.append(f"{found[0]!r} is taken for the {role}: no other column can be it")
        return (found[0],)

    def _cannot_tell(self, missing: Sequence[str]) -> Unclear:
        name, which = self.table.name, " and which the ".join(missing)
        unsplit = len(self.table.columns) == 1 and self.table.delimiter is not None
        rows = self.table.rows[:1]
        first = " | ".join(short(cell, 30) for row in rows for cell in row.cells[:6])
        return Unclear(
            "columns",
            f"{name}: it is not clear which column is the {which}. The columns are "
            f"{_listed(self.table.columns)}"
            + (f"; first row: {first}" if first else "")
            + (". Is the delimiter right?" if unsplit else ""),
            "say which (--columns question=NAME,answer=NAME"
            + (" or --delimiter)" if unsplit else ")"),
            "Choose the question and the answer below.",
            self.table,
        )

    # -- notes --

    def _told(self, columns: Columns) -> Iterator[str]:
        yield from self.notes
        if columns.answer in self.table.lists and columns.answer not in columns.choices:
            yield (
                f"{columns.answer!r} holds lists: the first text is learned, any of them is right"
            )
        if columns.context and "context" not in self.known:
            yield f"{columns.context!r} is put below {columns.question!r}"
        unused = [c for c in self.free if not _is_counter(self.table, c)]
        if unused:
            shown = ", ".join(map(repr, unused[:_UNUSED_SHOWN]))
            more = f" and {len(unused) - _UNUSED_SHOWN} more" if len(unused) > _UNUSED_SHOWN else ""
            yield f"not used: {shown}{more}"


def parse(text: str) -> dict[str, str]:
    """``question=Frage,answer=Antwort`` -> roles; the names of columns may hold commas.

    Several columns of options are joined with ``+``: ``choices=A+B+C``. Raises T2Error.
    """
    found: dict[str, str] = {}
    at = 0
    for match in _PART.finditer(text):
        if text[at : match.start()].strip(", "):
            break
        found[match[1]] = match[2].strip()
        at = match.end()
    if text[at:].strip(", ") or not found:
        raise T2Error(
            f"{text!r} is not a choice of columns: write question=NAME,answer=NAME "
            f"(roles: {', '.join(ROLES)})"
        )
    return found


def _find(table: Table, role: str, value: str | Sequence[str] | None) -> tuple[str, ...]:
    """The columns that a choice names, by exact name or else without regard to case."""
    if role not in ROLES:
        raise T2Error(f"{role!r} is no role of a column: choose from {', '.join(ROLES)}")
    if not value:
        return ()
    if not isinstance(value, str):
        return tuple(name for one in value for name in _find(table, role, one))
    wanted = " ".join(value.split())
    if wanted in table.columns:
        return (wanted,)
    similar = [c for c in table.columns if c.lower() == wanted.lower()]
    if similar:
        return (similar[0],)
    if role == "choices" and "+" in wanted:
        return tuple(name for one in wanted.split("+") for name in _find(table, role, one))
    close = difflib.get_close_matches(wanted, table.columns, 1)
    meant = f" Did you mean {close[0]!r}?" if close else ""
    raise T2Error(f"{table.name} has no column {value!r}.{meant} It has {_listed(table.columns)}")


def _options(table: Table, free: Sequence[str]) -> tuple[str, ...]:
    """Columns A, B, … in order; or the one column that lists options; or those of an exam table."""
    lettered = {letter: c for c in reversed(free) if (letter := option_letter(c))}
    run = [lettered[x] for x in "ABCDEFGH"[: len(lettered)] if x in lettered]
    if len(run) >= 2 and len(run) == len(lettered):
        return tuple(run)
    ranks = {c: rank for c in free if (rank := role_rank(c, "choices")) is not None}
    if ranks:
        return (min(ranks, key=ranks.__getitem__),)
    if not table.header and len(free) >= 4 and _all_letters(table.column(free[-1])):
        return tuple(free[1:-1])  # question, options …, letter: as exams are published
    return ()


def _all_letters(cells: Sequence[str]) -> bool:
    return bool(cells) and all(re.fullmatch("[A-Ha-h]", cell) for cell in cells)


def _is_counter(table: Table, name: str) -> bool:
    """A column of row numbers, as data frames are saved with, or of ids that only ever grow."""
    cells = table.column(name)
    if not all(re.fullmatch(r"[0-9]{1,18}", cell) for cell in cells):
        return False
    numbers = [int(cell) for cell in cells]
    steps = {after - before for before, after in itertools.pairwise(numbers)}
    return steps == {1} or (len(numbers) >= _SURELY_IDS and min(steps) > 0)


def _refuse_json(table: Table, columns: Columns, given: Mapping[str, tuple[str, ...]]) -> None:
    """Raise Unclear where question or answer were guessed and their cells are lists or objects.

    A file of JSON may well have objects as answers, in a column that is named like one.
    """
    for role in ("question", "context", "answer"):
        name = getattr(columns, role)
        if name is None or role in given or (role == "answer" and name in table.lists):
            continue
        rank = role_rank(name, role)
        by_name = rank is not None and rank < len(NAMES[role])
        if role == "answer" and table.format.startswith("json") and by_name:
            continue
        cells = table.column(name)
        if facts_of(cells).json <= LEAST_FILLED:
            continue
        first = next(cell for cell in cells if cell)
        raise Unclear(
            "columns",
            f"{table.name}: {name!r} seems to be the {role}, but its cells are lists or objects "
            f"(such as {short(first, 50)})",
            f"name the columns if they are meant as they stand (--columns {columns.option()})",
            "Choose the columns below.",
            table,
        )


def _listed(columns: Sequence[str]) -> str:
    shown = ", ".join(repr(c) for c in columns[:12])
    return shown + (f" and {len(columns) - 12} more" if len(columns) > 12 else "")
