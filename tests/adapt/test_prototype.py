"""Prototypes: what makes one, what takes part without one, how likeness becomes probabilities."""

from __future__ import annotations

import base64
import json
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import torch

from t2app import adapt
from t2app.adapt import kept, prototype, states
from t2app.config import ROOT
from t2app.errors import T2Error

QUESTION = "how do I cook 40 eggs with 40 potatoes?"
COOKING = [f"how do I cook {n} eggs with {n} potatoes?" for n in range(12)]
SAILING = [f"DEF SAIL(X{n}): RETURN X+{n}" for n in range(12)]


def taught(engine, make_expert, name: str, questions: list[str], kept: bool = True):
    """An expert with examples, and with their prototype unless it is to be computed."""
    expert = make_expert(name, seed=len(name))
    header = {**expert.header, "examples": questions}
    if kept:
        header["prototype"] = prototype.of(engine, questions)
    engine.library.add(replace(expert, header=header), overwrite=True)


@pytest.fixture
def two(empty_engine, make_expert):
    """An engine with an expert of cooking and one of sailing."""
    taught(empty_engine, make_expert, "cooking", COOKING)
    taught(empty_engine, make_expert, "sailing", SAILING)
    return empty_engine


def test_a_prototype_is_the_mean_state_of_the_questions(empty_engine):
    found = prototype.of(empty_engine, COOKING)
    read = torch.stack([states.of(empty_engine, [q])[0] for q in COOKING])
    assert read.norm(dim=1).tolist() == pytest.approx([1.0] * 12, abs=1e-5)
    mean = np.frombuffer(base64.b64decode(found["mean"]), "<f2").astype("float32")
    torch.testing.assert_close(torch.from_numpy(mean), read.mean(0), atol=2e-3, rtol=0)
    assert (found["n"], found["size"], found["depth"]) == (12, 64, states.DEPTH)
    with pytest.raises(T2Error, match="at least one question"):
        prototype.of(empty_engine, [])


def test_questions_that_are_too_long_are_left_out(empty_engine):
    found = prototype.of(empty_engine, ["word " * 2000, "short"])
    assert found["n"] == 1
    with pytest.raises(T2Error, match="too long for the model"):
        prototype.of(empty_engine, ["word " * 2000])


def test_the_most_alike_is_chosen(two):
    for question, name in ((QUESTION, "cooking"), ("DEF SAIL(Y): RETURN 1", "sailing")):
        found = adapt.choose(two, question, "prototype")
        assert found.label == name
        assert set(found.probabilities) == {"cooking", "sailing", "other"}
        assert list(found.probabilities)[-1] == "other"
        assert sum(found.probabilities.values()) == pytest.approx(1)
        assert found.weights == {k: p for k, p in found.probabilities.items() if k != "other"}
        assert name in found.why


@pytest.mark.parametrize("question", ["Who painted The Starry Night?", "how do bees make honey"])
def test_the_base_alone_answers_what_is_like_general_questions(two, question):
    found = adapt.choose(two, question, "prototype")
    assert found.label == "other"
    assert found.weights == {"cooking": 0.0, "sailing": 0.0}
    assert two.delta(found.weights) is None
    assert "base model answers" in found.why


def test_below_its_threshold_an_expert_is_not_chosen(two, monkeypatch):
    likely = adapt.choose(two, QUESTION, "prototype").probabilities["cooking"]
    known = prototype._known(two)
    strict = replace(known.judge, thresholds=torch.ones(2, dtype=torch.float64))
    monkeypatch.setattr(prototype, "_known", lambda _: replace(known, judge=strict))
    found = adapt.choose(two, QUESTION, "prototype")
    assert found.label == "other"
    assert found.probabilities["cooking"] == pytest.approx(likely)
    assert not any(found.weights.values())
    assert found.why.startswith(f"only {likely:.0%} sure of 'cooking' (below 100%)")


def test_a_new_expert_takes_part_at_once(two, make_expert, passes):
    adapt.choose(two, QUESTION, "prototype")
    taught(two, make_expert, "painting", [f"paint {n} red and blue walls" for n in range(9)])
    found = adapt.choose(two, "paint 5 red and blue walls", "prototype")
    assert found.label == "painting"
    two.library.delete("painting")
    assert "painting" not in adapt.choose(two, QUESTION, "prototype").weights
    seen = len(passes)
    adapt.choose(two, QUESTION, "prototype")
    assert len(passes) == seen + 1  # the question, and nothing else


