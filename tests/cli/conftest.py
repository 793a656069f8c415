"""Running the command line inside the test process."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from t2app.cli import main
from t2app.engine import Engine


@dataclass(frozen=True)
class Done:
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """The one object on standard output."""
        assert self.out.count("\n") == 1
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        """One object a line."""
        return [json.loads(line) for line in self.out.splitlines()]


@pytest.fixture
def cli(engine: Engine, monkeypatch, tmp_path, capsys) -> Callable[..., Done]:
    """``cli("ask", "hi", "--json")`` on a small random model; runs go to a folder of their own."""
    monkeypatch.setenv("T2APP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Engine, "load", classmethod(lambda cls, *_, **__: engine))

    def run(*argv: str) -> Done:
        capsys.readouterr()
        try:
            code = main(list(argv))
        except SystemExit as exit_:
            code = exit_.code
        captured = capsys.readouterr()
        return Done(code, captured.out, captured.err)

    return run
