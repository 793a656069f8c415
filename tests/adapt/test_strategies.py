"""Every way to choose a mix: what it returns, where it gets its labels, what it refuses."""

from __future__ import annotations

import pytest
import torch

from t2app import adapt
from t2app.adapt import labels
from t2app.engine import Completion
from t2app.errors import T2Error
from t2app.svf.expert import Expert
from t2app.tasks import TASKS, dispatch

QUESTION = "the quick brown fox has 12 dogs"
KINDS = ["code", "math", "reasoning", "other"]


def messages(engine, question: str = QUESTION) -> list[dict[str, str]]:
    return dispatch.messages(labels.from_experts(engine.library.experts()), question)


def scripted(engine, monkeypatch, text: str) -> None:
    """Whatever is asked, the model says ``text``."""
    said = [Completion([1], text, True)]
    monkeypatch.setattr(engine, "generate", lambda *args, **options: said)


def says(engine, monkeypatch, label: str) -> None:
    """Whatever is asked, the model is certain of ``label``."""
    monkeypatch.setattr(
        engine, "label_probabilities", lambda _, names, __: {n: float(n == label) for n in names}
    )


def test_off_asks_nothing(engine, passes):
    found = adapt.choose(engine, QUESTION, "off")
    assert found.strategy == "off"
    assert (found.label, found.probabilities, found.weights) == (None, {}, {})
    assert passes == []


def test_manual_takes_the_weights_as_they_are(engine, passes):
    found = adapt.choose(engine, QUESTION, "manual", weights={"math": 0.7, "code": 0.1})
    assert found.strategy == "manual"
    assert found.weights == {"math": 0.7, "code": 0.1}
    assert found.label is None
    assert passes == []
    assert adapt.choose(engine, QUESTION, "manual").weights == {}


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"mathe": 1}, "unknown expert 'mathe': did you mean math"),
        ({"math": -1}, "weight of 'math'"),
        ({"math": "much"}, "weight of 'math' is 'much'"),
        ({"math": float("inf")}, "weight of 'math'"),
        ({"math": 1, "code": 1}, "sum to 2"),
    ],
)
def test_manual_refuses_impossible_weights(engine, weights, message):
    with pytest.raises(T2Error, match=message):
        adapt.choose(engine, QUESTION, "manual", weights=weights)


@pytest.mark.parametrize("strategy", ["prompt", "classifier"])
def test_the_first_pass_gives_probabilities_and_leaves_other_to_the_base(engine, strategy):
    found = adapt.choose(engine, QUESTION, strategy)
    assert found.strategy == strategy
    assert list(found.probabilities) == KINDS
    assert sum(found.probabilities.values()) == pytest.approx(1)
    assert found.label == max(found.probabilities, key=found.probabilities.get)
    assert found.weights == {k: p for k, p in found.probabilities.items() if k != "other"}
    assert found.seconds > 0
    assert found.label in found.why


def test_prompt_asks_the_base_and_classifier_the_dispatch_expert(engine):
    found = {s: adapt.choose(engine, QUESTION, s).probabilities for s in ("prompt", "classifier")}
    for strategy, mix in (("prompt", None), ("classifier", {"dispatch": 1.0})):
        raw = torch.tensor(
            list(engine.label_probabilities(messages(engine), KINDS, engine.delta(mix)).values())
        )
        # Experts that keep no questions: what labels get on general ones is taken out.
        of_general = labels.calibration(engine, engine.delta(mix)).usual
        expected = (raw.double().log() - of_general).softmax(0).tolist()
        assert list(found[strategy].values()) == pytest.approx(expected, abs=1e-4)
    assert found["prompt"] != pytest.approx(found["classifier"], abs=1e-3)


def test_the_classifier_is_found_by_its_task(engine, make_expert):
    engine.library.delete("dispatch")
    with pytest.raises(T2Error, match=r"needs an expert that classifies.*--task dispatch"):
        adapt.choose(engine, QUESTION, "classifier")
    engine.library.add(make_expert("my-router", seed=1, task="dispatch"))
    found = adapt.choose(engine, QUESTION, "classifier")
    assert list(found.probabilities) == KINDS