def test_without_a_prototype_the_examples_serve(two, make_expert):
    kept = adapt.choose(two, QUESTION, "prototype").probabilities
    taught(two, make_expert, "cooking", COOKING, kept=False)
    computed = adapt.choose(two, QUESTION, "prototype").probabilities
    assert computed == pytest.approx(kept, abs=0.02)
    assert prototype.missing(two) == ()


@pytest.mark.parametrize(
    "damaged",
    [
        "text",
        {"mean": "!!", "n": 3},
        {"mean": "AAAA", "n": 3},
        {"n": 3},
        {"mean": "AAA=", "n": 0},
        [1.0],
    ],
)
def test_a_damaged_prototype_is_computed_again(two, make_expert, damaged):
    expected = adapt.choose(two, QUESTION, "prototype").label
    expert = two.library.get("cooking")
    two.library.add(replace(expert, header={**expert.header, "prototype": damaged}), overwrite=True)
    assert adapt.choose(two, QUESTION, "prototype").label == expected


@pytest.mark.parametrize("kept", [None, "none", [], [3, ""]])
def test_without_examples_an_expert_is_named_and_left_out(two, make_expert, kept):
    expert = make_expert("silent")
    two.library.add(replace(expert, header={**expert.header, "examples": kept}))
    found = adapt.choose(two, QUESTION, "prototype")
    assert "left out: silent" in found.why
    assert "silent" not in found.weights
    assert prototype.missing(two) == ("silent",)


def test_without_experts_everything_is_other(empty_engine):
    found = adapt.choose(empty_engine, QUESTION, "prototype")
    assert found.probabilities == {"other": 1.0}
    assert found.weights == {}


def test_what_was_computed_is_kept_on_disk(two, monkeypatch):
    expected = adapt.choose(two, QUESTION, "prototype").probabilities
    prototype._cache.clear()
    read = []
    real = states.of
    monkeypatch.setattr(states, "of", lambda e, asked: read.append(len(asked)) or real(e, asked))
    assert adapt.choose(two, QUESTION, "prototype").probabilities == pytest.approx(expected)
    assert read == [1]  # the question, and nothing else


def test_a_cache_that_cannot_be_written_does_no_harm(two, monkeypatch, tmp_path):
    blocked = tmp_path / "file"
    blocked.write_text("")
    monkeypatch.setenv("T2APP_CACHE", str(blocked))
    prototype._cache.clear()
    assert adapt.choose(two, QUESTION, "prototype").label == "cooking"


def test_a_cache_that_is_damaged_is_written_anew(two):
    expected = adapt.choose(two, QUESTION, "prototype").probabilities
    path = states._path(two, COOKING)
    path.write_bytes(b"damaged")
    prototype._cache.clear()
    assert adapt.choose(two, QUESTION, "prototype").probabilities == pytest.approx(expected)
    assert path.stat().st_size > 100


def test_an_expert_without_questions_takes_part_by_its_prototype(two, make_expert):
    taught(two, make_expert, "painting", [f"paint {n} red and blue walls" for n in range(9)])
    expert = two.library.get("painting")
    two.library.add(replace(expert, header={**expert.header, "examples": []}), overwrite=True)
    assert prototype.missing(two) == ()
    assert adapt.choose(two, "paint 5 red and blue walls", "prototype").label == "painting"


def test_classes_that_cannot_be_told_apart_get_like_shares(empty_engine, make_expert):
    taught(empty_engine, make_expert, "one", COOKING)
    taught(empty_engine, make_expert, "two", COOKING[::-1])
    found = adapt.choose(empty_engine, QUESTION, "prototype").probabilities
    assert found["one"] == pytest.approx(found["two"], rel=0.05)


def test_general_questions_differ_and_none_of_them_is_held_out():
    files = (
        kept.GENERAL,
        ROOT / "tests" / "data" / "general-held-out.jsonl",
        ROOT / "assets" / "general-for-training.jsonl",
    )
    asked = [
        {json.loads(line)["question"].casefold() for line in path.read_text("utf-8").splitlines()}
        for path in files
    ]
    assert [len(questions) for questions in asked] == [100, 100, 100]
    assert not any(one & other for one, other in combinations(asked, 2))


def test_messages_of_the_benchmark_differ():
    folder = ROOT / "benchmarks" / "data"
    found = [
        line.casefold()
        for kind in ("unwanted", "everyday")
        for line in (folder / f"{kind}-messages.txt").read_text("utf-8").splitlines()
    ]
    assert len(found) == len(set(found)) >= 200
