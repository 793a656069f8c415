"""Steps that move the policy too far are shortened; steps that are not finite are left out."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from t2app.errors import T2Error
from t2app.svf import expert as expert_file
from t2app.svf.expert import Expert
from t2app.training import loop, next_token
from t2app.training.moves import LONGER, MARGIN, SHORTER, SLACK, fitted, next_length
from tests.training.toy import SMALL


@pytest.mark.parametrize(
    ("moved", "first", "expected"),
    [
        (0.0, False, 1.0),
        (0.1, False, 1.0),
        (0.1 * SLACK, False, 1.0),
        (0.4, False, MARGIN / 2),
        (1e9, False, 0.1),
        (math.nan, False, 0.1),
        (math.inf, True, 0.1),
        (0.1, True, 1.0),
        (0.001, True, MARGIN * 10),
        (0.0, True, 10.0),
    ],
)
def test_by_what_a_step_is_shortened_or_the_first_lengthened(moved, first, expected):
    assert fitted(moved, 0.1, first) == pytest.approx(expected)


@pytest.mark.parametrize(
    ("moved", "expected"), [(0.1, 1.0), (0.0, LONGER), (1e-9, LONGER), (0.15, 0.8165), (9, SHORTER)]
)
def test_how_long_the_next_step_is(moved, expected):
    assert next_length(2.0, moved, 0.1) == pytest.approx(2 * expected, rel=1e-3)


def moves(new_run, learner, objective: str) -> list[float]:
    settings = replace(SMALL, objective=objective, learning_rate=50.0, step_kl=0.02)
    run = new_run(settings=settings)
    curve = list(loop.train(learner, run.task(), settings, run))
    return [p.move for p in curve if p.move is not None]


@pytest.mark.parametrize("objective", ["rl", "sft"])
def test_steps_move_the_policy_about_as_far_as_was_set(new_run, learner, objective):
    found = moves(new_run, learner, objective)
    assert 0.005 < max(found) <= 0.02 * SLACK
    assert found[-1] < max(found) / 2, "less and less"


def spoiled(monkeypatch, steps: set[int]):
    """Gradients of these steps hold one NaN."""
    real, count = next_token.gradient, iter(range(1000))

    def gradient(engine, task, delta, *given):
        found = real(engine, task, delta, *given)
        if next(count) in steps:
            delta.grad[5] = math.nan
        return found

    monkeypatch.setattr(next_token, "gradient", gradient)


def test_a_step_that_is_not_finite_is_left_out_and_counted(new_run, learner, monkeypatch):
    spoiled(monkeypatch, {1, 4})
    settings = replace(SMALL, objective="sft")
    run = new_run(settings=settings)
    curve = list(loop.train(learner, run.task(), settings, run))
    assert [p.skipped for p in curve][-1] == 2
    assert run.load()["delta"].isfinite().all()
    assert curve[-1].loss < curve[1].loss, "it goes on to learn"


def test_three_in_a_row_stop_the_run_and_keep_the_best(new_run, learner, monkeypatch):
    spoiled(monkeypatch, {3, 4, 5})
    settings = replace(SMALL, objective="sft")
    run = new_run(settings=settings)
    with pytest.raises(T2Error, match="3 times in a row, up to step 6, at rows"):
        list(loop.train(learner, run.task(), settings, run))
    assert run.load()["best_delta"].isfinite().all()


def test_an_expert_that_is_not_finite_is_not_written(tmp_path):
    expert = Expert("bad", {"layer": torch.tensor([1.0, math.nan])}, {})
    with pytest.raises(T2Error, match="'bad' is not written: its vector for layer"):
        expert_file.save(expert, tmp_path / "bad.safetensors")
    assert not list(tmp_path.iterdir())
