"""Saved mixes: ordinary experts that say what they are made of, and answer by themselves."""

from __future__ import annotations

import pytest
import torch

from t2app import adapt
from t2app.adapt import few_shot, labels, mixes, two_pass
from t2app.adapt.few_shot import Settings
from t2app.errors import T2Error
from t2app.svf import expert as expert_file

SMALL = Settings(population=8, generations=2)


@pytest.fixture
def found(engine, toy_shots):
    """The mix of a short search."""
    *_, last = few_shot.search(engine, toy_shots(3), SMALL)
    return last.found


def test_a_mix_is_an_expert_file(engine, toy_shots, found):
    report = {"examples": {"before": {"accuracy": 0.1}, "after": {"accuracy": 0.9}}, "rest": None}
    path = mixes.save(engine, "mine", toy_shots(3), found, SMALL, report=report)
    saved = expert_file.load(path)
    assert torch.allclose(saved.delta(engine.svf.layout.names), found.delta, atol=1e-6)
    assert saved.header["objective"] == "cem"
    assert saved.header["mix"]["experts"] == list(found.experts)
    assert saved.header["mix"]["weights"] == pytest.approx(found.weights, abs=1e-5)
    assert saved.header["settings"]["population"] == 8
    assert (saved.header["before"], saved.header["after"]) == ({"accuracy": 0.1}, {"accuracy": 0.9})
    assert len(saved.header["examples"]) == 3
    assert "found on 3 examples of toy" in saved.description
    assert mixes.is_mix(engine.library.get("mine"))
    assert not mixes.is_mix(engine.library.get("math"))


def test_few_shot_answers_with_the_mix(engine, toy_shots, found):
    mixes.save(engine, "mine", toy_shots(3), found, SMALL)
    chosen = adapt.choose(engine, "the fox", "few-shot", mix="mine")
    assert chosen.weights == {"mine": 1.0}
    assert chosen.label is None
    assert "found on 3 examples" in chosen.why
    answer = two_pass.ask(engine, "the fox", strategy="few-shot", max_new_tokens=5)
    prompt = engine.prompt_ids([{"role": "user", "content": "the fox"}])
    expected = engine.generate([prompt], engine.delta({"mine": 1.0}), max_new_tokens=5)
    assert answer.text == expected[0].text


def test_the_newest_mix_unless_one_is_named(engine, toy_shots, found):
    for name in ("older", "newer"):
        path = mixes.save(engine, name, toy_shots(3), found, SMALL)
        saved = expert_file.load(path)
        year = {"older": "2020", "newer": "2030"}[name]
        engine.library.add(
            type(saved)(name, saved.z, {**saved.header, "created": year}), overwrite=True
        )
    assert list(mixes.mixes(engine.library.experts())) == ["newer", "older"]
    assert adapt.choose(engine, "hi", "few-shot").weights == {"newer": 1.0}
    assert adapt.choose(engine, "hi", "few-shot", mix="older").weights == {"older": 1.0}


def test_a_mix_needs_none_of_its_parts(engine, toy_shots, found):
    mixes.save(engine, "mine", toy_shots(3), found, SMALL)
    for name in found.experts:
        engine.library.delete(name)
    assert torch.allclose(engine.delta({"mine": 1.0}), found.delta, atol=1e-6)
    assert adapt.choose(engine, "hi", "few-shot").weights == {"mine": 1.0}


def test_no_first_pass_chooses_a_mix(engine, toy_shots, found):
    before = labels.from_experts(engine.library.experts())
    mixes.save(engine, "mine", toy_shots(3), found, SMALL)
    assert labels.from_experts(engine.library.experts()) == before
    for strategy in ("prompt", "classifier", "prototype"):
        assert "mine" not in adapt.choose(engine, "hi", strategy).weights


def test_without_a_mix(engine):
    with pytest.raises(T2Error, match=r"'few-shot' needs a mix .*python -m t2app adapt"):
        adapt.choose(engine, "hi", "few-shot")
    with pytest.raises(T2Error, match="unknown mix 'math'"):
        adapt.choose(engine, "hi", "few-shot", mix="math")


def test_names_are_checked_and_nothing_is_overwritten(engine, toy_shots, found):
    for name, message in (("No Name", "not a name"), ("math", "exists already")):
        with pytest.raises(T2Error, match=message):
            mixes.save(engine, name, toy_shots(3), found, SMALL)
    mixes.save(engine, "math", toy_shots(3), found, SMALL, overwrite=True)
    assert mixes.is_mix(engine.library.get("math"))
