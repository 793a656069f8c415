"""Alarms from hand-made figures, and each from a real run that deserves it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from t2app.engine import Engine
from t2app.tasks import TASKS, Task
from t2app.training import alarms, loop
from t2app.training.settings import Settings
from tests.training.toy import SMALL, TASK

HEALTHY = {
    "objective": "rl",
    "reward": 0.1,
    "kl": 0.02,
    "same": 0.3,
    "alike": 0.1,
    "cut": 0.05,
    "length": 20.0,
    "entropy": 0.4,
    "skipped": 0,
    "empty": None,
}


def curve(*changes: dict[str, Any], steps: int = 6) -> list[dict[str, Any]]:
    """The base, ``steps`` healthy steps, then one for each of ``changes``."""
    start = {**HEALTHY, **dict.fromkeys(HEALTHY), "objective": "rl", "skipped": 0, "empty": 0.0}
    entries = [start, *({**HEALTHY} for _ in range(steps)), *({**HEALTHY, **c} for c in changes)]
    return [{**entry, "step": number} for number, entry in enumerate(entries)]


def kinds(found: list[alarms.Alarm]) -> list[str]:
    return [alarm.kind for alarm in found]


CASES = {
    "healthy": ({}, []),
    "collapsed": ({"alike": 0.97, "same": 1.0}, ["collapsed"]),
    "collapsed, but right": ({"alike": 1.0, "same": 1.0, "reward": 0.97, "entropy": 0.0}, []),
    "flat": ({"same": 1.0}, ["flat reward"]),
    "flat, nothing right": ({"same": 1.0, "reward": -1.0}, ["flat reward"]),
    "solved": ({"same": 1.0, "reward": 1.0}, []),
    "all cut off": ({"cut": 0.95}, ["cut off"]),
    "growing": ({"cut": 0.4, "length": 60.0}, ["growing"]),
    "longer, not cut off": ({"length": 60.0}, []),
    "far": ({"kl": 4.0}, ["far from the base"]),
    "certain": ({"entropy": 0.001}, ["certain"]),
    "certain and right": ({"entropy": 0.001, "reward": 0.95}, []),
    "one sample a prompt": ({"same": None, "alike": None}, []),
    "nothing scored": ({"kl": None, "entropy": None}, []),
    "given answers": (
        {"objective": "sft", "reward": None, "same": None, "alike": None, "cut": None, "kl": 4.0},
        ["far from the base"],
    ),
}


@pytest.mark.parametrize(("change", "expected"), CASES.values(), ids=list(CASES))
def test_figures_of_three_steps_raise_alarms(change: dict, expected: list[str]) -> None:
    assert kinds(alarms.now(curve(change, change, change))) == expected
    if expected:
        assert not alarms.now(curve(change, change))  # one or two odd steps are no alarm


@pytest.mark.parametrize(
    ("reward", "advice"),
    [(-1.0, "given answers first"), (0.1, "more answers per row")],
    ids=["none", "some"],
)
def test_advice_on_a_flat_reward_follows_from_what_is_right(reward: float, advice: str) -> None:
    change = {"same": 1.0, "reward": reward}
    assert advice in alarms.now(curve(change, change, change))[0].advice


def test_advice_knows_that_given_answers_were_learned_before() -> None:
    given = {"objective": "sft", "reward": None, "same": None, "alike": None, "cut": None}
    flat = {"same": 1.0, "reward": -1.0}
    advice = alarms.now(curve(given, flat, flat, flat))[0].advice
    assert "learn longer from the given answers" in advice


def test_steps_left_out_are_counted() -> None:
    found = alarms.now(curve({}, {"skipped": 1}, {"skipped": 2}))
    assert kinds(found) == ["skipped steps"]
    assert found[0].says.startswith("2 of the last 3 steps were left out")
    assert not alarms.now(curve({"skipped": 1}, *({"skipped": 1},) * 3))


def test_a_reward_for_saying_nothing_is_told_from_the_beginning() -> None:
    paid = [{**curve(steps=0)[0], "empty": 0.8}]
    assert kinds(alarms.now(paid)) == ["empty answer"]
    assert "80%" in alarms.now(paid)[0].says


def test_the_budget_of_the_kl_can_be_set() -> None:
    change = {"kl": 0.5}
    assert not alarms.now(curve(change, change, change))
    found = alarms.now(curve(change, change, change), most_kl=0.2)
    assert "0.2 is the budget" in found[0].says


def test_a_finished_run_lists_what_was_the_matter_and_when() -> None:
    flat = {"same": 1.0, "reward": -1.0}
    found = alarms.over(curve(flat, flat, flat, flat, {}, {}))
    assert [(a["kind"], a["first"], a["last"], a["at_end"]) for a in found] == [
        ("flat reward", 9, 10, False)
    ]
    assert "(steps 9 to 10)." in alarms.line(found[0])
    assert alarms.over([]) == []
    assert alarms.new(found, found) == []


# -- real runs ---------------------------------------------------------------------------------


def never(problems, answers) -> list[float]:
    return [0.0] * len(answers)


def always(problems, answers) -> list[float]:
    return [1.0] * len(answers)


def mostly_wrong(problems, answers) -> list[float]:
    """Only one answer in a hundred is right, so that a run may collapse on what is wrong."""
    return [float(len(answer) % 97 == 96) for answer in answers]


def toy(score: Callable, tokens: int = 24) -> Task:
    return replace(TASK, score=score, max_new_tokens=tokens)


FAST = replace(SMALL, steps=4, validate_every=9, validation=4)
RUNS: dict[str, tuple[Task, Settings, dict[str, Any]]] = {
    "flat reward": (toy(never), FAST, {}),
    "cut off": (toy(mostly_wrong, tokens=3), FAST, {"ends": {299}}),
    "empty answer": (toy(always), FAST, {}),
    "collapsed": (toy(never), replace(FAST, temperature=1e-6), {}),
    "certain": (toy(never), replace(FAST, temperature=1e-6), {}),
}


@pytest.mark.parametrize("kind", RUNS)
def test_a_real_run_raises_the_alarm(learner, kind: str) -> None:
    task, settings, changes = RUNS[kind]
    for name, value in changes.items():
        setattr(learner, name, value)
    steps = [vars(progress) for progress in loop.train(learner, task, settings, None)]
    found = alarms.over(steps)
    assert kind in {alarm["kind"] for alarm in found}
    assert all(alarm["advice"] for alarm in found)


def test_long_steps_take_the_built_in_model_far_from_its_base() -> None:
    settings = replace(FAST, learning_rate=90.0, step_kl=200.0)
    steps = list(loop.train(Engine.load("tiny"), TASKS["math"], settings, None))
    assert "far from the base" in {a["kind"] for a in alarms.over([vars(p) for p in steps])}


def test_a_healthy_run_raises_none(learner) -> None:
    steps = [vars(progress) for progress in loop.train(learner, TASK, SMALL, None)]
    assert alarms.over(steps) == []
