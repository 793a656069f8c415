"""The answers of each step: kept, bounded, found again."""

from __future__ import annotations

from dataclasses import replace

import pytest

from t2app.tasks.base import Problem
from t2app.training import look
from tests.training.toy import SMALL


def row(text: str) -> look.Row:
    return look.given(Problem("toy", "why?", "", text, ""), text, 3, 0.5)


def test_every_step_of_a_run_can_be_looked_into(new_run, finish) -> None:
    run = new_run()
    finish(run)
    assert look.steps(run.folder) == list(range(1, SMALL.steps + 1))
    rows, left_out = look.read(run.folder, 4)
    assert left_out == 0
    assert len(rows) == SMALL.prompts
    for shown in rows:
        answers = shown["answers"]
        assert shown["question"].startswith("fox ")
        assert len(answers) == SMALL.samples
        assert {a["reward"] for a in answers} <= {-1.0, 1.0}
        assert sum(a["advantage"] for a in answers) == pytest.approx(0, abs=1e-3)
        assert all(a["cut"] == (a["reward"] < 0) for a in answers)
        assert all(0 < a["tokens"] <= 2 for a in answers)


def test_figures_of_a_step_agree_with_its_answers(new_run, finish) -> None:
    run = new_run()
    finish(run)
    for step in run.curve()[1:]:
        rows, _ = look.read(run.folder, step["step"])
        answers = [a for r in rows for a in r["answers"]]
        same = [len({a["reward"] for a in r["answers"]}) == 1 for r in rows]
        assert step["same"] == pytest.approx(sum(same) / len(same))
        assert step["cut"] == pytest.approx(sum(a["cut"] for a in answers) / len(answers))
        assert step["length"] == pytest.approx(sum(a["tokens"] for a in answers) / len(answers))
        assert step["reward"] == pytest.approx(sum(a["reward"] for a in answers) / len(answers))
        assert step["alike"] <= step["same"]
        assert step["entropy"] > 0
        assert step["kl"] is not None


def test_given_answers_are_kept_with_their_loss(new_run, finish) -> None:
    run = new_run(settings=replace(SMALL, objective="sft", steps=3))
    finish(run)
    rows, _ = look.read(run.folder, 3)
    losses = [a["loss"] for r in rows for a in r["answers"]]
    assert len(losses) == SMALL.prompts
    step = run.curve()[-1]
    assert min(losses) <= step["loss"] <= max(losses)
    assert step["kl"] >= 0
    assert step["same"] is None


def test_what_is_kept_is_bounded(tmp_path) -> None:
    rows = [row("x" * 5000) for _ in range(500)]
    look.write(tmp_path, 7, 1000, rows)
    kept, left_out = look.read(tmp_path, 7)
    assert len(kept) > 0
    assert len(kept) + left_out == 500
    assert (tmp_path / "look" / "000007.jsonl").stat().st_size < 10_000
    text = kept[0]["answers"][0]["text"]
    assert len(text) <= look.LONGEST_ANSWER
    assert " … " in text
    look.write(tmp_path, 7, 1000, [row("short")])  # a step that is made again
    assert look.read(tmp_path, 7)[0][0]["answers"][0]["text"] == "short"


@pytest.mark.parametrize("text", ["a\u2028b", "a\nb", "\x00", "日本", '"}'])
def test_any_text_comes_back_as_it_was(tmp_path, text: str) -> None:
    look.write(tmp_path, 1, 1, [row(text)])
    assert look.read(tmp_path, 1)[0][0]["answers"][0]["text"] == text


def test_what_is_missing_or_damaged_is_nothing(tmp_path) -> None:
    assert look.steps(tmp_path) == []
    assert look.read(tmp_path, 1) == ([], 0)
    look.write(tmp_path, 1, 1, [row("a")])
    (tmp_path / "look" / "000001.jsonl").write_text('{"question": "cut')
    (tmp_path / "look" / "notes.txt").write_text("")
    assert look.steps(tmp_path) == [1]
    assert look.read(tmp_path, 1) == ([], 0)
