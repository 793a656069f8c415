"""The command line as Markdown, from the parsers themselves: ``python -m t2app.cli.document``.

Written to ``docs/cli.md``; a test compares them.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator

from t2app.cli import COMMANDS, parser
from t2app.config import ROOT

HEAD = """# The command line

Every command also runs as `python -m t2app …` in a clone; `t2app …` where the package is installed.
Results go to standard output, progress to standard error. Exit code 0 on success, 2 and one line on
bad input. Made from the program by `python -m t2app.cli.document > docs/cli.md`.
"""


def markdown() -> str:
    """All commands with their arguments."""
    text = "\n".join([HEAD, *(line for name in COMMANDS for line in _command(name))])
    # Defaults that are folders of this clone.
    return text.replace(f"{ROOT}{os.sep}", "")


def _command(name: str) -> Iterator[str]:
    sub = _subparser(name)
    yield f"## t2app {name}\n"
    yield f"{_escaped((sub.description or '').strip(), COMMANDS[name])}\n"
    yield "| argument | meaning |"
    yield "|---|---|"
    for action in sub._actions:
        if not isinstance(action, argparse._HelpAction):
            yield f"| {_name(action)} | {_meaning(action)} |"
    yield ""


def _subparser(name: str) -> argparse.ArgumentParser:
    top = parser(name)
    groups = (a for a in top._actions if isinstance(a, argparse._SubParsersAction))
    return next(groups).choices[name]


def _escaped(text: str, fallback: str) -> str:
    """A docstring: tables of its own, whose lines are aligned, are kept as they are."""
    blocks = (text or fallback).split("\n\n")
    return "\n\n".join(f"```text\n{b}\n```" if "  " in b.strip() else b for b in blocks)


def _name(action: argparse.Action) -> str:
    value = ""
    if action.nargs != 0:
        value = str(action.metavar or (action.choices and "|".join(map(str, action.choices))) or "")
        value = value or action.dest.upper()
    if not action.option_strings:
        return f"`{value if action.metavar or action.choices else action.dest}`".replace("|", "\\|")
    return f"`{', '.join(action.option_strings)}{' ' + value if value else ''}`".replace("|", "\\|")


def _meaning(action: argparse.Action) -> str:
    said = " ".join((action.help or "").split()).replace("%%", "%").replace("|", "\\|")
    plain = action.default in (None, False, [], argparse.SUPPRESS) or "default" in said
    if plain or not action.option_strings:
        return said
    return f"{said} (default {action.default})".strip()


if __name__ == "__main__":
    print(markdown(), end="")
