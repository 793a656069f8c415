"""Which column is the question, which the answer, and which holds options, tests or instructions.

Guessed from the names, then from the cells, and every role can be given by hand.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields

from t2app.data.names import ROLES, option_letter, role_rank
from t2app.data.table import Table
from t2app.errors import T2Error

_PART = re.compile(rf"({'|'.join(ROLES)})\s*=(.*?)(?=,\s*(?:{'|'.join(ROLES)})\s*=|$)", re.DOTALL)


@dataclass(frozen=True)
class Columns:
    """The column of each role, by name.

    ``context`` is put below the question (as ``input`` below ``instruction``). ``choices`` are the
    columns of the options A, B, C …, or the one column that lists them. ``tests`` make an answer
    column unnecessary: answers are programs then. ``system`` holds a system prompt for each row.
    """

    question: str
    answer: str | None = None
    context: str | None = None
    choices: tuple[str, ...] = ()
    tests: str | None = None
    system: str | None = None

    def to_dict(self) -> dict[str, object]:
        """The roles that are filled."""
        return {
            f.name: list(v) if isinstance(v, tuple) else v
            for f in fields(self)
            if (v := getattr(self, f.name))
        }


def guess(table: Table, chosen: Mapping[str, str | Sequence[str] | None] | None = None) -> Columns:
    """The columns of a table; roles in ``chosen`` are taken from there (None or "": no column).

    Raises T2Error that names the columns there are, where a chosen one is not among them, and where
    question or answer cannot be told.
    """
    given = {role: _find(table, role, value) for role, value in (chosen or {}).items()}
    free = [c for c in table.columns if not any(c in names for names in given.values())]
    roles = {role: _first(given.get(role, ())) for role in ROLES if role != "choices"}
    choices = given.get("choices")

    def take(role: str) -> None:
        if role not in given and (name := _best(free, role)):
            roles[role] = name
            free.remove(name)

    take("tests")
    take("system")
    if choices is None:
        choices = _options(table, free)
        free = [c for c in free if c not in choices]
    take("question")
    take("answer")
    if roles["question"]:
        take("context")
    left = [c for c in free if not _is_counter(table, c)]
    _fill(table, roles, given, left)
    if not roles["question"] or not (roles["answer"] or roles["tests"]):
        raise T2Error(_cannot_tell(table, roles))
    return Columns(choices=tuple(choices), **roles)


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


def _first(names: Sequence[str]) -> str | None:
    return names[0] if names else None


def _best(names: Sequence[str], role: str) -> str | None:
    ranks = {name: rank for name in names if (rank := role_rank(name, role)) is not None}
    return min(ranks, key=ranks.__getitem__, default=None)


def _options(table: Table, free: Sequence[str]) -> tuple[str, ...]:
    """Columns A, B, … in order; or the one column that lists options; or those of an exam table."""
    lettered = {letter: c for c in reversed(free) if (letter := option_letter(c))}
    run = [lettered[x] for x in "ABCDEFGH"[: len(lettered)] if x in lettered]
    if len(run) >= 2 and len(run) == len(lettered):
        return tuple(run)
    if one := _best(free, "choices"):
        return (one,)
    if not table.header and len(free) >= 4 and _all_letters(table.column(free[-1])):
        return tuple(free[1:-1])  # question, options …, letter: as exams are published
    return ()


def _all_letters(cells: Sequence[str]) -> bool:
    return bool(cells) and all(re.fullmatch("[A-Ha-h]", cell) for cell in cells)


def _is_counter(table: Table, name: str) -> bool:
    """A column of row numbers, as data frames are saved with."""
    cells = table.column(name)
    if not all(re.fullmatch(r"[0-9]{1,9}", cell) for cell in cells):
        return False
    numbers = [int(cell) for cell in cells]
    return len(numbers) > 1 and numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def _fill(
    table: Table,
    roles: dict[str, str | None],
    given: Mapping[str, tuple[str, ...]],
    left: list[str],
) -> None:
    """Two columns with unknown names are question and answer; a single one is what is missing."""
    missing = [
        role
        for role in ("question", "answer")
        if not roles[role] and role not in given and not (role == "answer" and roles["tests"])
    ]
    if len(left) == len(missing):
        roles |= dict(zip(missing, left, strict=True))


def _cannot_tell(table: Table, roles: Mapping[str, str | None]) -> str:
    missing = [role for role in ("question", "answer") if not roles[role]]
    which = " and which the ".join(missing)
    return (
        f"{table.name}: it is not clear which column is the {which}. The columns are "
        f"{_listed(table.columns)}: say which (--columns question=NAME,answer=NAME)"
    )


def _listed(columns: Sequence[str]) -> str:
    shown = ", ".join(repr(c) for c in columns[:12])
    return shown + (f" and {len(columns) - 12} more" if len(columns) > 12 else "")
