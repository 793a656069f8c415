"""A task made of the checked rows of a file, with their own split."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from t2app.data.check import Report, problems_of
from t2app.errors import T2Error
from t2app.tasks import own
from t2app.tasks.base import Dataset, Problem, Split, Task
from t2app.tasks.closed import Closed

# Room for an answer that is worked out, even where the gold answer is a number or a letter.
LEAST_TOKENS = {"numeric": 96, "choice": 96, "contains": 96, "regex": 96, "code": 160}
FEWEST_TOKENS, OWN_TOKENS, MOST_TOKENS = 16, 96, 1024


@dataclass(frozen=True)
class RowsTask(Task):
    """A task whose problems are rows; ``draw`` draws from those to train on.

    ``sources`` holds the programs of rewards that are the user's own, by file name.
    """

    rows: Mapping[Split, tuple[Problem, ...]] = field(default_factory=dict)
    sources: Mapping[str, str] = field(default_factory=dict)

    def sample(self, rng: random.Random, split: Split) -> Problem:
        """One row of the split."""
        return rng.choice(self.rows[split])

    def problems(self, split: Split, n: int | None = None, seed: int | str = 0) -> list[Problem]:
        """``n`` different rows of the split, from a seed; all, as in the file, if ``n`` is None."""
        rows = self.rows[split]
        if n is None or n >= len(rows):
            return list(rows)
        return random.Random(f"{split}/{seed}").sample(rows, n)

    def to_dict(self) -> dict[str, Any]:
        """As JSON values: what ``from_dict`` makes the same task of, without the file."""
        return {
            "name": self.name,
            "description": self.description,
            "max_new_tokens": self.max_new_tokens,
            "reward": self.reward,
            "sources": dict(self.sources),
            "dataset": asdict(self.dataset) if self.dataset else None,
            "closed": self.closed.to_dict() if self.closed else None,
            "rows": {split: [asdict(row) for row in rows] for split, rows in self.rows.items()},
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> RowsTask:
        """From ``to_dict``."""
        rows = {split: tuple(map(_problem, found)) for split, found in values["rows"].items()}
        sources = values.get("sources", {})
        return cls(
            name=values["name"],
            description=values["description"],
            draw=lambda rng: rng.choice(rows["train"]),
            score=own.find(values["reward"], sources).score,
            max_new_tokens=values["max_new_tokens"],
            reward=values["reward"],
            dataset=Dataset(**values["dataset"]) if values["dataset"] else None,
            closed=Closed.from_dict(closed) if (closed := values.get("closed")) else None,
            rows=rows,
            sources=sources,
        )


def _problem(values: Mapping[str, Any]) -> Problem:
    """A row from JSON, whose lists were tuples."""
    pairs = {name: tuple(map(tuple, values.get(name, ()))) for name in ("hidden", "row")}
    return Problem(**{**values, **pairs, "also": tuple(values.get("also", ()))})


def build(
    report: Report, *, description: str | None = None, max_new_tokens: int | None = None
) -> RowsTask:
    """The task of a checked table. Raises T2Error where there are too few rows.

    It is called like its file, so that no task of a file is taken for a built-in one. Free answers
    get half as much room again as the longest gold answer has, and more where they may be worked
    out.
    """
    if report.problem:
        raise T2Error(report.problem)
    return assemble(report, description=description, max_new_tokens=max_new_tokens)


def _room(report: Report) -> int:
    """Tokens that an answer may have: few more than the longest label where those are told."""
    longest = 8 + report.answer_tokens * 3 // 2
    if report.rule.own:
        return max(OWN_TOKENS, longest)
    if report.closed and report.closed.format == "labels":
        return max(FEWEST_TOKENS, report.answer_tokens + 4)
    return max(longest, *(LEAST_TOKENS.get(name, FEWEST_TOKENS) for name, _ in report.rule.parts))


def assemble(
    report: Report, *, description: str | None = None, max_new_tokens: int | None = None
) -> RowsTask:
    """``build`` for any number of rows."""
    table, name = report.table, report.table.name
    rows = {
        split: problems_of(examples, table, report.rule, name)
        for split, examples in report.splits.items()
    }
    return RowsTask(
        name=name,
        description=description or report.description(),
        draw=lambda rng: rng.choice(rows["train"]),
        score=report.rule.score,
        max_new_tokens=max_new_tokens or min(MOST_TOKENS, _room(report)),
        reward=report.reward,
        dataset=Dataset(
            name,
            table.sha256,
            report.counts(),
            {
                **table.how(),
                "columns": report.columns.to_dict(),
                "split_seed": report.seed,
                **({"rewards": dict(report.rule.sources)} if report.rule.own else {}),
            },
        ),
        closed=report.closed,
        rows=rows,
        sources=dict(report.rule.sources),
    )
