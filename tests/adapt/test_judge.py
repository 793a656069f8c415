"""What is left out changes nothing: neither whom a search prefers, nor what it finds."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from t2app.adapt import drafts, few_shot, judge, race
from t2app.adapt.few_shot import Settings

SETTINGS = Settings(population=12, generations=3, prior=0, tolerance=0)


def everything(before, right, *_):
    return [tuple(cell) for cell in right.isnan().nonzero().tolist()]


def step_by_step(engine, prompts, guesses, mixes, **limits):
    return engine.generate(prompts, mixes, likelihoods=True, **limits)


@pytest.mark.parametrize("seed", range(3))
def test_the_same_search_as_with_every_answer_said_in_full(engine, toy_shots, monkeypatch, seed):
    settings, shots = replace(SETTINGS, seed=seed), toy_shots(5)
    found = list(few_shot.search(engine, shots, settings))
    monkeypatch.setattr(race, "to_answer", everything)
    monkeypatch.setattr(drafts, "generate", step_by_step)
    whole = list(few_shot.search(engine, shots, settings))
    left_out = 0
    for one, other in zip(found, whole, strict=True):
        assert one.population == other.population
        assert one.mean == other.mean
        assert (one.best_fitness, one.elite_fitness) == (other.best_fitness, other.elite_fitness)
        assert (one.fittest, one.why) == (other.fittest, other.why)
        assert one.found == replace(other.found, likelihood=one.found.likelihood)
        assert one.found.likelihood == pytest.approx(other.found.likelihood, abs=1e-4)
        for fitness, expected in zip(one.fitnesses, other.fitnesses, strict=True):
            left_out += fitness is None
            assert fitness in (None, expected)
    assert left_out > 0
    assert None not in whole[0].fitnesses


def test_a_draft_is_what_the_nearest_said(engine, toy_shots, monkeypatch):
    guesses, answers = [], []

    def watched(engine, prompts, drafts, mixes, **limits):
        said = step_by_step(engine, prompts, drafts, mixes, **limits)
        guesses.append(drafts)
        answers.append([c.token_ids for c in said])
        return said

    monkeypatch.setattr(judge.drafts, "generate", watched)
    stacked = engine.deltas([engine.library.get("math")])
    parts = few_shot.blocks(engine.svf.layout, False)
    judging = judge.ByAccuracy(engine, toy_shots(2), stacked, parts, 64, torch.zeros(2), places=2)
    judging.scores(torch.tensor([[[0.0]], [[1.0]]]))
    assert guesses == [[engine.answer_ids("the lazy dog")] * 4]  # the given answer
    base, expert = answers[0][:2], answers[0][2:]
    assert base != expert
    judging.scores(torch.tensor([[[0.9]], [[0.1]]]))
    assert guesses[1] == [*expert, *base]
