"""docs/cli.md is what the parsers say."""

from __future__ import annotations

from pathlib import Path

from t2app.cli import COMMANDS
from t2app.cli.document import markdown

DOCS = Path(__file__).parents[2] / "docs" / "cli.md"


def test_it_is_up_to_date():
    assert DOCS.read_text(encoding="utf-8") == markdown(), (
        "run: python -m t2app.cli.document > docs/cli.md"
    )


def test_every_command_and_its_arguments_are_in_it():
    text = markdown()
    assert all(f"## t2app {name}\n" in text for name in COMMANDS)
    assert "`--api-key KEY`" in text
