"""Check every row of a table before training, and split the ones that can be used.

Rows are rejected with their number and a reason that begins with its kind (``empty cell: …``).
Not covered: which side of the split a row is on (``split``).
"""

from __future__ import annotations

import csv
import io
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from t2app.data import choices, trial
from t2app.data.asked import Example, Sieve, examples_of, kinds, naming_functions
from t2app.data.columns import Columns, guess
from t2app.data.rows import choices_of, labelled, one_answer, problems_of, same_gold
from t2app.data.split import same_question, split
from t2app.data.suggest import Suggestion, describe, suggest
from t2app.data.table import Rejected, Table
from t2app.data.trial import Trial
from t2app.data.unclear import Unclear
from t2app.errors import T2Error
from t2app.tasks import own, testing
from t2app.tasks.base import Split
from t2app.tasks.closed import Closed
from t2app.tasks.rewards import REWARDS, Objective, Reward

# Tokens of a conversation in the model's own format.
TokenCounter = Callable[[Sequence[Mapping[str, str]]], int]

AUTO = "auto"
MIN_ROWS = 10
FORMULA = frozenset("=+-@＝＋－＠")
CHARACTERS_PER_TOKEN = 3  # cautious, where there is no model to count with


@dataclass(frozen=True)
class Report:
    """What a table is worth: the rows of each split, the rejected ones, and how it is judged.

    ``problem`` says in one line why it cannot be trained on; None where it can. ``answer_tokens``
    is the length of the longest answer. ``rule`` is the reward itself, ``trial`` what it gives on
    these rows. ``notes`` tell how the file was read; ``doubt`` is there where that is left to the
    user, and is the ``problem`` then. ``closed`` has the choices, where answers are labels or
    options.
    """

    table: Table
    columns: Columns
    reward: str
    objective: Objective
    why: str
    seed: int
    splits: Mapping[Split, tuple[Example, ...]]
    rejected: tuple[Rejected, ...]
    answer_tokens: int
    problem: str | None = None
    rule: Reward = REWARDS["exact"]
    trial: Trial | None = None
    notes: tuple[str, ...] = ()
    doubt: Unclear | None = None
    closed: Closed | None = None

    @property
    def used(self) -> int:
        """How many rows can be used."""
        return sum(map(len, self.splits.values()))

    def counts(self) -> dict[str, int]:
        """Rows of each split, and rejected ones."""
        return {**{s: len(rows) for s, rows in self.splits.items()}, "rejected": len(self.rejected)}

    def description(self) -> str:
        """A suggestion for the expert's description, from the questions to train on."""
        return describe([example.question for example in self.splits["train"]], self.reward)

    def summary(self) -> str:
        """Rows used, their split, and how many were rejected for what, in a sentence or two."""
        if self.problem:
            return self.problem
        n = self.counts()
        text = (
            f"{self.used} of {self.used + n['rejected']} rows can be used: {n['train']} to train "
            f"on, {n['validation']} to choose the best step by, {n['test']} to measure before and "
            "after."
        )
        return f"{text} Rejected: {kinds(self.rejected)}." if self.rejected else text

    def rejected_csv(self) -> str:
        """The rejected rows with number and reason, as CSV that a spreadsheet opens safely."""
        out = io.StringIO()
        writer = csv.writer(out, lineterminator="\n")
        writer.writerow(map(safe_cell, ["row", "reason", *self.table.columns]))
        for row in self.rejected:
            writer.writerow(map(safe_cell, [str(row.number), row.reason, *row.cells]))
        return out.getvalue()


def check(
    table: Table,
    columns: Columns | None = None,
    *,
    reward: str | Reward = AUTO,
    seed: int = 0,
    count_tokens: TokenCounter | None = None,
    max_tokens: int | None = None,
    tell: bool = True,
) -> Report:
    """Check every row, split what is left, and try the reward on it.

    A row is too long where its conversation with the answer has more than ``max_tokens``. Where
    answers are labels or options, ``tell`` has the model told what they are. Too few
    rows, one answer for all and a reward that fails are told in ``Report.problem``; T2Error is
    raised for an unknown reward, and for one that the columns do not serve.
    """
    columns = columns or guess(table)
    sieve = Sieve(table)
    examples = examples_of(table, columns, sieve)
    chosen, rule = _judged(examples, columns, reward, table.name)
    examples = _readable(examples, columns, rule, sieve)
    named = ""
    if rule.uses("code"):
        examples, named = naming_functions(examples)
    examples = _without_repetition(examples, rule, sieve)
    examples, known, merged = labelled(examples, rule)
    closed = choices_of(examples, rule, tell)
    instruction = closed.instruction if closed else ""
    label_of = dict(zip((e.number for e in examples), known or (), strict=False))
    examples, longest = _short_enough(examples, sieve, instruction, count_tokens, max_tokens)
    rejected = tuple(sorted(sieve.rejected, key=lambda row: row.number))
    splits = split(examples, seed, [label_of[e.number] for e in examples] if known else None)
    tried = trial.run(rule, problems_of(examples, table, rule))
    doubt = _doubt(table, columns, len(examples), rejected)
    return Report(
        table,
        columns,
        chosen.reward,
        chosen.objective,
        " ".join(filter(None, (chosen.why, merged, tried.words()))),
        seed,
        splits,
        rejected,
        longest,
        (str(doubt) if doubt else None)
        or _too_few(splits, rejected, table.name)
        or one_answer(examples, rule, table.name)
        or tried.failure,
        rule,
        tried,
        (*table.notes, *columns.notes, *filter(None, (named,))),
        doubt,
        closed,
    )


