"""Whatever the draft, the answer is the greedy one."""

from __future__ import annotations

import pytest
import torch

from t2app.adapt import drafts

MOST = 8


@pytest.fixture
def rows(engine, toy_shots):
    """Prompts, a mix for each, and what is said without drafts."""
    shots = toy_shots(5)
    engine.ends = {engine.tokenizer.eos_token_id}  # so that most answers are long
    prompts = [engine.prompt_ids(shots.task.messages(p)) for p in shots.shots]
    names = ["math", "code", "reasoning", "math", "code"]
    mixes = engine.deltas(map(engine.library.get, names))
    said = engine.generate(prompts, mixes, max_new_tokens=MOST, likelihoods=True)
    return prompts, mixes, said


def answers(engine, rows, guesses, most=MOST, batch_size=3):
    prompts, mixes, _ = rows
    return drafts.generate(
        engine, prompts, guesses, mixes, max_new_tokens=most, batch_size=batch_size
    )


def same(found, said) -> None:
    for one, other in zip(found, said, strict=True):
        assert one.token_ids == other.token_ids
        assert (one.text, one.finished) == (other.text, other.finished)
        assert one.likelihood == pytest.approx(other.likelihood, abs=1e-4)


def test_right_drafts_need_one_pass(engine, rows, monkeypatch):
    monkeypatch.setattr(engine, "decode", None)
    same(answers(engine, rows, [c.token_ids for c in rows[2]]), rows[2])


def test_wrong_drafts_do_no_harm(engine, rows):
    same(answers(engine, rows, [[(c.token_ids[0] + 1) % 50] * 4 for c in rows[2]]), rows[2])


def test_drafts_that_are_right_for_a_while(engine, rows, passes):
    guesses = [c.token_ids[:k] for k, c in enumerate(rows[2])]  # the first one is empty
    guesses[3] = [*guesses[3], (rows[2][3].token_ids[3] + 1) % 50]
    same(answers(engine, rows, guesses), rows[2])


def test_no_drafts_at_all(engine, rows):
    same(answers(engine, rows, [[]] * 5), rows[2])
    same(answers(engine, rows, [[], [], [], rows[2][3].token_ids, []], batch_size=1), rows[2])


def test_drafts_that_are_longer_than_the_answer_may_be(engine, rows):
    prompts, mixes, said = rows
    short = engine.generate(prompts, mixes, max_new_tokens=3, likelihoods=True)
    same(answers(engine, rows, [[*c.token_ids, 1, 1, 1] for c in said], most=3), short)


def test_where_the_context_ends_the_draft_ends(engine, rows):
    prompts, mixes, _ = rows
    long = [(p * 200)[: engine.base.context - 4] for p in prompts]
    said = engine.generate(long, mixes, max_new_tokens=MOST, likelihoods=True)
    assert {len(c.token_ids) for c in said} <= {1, 2, 3, 4}
    same(answers(engine, (long, mixes, said), [[1] * MOST] * 5), said)
    same(answers(engine, (long, mixes, said), [[*c.token_ids, 1, 1] for c in said]), said)


def test_agreed_counts_the_tokens_that_greedy_decoding_begins_with(engine, rows):
    prompts, mixes, said = rows
    guesses = [list(c.token_ids) for c in said]
    guesses[1][2] = (guesses[1][2] + 1) % 50
    agreed = engine.agreed(prompts, guesses, mixes)
    assert [count for count, _ in agreed] == [
        2 if i == 1 else len(g) for i, g in enumerate(guesses)
    ]
    values, _ = engine.logprobs([prompts[1]], [guesses[1][:2]], mixes[1])
    assert agreed[1][1] == pytest.approx(values.sum().item(), abs=1e-4)
    one = engine.agreed([prompts[1]], [guesses[1]], mixes[1])
    assert one[0][0] == 2
    assert one[0][1] == pytest.approx(agreed[1][1], abs=1e-4)
    assert not torch.equal(mixes[0], mixes[1])
