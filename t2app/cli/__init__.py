"""The command line: everything the page can do, for people and (``--json``) for programs.

One file a command; each adds its arguments and runs. Results go to standard output, progress and
warnings to standard error. Exit code 0 on success, 2 on bad input with one line that says what to
do.
"""

from __future__ import annotations

import argparse
import importlib
import io
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

from t2app.cli import common
from t2app.errors import T2Error

COMMANDS = {
    "app": "open the page: chat, experts, training",
    "ask": "answer a question in two passes",
    "experts": "look at, compare, import, export, rename or delete experts",
    "train": "train an expert with reinforcement learning",
    "adapt": "find the mix of experts that does best on a few solved examples",
    "eval": "measure tasks by strategies",
    "bench": "measure speed, memory and accuracy",
    "export": "write a mix as a plain Hugging Face checkpoint",
    "serve": "serve an endpoint with OpenAI's protocol",
    "mcp": "serve agents through the Model Context Protocol",
    "get": "fetch a real model, or list the models that are here",
    "factors": "compute and cache the SVD factors of a model",
    "pretrain": "make the built-in model again",
}


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def parser(command: str | None = None) -> argparse.ArgumentParser:
    """The parser with every command, and the arguments of ``command`` alone.

    Only its module is imported: help and a mistyped command need not wait for torch.
    """
    top = _Parser(
        prog="python -m t2app",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, summary in COMMANDS.items():
        sub = commands.add_parser(
            name, help=summary, formatter_class=argparse.RawDescriptionHelpFormatter
        )
        if name == command:
            module = _module(name)
            sub.description = module.__doc__
            module.add_arguments(sub)
            sub.set_defaults(run=module.run)
    return top


def _module(command: str):
    return importlib.import_module(f"t2app.cli.{command}_command")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    for stream in (sys.stdin, sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            # Bytes and characters that the encoding lacks become marks, never a traceback.
            stream.reconfigure(errors="replace")
    try:
        given = sys.argv[1:] if argv is None else argv
        args = parser(given[0] if given else None).parse_args(given)
        common.logged()
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
