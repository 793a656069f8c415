"""The command line: everything the page can do, for people and (``--json``) for programs.

One file a command; each adds its arguments and runs. Results go to standard output, progress and
warnings to standard error. Exit code 0 on success, 2 on bad input with one line that says what to
do.
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from t2app.errors import T2Error

COMMANDS = {
    "ask": "answer a question in two passes",
    "experts": "list, show, import, export or delete experts",
    "train": "train an expert with reinforcement learning",
    "eval": "measure tasks by strategies",
    "bench": "measure speed",
    "factors": "compute and cache the SVD factors of a model",
    "pretrain": "make the built-in model again",
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def parser() -> argparse.ArgumentParser:
    """The parser with every command; a command's module is imported for its arguments only."""
    top = _Parser(
        prog="python -m t2app",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        sub = commands.add_parser(
            name,
            help=summary,
            description=_module(name).__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        _module(name).add_arguments(sub)
        sub.set_defaults(run=_module(name).run)
    return top


def _module(command: str):
    return importlib.import_module(f"t2app.cli.{command}_command")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    try:
        args = parser().parse_args(argv)
        return args.run(args) or 0
    except T2Error as error:
        print(f"t2app: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("t2app: stopped", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; keep the interpreter from complaining at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
