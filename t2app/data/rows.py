"""Checked rows as problems, with one spelling for each label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from t2app.data import labels
from t2app.data.table import Table
from t2app.tasks.base import Problem
from t2app.tasks.closed import Closed, of_rows
from t2app.tasks.rewards import Reward, normalise, number_in
from t2app.tasks.text import short

if TYPE_CHECKING:
    from t2app.data.asked import Example


def problems_of(
    examples: Sequence[Example], table: Table, rule: Reward, task: str = ""
) -> tuple[Problem, ...]:
    """Rows as a task has them; with their cells where a reward of the user's own reads them."""
    cells = {row.number: row.cells for row in table.rows} if rule.own else {}
    return tuple(
        Problem(
            task,
            e.question,
            e.gold,
            e.answer,
            e.answer,
            e.options,
            e.system,
            e.also,
            row=tuple(zip(table.columns, cells.get(e.number, ()), strict=False)),
            number=e.number,
        )
        for e in examples
    )


def choices_of(examples: Sequence[Example], rule: Reward, tell: bool) -> Closed | None:
    """What can be answered, where answers are labels or options; None where they are free."""
    if rule.uses("choice") and all(e.options for e in examples):
        return of_rows(None, [e.options for e in examples], tell)
    if not (rule.name in ("exact", "choice") or rule.own):
        return None
    found = labels.closed([e.gold for e in examples])
    return of_rows(found and sorted(found), [], tell)


def labelled(
    examples: Sequence[Example], rule: Reward
) -> tuple[list[Example], list[str] | None, str]:
    """With one spelling for each label, the label of each row, and what was merged, in words.

    The labels are None where answers are no closed set.
    """
    golds = [e.gold for e in examples]
    if rule.uses("code") or rule.uses("choice") or not labels.closed(golds):
        return list(examples), None, ""
    if rule.own or rule.uses("regex"):
        return list(examples), [normalise(gold) for gold in golds], ""
    if rule.uses("numeric"):
        return list(examples), [str(number_in(gold)) for gold in golds], ""
    spelled = labels.spellings(golds)
    found = [
        replace(e, answer=kept, gold=kept)
        for e in examples
        for kept in (spelled[normalise(e.gold)],)
    ]
    return found, [normalise(gold) for gold in golds], labels.merge_words(golds, spelled)


def one_answer(examples: Sequence[Example], rule: Reward, name: str) -> str | None:
    """What to say where all rows have the same answer: there is nothing to tell apart."""
    answers = {same_gold(e, rule) for e in examples}
    if len(answers) != 1 or rule.own or rule.uses("code") or rule.uses("regex"):
        return None
    return (
        f"{name}: every row has the same answer, {short(examples[0].answer)}: there is nothing to "
        "tell apart; add rows with other answers"
    )


def same_gold(example: Example, rule: Reward) -> object:
    """Equal for gold answers that judge alike."""
    if rule.uses("numeric"):
        return number_in(example.gold)
    if rule.uses("code") or rule.uses("regex"):
        return example.gold
    return normalise(example.gold)
