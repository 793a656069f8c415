"""The answers of each step, kept beside a run's log for whoever wants to look into it.

One file for each step, one JSON line for each prompt: ``question``, ``gold`` and ``answers``, each
of them with ``text``, ``tokens``, ``cut`` (at the limit of its length), and either ``reward``
(-1 to 1) with ``advantage`` or, in next-token training, the mean ``loss`` of its tokens. Texts are
cut and rows left out where a run would otherwise take more than ``MOST_CHARACTERS``; a last line
says how many. Not covered: figures of a whole step (``loop.Progress``).
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from t2app.tasks import Problem
from t2app.training.rollouts import Rollouts

Row = dict[str, Any]

FOLDER = "look"
FILE = re.compile(r"(\d{6})\.jsonl")
# Characters of a whole run and of one step.
MOST_CHARACTERS = 8_000_000
A_STEP = (4_000, 120_000)
LONGEST_QUESTION, LONGEST_ANSWER = 400, 800


def sampled(problems: Sequence[Problem], rollouts: Rollouts, advantages: Tensor) -> list[Row]:
    """Rows of a step of RL: ``advantages`` is (prompts, samples)."""
    samples = rollouts.rewards.shape[1]
    rewards, worth = rollouts.rewards.tolist(), advantages.tolist()
    rows = []
    for i, problem in enumerate(problems):
        answers = []
        for j in range(samples):
            at = i * samples + j
            answers.append(
                {
                    "text": _short(rollouts.texts[at], LONGEST_ANSWER),
                    "tokens": len(rollouts.completions[at]),
                    "cut": not rollouts.finished[at],
                    "reward": round(rewards[i][j], 4),
                    "advantage": round(worth[i][j], 4),
                }
            )
        rows.append(_row(problem, answers))
    return rows


def given(problem: Problem, text: str, tokens: int, loss: float) -> Row:
    """A row of next-token training: its given answer and the mean loss of that answer's tokens."""
    answer = {"text": _short(text, LONGEST_ANSWER), "tokens": tokens, "cut": False}
    return _row(problem, [{**answer, "loss": round(loss, 4)}])


def _row(problem: Problem, answers: list[dict[str, Any]]) -> Row:
    question = _short(problem.question, LONGEST_QUESTION)
    gold = _short(str(problem.gold or ""), LONGEST_QUESTION)
    return {"question": question, "gold": gold, "answers": answers}


def _short(text: str, most: int) -> str:
    """The beginning and the end, where results tend to be."""
    if len(text) <= most:
        return text
    tail = most // 3
    return f"{text[: most - tail - 3]} … {text[-tail:]}"


# -- on disk -------------------------------------------------------------------------------------


def write(run: Path, step: int, steps: int, rows: Iterable[Row]) -> None:
    """Keep the rows of one step of ``steps`` in the folder of a run; replaces those of before."""
    room = min(max(MOST_CHARACTERS // max(1, steps), A_STEP[0]), A_STEP[1])
    lines, left_out = [], 0
    for line in (json.dumps(row) for row in rows):
        room -= len(line)
        if room >= 0 or not lines:
            lines.append(line)
        else:
            left_out += 1
    if left_out:
        lines.append(json.dumps({"left_out": left_out}))
    folder = run / FOLDER
    folder.mkdir(exist_ok=True)
    part = folder / f".{step:06}.part"
    part.write_text("\n".join(lines) + "\n", "utf-8")
    os.replace(part, folder / f"{step:06}.jsonl")


def steps(run: Path) -> list[int]:
    """The steps that can be looked into, in order; none of a run from before there were any."""
    try:
        names = os.listdir(run / FOLDER)
    except OSError:
        return []
    return sorted(int(found[1]) for found in map(FILE.fullmatch, names) if found)


def read(run: Path, step: int) -> tuple[list[Row], int]:
    """The rows of a step and how many were left out; nothing where the file is damaged."""
    try:
        lines = (run / FOLDER / f"{step:06}.jsonl").read_text("utf-8").splitlines()
        found = [json.loads(line) for line in lines]
    except (OSError, ValueError):
        return [], 0
    rows = [row for row in found if "answers" in row]
    return rows, sum(row.get("left_out", 0) for row in found)
