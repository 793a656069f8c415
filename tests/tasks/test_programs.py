"""The program in an answer, and what its question gives of it."""

from __future__ import annotations

import pytest

from t2app.tasks.programs import complete, defines, given_code, program

PROMPT = '''from typing import List

def poly(xs: list, x: float):
    """Evaluate a polynomial."""
    return sum(c * x**i for i, c in enumerate(xs))

def find_zero(xs: List[float]):
    """Find x such that poly(x) = 0."""
'''


@pytest.mark.parametrize(
    ("answer", "source"),
    [
        ("```python\na = 1\n```", "a = 1\n"),
        ("```py\na = 1\n```", "a = 1\n"),
        ("```python3 \na = 1\n```", "a = 1\n"),
        ("```\na = 1\n```", "a = 1\n"),
        ("Text first.\n\n```python\na = 1\n```\nand ```python\nb\n```", "a = 1\n"),
        ("```python\na = 1", "a = 1"),
        ("Here: def f(x):\n    return x", "def f(x):\n    return x"),
        ("import math\n\ndef f(x):\n    return math.pi", None),
        ("from math import pi\ndef f(x):\n    return pi", None),
        ("MAX = 1000\n\ndef f(x):\n    return MAX", None),
        ("# doubles\ndef f(x):\n    return x", None),
        ("Sure, here:\nMAX = 3\ndef f(x):\n    return MAX", "MAX = 3\ndef f(x):\n    return MAX"),
        ("def f(x):\n    return x\n\nIt returns x.", "def f(x):\n    return x\n\n"),
        ("def f(x)\n    return x", "def f(x)\n    return x"),
        ("nothing", ""),
        ("", ""),
    ],
)
def test_program(answer: str, source: str | None) -> None:
    assert program(answer) == (answer if source is None else source)


def test_of_several_blocks_the_one_with_the_function() -> None:
    answer = "```sh\npip install x\n```\n```python\ndef f(x):\n    return x\n```\n```\nf(1)\n```"
    assert program(answer, "f") == "def f(x):\n    return x\n"
    assert program(answer) == "pip install x\n"


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("def f(x): pass", True),
        ("async def f(x): pass", True),
        ("f = lambda x: x", True),
        ("f: object = 1", True),
        ("class A:\n    def f(self): pass", False),
        ("def ff(x): pass", False),
        ("f == 1", False),
    ],
)
def test_defines(source: str, found: bool) -> None:
    assert defines(source, "f") is found


def test_what_a_question_gives() -> None:
    given = given_code(PROMPT, "find_zero")
    assert "from typing import List" in given
    assert "def poly" in given
    assert "find_zero" not in given
    assert given_code("Complete this function.\n\n" + PROMPT, "find_zero") == given
    assert given_code("Write a function that imports nothing.", "f") == ""
    assert given_code("import duties are taxes. What are they?", "f") == ""


@pytest.mark.parametrize(
    "answer",
    [
        "    return 0.0",
        "return 0.0",
        "```python\n    return 0.0\n```",
        "def find_zero(xs: List[float]):\n    return 0.0",
        "```python\ndef find_zero(xs: List[float]):\n    return poly(xs, 0) * 0\n```",
        PROMPT + "    return 0.0",
    ],
)
def test_an_answer_may_be_the_body_the_function_or_all(answer: str) -> None:
    scope: dict = {}
    exec(complete(PROMPT, answer, "find_zero"), scope)
    assert scope["find_zero"]([1.0]) == 0


def test_prose_is_no_body() -> None:
    source = complete(PROMPT, "I do not know how to do that.", "find_zero")
    assert not defines(source, "find_zero")
