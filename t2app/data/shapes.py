"""Records in the shapes that known data sets have, as rows of text.

Conversations become a question and an answer; HumanEval's and MBPP's tests one cell; lists of right
answers stay lists (``Builder.lists``); options with labels get the letters A, B, C. Everything else
is text as it is, and JSON where a value is neither text nor number.
"""

from __future__ import annotations

import json
import math
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from itertools import islice
from typing import Any

from t2app.data import transcripts
from t2app.data.building import Builder, Rejected, clean, refuse_size, unique_names
from t2app.data.conversations import (
    LONG,
    TOOLS,
    Refused,
    Turn,
    is_conversation,
    refuse_most,
    refuse_preferences,
    single,
    spoken,
    turn_of,
)
from t2app.data.json_rows import nested, texts_of
from t2app.data.names import NAMES, plain, role_rank
from t2app.errors import T2Error

Record = tuple[int, dict[str, Any]]
LETTERS = "ABCDEFGH"
MOST = 0.5  # the share of the rows that has to be of a shape
_TOOLS = ("tools", "functions")
_KEYS = ("id", "idx", "index")  # of rows
_HALVES = {"prompt": "user", "completion": "assistant"}  # as TRL has them
_LOOKED_AT = 200  # rows


def rows_of(records: Iterable[Record], kind: str, name: str) -> Builder:
    """The rows of some objects, with a column for each of their keys. Raises T2Error."""
    records = [(n, {clean(str(k)): v for k, v in r.items()}) for n, r in records]
    columns = list(dict.fromkeys(key for _, record in records for key in record))
    refuse_size(len(records), len(columns), name)
    booleans = [c for c in columns if _all(records, c, lambda v: isinstance(v, bool))]
    refuse_preferences(columns, name, booleans)
    found = Builder((), kind)
    records = _converted(records, columns, found, name)
    for _, record in records:
        for key, value in record.items():
            record[key] = _plain_answers(value)
    columns = list(dict.fromkeys(key for _, record in records for key in record))
    names = unique_names(columns)
    renamed = dict(zip(columns, names, strict=True))
    found.columns = names
    found.roles = {role: renamed[column] for role, column in found.roles.items()}
    found.lists = tuple(renamed[c] for c in columns if _all(records, c, _is_list_of_texts))
    for number, record in records:
        found.add(number, [as_cell(record.get(key)) for key in columns])
    return found


def reshaped(table: Builder, name: str) -> Builder:
    """A table of CSV whose cells hold one of the shapes as text; itself where they do not."""
    start = [row.cells for row in islice(table.rows, _LOOKED_AT)]
    booleans = [
        column for i, column in enumerate(table.columns)
        if {cells[i].lower() for cells in start} <= {"true", "false"}
    ]  # fmt: skip
    refuse_preferences(table.columns, name, booleans)
    holds = [column for i, column in enumerate(table.columns)
             if any(is_conversation(nested(cells[i])) for cells in start)]  # fmt: skip
    plain_names = {plain(c) for c in table.columns}
    if not (holds or _shape_of(plain_names) or _only_text(table.columns)):
        return table
    records = [(row.number, dict(zip(table.columns, row.cells, strict=True))) for row in table.rows]
    opened = {*holds, *(c for c in table.columns if plain(c) in ("test list", "test imports"))}
    for _, record in records:
        record |= {column: nested(record[column]) for column in opened & {*record}}
    found = rows_of(records, table.format, name)
    if not found.roles:
        return table
    found.delimiter, found.header, found.open_header = (
        table.delimiter, table.header, table.open_header,
    )  # fmt: skip
    found.rejected[:0] = table.rejected
    found.notes[:0] = table.notes
    return found


