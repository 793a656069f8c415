"""Accuracy of mixes, of strategies and of whole grids, on a random model."""

from __future__ import annotations

import random

import pytest
import torch

from t2app import adapt
from t2app.evaluation import grid, measure
from t2app.evaluation.measure import Accuracy
from t2app.evaluation.stats import wilson
from t2app.tasks import BUILT_IN, TASKS
from t2app.tasks.base import Problem, Task


def draw(r: random.Random) -> Problem:
    return Problem("math", f"the fox has {r.randint(0, 9999)} dogs", "", "", "")


def score_by_text(problems, answers) -> list[float]:
    """Anything that says different things about different answers and questions."""
    pairs = zip(problems, answers, strict=True)
    return [float((len(p.question) + sum(map(ord, a))) % 2) for p, a in pairs]


TASK = Task("math", "toy", draw, score_by_text, 6)


def test_accuracy_of_scores():
    found = Accuracy((1.0, 0.0, 1.0, 1.0))
    assert found.n == 4
    assert found.accuracy == 0.75
    low, high = wilson(3, 4)
    assert found.to_dict() == {
        "accuracy": 0.75,
        "n": 4,
        "ci95": [pytest.approx(low, abs=1e-4), pytest.approx(high, abs=1e-4)],
    }
    assert Accuracy(()).accuracy == 0


def test_answers_are_greedy_and_in_order(engine):
    problems = TASK.problems("test", 5, 0)
    delta = engine.delta({"math": 1.0})
    found = measure.answers(engine, TASK, problems, delta)
    for problem, answer in zip(problems, found, strict=True):
        prompt = engine.prompt_ids([{"role": "user", "content": problem.question}])
        assert answer == engine.generate([prompt], delta, max_new_tokens=6)[0].text
    assert measure.accuracy(engine, TASK, problems, delta).scores == tuple(
        score_by_text(problems, found)
    )


def test_the_system_prompt_of_a_task_is_used(engine):
    task = TASKS["dispatch"]
    [prompt] = measure.prompts_for(engine, task, task.problems("test", 1, 0))
    assert "To which category" in engine.tokenizer.decode(prompt)


def test_a_strategy_answers_every_problem_with_its_own_mix(engine):
    problems = TASK.problems("test", 5, 0)
    found = measure.strategy(engine, TASK, problems, "prompt")
    chosen = [adapt.choose(engine, p.question, "prompt") for p in problems]
    assert found.labels == tuple(c.label for c in chosen)
    single = [
        measure.accuracy(engine, TASK, [p], engine.delta(c.weights)).scores[0]
        for p, c in zip(problems, chosen, strict=True)
    ]
    assert found.scores.scores == tuple(single)


def test_off_measures_the_base(engine):
    problems = TASK.problems("test", 5, 0)
    found = measure.strategy(engine, TASK, problems, "off")
    assert found.scores == measure.accuracy(engine, TASK, problems, None)
    assert set(found.labels) == {None}


def test_one_mix_a_row(engine):
    rows = measure.stack(engine, [{"math": 1.0}, {}, {"code": 0.5}])
    assert rows.shape == (3, engine.svf.layout.total)
    assert torch.equal(rows[0], engine.delta({"math": 1.0}))
    assert rows[1].eq(0).all()
    assert torch.equal(rows[2], engine.delta({"code": 0.5}))


def test_the_oracle_takes_the_expert_of_the_kind(engine):
    assert measure.oracle_weights(engine, TASKS["math"]) == {"math": 1.0}
    assert measure.oracle_weights(engine, TASKS["math-hard"]) == {"math": 1.0}
    assert measure.oracle_weights(engine, TASKS["other"]) == {}
    engine.library.delete("math")
    assert measure.oracle_weights(engine, TASKS["math"]) == {}


@pytest.fixture
def toy_grid(engine, monkeypatch):
    """A grid of two small tasks that stand in for the built-in ones."""
    for name in ("math", "other", "math-hard"):
        toy = Task(name, TASKS[name].description, draw, score_by_text, 4)
        monkeypatch.setitem(grid.TASKS, name, toy)
    lines = []
    found = grid.run(engine, ("math", "other", "math-hard"), n=4, report=lines.append)
    assert lines
    return engine, found


def test_a_grid_holds_every_way_to_answer(toy_grid):
    engine, found = toy_grid
    assert (found["model"], found["n"]) == ("small@0123456789ab", 4)
    ways = {"base", "math", "code", "reasoning", "oracle", "prompt", "classifier"}
    assert all(set(row) == ways for row in found["tasks"].values())
    assert found["tasks"]["math"]["oracle"] == found["tasks"]["math"]["math"]
    assert found["tasks"]["math-hard"]["oracle"] == found["tasks"]["math-hard"]["math"]
    assert found["tasks"]["other"]["oracle"] == found["tasks"]["other"]["base"]
    problems = grid.TASKS["math"].problems("test", 4, grid.SEED)
    expected = measure.accuracy(engine, grid.TASKS["math"], problems, None).to_dict()
    assert found["tasks"]["math"]["base"] == expected


def test_a_grid_counts_labels(toy_grid):
    _, found = toy_grid
    for strategy in grid.TWO_PASS:
        for figures in found["classified"][strategy].values():
            assert sum(figures["labels"].values()) == figures["n"] == 4


def test_the_mixed_stream_is_the_built_in_kinds_together(toy_grid):
    _, found = toy_grid
    mixed = found["mixed"]
    assert set(mixed) == {"base", "oracle", "prompt", "classifier"}
    kinds = [row for name, row in found["tasks"].items() if name in BUILT_IN]
    for way, figure in mixed.items():
        assert figure["n"] == 8
        mean = sum(row[way]["accuracy"] for row in kinds) / 2
        assert figure["accuracy"] == pytest.approx(mean)
    for strategy in grid.TWO_PASS:
        gain = mixed[strategy]["gain_over_base"]
        assert gain["mean"] == pytest.approx(
            mixed[strategy]["accuracy"] - mixed["base"]["accuracy"], abs=1e-3
        )
        assert gain["ci95"][0] <= gain["mean"] <= gain["ci95"][1]
        gap = mixed[strategy]["gap_to_oracle"]["mean"]
        assert gap == pytest.approx(
            mixed[strategy]["accuracy"] - mixed["oracle"]["accuracy"], abs=1e-3
        )


def test_a_grid_as_a_table(toy_grid):
    _, found = toy_grid
    head, rule, *rows = grid.markdown(found).split("\n")
    assert head.startswith("| task | base |")
    assert len(rows) == 3
    assert {line.count("|") for line in (head, rule, *rows)} == {head.count("|")}
    accuracy = found["tasks"]["math"]["base"]["accuracy"]
    assert f"| math | {100 * accuracy:.1f} ±" in rows[0]


def test_the_kinds_alone_have_no_mixed_stream_without_them(engine, monkeypatch):
    monkeypatch.setitem(grid.TASKS, "math-hard", Task("math-hard", "toy", draw, score_by_text, 2))
    assert grid.run(engine, ("math-hard",), ("prompt",), n=2)["mixed"] == {}
