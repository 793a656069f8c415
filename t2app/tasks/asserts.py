"""Tests of a program as text in one cell, read into calls and expected values.

One test a line, each in one of these forms, all of the same function:

    double(4) -> 8
    double(4) == 8
    assert double([1, 2]) == [2, 4]
    assert is_even(4)
    assert not is_even(3)

A cell may also be a JSON list of such lines, or hold them on one line with semicolons between.
Arguments and values are Python literals: None, True, numbers, text, lists, tuples and dictionaries.
Nothing else is a test: the sandbox calls the function and the comparison is made outside it, so a
program cannot pass by changing what equality means.
"""

from __future__ import annotations

import ast
import json
import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from t2app.errors import T2Error

ARROWS = ("->", "→", "=>")
MAX_TESTS, MAX_LINE = 100, 10_000


@dataclass(frozen=True)
class Tests:
    """Calls of one function, each as its arguments with the value it has to return."""

    function: str
    cases: tuple[tuple[tuple[Any, ...], Any], ...]


@lru_cache(maxsize=10_000)
def read(cell: str) -> Tests:
    """The tests in a cell. Raises T2Error that names the line that is none."""
    lines = _lines(cell)
    if not lines:
        raise T2Error("there are no tests: write lines such as double(4) -> 8")
    if len(lines) > MAX_TESTS:
        raise T2Error(f"there are {len(lines)} tests, at most {MAX_TESTS} are run")
    found = [_test(line) for line in lines]
    names = sorted({name for name, _, _ in found})
    if len(names) > 1:
        raise T2Error(f"the tests call several functions ({', '.join(names)}): call only one")
    return Tests(names[0], tuple((arguments, value) for _, arguments, value in found))


def same(got: Any, want: Any) -> bool:
    """Whether a returned value is the expected one: tuples as lists, floats to nine digits."""
    if isinstance(got, (list, tuple)) and isinstance(want, (list, tuple)):
        return len(got) == len(want) and all(map(same, got, want))
    if isinstance(got, dict) and isinstance(want, dict):
        return got.keys() == want.keys() and all(same(got[key], want[key]) for key in want)
    if isinstance(got, float) or isinstance(want, float):
        return (
            isinstance(got, (int, float)) and isinstance(want, (int, float)) and _close(got, want)
        )
    return got == want


def _close(got: float, want: float) -> bool:
    try:
        return math.isclose(got, want, rel_tol=1e-9, abs_tol=1e-9)
    except OverflowError:  # a whole number that no float can hold
        return got == want


def _lines(cell: str) -> list[str]:
    """The tests in a cell as single lines."""
    try:
        listed = json.loads(cell)
    except (ValueError, RecursionError):
        listed = None
    if isinstance(listed, list) and all(isinstance(line, str) for line in listed):
        cell = "\n".join(listed)
    else:
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            return [ast.unparse(statement) for statement in ast.parse(cell).body]
    lines = [line.strip() for line in cell.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    return _split(lines[0]) if len(lines) == 1 else lines


def _split(line: str) -> list[str]:
    """Several tests on one line; the line itself where semicolons are part of a text."""
    parts = [part.strip() for part in line.split(";") if part.strip()]
    return parts if all(_is_test(part) for part in parts) else [line]


def _is_test(line: str) -> bool:
    try:
        _test(line)
    except T2Error:
        return False
    return True


def _test(line: str) -> tuple[str, tuple[Any, ...], Any]:
    """Function, arguments and expected value of one line."""
    if len(line) > MAX_LINE:
        raise T2Error(f"a test has more than {MAX_LINE:,} characters: {line[:40]!r}…")
    try:
        if found := _arrow(line):
            return found
        return _assertion(line)
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError) as error:
        raise T2Error(
            f"{line[:80]!r} is not a test: write name(arguments) -> value, all literals"
        ) from error


def _arrow(line: str) -> tuple[str, tuple[Any, ...], Any] | None:
    """``call -> value``; an arrow may also be part of a text, so each one is tried."""
    for arrow in ARROWS:
        at = line.find(arrow)
        while at >= 0:
            try:
                return (
                    *_call(_expression(line[:at])),
                    _literal(_expression(line[at + len(arrow) :])),
                )
            except (ValueError, SyntaxError):
                at = line.find(arrow, at + 1)
    return None


def _assertion(line: str) -> tuple[str, tuple[Any, ...], Any]:
    asserted = line.startswith("assert")
    if asserted:
        [statement] = ast.parse(line).body
        node = statement.test if isinstance(statement, ast.Assert) else None
    else:
        node = _expression(line)
    match node:
        case ast.Compare(left=left, ops=[ast.Eq() | ast.Is()], comparators=[right]):
            if isinstance(left, ast.Call):
                return (*_call(left), _literal(right))
            return (*_call(right), _literal(left))
        case ast.UnaryOp(op=ast.Not(), operand=call) if asserted:
            return (*_call(call), False)
        case ast.Call() if asserted:
            return (*_call(node), True)
    raise ValueError(line)


def _expression(text: str) -> ast.expr:
    return ast.parse(text.strip(), mode="eval").body


def _call(node: ast.expr) -> tuple[str, tuple[Any, ...]]:
    match node:
        case ast.Call(func=ast.Name(id=name), args=arguments, keywords=[]):
            return name, tuple(_literal(argument) for argument in arguments)
    raise ValueError("not a call with literals")


def _literal(node: ast.expr) -> Any:
    value = ast.literal_eval(node)
    _refuse_other_types(value)
    return value


def _refuse_other_types(value: Any) -> None:
    """Only what can be sent to the sandbox and comes back from it."""
    parts: Sequence[Any] = ()
    if isinstance(value, (list, tuple)):
        parts = value
    elif isinstance(value, dict):
        if not all(key is None or isinstance(key, (bool, int, float, str)) for key in value):
            raise ValueError("a dictionary's keys must be numbers or text")
        parts = list(value.values())
    elif not (value is None or isinstance(value, (bool, int, float, str))):
        raise ValueError(f"a value of type {type(value).__name__}")
    for part in parts:
        _refuse_other_types(part)
