"""Tests that are a script: run apart from the program, with the values that it gave."""

from __future__ import annotations

import textwrap

import pytest

from t2app.tasks import sandbox, scripts
from t2app.tasks.asserts import read

pytestmark = pytest.mark.skipif(not sandbox.HAS_LIMITS, reason="needs the resource module")

DOUBLE = "def f(x):\n    return 2 * x"


def passed(cell: str, *answers: str, question: str = "") -> list[bool]:
    tests = read(textwrap.dedent(cell))
    assert tests.script
    return scripts.passed(tests, [question] * len(answers), list(answers))


def test_a_loop_over_drawn_numbers() -> None:
    cell = """
        def check(candidate):
            import random
            for _ in range(100):
                x = random.randint(0, 1000)
                assert candidate(x) == x + x
        check(f)
        """
    off_by_one = "def f(x):\n    return 2 * x if x != 7 else 0\n" * 1
    assert passed(cell, DOUBLE, "def f(x):\n    return x") == [True, False]
    assert passed(cell, off_by_one.replace("7", "1000000")) == [True]


def test_what_is_called_may_depend_on_what_was_returned() -> None:
    cell = """
        value = f(1)
        for _ in range(2):
            value = f(value)
        assert value == 8
        """
    assert passed(cell, DOUBLE, "def f(x):\n    return x") == [True, False]


def test_a_loop_that_goes_on_for_ever_is_given_up() -> None:
    cell = """
        value = 1
        while value != 0:
            value = f(value)
        assert value == 0
        """
    assert passed(cell, DOUBLE) == [False]
    assert passed(cell, "def f(x):\n    return 0") == [True]


def test_exceptions_of_the_program_are_those_of_its_calls() -> None:
    cell = """
        try:
            f(-1)
        except ValueError as error:
            assert "negative" in str(error)
        else:
            assert False
        """
    right = "def f(x):\n    if x < 0: raise ValueError('negative')"
    assert passed(cell, right, "def f(x):\n    return x", "def f(x):\n    return 1 / 0") == [
        True, False, False
    ]  # fmt: skip


def test_what_the_question_gives_belongs_to_the_tests() -> None:
    question = textwrap.dedent('''
        def encode(text: str):
            """Turn it around."""
            return text[::-1]

        def decode(text: str):
            """Undo encode."""
        ''')
    cell = """
        def check(candidate):
            for word in ("ab", "xyz"):
                assert candidate(encode(word)) == word
        check(decode)
        """
    cheat = "def encode(text):\n    return text\ndef decode(text):\n    return text"
    answers = ["    return text[::-1]", "def decode(text):\n    return text[::-1]", cheat]
    assert passed(cell, *answers, question=question) == [True, True, False]


def test_types_are_kept_on_the_way() -> None:
    cell = """
        assert f(1) == (1, {2}, frozenset({3}), b"4", 5j, {(6, 7): None})
        assert isinstance(f(1), tuple)
        """
    right = "def f(x):\n    return 1, {2}, frozenset({3}), b'4', 5j, {(6, 7): None}"
    as_list = "def f(x):\n    return [1, {2}, frozenset({3}), b'4', 5j, {(6, 7): None}]"
    assert passed(cell, right, as_list) == [True, False]


def test_arguments_that_the_program_changes_are_copies() -> None:
    cell = """
        xs = [3, 1]
        assert f(xs) == [1, 3]
        assert xs == [3, 1]
        """
    assert passed(cell, "def f(xs):\n    xs.sort()\n    return xs") == [True]


@pytest.mark.parametrize(
    ("cell", "reason"),
    [
        ("assert f(print) == 1", "cannot be run"),
        ("def check(c):\n    pass\nassert True\ncheck(f)", "never call f"),
        ("assert f(1)", None),
        ("import numpy\nassert f(numpy.pi) == 1", "never call f"),
    ],
)
def test_scripts_that_cannot_be_run(cell: str, reason: str | None) -> None:
    tests = read(cell if reason else f"x = 1\n{cell} == x")
    [found] = scripts.unusable([tests])
    assert (found is None) if reason is None else (reason in str(found))
    if reason:
        assert scripts.passed(tests, [""], [DOUBLE]) == [False]


def test_nothing_that_a_program_returns_can_harm_the_others() -> None:
    slow = "def f(x):\n    return list(range(10 ** 5))"
    cell = "assert sorted(f(1))[0] == 2 or sum(f(1)) == 0\nassert f(1) != 0"
    answers = ["def f(x):\n    return [2]", slow, "def f(x):\n    return [2, 3]"]
    assert passed(cell, *answers) == [True, False, True]
