"""Rows of JSON in the forms that people and programs save them in.

JSON Lines, an array, objects one after the other over several lines, one object that holds the rows
under a key, and tables saved column by column (also as pandas writes them). Values stay as they are
in JSON; ``shapes`` makes cells of them. A row's number is its line in JSON Lines, else its place.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from t2app.data.building import Rejected, refuse_size
from t2app.data.names import is_known
from t2app.errors import T2Error

Item = tuple[int, Any]
_LINES, _ARRAY = "json lines", "json"
_MOST_BROKEN = 0.1
_NAMES = (".jsonl", ".ndjson", ".json")


@dataclass
class Items:
    """The rows as JSON values, with their numbers, and what is said of how they were found."""

    kind: str
    values: list[Item]
    rejected: list[Rejected] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


class _Broken(ValueError):
    """Text that is no JSON, with the line that it breaks off in."""

    def __init__(self, reason: str, line: int) -> None:
        super().__init__(reason)
        self.line = line


def items_of(text: str, name: str) -> Items | None:
    """The rows of JSON of any form; None where the text is none. Raises T2Error."""
    says_json = name.lower().endswith(_NAMES)
    if text.lstrip()[:1] not in ("{", "[") and not says_json:
        return None
    lines = [(n, line) for n, line in enumerate(text.split("\n"), 1) if line.strip()]
    whole = _loaded(text)
    if not isinstance(whole, ValueError):
        found = _of_whole(whole, name)
    elif _is_row(_loaded(lines[0][1])):
        found = _of_lines(lines, _loaded)
    elif _is_row(_literal(lines[0][1])) and len(lines) > 1:
        found = _of_lines(lines, _literal)
        found.notes.append("the lines are Python, not JSON, and read as such")
    elif (found := _of_sequence(text)) is None:
        if not says_json and not text.lstrip().startswith(("[{", "{\n", '{"')):
            return None
        raise T2Error(_no_json(name, whole))
    refuse_size(len(found.values) + len(found.rejected), 0, name)
    return found


def _loaded(text: str) -> Any:
    """The value of JSON text; where it is none, the ValueError."""
    try:
        return json.loads(text)
    except RecursionError:
        return _Broken("too many brackets", 1)
    except json.JSONDecodeError as error:
        return _Broken(error.msg, error.lineno)
    except ValueError as error:  # a number with thousands of digits
        return _Broken(str(error), 1)


def _literal(text: str) -> Any:
    """The value of a Python literal; where it is none, a ValueError."""
    try:
        return ast.literal_eval(text.strip())
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        return _Broken(str(error), 1)


def _is_row(value: Any) -> bool:
    return isinstance(value, (dict, list)) and bool(value)


def _no_json(name: str, error: ValueError) -> str:
    line = getattr(error, "line", 1)
    return (
        f"{name} is not JSON Lines, nor other JSON: line {line}: {error}; every line must be one "
        'object such as {"question": "...", "answer": "..."}'
    )


# -- forms ---------------------------------------------------------------------------------------


def _of_lines(lines: Sequence[tuple[int, str]], load: Any) -> Items:
    """One value a line; lines that hold none are rejected."""
    found = Items(_LINES, [])
    for number, line in lines:
        value = load(line)
        if isinstance(value, ValueError):
            found.rejected.append(Rejected(number, f"no JSON object: {value}"))
        elif not isinstance(value, (dict, list)):
            found.rejected.append(Rejected(number, "no JSON object"))
        else:
            found.values.append((number, value))
    return found


def _of_sequence(text: str) -> Items | None:
    """Objects one after the other, over as many lines as they like, with or without commas."""
    decoder, found, at = json.JSONDecoder(), Items(_ARRAY, []), 0
    text = text.strip()
    while at < len(text):
        try:
            value, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            if not found.values:
                return None
            reason = getattr(error, "msg", str(error))
            number = 1 + len(found.values) + len(found.rejected)
            found.rejected.append(Rejected(number, f"no JSON object: {reason}"))
            at = text.find("\n{", at + 1) + 1 or len(text)
        else:
            found.values.append((1 + len(found.values) + len(found.rejected), value))
        while at < len(text) and text[at] in " \t\r\n,;":
            at += 1
    broken = len(found.rejected) > _MOST_BROKEN * len(found.values)
    return found if len(found.values) > 1 and not broken else None


def _of_whole(value: Any, name: str) -> Items:
    """One value that holds all rows."""
    notes: list[str] = []
    if isinstance(value, dict):
        _refuse_nothing(value, name)
        value, notes = _unwrapped(value, name)
    if not isinstance(value, list) or not any(value):
        raise T2Error(
            f"{name} has no rows: it is not JSON Lines or a list of objects such as "
            '{"question": "...", "answer": "..."}'
        )
    return Items(_ARRAY, list(enumerate(value, 1)), notes=notes)


def _refuse_nothing(value: Mapping[str, Any], name: str) -> None:
    """Raise T2Error for an object that could hold rows and holds none, as ``{"data": []}``."""
    if any(map(_holds_something, value.values())):
        is_a_row = any(is_known(key) for key, v in value.items() if isinstance(v, str) and v)
        if is_a_row or any(isinstance(v, (list, dict)) and any(v) for v in value.values()):
            return
    empty = [key for key, v in value.items() if isinstance(v, (list, dict))]
    if empty or not value:
        where = f"there is nothing under {' and '.join(map(repr, empty))}" if empty else "it is {}"
        raise T2Error(f"{name} has no rows: {where}")


def _holds_something(value: Any) -> bool:
    """Whether a value is more than lists of nothing."""
    if isinstance(value, (list, dict)):
        return any(map(_holds_something, value.values() if isinstance(value, dict) else value))
    return value not in (None, "")


def _unwrapped(value: dict[str, Any], name: str) -> tuple[Any, list[str]]:
    """The list of rows that an object holds, and how it was found."""
    if isinstance(value.get("columns"), list) and isinstance(value.get("data"), list):
        rows = value["data"]
        if rows and all(isinstance(row, list) for row in rows):
            return [dict(zip(map(str, value["columns"]), row, strict=False)) for row in rows], [
                "the rows are under 'data', their names under 'columns'"
            ]
    lists = {k: v for k, v in value.items() if _holds_rows(v)}
    if "rows" in lists and "features" in lists:  # as the viewer of data sets on the hub gives them
        lists = {"rows": [row.get("row", row) for row in lists["rows"]]}
    if len(lists) > 1:
        names = ", ".join(map(repr, lists))
        raise T2Error(f"{name} holds several lists of rows ({names}): save one of them as a file")
    if lists and not any(map(is_known, value)):
        [(key, rows)] = lists.items()
        return _paragraphs(rows), [f"the rows are under {key!r}"]
    if columns := _by_column(value, name):
        return columns, ["the file holds columns, not rows"]
    if rows := _by_row(value):
        return rows, ["the rows are under their names"]
    return [value], []


def _holds_rows(value: Any) -> bool:
    """Whether a value is a list of objects that are not the turns of one conversation."""
    return (
        isinstance(value, list)
        and bool(value)
        and all(isinstance(row, dict) for row in value)
        and not {"role", "from"} & set(value[0])
    )


def _paragraphs(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """SQuAD's own files hold paragraphs with questions inside of articles."""
    if not all("paragraphs" in row for row in rows):
        return rows
    return [
        {"context": paragraph.get("context"), **question}
        for row in rows
        for paragraph in row["paragraphs"]
        for question in paragraph.get("qas", ())
    ]


