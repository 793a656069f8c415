"""What an expert does to other questions: figures, verdict, what is left out, what is cached."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from t2app.engine import Engine
from t2app.evaluation import harm
from t2app.svf.expert import Expert
from t2app.tasks.rewards import normalise

QUESTIONS = {"foxes": ["a fox", "the lazy dog", "over the fox"], "dogs": ["a dog?", "jumps"]}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("T2APP_CACHE", str(tmp_path / "cache"))


@pytest.fixture
def talker(engine: Engine) -> Engine:
    """An engine whose answers end after some tokens."""
    engine.ends = set(range(0, 300, 16))
    return engine


def scaled(engine: Engine, share: float) -> Any:
    return share * engine.deltas([engine.library.get("math")])[0]


def with_header(expert: Expert, **header: Any) -> Expert:
    return replace(expert, header={**expert.header, **header})


def said(engine: Engine, question: str, delta: Any) -> str:
    prompt = engine.prompt_ids([{"role": "user", "content": question}])
    return engine.generate([prompt], delta, max_new_tokens=harm.TOKENS)[0].text


def shown(text: str) -> str:
    return text if len(text) <= harm.LONGEST else f"{text[: harm.LONGEST - 1]}…"


@pytest.mark.parametrize("share", [0.02, 1.0])
def test_same_means_that_both_would_say_the_same(talker, share: float) -> None:
    delta = scaled(talker, share)
    found = harm.measure(talker, delta, QUESTIONS)
    assert [(group.name, group.n) for group in found] == [("foxes", 3), ("dogs", 2)]
    for group in found:
        same = [
            normalise(said(talker, q, None)) == normalise(said(talker, q, delta))
            for q in QUESTIONS[group.name]
        ]
        assert group.same == pytest.approx(sum(same) / len(same), abs=1e-3)
        assert len(group.changed) == same.count(False)
        for row in group.changed:
            assert row["expert"] == shown(said(talker, row["question"], delta))
            assert row["base"] == shown(said(talker, row["question"], None))


def test_the_kl_is_that_of_the_engine_and_grows_with_the_expert(talker) -> None:
    prompts = [
        talker.prompt_ids([{"role": "user", "content": question}]) for question in QUESTIONS["dogs"]
    ]
    base = [c.token_ids for c in talker.generate(prompts, max_new_tokens=harm.TOKENS)]
    seen = []
    for share in (0.1, 0.5, 1.0):
        delta = scaled(talker, share)
        group = harm.measure(talker, delta, {"dogs": QUESTIONS["dogs"]})[0]
        wanted = talker.divergence(prompts, base, delta).mean().item()
        assert group.kl == pytest.approx(wanted, abs=2e-4)
        seen.append(group.kl)
    assert seen == sorted(seen)
    assert seen[-1] > seen[0]


def test_the_answers_of_the_base_are_made_once(talker, monkeypatch) -> None:
    first = harm.measure(talker, scaled(talker, 0.3), QUESTIONS)
    given: list[Any] = []
    plain = talker.generate

    def noted(prompts: Any, delta: Any = None, **options: Any) -> Any:
        given.append(delta)
        return plain(prompts, delta, **options)

    monkeypatch.setattr(talker, "generate", noted)
    assert harm.measure(talker, scaled(talker, 0.3), QUESTIONS) == first
    assert all(delta is not None for delta in given)


GROUP = harm.Group("general questions", 100, 0.5, (0.4, 0.6), 1.0, (0.8, 1.2))


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "harms"),
        ({"kl_ci95": (0.05, 0.09)}, "leaves alone"),
        ({"kl_ci95": (0.05, 1.2)}, "unclear"),
        ({"same_ci95": (0.92, 0.99)}, "leaves alone"),
        ({"same_ci95": (0.8, 0.95)}, "unclear"),
    ],
)
def test_both_figures_must_say_that_it_harms(changes: dict, verdict: str) -> None:
    assert replace(GROUP, **changes).verdict == verdict


def test_words_name_what_is_harmed_with_n_and_interval() -> None:
    assert GROUP.words() == (
        "general questions: 50 of 100 answers stay the base's (95 % interval 40 to 60 %), "
        "KL 1.000 nats a token (0.800 to 1.200)"
    )


def test_a_strong_expert_harms_and_one_without_effect_does_not(talker, make_expert) -> None:
    strong = make_expert("strong", seed=9)
    strong = replace(strong, z={name: 1 + 6 * (z - 1) for name, z in strong.z.items()})
    found = harm.check(talker, strong)
    assert found["verdict"] == "harms"
    assert found["words"].startswith("Harms other questions")
    assert harm.harms({"harm": found})
    nothing = replace(strong, z={name: z * 0 + 1 for name, z in strong.z.items()})
    found = harm.check(talker, nothing)
    assert (found["verdict"], found["groups"]) == ("leaves alone", [])


def test_answers_that_the_other_expert_would_give_are_no_harm(talker) -> None:
    math, other = talker.library.get("math"), talker.library.get("code")
    strong = {name: 1 + 6 * (z - 1) for name, z in math.z.items()}
    mine, twin = replace(math, name="mine", z=strong), replace(math, name="twin", z=strong)
    delta = mine.delta(talker.svf.layout.names)
    questions = {"twin": QUESTIONS["foxes"], "code": QUESTIONS["foxes"]}
    alike, apart = harm.measure(talker, delta, questions, {"twin": twin, "code": other})
    assert alike.theirs + round(apart.same * 3) == 3
    assert (alike.same, alike.verdict) == (1.0, "leaves alone")
    assert "are those of twin" in alike.words()
    assert apart.theirs == 0
    assert apart.kl > alike.kl


def test_whose_questions_are_asked(talker, make_expert) -> None:
    def put(name: str, **header: Any) -> None:
        talker.library.add(with_header(make_expert(name, 1, "text"), **header))

    mine = with_header(make_expert("mine"), examples=["a", "b"], dataset_sha256="1")
    put("apples", examples=["c", "d"], dataset_sha256="2")
    put("again", examples=["x"], dataset_sha256="1")  # the same file
    put("half", examples=["b", "y"])  # shares a question
    put("mixed", examples=["z"], mix={"weights": {}})
    put("empty", examples=[])
    put("odd", examples={"not": "a list"})
    found = harm.questions_for(talker, mine)
    assert list(found) == [harm.GENERAL, "apples"]
    assert found["apples"] == ["c", "d"]
    assert len(found[harm.GENERAL]) == 100


def test_many_experts_share_the_questions(talker, make_expert) -> None:
    for number in range(8):
        kept = {"examples": [f"{number}/{q}" for q in range(64)]}
        talker.library.add(with_header(make_expert(f"e{number}", number, "text"), **kept))
    found = harm.questions_for(talker, make_expert("mine"))
    counts = [len(asked) for name, asked in found.items() if name != harm.GENERAL]
    assert counts == [harm.OF_ALL // 8] * 8


def test_it_stops_between_questions(talker) -> None:
    seen: list[tuple[int, int]] = []
    with pytest.raises(harm.Stopped):
        harm.measure(
            talker,
            scaled(talker, 1),
            QUESTIONS,
            watch=lambda done, total: seen.append((done, total)),
            stop=lambda: bool(seen),
        )
    assert seen == [(0, 5)]


def test_questions_too_long_for_the_model_are_left_out(talker) -> None:
    found = harm.measure(talker, scaled(talker, 1), {"long": ["fox " * 2000], "dogs": ["a dog"]})
    assert [(group.name, group.n) for group in found] == [("dogs", 1)]


@pytest.mark.parametrize("header", [{}, {"harm": None}, {"harm": "harms"}, {"harm": {}}])
def test_headers_of_others_say_nothing(header: dict) -> None:
    assert not harm.harms(header)


def test_why_it_was_not_checked_is_said() -> None:
    found = harm.unchecked("it was switched off")
    assert found["words"] == "Other questions were not checked: it was switched off."
    assert not harm.harms({"harm": found})
