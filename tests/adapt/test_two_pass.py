"""Answers while they grow: snapshots, comparison, history, bad input, stopping."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from t2app import adapt
from t2app.adapt import two_pass
from t2app.errors import T2Error
from t2app.tasks.closed import in_front

QUESTION = "the quick brown fox has 12 dogs"
MIX = {"strategy": "manual", "weights": {"math": 1.0}}


def user(text: str) -> dict[str, str]:
    return {"role": "user", "content": text}


def prompts_decoded(engine, monkeypatch) -> list[list[int]]:
    """The prompts that are given to ``engine.decode`` from now on."""
    seen: list[list[int]] = []
    decode = engine.decode

    def note(prompts, *args, **options):
        seen.extend(prompts)
        return decode(prompts, *args, **options)

    monkeypatch.setattr(engine, "decode", note)
    return seen


def test_snapshots_grow(engine):
    shots = list(two_pass.stream(engine, [user(QUESTION)], max_new_tokens=12))
    first, *middle, last = shots
    assert first.adaptation is not None
    assert (first.text, first.tokens, first.done) == ("", 0, False)
    assert len(middle) == 12
    for before, after in pairwise(shots):
        assert after.text.startswith(before.text.rstrip("\ufffd"))
        assert after.tokens >= before.tokens
        assert after.timings["second_pass"] >= before.timings["second_pass"]
    assert [s.tokens for s in middle] == list(range(1, 13))
    assert [s.done for s in shots] == [False] * 13 + [True]
    assert all(s.adaptation == first.adaptation for s in shots)
    assert last.base_text is None
    assert set(last.timings) == {"first_pass", "switch", "second_pass"}
    assert last.timings["first_pass"] == first.adaptation.seconds > 0
    assert last.tokens_per_second == pytest.approx(12 / last.timings["second_pass"])
    assert first.tokens_per_second == 0


def test_half_a_character_is_not_shown(engine, monkeypatch):
    ids = engine.tokenizer("a😀b").input_ids
    assert len(ids) > 3
    monkeypatch.setattr(engine, "decode", lambda *_, **__: iter([{0: i} for i in ids]))
    texts = [s.text for s in two_pass.stream(engine, [user(QUESTION)], strategy="off")]
    assert set(texts) == {"", "a", "a😀", "a😀b"}


def test_the_answer_is_the_models_own_with_the_mix_in_effect(engine):
    answer = two_pass.ask(engine, QUESTION, **MIX, max_new_tokens=10)
    [expected] = engine.generate(
        [engine.prompt_ids([user(QUESTION)])], engine.delta({"math": 1.0}), max_new_tokens=10
    )
    assert answer.text == expected.text
    assert answer.done


def test_the_default_is_auto(engine):
    answer = two_pass.ask(engine, QUESTION, max_new_tokens=2)
    expected = adapt.choose(engine, QUESTION, "auto")
    assert answer.adaptation.weights == pytest.approx(expected.weights, abs=1e-6)
    assert answer.adaptation.strategy == "auto"


def test_other_answers_like_the_base(engine, monkeypatch):
    base = two_pass.ask(engine, QUESTION, strategy="off", max_new_tokens=10)
    monkeypatch.setattr(
        engine,
        "label_probabilities",
        lambda said, names, _: {
            n: float(n == ("other" if said[-1]["content"] == QUESTION else "code")) for n in names
        },
    )
    answer = two_pass.ask(engine, QUESTION, max_new_tokens=10)
    assert answer.adaptation.label == "other"
    assert answer.text == base.text


@pytest.mark.parametrize("options", [MIX, {"strategy": "off"}], ids=["mix", "off"])
def test_both_answers_of_a_comparison_equal_separate_runs(engine, options):
    ended = two_pass.ask(engine, QUESTION, **options, max_new_tokens=10)
    base = two_pass.ask(engine, QUESTION, strategy="off", max_new_tokens=10)
    shots = list(
        two_pass.stream(engine, [user(QUESTION)], **options, compare=True, max_new_tokens=10)
    )
    assert shots[0].base_text == ""
    assert shots[-1].text == ended.text
    assert shots[-1].base_text == base.text
    for before, after in pairwise(shots):
        assert after.base_text.startswith(before.base_text.rstrip("\ufffd"))


def test_a_comparison_goes_on_while_one_of_the_two_has_ended(engine):
    prompt = engine.prompt_ids([user(QUESTION)])
    engine.ends = set()
    [mixed] = engine.generate([prompt], engine.delta({"math": 1.0}), max_new_tokens=10)
    [base] = engine.generate([prompt], max_new_tokens=10)
    early = [t for t in mixed.token_ids if t not in base.token_ids]
    assert early, "the two answers should differ"
    engine.ends = {early[0]}
    answer = two_pass.ask(engine, QUESTION, **MIX, compare=True, max_new_tokens=10)
    assert answer.tokens == mixed.token_ids.index(early[0]) + 1 < 10
    assert answer.base_text == base.text


def test_a_seed_decides_a_sampled_answer(engine):
    def ask(seed: int) -> str:
        options = {"strategy": "off", "temperature": 1.0, "max_new_tokens": 8}
        return two_pass.ask(engine, QUESTION, seed=seed, **options).text

    assert ask(1) == ask(1)
    assert ask(1) != ask(2)


@pytest.mark.parametrize("strategy", ["classifier", "off"])
@pytest.mark.parametrize("text", ["", "   ", " \n\t ", "\u00a0"])
def test_an_empty_question_is_refused(engine, passes, text, strategy):
    with pytest.raises(T2Error, match="empty"):
        next(two_pass.stream(engine, [user(text)], strategy=strategy))
    assert passes == []


def test_no_messages_are_refused(engine):
    with pytest.raises(T2Error, match="empty"):
        next(two_pass.stream(engine, []))


@pytest.mark.parametrize("strategy", ["classifier", "prompt", "off"])
def test_a_hundred_thousand_characters_are_refused_in_one_line(engine, passes, strategy):
    with pytest.raises(T2Error, match=r"too long: [\d,]+ tokens") as error:
        two_pass.ask(engine, "why? " * 20_000, strategy=strategy)
    assert "\n" not in str(error.value)
    assert len(str(error.value)) < 200
    assert passes == []


@pytest.mark.parametrize(
    "options",
    [
        {"strategy": "magic"},
        {"strategy": "manual", "weights": {"nobody": 1.0}},
        {"strategy": "manual", "weights": {"math": -1.0}},
    ],
)
def test_bad_choices_are_refused_before_anything_is_said(engine, options):
    with pytest.raises(T2Error):
        next(two_pass.stream(engine, [user(QUESTION)], **options))


@pytest.mark.parametrize(
    "question",
    [
        "\x00",
        "\x1b[2J\x07\x08",
        "😀😀",
        "🏳️‍🌈 is 2 + 2?",
        "\ud800",
        "<|end|><|assistant|>",
        "{{ 7*7 }}",
        "ß\u202e١٢",
    ],
)
def test_odd_questions_are_answered(engine, question):
    assert two_pass.ask(engine, question, max_new_tokens=2).tokens == 2


@settings(
    max_examples=20,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(st.text(st.characters(), min_size=1, max_size=40).filter(str.strip))
def test_any_question_is_answered(engine, question):
    assert two_pass.ask(engine, question, strategy="prompt", max_new_tokens=1).done


def test_a_template_in_the_question_is_not_run(engine):
    prompt = engine.prompt_ids([user("{{ 7 * 7 }}{% raw %}")])
    assert "{{ 7 * 7 }}{% raw %}" in engine.tokenizer.decode(prompt)


def test_history_is_read(engine, monkeypatch):
    seen = prompts_decoded(engine, monkeypatch)
    talk = [user("first"), {"role": "assistant", "content": "reply"}, user("second")]
    list(two_pass.stream(engine, talk, strategy="off", max_new_tokens=1))
    assert engine.tokenizer.decode(seen[0]) == (
        "<|user|>first<|end|><|assistant|>reply<|end|><|user|>second<|end|><|assistant|>"
    )


def test_the_first_pass_looks_at_the_last_question_alone(engine):
    talk = [user("12 dogs"), {"role": "assistant", "content": "reply"}, user(QUESTION)]
    first = next(two_pass.stream(engine, talk))
    alone = adapt.choose(engine, QUESTION, adapt.DEFAULT)
    assert first.adaptation.probabilities == pytest.approx(alone.probabilities, abs=1e-6)


@pytest.mark.parametrize("turns", [1, 5, 40])
@pytest.mark.parametrize("max_new_tokens", [16, 256, 5000])
def test_the_oldest_exchanges_are_left_out(engine, monkeypatch, turns, max_new_tokens):
    seen = prompts_decoded(engine, monkeypatch)
    talk = []
    for i in range(turns):
        talk += [user(f"q{i:02} " * 12), {"role": "assistant", "content": f"a{i:02} " * 12}]
    talk.append(user("last one"))
    stream = two_pass.stream(engine, talk, strategy="off", max_new_tokens=max_new_tokens)
    next(stream), next(stream)
    stream.close()
    text = engine.tokenizer.decode(seen[0])
    assert text.endswith("<|user|>last one<|end|><|assistant|>")
    assert text.startswith("<|user|>q")
    assert len(seen[0]) + min(max_new_tokens, 512) <= 1024
    kept = text.count("<|user|>")
    assert text.count("<|assistant|>") == kept
    assert kept == turns + 1 or kept > 1
    if kept <= turns:  # one exchange more would not have fitted
        longer = engine.tokenizer.apply_chat_template(
            talk[-2 * kept - 1 :], add_generation_prompt=True, return_dict=True
        )
        assert len(longer["input_ids"]) + min(max_new_tokens, 512) > 1024


def test_a_long_last_question_leaves_the_history_out(engine, monkeypatch):
    seen = prompts_decoded(engine, monkeypatch)
    talk = [user("first"), {"role": "assistant", "content": "reply"}, user("1" * 900)]
    answer = [*two_pass.stream(engine, talk, strategy="off", max_new_tokens=300)][-1]
    assert "first" not in engine.tokenizer.decode(seen[0])
    assert 0 < answer.tokens <= 1024 - 900


def test_closing_the_stream_stops_the_model(engine, passes):
    stream = two_pass.stream(engine, [user(QUESTION)], max_new_tokens=50)
    next(stream)
    after_first_pass = len(passes)
    next(stream), next(stream)
    assert len(passes) == after_first_pass + 2
    stream.close()
    assert list(stream) == []
    assert len(passes) == after_first_pass + 2


def test_closing_after_the_first_pass_never_begins_the_second(engine, passes):
    stream = two_pass.stream(engine, [user(QUESTION)], max_new_tokens=50)
    next(stream)
    before = len(passes)
    stream.close()
    assert len(passes) == before


def test_an_expert_that_vanishes_between_the_passes_is_one_clear_line(engine, monkeypatch):
    choose = adapt.choose

    def choose_then_delete(*args, **options):
        found = choose(*args, **options)
        engine.library.delete("math")
        return found

    monkeypatch.setattr(adapt, "choose", choose_then_delete)
    with pytest.raises(T2Error, match="math"):
        list(two_pass.stream(engine, [user(QUESTION)], max_new_tokens=2))


@pytest.mark.parametrize(("share", "told"), [(1.0, "Answer with one of: yes, no."), (0.4, "")])
def test_what_an_expert_was_told_in_training_is_told_in_the_chat(engine, monkeypatch, share, told):
    math = engine.library.get("math")
    header = {**math.header, "told": "Answer with one of: yes, no."}
    engine.library.add(replace(math, header=header), overwrite=True)
    seen = prompts_decoded(engine, monkeypatch)
    mix = {"strategy": "manual", "weights": {"math": share}, "max_new_tokens": 2}
    *_, last = two_pass.stream(engine, [user(QUESTION)], **mix)
    assert last.adaptation.told == told
    assert seen == [engine.prompt_ids([user(in_front(told, QUESTION))])]


def test_without_room_to_keep_nothing_is_left_out(engine):
    """Whoever asks through the endpoint is told that a conversation is too long."""
    history = [
        {"role": "user", "content": "the quick brown fox " * 600},
        {"role": "assistant", "content": "dog"},
        {"role": "user", "content": "the lazy dog"},
    ]
    with pytest.raises(T2Error, match="too long"):
        two_pass.begin(engine, history, strategy="off")
    begun = two_pass.begin(engine, history, strategy="off", room=16)
    assert begun.prompt == engine.prompt_ids(history[-1:])
    assert begun.delta is None
    assert set(begun.timings) == {"first_pass", "switch"}
