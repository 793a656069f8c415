"""Splits and draws: disjoint, stable, different problems; the same in every process."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from pathlib import Path

import pytest

from t2app.tasks import BUILT_IN, KIND_OF, SISTERS, TASKS
from t2app.tasks.base import a_or_an, split_of
from t2app.tasks.rewards import REWARDS

ROOT = Path(__file__).resolve().parents[2]
SPLITS = ("train", "validation", "test")


def test_the_split_of_a_question_never_changes():
    """Another answer would mix problems that old experts were trained on into the tests."""
    found = {split: [] for split in SPLITS}
    for i in range(24):
        found[split_of(f"question {i}")].append(i)
    assert (found["validation"], found["test"]) == ([6, 15], [19, 20])
    assert split_of("How many apples are left?") == "train"


def test_eight_of_ten_are_for_training():
    found = [split_of(f"some question {i}") for i in range(20_000)]
    assert found.count("train") / 20_000 == pytest.approx(0.8, abs=0.015)
    assert found.count("validation") / 20_000 == pytest.approx(0.1, abs=0.012)


@pytest.mark.parametrize("name", TASKS)
def test_splits_are_disjoint(name):
    drawn = {s: {p.question for p in TASKS[name].problems(s, 60, 1)} for s in SPLITS}
    for split, questions in drawn.items():
        assert {split_of(q) for q in questions} == {split}
    assert not drawn["train"] & drawn["test"]
    assert not drawn["train"] & drawn["validation"]
    assert not drawn["validation"] & drawn["test"]


@pytest.mark.parametrize("name", TASKS)
def test_a_seed_decides_the_problems(name):
    task = TASKS[name]
    assert task.problems("test", 20, 1) == task.problems("test", 20, 1)
    assert task.problems("test", 20, 1) != task.problems("test", 20, 2)
    # The first ten do not depend on how many more are asked for.
    assert task.problems("test", 20, 1)[:10] == task.problems("test", 10, 1)


def test_draws_are_the_same_in_every_process():
    """Whatever order sets have there, and whatever was drawn before."""
    code = (
        "import hashlib; from t2app.tasks import TASKS; "
        "print(hashlib.sha256(repr([t.problems('train', 15, 7) for t in TASKS.values()])"
        ".encode()).hexdigest())"
    )
    digests = set()
    for seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code],
            cwd=ROOT,
            env={**os.environ, "PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
        )
        digests.add(done.stdout)
    assert len(digests) == 1


@pytest.mark.parametrize("name", TASKS)
def test_problems_are_different(name):
    found = [p.question for p in TASKS[name].problems("test", 200, 0)]
    assert len(found) == len(set(found)) == 200


@pytest.mark.slow
@pytest.mark.parametrize("name", [*BUILT_IN, "math-hard", "code-hard"])
def test_there_are_enough_problems_to_measure_on(name):
    assert len(TASKS[name].problems("test", 600, 0)) == 600


@pytest.mark.parametrize("name", TASKS)
def test_problems_are_well_formed(name):
    task = TASKS[name]
    r = random.Random(11)
    for _ in range(200):
        problem = task.draw(r)
        assert problem.task == name
        assert problem.question.strip() == problem.question != ""
        assert len(problem.question) < 700
        assert problem.gold
        assert problem.fast
        assert problem.steps
        assert "<|" not in problem.question + problem.fast + problem.steps


@pytest.mark.parametrize("name", TASKS)
def test_every_task_is_scored_by_the_reward_that_it_names(name):
    task = TASKS[name]
    assert task.score is REWARDS[task.reward].score
    problems = task.problems("validation", 30, 5)
    assert task.score(problems, [p.steps for p in problems]) == [1.0] * 30
    assert task.score(problems, [""] * 30) == [0.0] * 30


def test_every_task_has_a_kind():
    assert set(KIND_OF) == {*BUILT_IN, *SISTERS}
    assert set(KIND_OF.values()) == set(BUILT_IN)
    for name in BUILT_IN:
        assert KIND_OF[name] == name
        assert TASKS[name].name == name
        assert TASKS[name].description


@pytest.mark.parametrize(
    ("noun", "expected"), [("apple", "an apple"), ("dog", "a dog"), ("owl", "an owl")]
)
def test_articles(noun, expected):
    assert a_or_an(noun) == expected
