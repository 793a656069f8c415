"""A training run on disk: its settings, its log, its last checkpoint.

Checkpoints replace each other in one step, so a run that is killed loses at most what came after
the last one. Not covered: the finished expert, which is a file of its own.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import torch

from t2app.errors import T2Error


class Run:
    """A folder with ``settings.json``, ``log.jsonl`` and ``checkpoint.pt``."""

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        """Open the folder, or make it.

        Raises T2Error where it holds a run with other settings: it could not be continued.
        """
        self.folder = folder
        self.settings = json.loads(json.dumps(dict(settings)))
        folder.mkdir(parents=True, exist_ok=True)
        path = folder / "settings.json"
        if path.exists():
            kept = _read_json(path)
            if kept != self.settings:
                differ = sorted(
                    k for k in {*kept, *self.settings} if kept.get(k) != self.settings.get(k)
                )
                raise T2Error(
                    f"the unfinished run in {folder} has other settings ({', '.join(differ)}): "
                    "use the same ones, or delete that folder to begin anew"
                )
        else:
            _write(path, json.dumps(self.settings, indent=2).encode())

    def load(self) -> dict[str, Any] | None:
        """The last checkpoint; None at the beginning. Raises T2Error if it is damaged."""
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return None
        try:
            return torch.load(path, weights_only=True)
        except Exception as error:
            raise T2Error(f"{path} is damaged: delete {self.folder} to begin anew") from error

    def save(self, state: Mapping[str, Any]) -> None:
        """Replace the checkpoint in one step."""
        part = self.folder / "checkpoint.part"
        torch.save(dict(state), part)
        os.replace(part, self.folder / "checkpoint.pt")

    def log(self, record: Any) -> None:
        """Add a line to the log."""
        values = asdict(record) if is_dataclass(record) else dict(record)
        with (self.folder / "log.jsonl").open("a") as file:
            file.write(json.dumps(values) + "\n")

    def curve(self) -> list[dict[str, Any]]:
        """The log; of steps that were repeated after a kill, the last."""
        path = self.folder / "log.jsonl"
        if not path.exists():
            return []
        by_step: dict[int, dict[str, Any]] = {}
        for line in path.read_text().splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue  # the half-written last line of a run that was killed
            by_step[record["step"]] = record
        return [by_step[step] for step in sorted(by_step)]

    def finish(self) -> None:
        """Forget the checkpoint and the settings: the next run of this name begins anew."""
        for name in ("checkpoint.pt", "checkpoint.part", "settings.json", "log.jsonl"):
            (self.folder / name).unlink(missing_ok=True)
        if not any(self.folder.iterdir()):
            self.folder.rmdir()


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text())
    except ValueError as error:
        raise T2Error(f"{path} is damaged: delete {path.parent} to begin anew") from error


def _write(path: Path, data: bytes) -> None:
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    os.replace(file.name, path)
