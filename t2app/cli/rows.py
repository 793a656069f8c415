"""The rows of a file on the command line: how they are read, what is said of them.

Shared by ``train``, ``train --try-reward`` and ``adapt``. What is wrong with a file is told before
a model is loaded.
"""

from __future__ import annotations

import argparse
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t2app.errors import T2Error

if TYPE_CHECKING:
    from t2app.data import Columns, Preview, Report, RowsTask, Table
    from t2app.engine import Engine
    from t2app.tasks.rewards import Reward

SHOWN = 5  # rejected rows


def add_reading(group: Any) -> None:
    """``--columns``, ``--encoding``, ``--delimiter`` and ``--header``."""
    group.add_argument(
        "--columns",
        metavar="ROLE=NAME,...",
        help="question, answer, context, choices (A+B+C), tests, system; default: guessed",
    )
    group.add_argument("--encoding", help="such as cp1252; default: detected")
    group.add_argument("--delimiter", help="comma, semicolon, tab or pipe; default: detected")
    group.add_argument(
        "--header",
        action=argparse.BooleanOptionalAction,
        help="the first row names the columns, or not; default: detected",
    )


def read(args: argparse.Namespace) -> tuple[Table, Columns]:
    """The table of ``args.file``, and its columns: those named, the rest guessed.

    Raises T2Error, and Unclear where a guess is left to the user.
    """
    from t2app import data
    from t2app.data import columns

    table = data.read_table(
        args.file, encoding=args.encoding, delimiter=args.delimiter, header=args.header
    )
    return table, data.guess(table, columns.parse(args.columns) if args.columns else None)


def reward_of(spec: str | None) -> str | Reward:
    """The reward that ``--reward`` names; ``auto`` where it names none. Raises T2Error."""
    from t2app.data.check import AUTO
    from t2app.tasks import own

    return AUTO if spec in (None, AUTO) else own.load(spec)


class FileRows:
    """The rows of a file to train on, checked, and checked again by the model that reads them.

    ``say`` takes lines for people: how the file was read, which rows cannot be used, and one row as
    it will be asked and answered. Raises T2Error where it cannot be trained on.
    """

    def __init__(self, args: argparse.Namespace, say: Callable[[str], None]) -> None:
        from t2app import data

        self._say, self._rejected, self._description = say, args.rejected, args.description
        self._table, self._columns = read(args)
        self._options: dict[str, Any] = {
            "reward": reward_of(args.reward),
            "seed": args.seed,
            "tell": args.tell is not False,
        }
        self._report = self._check()
        self._tell_reading()
        self._tell_rows(set())
        for line in (*self._report.notes, self._report.why):
            say(line)
        self.preview = self._preview(data.build(self._report), None)

    def task(self, engine: Engine) -> tuple[RowsTask, str]:
        """The task, without the rows too long for the model, and all rejected rows as CSV."""
        from t2app import data

        known = {row.number for row in self._report.rejected}
        self._report = self._check(
            count_tokens=engine.count_tokens, max_tokens=engine.longest_prompt
        )
        task = data.build(self._report, description=self._description)
        if known != {row.number for row in self._report.rejected}:
            self._tell_rows(known)
            self.preview = self._preview(task, self.preview)
        return task, self._report.rejected_csv()

    def _check(self, **limits: Any) -> Report:
        """The report; rejected rows are written where they were asked for."""
        from t2app import data

        report = data.check(self._table, self._columns, **self._options, **limits)
        if self._rejected is not None:
            try:
                Path(self._rejected).write_text(report.rejected_csv(), "utf-8")
            except OSError as error:
                reason = error.strerror or error
                raise T2Error(f"cannot write {self._rejected!r}: {reason}") from error
        if report.problem:
            raise T2Error(report.problem)
        return report

    def _tell_reading(self) -> None:
        table = self._table
        form = f"delimiter {table.delimiter!r}" if table.delimiter else table.format
        roles = (f"{role} {name!r}" for role, name in self._columns.to_dict().items())
        self._say(f"{table.name}: {', '.join([table.encoding, form, *roles])}")

    def _tell_rows(self, known: set[int]) -> None:
        """How many rows can be used, and why others cannot that are not ``known``."""
        self._say(self._report.summary())
        rejected = [row for row in self._report.rejected if row.number not in known]
        for row in rejected[:SHOWN]:
            self._say(f"  row {row.number}: {row.reason}")
        if len(rejected) > SHOWN:
            self._say(f"  and {len(rejected) - SHOWN} more; --rejected FILE writes them all")

    def _preview(self, task: RowsTask, shown: Preview | None) -> Preview:
        """Show the first row that is trained on, unless it is the one that was ``shown``."""
        from t2app import data

        found = data.preview(task, task.rows["train"][0])
        if found != shown:
            for line in found.lines():
                self._say(line)
        return found


def name_of(file: str) -> str:
    """The name of an expert after its file: ``Über data.csv`` -> ``uber-data``."""
    plain = unicodedata.normalize("NFKD", Path(file).stem).encode("ascii", "ignore").decode()
    return re.sub(r"[^a-z0-9_]+", "-", plain.lower()).strip("-_")[:41]