def _by_column(value: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    """Rows of an object whose values are columns: lists, or objects with a number for each row."""
    if len(value) < 2:
        return []
    if all(isinstance(v, list) and not any(isinstance(x, dict) for x in v) for v in value.values()):
        lengths = {key: len(v) for key, v in value.items()}
        if len({*lengths.values()}) > 1:
            said = ", ".join(f"{key!r} {n}" for key, n in lengths.items())
            raise T2Error(f"{name} holds columns of different lengths ({said})")
        return [dict(zip(value, cells, strict=True)) for cells in zip(*value.values(), strict=True)]
    if not all(isinstance(v, dict) and v for v in value.values()):
        return []
    numbers = list(dict.fromkeys(key for v in value.values() for key in v))
    if not all(number.isdigit() for number in numbers):
        return []
    return [{key: v.get(number) for key, v in value.items()} for number in numbers]


def _by_row(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Rows of an object that has them under a number or a name each."""
    if len(value) < 2 or not all(isinstance(v, dict) for v in value.values()):
        return []
    return list(value.values()) if not any(map(is_known, value)) else []


# -- what stands in strings ------------------------------------------------------------------------


def nested(value: Any) -> Any:
    """A list or object that a cell holds as text, in JSON or Python; else the value."""
    if not isinstance(value, str) or value.lstrip()[:1] not in ("[", "{"):
        return value
    for load in (_loaded, _literal):
        if not isinstance(found := load(value), ValueError):
            return found if isinstance(found, (list, dict, tuple)) else value
    return value


def texts_of(value: Any) -> Iterator[str]:
    """The texts of a value that is a text or a list of such."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, tuple)):
        yield from (one for one in value if isinstance(one, str))