def safe_cell(text: str) -> str:
    """The text with an apostrophe in front where a spreadsheet would run it as a formula."""
    start = text.lstrip()[:1]
    return f"'{text}" if start in FORMULA or text[:1] in ("\t", "\r") else text


def _judged(
    examples: Sequence[Example], columns: Columns, reward: str | Reward, name: str
) -> tuple[Suggestion, Reward]:
    """The reward that was asked for, or the one that fits."""
    if reward == AUTO:
        found = suggest(
            [e.answer for e in examples],
            [e.question for e in examples],
            options=bool(columns.choices),
            tests=bool(columns.tests),
        )
        return found, REWARDS[found.reward]
    rule = own.find(reward) if isinstance(reward, str) else reward
    if rule.uses("code") and not columns.tests:
        raise T2Error(f"{name}: the reward code needs a column of tests: name it as tests=NAME")
    if not columns.answer and any(
        part not in ("code", *dict(rule.sources)) for part, _ in rule.parts
    ):
        raise T2Error(
            f"{name}: the reward {rule.name} needs a column of answers, there are only tests"
        )
    objective: Objective = "sft" if rule.name == "overlap" else "rl"
    return Suggestion(rule.name, objective, f"As you chose: {rule.summary}."), rule


def _readable(
    examples: Sequence[Example], columns: Columns, rule: Reward, sieve: Sieve
) -> list[Example]:
    """Examples whose gold answer the reward can judge by; letters for multiple choice."""
    if not rule.uses("code") and columns.tests:
        examples = [replace(e, gold=e.answer) for e in examples]
    if rule.uses("choice"):
        letters = choices.letters([e.gold for e in examples], [e.options for e in examples])
        examples = [
            replace(e, gold=letter or e.gold) for e, letter in zip(examples, letters, strict=True)
        ]
    if rule.uses("code"):
        testing.unusable([e.gold for e in examples])  # all at once: each may cost a process
    what = "tests" if rule.uses("code") else "answer"
    found = []
    for example in examples:
        reason = rule.unreadable(example.gold)
        if rule.uses("choice") and columns.choices and len(example.options) < 2:
            reason = "fewer than two options"
        if reason:
            sieve.reject(example.number, f"unreadable {what}: {reason}")
        else:
            found.append(example)
    return found


def _short_enough(
    examples: Sequence[Example],
    sieve: Sieve,
    instruction: str,
    count_tokens: TokenCounter | None,
    max_tokens: int | None,
) -> tuple[list[Example], int]:
    """Examples that fit the model, and the tokens of the longest answer."""
    found, longest = [], 0
    for example in examples:
        asked = example.messages(instruction)
        if count_tokens is None:
            whole, answer = 0, len(example.answer) // CHARACTERS_PER_TOKEN
        else:
            whole = count_tokens([*asked, {"role": "assistant", "content": example.answer}])
            answer = whole - count_tokens(asked)
        if max_tokens is not None and whole > max_tokens:
            sieve.reject(
                example.number,
                f"too long: {whole:,} tokens with its answer, at most {max_tokens:,} fit the model",
            )
        else:
            found.append(example)
            longest = max(longest, answer)
    return found, longest


def _without_repetition(examples: Sequence[Example], rule: Reward, sieve: Sieve) -> list[Example]:
    """One row for each question; none where rows disagree about the answer.

    Free text may be answered in several ways, and a function of the user's own may see to it: then
    the first row counts.
    """
    groups: dict[str, list[Example]] = defaultdict(list)
    for example in examples:
        groups[same_question(example)].append(example)
    found = []
    for group in groups.values():
        first = group[0]
        other = next((e for e in group if same_gold(e, rule) != same_gold(first, rule)), None)
        if other and not (rule.uses("overlap") or rule.own):
            for example in group:
                against = first if same_gold(example, rule) != same_gold(first, rule) else other
                sieve.reject(
                    example.number,
                    f"conflicting answers: row {against.number} answers the same question with "
                    f"{_short(against.gold)}",
                )
            continue
        found.append(first)
        for example in group[1:]:
            sieve.reject(example.number, f"duplicate: row {first.number} asks the same question")
    return found


def _doubt(
    table: Table, columns: Columns, used: int, rejected: Sequence[Rejected]
) -> Unclear | None:
    """What to ask where guessed columns lose more than half of the rows."""
    total = used + len(rejected)
    if not columns.guessed or 2 * used >= total:
        return None
    roles = ", ".join(f"{role} {name!r}" for role, name in columns.to_dict().items())
    return Unclear(
        "rows",
        f"{table.name} has {_rows(used)} that can be used of {total}, with {roles} "
        f"({kinds(rejected)}; first row {rejected[0].number}, {rejected[0].reason})",
        f"if that is right, say so (--columns {columns.option()}), else name other columns, or "
        "--header, --delimiter or --encoding",
        "Say below that these columns are right, or choose others.",
        table,
    )


def _too_few(
    splits: Mapping[Split, Sequence[Example]], rejected: Sequence[Rejected], name: str
) -> str | None:
    used = sum(map(len, splits.values()))
    if used >= MIN_ROWS and all(splits.values()):
        return None
    why = ""
    if rejected:
        why = f" Rejected: {kinds(rejected)}; first row {rejected[0].number}, {rejected[0].reason}."
    return (
        f"{name} has {_rows(used)} that can be used, and at least {MIN_ROWS} are needed to train, "
        f"to choose and to measure.{why}"
    )


def _rows(n: int) -> str:
    return "1 row" if n == 1 else f"{n or 'no'} rows"


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:39] + "…")
