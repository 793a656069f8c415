"""Calibrated labels, the strategy that combines, and the line that warns of a strategy."""

from __future__ import annotations

from dataclasses import replace

import pytest

from t2app import adapt
from t2app.adapt import kept, labels, prototype, trust
from t2app.adapt.trust import Trust
from t2app.errors import T2Error

COOKING = [f"how do I cook {n} eggs with {n} potatoes?" for n in range(20)]
SAILING = [f"DEF SAIL(X{n}): RETURN X+{n}" for n in range(20)]


@pytest.fixture
def two(empty_engine, make_expert, monkeypatch, tmp_path):
    """An engine with an expert of cooking and one of sailing, that keep their questions.

    With a cache of its own: some tests put words into the model's mouth.
    """
    monkeypatch.setenv("T2APP_CACHE", str(tmp_path / "cache"))
    for seed, (name, questions) in enumerate({"cooking": COOKING, "sailing": SAILING}.items()):
        expert = make_expert(name, seed=seed)
        empty_engine.library.add(
            replace(expert, header={**expert.header, "examples": questions}), overwrite=True
        )
    return empty_engine


def favours(monkeypatch, engine, favourite: str, share: float) -> None:
    """The model's probabilities: mostly ``favourite``, with a trace of what is right."""

    def said(messages, names, _):
        question = messages[-1]["content"]
        right = {True: "cooking", False: "other"}[question.startswith("how do I cook")]
        right = "sailing" if question.startswith("DEF") else right
        rest = {n: (1 - share) * (0.8 if n == right else 0.1) for n in names if n != favourite}
        more = (1 - share) if right == favourite else 0.0
        found = {favourite: share + more, **rest}
        return {n: found[n] / sum(found.values()) for n in names}

    monkeypatch.setattr(engine, "label_probabilities", said)


def test_a_favourite_label_is_taken_out(two, monkeypatch):
    favours(monkeypatch, two, "sailing", 0.97)
    for question, label in (
        ("how do I cook a fish?", "cooking"),
        ("DEF SAIL(Y): RETURN 1", "sailing"),
        ("who wrote Hamlet", "other"),
    ):
        assert adapt.choose(two, question, "prompt").label == label
    assert trust.measure(two, "prompt").trusted


def test_a_model_that_says_the_same_always_is_not_trusted(two, monkeypatch):
    monkeypatch.setattr(
        two, "label_probabilities", lambda _, names, __: dict.fromkeys(names, 1 / len(names))
    )
    found = trust.measure(two, "prompt")
    assert not found.trusted
    assert found.line.endswith(": not to be trusted")
    assert f"of {found.n} kept questions sent to their expert on this model" in found.line


def test_scores_of_the_sample_are_kept_on_disk(two, passes):
    assert trust.known(two, "prompt") is None
    first = adapt.choose(two, COOKING[0], "prompt").probabilities
    assert trust.known(two, "prompt") is not None
    labels._known.clear()
    seen = len(passes)
    assert trust.known(two, "prompt") is not None
    assert len(passes) == seen
    again = adapt.choose(two, COOKING[0], "prompt").probabilities
    assert again == pytest.approx(first, abs=1e-6)


def test_another_expert_is_another_calibration(two, make_expert):
    adapt.choose(two, COOKING[0], "prompt")
    two.library.add(make_expert("silent"))
    assert trust.known(two, "prompt") is None


def test_the_sample_is_spread_over_the_questions(two):
    experts = two.library.experts()
    listed = labels.from_experts(experts)
    rows, own = labels._sample(two, experts, listed)
    assert len(rows) == len(set(rows)) == len(own)
    assert [own.count(k) for k in range(3)] == [16, 16, labels.GENERAL]
    assert set(rows) <= {*COOKING, *SAILING, *kept.general()}


def test_prototypes_are_measured_on_all_kept_questions(two):
    assert trust.known(two, "auto") is None
    found = trust.measure(two, "auto")
    assert (found.n, found.general) == (40, 100)
    assert found.trusted
    assert trust.known(two, "prototype").right == found.right


@pytest.mark.parametrize("strategy", ["off", "manual", "few-shot"])
def test_what_sorts_nothing_is_not_measured(two, strategy):
    assert trust.measure(two, strategy) is None
    assert trust.known(two, strategy) is None


def test_without_experts_there_is_nothing_to_measure(empty_engine):
    assert all(trust.measure(empty_engine, s) is None for s in trust.MEASURED)
    assert trust.measure_in_background(empty_engine) is None


def test_it_is_measured_in_the_background_once(two):
    thread = trust.measure_in_background(two)
    thread.join(60)
    assert not trust.is_running(two)
    known = {s: trust.known(two, s) is not None for s in trust.MEASURED}
    assert known == {"auto": True, "prototype": True, "prompt": True, "classifier": False}
    assert trust.measure_in_background(two) is None


def test_measuring_stops_when_told_to(two):
    with pytest.raises(T2Error, match="stopped"):
        trust.measure(two, "prompt", lambda: True)
    assert trust.known(two, "prompt") is None


@pytest.mark.parametrize(
    ("right", "left", "trusted"), [(64, 32, True), (51, 32, False), (52, 26, True), (64, 25, False)]
)
def test_both_shares_must_be_high_enough(right, left, trusted):
    assert Trust("prompt", right, 64, left, 32).trusted is trusted


# -- auto ----------------------------------------------------------------------------------------


def test_auto_chooses_by_likeness(two):
    for question in (COOKING[3], SAILING[3], "who wrote Hamlet"):
        found, same = (adapt.choose(two, question, s) for s in ("auto", "prototype"))
        assert found.strategy == "auto"
        assert (found.label, found.weights) == (same.label, same.weights)


def test_auto_asks_the_model_about_experts_that_keep_no_questions(two, make_expert, monkeypatch):
    two.library.add(make_expert("silent"))
    question = "who wrote Hamlet"
    monkeypatch.setattr(
        two,
        "label_probabilities",
        lambda said, names, _: {
            n: 0.97 if n == ("silent" if said[-1]["content"] == question else "other") else 0.01
            for n in names
        },
    )
    assert prototype.missing(two) == ("silent",)
    assert adapt.choose(two, question, "auto").label == "silent"
    assert adapt.choose(two, COOKING[3], "auto").label == "cooking"
    assert adapt.choose(two, "how do bees make honey", "auto").label == "other"


def test_auto_lets_the_model_say_its_label(two, monkeypatch):
    monkeypatch.setattr(prototype, "choose", None)
    found = adapt.choose(two, COOKING[3], "auto", generate=True)
    assert found.strategy == "auto"
    assert found.why.startswith("the model said")
