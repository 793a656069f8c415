"""Before and after of a mix that was found, on its examples and on rows no search has seen."""

from __future__ import annotations

import random

import pytest

from t2app.adapt import few_shot as search
from t2app.adapt.few_shot import Settings
from t2app.adapt.shots import Shots
from t2app.evaluation import few_shot, measure
from t2app.tasks.base import Problem, Task


def draw(r: random.Random) -> Problem:
    return Problem("toy", f"the fox has {r.randint(0, 9999)} dogs", "", "", "")


TASK = Task("toy", "foxes", draw, lambda p, a: [float(len(x) % 2) for x in a], 5)


@pytest.fixture
def searched(engine):
    problems = TASK.problems("train", 6, 0)
    shots = Shots(TASK, tuple(problems[:2]), tuple(problems[2:]))
    *_, last = search.search(engine, shots, Settings(population=6, generations=2))
    return engine, shots, last.found


def test_examples_and_the_rest_are_measured_apart(searched):
    engine, shots, found = searched
    report = few_shot.measure_found(engine, shots, found)
    for part, problems in (("examples", shots.shots), ("rest", shots.rest)):
        figure = report[part]
        assert figure["before"] == measure.accuracy(engine, TASK, problems, None).to_dict()
        after = measure.accuracy(engine, TASK, problems, found.delta).to_dict()
        assert figure["after"] == after
        gain = figure["after"]["accuracy"] - figure["before"]["accuracy"]
        assert figure["gain"]["mean"] == pytest.approx(gain)
    assert report["examples"]["after"]["accuracy"] == pytest.approx(found.fitness)


def test_without_a_rest_there_is_nothing_to_say_of_it(searched):
    engine, shots, found = searched
    assert few_shot.measure_found(engine, Shots(TASK, shots.shots), found)["rest"] is None


def test_a_result_can_be_made_a_mix_again(searched):
    engine, shots, _ = searched
    for settings in (
        Settings(population=6, generations=2, per_layer=True),
        Settings(generations=1),
    ):
        *_, last = search.search(engine, shots, settings)
        again = few_shot.delta_of(engine, few_shot.searched(engine, shots, settings))
        assert (again - last.found.delta).abs().max() < 1e-4
