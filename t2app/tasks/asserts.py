"""Tests of a program as text in one cell.

One test a line, each in one of these forms, all of the same function:

    double(4) -> 8
    double(4) == 8
    assert double([1, 2]) == [2, 4]
    assert is_even(4)
    assert not is_even(3)

A cell may also be a JSON list of such lines, or hold them on one line with semicolons between.
Arguments and values are Python literals: None, True, numbers, text, lists, tuples, sets and
dictionaries. The sandbox calls the function and the comparison is made outside it, so a program
cannot pass by changing what equality means.

Any other Python with ``assert`` in it is a script: with ``math.isclose``, ``set(f(x)) == …``,
loops, or ``check(candidate)`` as HumanEval has it. What it calls and does not define is what the
program has to define; ``scripts`` runs it apart from the program.
"""

from __future__ import annotations

import ast
import builtins
import json
import math
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from t2app.errors import T2Error

ARROWS = ("->", "→", "=>")
MAX_TESTS, MAX_LINE, MAX_SCRIPT = 100, 10_000, 100_000
PLAIN = (bool, int, float, complex, str, bytes)


@dataclass(frozen=True)
class Tests:
    """Calls of one function, each as its arguments with the value it has to return; or a script.

    ``functions`` are all that a script asks of the program, the one to be written first.
    """

    function: str
    cases: tuple[tuple[tuple[Any, ...], Any], ...] = ()
    script: str = ""
    functions: tuple[str, ...] = ()


@lru_cache(maxsize=10_000)
def read(cell: str) -> Tests:
    """The tests in a cell. Raises T2Error that names the line that is none."""
    lines = _lines(cell)
    if not lines:
        raise T2Error("there are no tests: write lines such as double(4) -> 8")
    try:
        return _calls(lines)
    except T2Error:
        script = _script(cell)
        if script is None:
            raise
        return script


def _calls(lines: Sequence[str]) -> Tests:
    """Tests that are single calls with literals."""
    if len(lines) > MAX_TESTS:
        raise T2Error(f"there are {len(lines)} tests, at most {MAX_TESTS} are run")
    found = [_test(line) for line in lines]
    names = sorted({name for name, _, _ in found})
    if len(names) > 1:
        raise T2Error(f"the tests call several functions ({', '.join(names)}): call only one")
    cases = tuple((arguments, value) for _, arguments, value in found)
    return Tests(names[0], cases, functions=(names[0],))


# -- scripts -------------------------------------------------------------------------------------


def _script(cell: str) -> Tests | None:
    """Tests that are Python of any kind; None where the cell is no such thing."""
    source = "\n".join(listed) if (listed := _listed(cell)) is not None else cell
    if len(source) > MAX_SCRIPT:
        raise T2Error(f"the tests have more than {MAX_SCRIPT:,} characters")
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError, MemoryError, RecursionError):
        return None
    if not any(isinstance(node, ast.Assert) for node in ast.walk(tree)):
        return None
    asked = _asked(tree)
    if not asked:
        raise T2Error("the tests call no function that the program would have to define")
    _refuse_objects(tree, [name for name in asked if name not in _checked(tree)])
    modules = sorted(_missing_modules(tree))
    lines = [f"import {name}" for name in modules]
    return Tests(asked[0], (), "\n".join([*lines, source]), tuple(asked))


def _asked(tree: ast.Module) -> list[str]:
    """Names that are called, or given to ``check``, and defined nowhere in the tests."""
    bound = _bound(tree) | set(dir(builtins)) | _missing_modules(tree)
    called = [
        node.func.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name)
    ]
    return [name for name in dict.fromkeys([*_checked(tree), *called]) if name not in bound]


def _checked(tree: ast.Module) -> list[str]:
    """What the last line gives to a function, as in ``check(f)``."""
    match tree.body[-1]:
        case ast.Expr(value=ast.Call(func=ast.Name(), args=arguments)):
            return [a.id for a in arguments if isinstance(a, ast.Name)]
    return []


def _bound(tree: ast.Module) -> set[str]:
    """Every name that the tests define, import, assign or take as an argument, wherever."""
    found: set[str] = set()
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                found.add(name)
            case ast.ClassDef(name=name) | ast.arg(arg=name):
                found.add(name)
            case ast.Name(id=name, ctx=ast.Store()):
                found.add(name)
            case ast.alias(name=name, asname=other):
                found.add(other or name.split(".")[0])
            case ast.ExceptHandler(name=str(name)):
                found.add(name)
    return found


def _missing_modules(tree: ast.Module) -> set[str]:
    """Standard modules that are used as ``math.isclose`` is, and not imported."""
    bound = _bound(tree)
    return {
        node.value.id
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Name)
        and node.value.id in sys.stdlib_module_names - bound
    }


def _refuse_objects(tree: ast.Module, called: Sequence[str]) -> None:
    """Values go between the program and the tests; objects of its classes cannot."""
    classes = [name for name in called if name[:1].isupper()]
    changed = any(
        isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store)
        for node in ast.walk(tree)
    )
    if classes or changed:
        raise T2Error(
            f"the tests build objects that only the program defines "
            f"({', '.join(classes or called)}): only functions of plain values can be tested"
        )


# -- single calls --------------------------------------------------------------------------------


def same(got: Any, want: Any) -> bool:
    """Whether a returned value is the expected one: tuples as lists, floats to nine digits.

    Sets are equal where their elements are.
    """
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
    listed = _listed(cell)
    if listed is not None:
        cell = "\n".join(listed)
    else:
        with suppress(ValueError, SyntaxError, MemoryError, RecursionError):
            return [ast.unparse(statement) for statement in ast.parse(cell).body]
    lines = [line.strip() for line in cell.splitlines()]
    lines = [line for line in lines if line and not line.startswith("#")]
    return _split(lines[0]) if len(lines) == 1 else lines


def _listed(cell: str) -> list[str] | None:
    """The lines of a JSON list of lines; None for anything else."""
    try:
        listed = json.loads(cell)
    except (ValueError, RecursionError):
        return None
    whole = isinstance(listed, list) and all(isinstance(line, str) for line in listed)
    return listed if whole else None


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
    if isinstance(value, list | tuple | set | frozenset):
        parts = list(value)
    elif isinstance(value, dict):
        parts = [*value.keys(), *value.values()]
    elif not (value is None or isinstance(value, PLAIN)):
        raise ValueError(f"a value of type {type(value).__name__}")
    for part in parts:
        _refuse_other_types(part)
