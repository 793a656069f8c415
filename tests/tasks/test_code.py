"""Small functions: both styles pass their hidden inputs in the sandbox, wrong ones do not."""

from __future__ import annotations

import ast
import random

import pytest

from t2app.tasks import TASKS, asserts
from t2app.tasks.base import Problem
from t2app.tasks.programs import program

NAMES = ("code", "code-hard")


def drawn(name: str, n: int, seed: int = 0) -> list[Problem]:
    r = random.Random(seed)
    return [TASKS[name].draw(r) for _ in range(n)]


def results(answer: str, problem: Problem) -> list:
    """What our own generated program gives, without the sandbox."""
    scope: dict = {}
    source = program(answer)
    exec(source, scope)
    function = scope[ast.parse(source).body[-1].name]
    return [function(*args) for args, _ in cases(problem)]


def cases(problem: Problem) -> tuple:
    """The inputs that a program is run on, each with what it has to give."""
    return asserts.read(problem.gold).cases


@pytest.mark.parametrize("name", NAMES)
def test_both_styles_pass_in_the_sandbox(name):
    problems = drawn(name, 20)
    assert TASKS[name].score(problems, [p.fast for p in problems]) == [1.0] * 20
    assert TASKS[name].score(problems, [p.steps for p in problems]) == [1.0] * 20


@pytest.mark.parametrize("name", NAMES)
def test_both_styles_agree(name):
    """Hundreds of them, run here: the folded constants and filters are worked out rightly."""
    for problem in drawn(name, 600, seed=3):
        expected = [want for _, want in cases(problem)]
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
        assert len(cases(problem)) == 6
        lazy += all(args[0] == want for args, want in cases(problem))
        assert not all(want is None for _, want in cases(problem))
    assert lazy <= 12


@pytest.mark.parametrize("name", NAMES)
def test_the_question_names_the_function(name):
    for problem in drawn(name, 200):
        function = ast.parse(program(problem.steps)).body[0]
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
    assert TASKS["code"].score(problems, list(WRONG)) == [0.0] * len(WRONG)
