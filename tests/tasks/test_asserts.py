"""Tests in a cell."""

from __future__ import annotations

import pytest

from t2app.errors import T2Error
from t2app.tasks.asserts import read, same


@pytest.mark.parametrize(
    ("cell", "cases"),
    [
        ("f(2) -> 4", [((2,), 4)]),
        ("f(2)->4\n\n# and\nf(3) → 6  # six", [((2,), 4), ((3,), 6)]),
        ("f(2) -> 4; f(3) => 6", [((2,), 4), ((3,), 6)]),
        ("f(2) == 4; f(3) == 6", [((2,), 4), ((3,), 6)]),
        ("assert f(2) == 4, 'wrong'\nassert 6 == f(3)", [((2,), 4), ((3,), 6)]),
        ('["assert f(2) == 4", "assert f(3) == 6"]', [((2,), 4), ((3,), 6)]),
        ("assert f(\n    [1,\n     2]) == -1.5", [(([1, 2],), -1.5)]),
        ("assert f(1)\nassert not f(0)", [((1,), True), ((0,), False)]),
        ("assert f(2) is None", [((2,), None)]),
        ("f('a;b', \"->\") -> {'x': (1, None)}", [(("a;b", "->"), {"x": (1, None)})]),
        ("f() -> ''", [((), "")]),
        ("f(1) -> {1, 2}", [((1,), {1, 2})]),
        ("assert f({1}) == set()", [(({1},), set())]),
        ("f(1) -> {(1, 2): 3}", [((1,), {(1, 2): 3})]),
        ("f(1) -> b'x'", [((1,), b"x")]),
        ("f(1j) -> -1", [((1j,), -1)]),
    ],
)
def test_forms(cell: str, cases: list[tuple]) -> None:
    tests = read(cell)
    assert tests.function == "f"
    assert list(tests.cases) == cases


@pytest.mark.parametrize(
    ("cell", "message"),
    [
        ("", "there are no tests"),
        ("# nothing", "there are no tests"),
        ("f(2)", r"'f\(2\)' is not a test: write name\(arguments\) -> value"),
        ("it doubles", "is not a test"),
        ("f(x) -> 2", "is not a test"),
        ("f(x=1) -> 2", "is not a test"),
        ("import os", "is not a test"),
        ("f(1) -> object", "is not a test"),
        ("assert math.sqrt(4) == 2", "call no function that the program would have to define"),
        ("def g(): pass\nassert g() is None", "call no function"),
        ("root = Node(1)\nassert f(root) == 1", r"objects that only the program defines \(Node\)"),
        ("t = make(1)\nt.left = make(2)\nassert f(t) == 1", "build objects"),
        ("assert f(1) > 2" + " " * 100_000, "more than 100,000 characters"),
        ("f(1) -> " + "[" * 500, "is not a test"),
        ("f(1) -> " + "1" * 5000, "is not a test"),
        ("f(1) -> '" + "x" * 20_000 + "'", "more than 10,000 characters"),
        ("f(1) -> 1\ng(1) -> 1", r"several functions \(f, g\)"),
        ("\n".join(["f(1) -> 1"] * 101), "101 tests, at most 100"),
    ],
)
def test_what_is_no_test(cell: str, message: str) -> None:
    with pytest.raises(T2Error, match=message):
        read(cell)


@pytest.mark.parametrize(
    ("cell", "functions"),
    [
        ("assert f(1) > 2", ("f",)),
        ("assert math.isclose(f(1), 0.5, rel_tol=1e-3)", ("f",)),
        ("assert set(f([1])) == set([1])", ("f",)),
        ('["assert abs(f(1) - 2) < 1e-6"]', ("f",)),
        ("assert f(1, key=2) == 3", ("f",)),
        ("x = 2\n\nassert f(x) == 4", ("f",)),
        ("assert f(1) == 1\nassert g(1) == 1", ("f", "g")),
        ("def check(candidate):\n    assert candidate(2) == 4\n\ncheck(f)", ("f",)),
        ("def check(c):\n    assert c(helper(2)) == 4\ncheck(Entry)", ("Entry", "helper")),
        ("for i in range(3):\n    assert f(i) == [j for j in range(i)]", ("f",)),
    ],
)
def test_scripts(cell: str, functions: tuple[str, ...]) -> None:
    tests = read(cell)
    assert tests.functions == functions
    assert tests.function == functions[0]
    assert "assert" in tests.script
    assert not tests.cases


@pytest.mark.parametrize(
    ("got", "want", "equal"),
    [
        ([1, [2]], (1, (2,)), True),
        ([1], [1, 2], False),
        (0.1 + 0.2, 0.3, True),
        (1, 1.0, True),
        ("1", 1, False),
        ("1", 1.0, False),
        (1.5, "x", False),
        ({"a": 0.3}, {"a": 0.1 + 0.2}, True),
        ({"a": 1}, {"b": 1}, False),
        (None, False, False),
        (10**400, 1.0, False),
        (frozenset({1}), {1}, True),
        ({1, 2}, [1, 2], False),
        (b"x", "x", False),
    ],
)
def test_equality(got: object, want: object, equal: bool) -> None:
    assert same(got, want) is equal
