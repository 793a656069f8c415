"""What somebody is about to train on: where the rows come from, how they are read, what is wrong.

A ``Draft`` is plain data; every change gives a new one, looked through anew. Nothing is raised for
what people can get wrong: it stands in ``problem``. Not covered: showing it (``train_rows``).
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from t2app import data
from t2app.data import Columns, Report, Table, Unclear
from t2app.data.check import AUTO
from t2app.data.names import ROLES
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.svf.library import RESERVED
from t2app.tasks import own
from t2app.tasks.rewards import Reward

# What a role may name: one column, several (choices), or none.
Roles = Mapping[str, str | Sequence[str] | None]

LONGEST_NAME = 41
TYPED = "typed rows"


@dataclass(frozen=True)
class Source:
    """A file, or cells that were typed; ``name`` is what to call it."""

    name: str
    path: str | None = None
    columns: tuple[str, ...] = ()
    cells: tuple[tuple[str, ...], ...] = ()


@dataclass(frozen=True)
class Reading:
    """How to read the file, as asked; None is detected."""

    encoding: str | None = None
    delimiter: str | None = None
    header: bool | None = None


@dataclass(frozen=True)
class Draft:
    """Rows on their way to a training run.

    ``roles`` are the columns chosen by hand (None: guessed). ``table``, ``columns`` and ``report``
    are there as far as it got; ``problem`` says in a line what stands in the way. ``sources`` holds
    rewards that were typed, by name. ``tell`` puts the choices of closed answers in front of each
    question. ``unread`` is set while encoding or header have to be chosen;
    ``table`` then shows the more likely reading, if there is one.
    """

    source: Source
    reading: Reading = field(default_factory=Reading)
    roles: Roles | None = None
    reward: str = AUTO
    seed: int = 0
    tell: bool = True
    table: Table | None = None
    columns: Columns | None = None
    report: Report | None = None
    problem: str = ""
    sources: Mapping[str, str] = field(default_factory=dict)
    unread: bool = False

    @property
    def ready(self) -> bool:
        """Whether it can be trained on."""
        return self.report is not None and not self.problem

    @property
    def asks_columns(self) -> bool:
        """Whether guessed columns lose most rows, and are used once they are confirmed."""
        return self.report is not None and self.report.doubt is not None


def looked_through(engine: Engine, draft: Draft) -> Draft:
    """The draft with its columns found and its rows checked; read as well if it was not yet."""
    again = draft.table is None or draft.unread
    draft = replace(draft, columns=None, report=None, problem="", unread=False)
    try:
        if again:
            draft = replace(draft, table=_read(draft))
        draft = replace(draft, columns=_columns(draft))
        report = data.check(
            draft.table,
            draft.columns,
            reward=_reward(draft),
            seed=draft.seed,
            count_tokens=engine.count_tokens,
            max_tokens=engine.longest_prompt,
            tell=draft.tell,
        )
    except Unclear as doubt:
        unread = doubt.about in ("encoding", "header")
        table = doubt.table if unread else draft.table
        return replace(draft, table=table, problem=doubt.on_page(), unread=unread)
    except T2Error as error:
        return replace(draft, problem=str(error))
    problem = report.doubt.on_page() if report.doubt else report.problem or ""
    return replace(draft, report=report, problem=problem)


def from_file(engine: Engine, path: str | Path, seed: int = 0) -> Draft:
    """A draft from a file; everything about it is guessed."""
    source = Source(Path(path).name, path=str(path))
    return looked_through(engine, Draft(source, seed=seed))


def from_cells(
    engine: Engine, columns: Sequence[str], cells: Sequence[Sequence[str]], seed: int = 0
) -> Draft:
    """A draft from rows that were typed or pasted."""
    source = Source(TYPED, columns=tuple(columns), cells=tuple(map(tuple, cells)))
    return looked_through(engine, Draft(source, seed=seed))


def read_again(engine: Engine, draft: Draft, reading: Reading) -> Draft:
    """The same file read in another way; columns are guessed anew."""
    return looked_through(engine, replace(draft, reading=reading, roles=None, table=None))


def remapped(engine: Engine, draft: Draft, role: str, value: str | Sequence[str] | None) -> Draft:
    """Another column for a role. A column that served another role trades places with it."""
    if draft.table is None or role not in ROLES:
        return draft
    before = {r: _names(v) for r, v in _chosen(draft).items()}
    wanted = _names(value)
    after = {**before, role: wanted}
    for other, names in before.items():
        if other != role and set(names) & set(wanted):
            left = [name for name in names if name not in wanted]
            traded = before[role] if len(before[role]) == len(wanted) == 1 and not left else []
            after[other] = left or [name for name in traded if name not in wanted]
    roles = {r: names if r == "choices" else next(iter(names), None) for r, names in after.items()}
    return looked_through(engine, replace(draft, roles=roles))


def confirmed(engine: Engine, draft: Draft) -> Draft:
    """The same columns, as chosen by hand."""
    return looked_through(engine, replace(draft, roles=_chosen(draft)))


def serves(draft: Draft, role: str, value: str | Sequence[str] | None) -> bool:
    """Whether the role has this column already."""
    return role in ROLES and _names(_chosen(draft).get(role)) == _names(value)


def judged_by(engine: Engine, draft: Draft, spec: str, sources: Mapping[str, str]) -> Draft:
    """The same rows, judged by a reward that was typed, perhaps with others."""
    return looked_through(engine, replace(draft, reward=spec, sources=sources))


def _reward(draft: Draft) -> str | Reward:
    return AUTO if draft.reward == AUTO else own.find(draft.reward, draft.sources)


def rechecked(engine: Engine, draft: Draft, reward: str, seed: int, tell: bool = True) -> Draft:
    """The same rows, judged by another reward, split by another seed, with choices told or not."""
    return looked_through(engine, replace(draft, reward=reward, seed=seed, tell=tell))


def suggested_name(source: str, taken: Container[str]) -> str:
    """``Über data.csv`` -> ``uber-data``, numbered where an expert is called so already."""
    folded = unicodedata.normalize("NFKD", Path(source).stem.casefold())
    plain = folded.encode("ascii", "ignore").decode()
    name = re.sub(r"[^a-z0-9_]+", "-", plain).strip("-_")[: LONGEST_NAME - 4].strip("-_")
    if not name or name in RESERVED:
        name = f"my-{name or 'expert'}"
    return numbered(name, taken)


def numbered(name: str, taken: Container[str]) -> str:
    """The name, or the first of ``name-2``, ``name-3``, … that is free."""
    candidate, number = name, 1
    while candidate in taken:
        number += 1
        candidate = f"{name[: LONGEST_NAME - 4]}-{number}"
    return candidate


def _read(draft: Draft) -> Table:
    source, reading = draft.source, draft.reading
    if source.path is None:
        return data.table_from_cells(source.columns, source.cells, source.name)
    return data.read_table(
        source.path,
        source.name,
        encoding=reading.encoding,
        delimiter=reading.delimiter,
        header=reading.header,
    )


def _columns(draft: Draft) -> Columns:
    """As chosen, else as guessed; T2Error in the words of a page, which has no options to name."""
    table, roles = draft.table, draft.roles
    assert table is not None, "read first"
    if roles is None:
        return data.guess(table)
    question, answer, tests = (_names(roles.get(r)) for r in ("question", "answer", "tests"))
    if not question:
        raise T2Error("Choose the column that holds the question.")
    if not (answer or tests):
        raise T2Error("Choose the column that holds the right answer, or one with tests.")
    return data.guess(table, roles)


def _chosen(draft: Draft) -> Roles:
    """Every role with the column it has now."""
    given = draft.columns.to_dict() if draft.columns else draft.roles or {}
    return {role: given.get(role) for role in ROLES}


def _names(value: str | Sequence[str] | None) -> list[str]:
    """The columns that a role names."""
    return [value] if isinstance(value, str) and value else [name for name in value or () if name]