def as_cell(value: Any) -> str:
    """Text as it is, nothing for null and for no number, and other values as JSON."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    return clean(value if isinstance(value, str) else json.dumps(value, ensure_ascii=False))


def _all(records: Sequence[Record], column: str, test: Callable[[Any], bool]) -> bool:
    """Whether most values of a column, and no other kinds but texts and nothing, pass a test."""
    values = [r[column] for _, r in records if r.get(column) not in (None, "", [])]
    return bool(values) and sum(map(test, values)) > MOST * len(values)


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(v, (str, int, float)) for v in value)


# -- shapes --------------------------------------------------------------------------------------


def _converted(
    records: list[Record], columns: Sequence[str], found: Builder, name: str
) -> list[Record]:
    """The records with the first shape that fits made plain."""
    records = _without_history(records, found, name)
    records, columns = _unpacked(records, columns, found)
    talks = [c for c in columns if _all(records, c, is_conversation)]
    shape = _shape_of({plain(c) for c in columns})
    if talks:
        records = _of_conversations(records, talks, found, name)
    elif shape is not None:
        records = shape(records, found)
    elif _only_text(columns):
        records = _of_transcripts(records, columns, found, name)
    for _, record in records:
        _plain_options(record)
    return records


def _unpacked(
    records: list[Record], columns: Sequence[str], found: Builder
) -> tuple[list[Record], Sequence[str]]:
    """The keys of one object a row as columns: ``{"translation": {"en": ..., "fr": ...}}``."""
    held = [c for c in columns if _all(records, c, lambda v: isinstance(v, dict))]
    others = [c for c in columns if c not in held and plain(c) not in _KEYS]
    if len(held) != 1 or others:
        return records, columns
    opened = [(n, r | r.pop(held[0]) if isinstance(r.get(held[0]), dict) else r)
              for n, r in records]  # fmt: skip
    found.notes.append(f"the cells are inside {held[0]!r}")
    return opened, list(dict.fromkeys(key for _, record in opened for key in record))


def _without_history(records: list[Record], found: Builder, name: str) -> list[Record]:
    """Without rows that have earlier turns in a column of their own."""
    column = next((c for _, r in records[:1] for c in r if plain(c) == "history"), None)
    if column is None or not any(isinstance(nested(r.get(column)), list) for _, r in records):
        return records
    long = [(n, r) for n, r in records if nested(r.get(column))]
    refuse_most({LONG: [n for n, _ in long]}, len(records), name)
    for number, record in long:
        reason = f"{LONG}: there are earlier turns in {column!r}"
        found.rejected.append(Rejected(number, reason, (as_cell(list(record.values())),)))
    numbers = {n for n, _ in long}
    return [
        (n, {k: v for k, v in r.items() if k != column}) for n, r in records if n not in numbers
    ]


def _shape_of(names: set[str]) -> Callable[[list[Record], Builder], list[Record]] | None:
    if {"entry point", "prompt"} <= names and names & {"test", "tests"}:
        return _of_humaneval
    if "test list" in names:
        return _of_mbpp
    return None


def _of_conversations(
    records: list[Record], talks: Sequence[str], found: Builder, name: str
) -> list[Record]:
    """A question and an answer for each conversation; rows with another are rejected."""
    columns = list(dict.fromkeys(c for _, record in records for c in record))
    halves = [c for c in columns if plain(c) in _HALVES]
    if len(halves) == len(_HALVES) and {*talks} <= {*halves}:
        talks = sorted(halves, key=lambda c: list(_HALVES).index(plain(c)))
    elif len(talks) > 1:
        listed = ", ".join(map(repr, talks))
        raise T2Error(f"{name} holds several conversations a row ({listed}): keep one column")
    found.notes.append(f"conversations of one turn each, from {' and '.join(map(repr, talks))}")

    def turn(record: Mapping[str, Any]) -> Turn:
        _refuse_more(record)
        return turn_of([t for c in talks for t in _turns(record.get(c), _HALVES.get(plain(c)))])

    answers = [c for c in columns if c not in talks and role_rank(c, "answer") is not None]
    return _of_turns(records, turn, {*talks, *_TOOLS}, found, name, answers)


def _turns(value: Any, speaker: str | None) -> list[Mapping[str, Any]]:
    """The turns of a cell; a plain text is one of the ``speaker``."""
    if isinstance(value, str) and speaker:
        return [{"role": speaker, "content": value}]
    return list(value) if is_conversation(value) else []


def _refuse_more(record: Mapping[str, Any]) -> None:
    """Raise Refused for tools beside a conversation."""
    if any(nested(record.get(key)) for key in _TOOLS):
        raise Refused(f"{TOOLS}: the row offers tools")


def _of_turns(
    records: list[Record],
    turn: Callable[[Mapping[str, Any]], Turn],
    spent: set[str],
    found: Builder,
    name: str,
    answers: Sequence[str] = (),
) -> list[Record]:
    """Rows of ``system``, ``user`` and ``assistant`` from what ``turn`` makes of each record.

    Where no conversation has an answer, a column of ``answers`` holds them (prompts for RL).
    """
    refused: dict[str, list[int]] = defaultdict(list)
    rows: list[Record] = []
    for number, record in records:
        rest = {k: v for k, v in record.items() if k not in spent}
        try:
            said = turn(record)
        except Refused as error:
            refused[error.kind].append(number)
            found.rejected.append(Rejected(number, str(error), (as_cell(list(record.values())),)))
            continue
        prompts = [rest.pop(key) for key in list(rest) if role_rank(key, "system") is not None]
        system = said.system or as_cell(spoken(next(iter(prompts), None)))
        others = {k: v for k, v in rest.items() if k not in ("user", "assistant")}
        turns = {"system": system, "user": said.question, "assistant": said.answer}
        rows.append((number, {**turns, **others}))
    refuse_most(refused, len(records), name)
    found.roles = {"question": "user", "answer": "assistant", "system": "system"}
    if answers and not any(row["assistant"] for _, row in rows):
        best = min(answers, key=lambda c: role_rank(c, "answer") or 0)
        found.roles["answer"] = best
        for _, row in rows:
            del row["assistant"]
    if not any(row["system"] for _, row in rows):
        del found.roles["system"]
        for _, row in rows:
            del row["system"]
    return rows


def _of_humaneval(records: list[Record], found: Builder) -> list[Record]:
    """A function to complete, with the check of its row and a call of that."""
    found.notes.append("functions to complete, each with a check that is run (HumanEval)")
    found.roles = {"question": "prompt", "tests": "tests"}
    rows = []
    for number, record in records:
        by = {plain(key): value for key, value in record.items()}
        test = str(by.get("test") or by.get("tests") or "").strip()
        call = f"check({by.get('entry point')})"
        tests = test if not test or test.endswith(call) else f"{test}\n{call}"
        row = {"prompt": by["prompt"], "tests": tests}
        if solution := by.get("canonical solution"):
            row["answer"] = _completed(by["prompt"], solution)
            found.roles["answer"] = "answer"
        rows.append((number, row))
    return rows


def _completed(prompt: str, solution: str) -> str:
    """The whole function; cells of CSV have lost the white space around them."""
    body = solution if solution[:1].isspace() else f"    {solution}"
    return f"{prompt}{'' if prompt.endswith(chr(10)) else chr(10)}{body}"


def _of_mbpp(records: list[Record], found: Builder) -> list[Record]:
    """Tests that are lists of lines as one cell, with what sets them up in front."""
    rows = []
    for number, record in records:
        by = {plain(key): value for key, value in record.items()}
        lines = [*texts_of(nested(by.get("test imports"))), *texts_of(by.get("test setup code"))]
        lines += texts_of(nested(by.get("test list")))
        rest = {k: v for k, v in record.items()
                if plain(k) not in ("test list", "test setup code", "test imports")}  # fmt: skip
        rows.append((number, {**rest, "tests": "\n".join(filter(None, lines))}))
    found.roles = {"tests": "tests"}
    return rows


def _only_text(columns: Sequence[str]) -> bool:
    """Whether there is a column of text and none that might hold the answer."""
    named = [c for c in columns if plain(c) in ("text", "prompt", "content", "conversation")]
    rest = [c for c in columns if c not in named and role_rank(c, "answer") is not None]
    return len(named) == 1 and not rest


def _of_transcripts(
    records: list[Record], columns: Sequence[str], found: Builder, name: str
) -> list[Record]:
    """Question and answer out of texts with marks; the records themselves where there are none."""
    [column] = [c for c in columns if plain(c) in ("text", "prompt", "content", "conversation")]
    texts = [str(r[column]) for _, r in records if isinstance(r.get(column), str)]
    family = transcripts.family_of(texts[:_LOOKED_AT])
    if family is None:
        return records
    shown = family if isinstance(family, str) else f"{family.question}: … {family.answer}: …"
    found.notes.append(f"{column!r} holds question and answer, told apart by its marks ({shown})")

    def turn(record: Mapping[str, Any]) -> Turn:
        return single(transcripts.turns_of(str(record.get(column) or ""), family))

    return _of_turns(records, turn, {column}, found, name)


# -- values --------------------------------------------------------------------------------------


def _plain_answers(value: Any) -> Any:
    """Lists of right answers out of the objects that SQuAD and TriviaQA keep them in."""
    if isinstance(value, list) and value and all(isinstance(v, dict) for v in value):
        marked = all("answer_start" in v and isinstance(v.get("text"), str) for v in value)
        return _distinct([v["text"] for v in value]) if marked else value
    if not isinstance(value, dict):
        return value
    if isinstance(value.get("text"), list) and "answer_start" in value:
        return _distinct(value["text"])
    if isinstance(truth := value.get("ground_truth"), (str, int, float)):  # as verl has it
        return truth
    if isinstance(value.get("aliases"), list) and isinstance(value.get("value"), str):
        return _distinct([value["value"], *value["aliases"]])
    return value


def _distinct(texts: Sequence[Any]) -> list[str]:
    return list(dict.fromkeys(map(str, texts)))


def _plain_options(record: dict[str, Any]) -> None:
    """Options with labels of their own as a list, and the right label as a letter."""
    question = record.get("question")
    if isinstance(question, dict) and "stem" in question:  # as the files of ARC themselves have it
        record["question"] = question["stem"]
        record.setdefault("choices", question.get("choices"))
    for column in [c for c in record if plain(c) in NAMES["choices"]]:
        texts, labels = _options(record[column])
        if not labels:
            continue
        record[column] = texts
        for key in [c for c in record if role_rank(c, "answer") is not None]:
            if str(record[key]) in labels:
                record[key] = LETTERS[labels.index(str(record[key]))]


def _options(value: Any) -> tuple[list[str], list[str]]:
    """Texts and labels of options that come with both; no labels where they do not."""
    if isinstance(value, dict) and {"text", "label"} <= value.keys():
        texts, labels = value["text"], value["label"]
    elif isinstance(value, list) and value and all(isinstance(v, dict) for v in value):
        texts, labels = [v.get("text") for v in value], [v.get("label") for v in value]
    else:
        return [], []
    if not isinstance(texts, list) or not isinstance(labels, list):
        return [], []
    if None in texts or None in labels or not 2 <= len(texts) == len(labels) <= len(LETTERS):
        return [], []
    return [str(t) for t in texts], [str(label) for label in labels]