def test_one_more_expert_is_one_more_label(engine, make_expert):
    before = adapt.choose(engine, QUESTION, "prompt")
    engine.library.add(make_expert("cooking", seed=9))
    after = adapt.choose(engine, QUESTION, "prompt")
    assert set(after.probabilities) == {*before.probabilities, "cooking"}
    assert list(after.probabilities)[-1] == "other"
    assert after.weights["cooking"] > 0
    assert "- cooking: questions about cooking" in messages(engine)[0]["content"]
    engine.library.delete("cooking")
    again = adapt.choose(engine, QUESTION, "prompt").probabilities
    assert again == pytest.approx(before.probabilities, abs=1e-6)


def test_without_experts_everything_is_other(empty_engine):
    found = adapt.choose(empty_engine, QUESTION, "prompt")
    assert found.probabilities == {"other": 1.0}
    assert found.label == "other"
    assert empty_engine.delta(found.weights) is None


@pytest.mark.parametrize("generate", [False, True])
def test_other_is_the_base_model(engine, monkeypatch, generate):
    says(engine, monkeypatch, "other")
    scripted(engine, monkeypatch, "other")
    found = adapt.choose(engine, QUESTION, "classifier", generate=generate)
    assert found.label == "other"
    assert sum(found.weights.values()) == 0
    assert engine.delta(found.weights) is None


@pytest.mark.parametrize(
    ("said", "label"),
    [
        ("math", "math"),
        (" Math.", "math"),
        ("It is code, not math", "code"),
        ("\\boxed{reasoning}", "reasoning"),
        ("mathematics", "other"),
        ("", "other"),
        ("dispatch", "other"),
    ],
)
@pytest.mark.parametrize("strategy", ["prompt", "classifier"])
def test_a_label_that_is_said_aloud(engine, monkeypatch, said, label, strategy):
    scripted(engine, monkeypatch, said)
    found = adapt.choose(engine, QUESTION, strategy, generate=True)
    assert found.label == label
    assert found.probabilities == {k: float(k == label) for k in KINDS}
    assert found.weights == {k: float(k == label) for k in KINDS if k != "other"}
    assert repr(said.strip()) in found.why


def test_the_longest_name_can_be_said(engine, make_expert, monkeypatch):
    name = "q9" * 20 + "z"
    engine.library.add(make_expert(name))
    room = []
    monkeypatch.setattr(
        engine,
        "generate",
        lambda *_, max_new_tokens, **__: (
            room.append(max_new_tokens) or [Completion([1], name, True)]
        ),
    )
    assert adapt.choose(engine, QUESTION, "prompt", generate=True).label == name
    assert room[0] > len(engine.tokenizer(name).input_ids)


def test_a_random_model_says_something(engine):
    found = adapt.choose(engine, QUESTION, "classifier", generate=True)
    assert found.label in KINDS


@pytest.mark.parametrize("strategy", ["", "magic", "few shot", "OFF"])
def test_unknown_strategy(engine, strategy):
    with pytest.raises(T2Error, match=r"unknown strategy .*classifier, .*off"):
        adapt.choose(engine, QUESTION, strategy)


def test_every_strategy_that_is_listed_works(engine):
    for name, description in adapt.STRATEGIES.items():
        assert description
        if name != "few-shot":  # needs a mix: see test_mixes
            assert adapt.choose(engine, QUESTION, name).strategy == name
    assert adapt.DEFAULT in adapt.STRATEGIES


def test_labels_are_those_the_dispatch_task_is_trained_on(engine):
    assert messages(engine)[0] == {"role": "system", "content": TASKS["dispatch"].system}


@pytest.mark.parametrize(
    ("description", "line"),
    [
        ("", "- x: x"),
        ("  two\nlines\t here ", "- x: two lines here"),
        ("plain", "- x: plain"),
    ],
)
def test_a_description_is_one_line(description, line):
    found = labels.from_experts({"x": Expert("x", {}, {"description": description})})
    assert line in dispatch.system_prompt(found).split("\n")
