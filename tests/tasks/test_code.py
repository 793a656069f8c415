"""Small functions: both styles pass their hidden inputs in the sandbox, wrong ones do not."""

from __future__ import annotations

import ast
import random

import pytest

from t2app.tasks import TASKS, code
from t2app.tasks.base import Problem

NAMES = ("code", "code-hard")


def drawn(name: str, n: int, seed: int = 0) -> list[Problem]:
    r = random.Random(seed)
    return [TASKS[name].draw(r) for _ in range(n)]


def results(answer: str, problem: Problem) -> list:
    """What our own generated program gives, without the sandbox."""
    scope: dict = {}
    source = code.program(answer)
    exec(source, scope)
    function = scope[ast.parse(source).body[-1].name]
    return [function(*args) for args, _ in problem.hidden]


@pytest.mark.parametrize("name", NAMES)
def test_both_styles_pass_in_the_sandbox(name):
    problems = drawn(name, 20)
    assert code.score(problems, [p.fast for p in problems]) == [1.0] * 20
    assert code.score(problems, [p.steps for p in problems]) == [1.0] * 20


@pytest.mark.parametrize("name", NAMES)
def test_both_styles_agree(name):
    """Hundreds of them, run here: the folded constants and filters are worked out rightly."""
    for problem in drawn(name, 600, seed=3):
        expected = [want for _, want in problem.hidden]
        assert results(problem.fast, problem) == expected, problem.fast
        assert results(problem.steps, problem) == expected


@pytest.mark.parametrize("name", NAMES)
def test_the_two_styles_are_mostly_different(name):
    problems = drawn(name, 300)
    assert sum(p.fast != p.steps for p in problems) > 200
    assert all(len(p.fast.split("\n")) <= len(p.steps.split("\n")) for p in problems)


@pytest.mark.parametrize("name", NAMES)
def test_inputs_tell_programs_apart(name):
    """A program that returns its input, or nothing, passes hardly ever."""
    lazy = 0
    for problem in drawn(name, 400):
        assert len(problem.hidden) == 6
        lazy += all(args[0] == want for args, want in problem.hidden)
        assert not all(want is None for _, want in problem.hidden)
    assert lazy <= 12


@pytest.mark.parametrize("name", NAMES)
def test_the_question_names_the_function(name):
    for problem in drawn(name, 200):
        function = ast.parse(code.program(problem.steps)).body[0]
        assert function.name in problem.question
        if name == "code-hard":
            assert f"def {function.name}({function.args.args[0].arg}):" in problem.question


WRONG = (
    "",
    "I do not know.",
    "```python\ndef f(x):\n    return None\n```",
    "```python\ndef f(x)\n    return x\n```",
    "```python\nimport os\nos.abort()\n```",
    "```python\nx = 1\n```",
)


def test_wrong_answers_score_nothing():
    problems = drawn("code", len(WRONG), seed=5)
    assert code.score(problems, list(WRONG)) == [0.0] * len(WRONG)


def test_almost_right_is_wrong():
    hidden = tuple(((n,), n + 1) for n in range(6))
    problem = Problem("code", "adds 1", "", "", "", hidden)
    answers = {
        "def f(x):\n    return x + 1": 1.0,
        "```python\ndef f(x):\n    return x + 1\n```\nThat is it.": 1.0,
        "Sure!\n```py\ndef anything(a):\n    return 1 + a\n```": 1.0,
        "```\ndef f(x):\n    return x + 1": 1.0,
        "def helper(x):\n    return x\ndef f(x):\n    return helper(x) + 1": 1.0,
        "def f(x):\n    return x + 1 if x < 5 else x": 0.0,
        "def f(x):\n    return str(x + 1)": 0.0,
        "def f(x):\n    print(x + 1)": 0.0,
        "def f(x, y):\n    return x + 1": 0.0,
        "def f(x):\n    while True: pass": 0.0,
        "f = lambda x: x + 1": 0.0,
    }
    assert code.score([problem] * len(answers), list(answers)) == list(answers.values())


@pytest.mark.parametrize(
    ("answer", "source"),
    [
        ("```python\na = 1\n```", "a = 1\n"),
        ("```py\na = 1\n```", "a = 1\n"),
        ("```\na = 1\n```", "a = 1\n"),
        ("Text first.\n\n```python\na = 1\n```\nand ```python\nb\n```", "a = 1\n"),
        ("```python\na = 1", "a = 1"),
        ("Here: def f(x):\n    return x", "def f(x):\n    return x"),
        ("nothing", ""),
        ("", ""),
    ],
)
def test_program(answer, source):
    assert code.program(answer) == source
