"""The README says what is true: its commands are the ones that are tested, its files exist."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()


def shell_blocks() -> list[str]:
    return re.findall(r"```sh\n(.*?)```", README, re.DOTALL)


def test_ci_runs_the_test_command_of_the_readme():
    command = next(
        line for block in shell_blocks() for line in block.splitlines() if "pytest" in line
    )
    assert command in (ROOT / ".ci" / "run").read_text()


def test_links_lead_to_files():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (ROOT / target).exists(), target


def test_every_command_of_the_command_line_is_named():
    from t2app.cli import COMMANDS

    for command in COMMANDS:
        assert f"python -m t2app {command}" in README, command
