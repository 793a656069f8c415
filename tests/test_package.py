"""An installed t2app has what lies beside the package in a clone; its user's experts stay."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

from t2app import __version__, config

ROOT = Path(__file__).resolve().parent.parent
WHEEL = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"]["targets"][
    "wheel"
]["force-include"]


def test_everything_that_is_shipped_is_there() -> None:
    shipped = config.PACKAGE.name + "/" + config.SHIPPED.name
    for source, target in WHEEL.items():
        assert (ROOT / source).exists()
        assert target == f"{shipped}/{source}"


def test_the_shipped_experts_are_those_of_the_repository() -> None:
    lines = (ROOT / ".gitignore").read_text().splitlines()
    known = {line.removeprefix("!/") for line in lines if line.endswith(".safetensors")}
    assert {source for source in WHEEL if source.startswith("experts/")} == known


def test_shipped_experts_are_put_there_once(tmp_path: Path) -> None:
    shipped, own = tmp_path / "shipped", tmp_path / "own"
    for name in ("math", "code", "gone"):
        (shipped / "tiny").mkdir(parents=True, exist_ok=True)
        (shipped / "tiny" / f"{name}.safetensors").write_text("new")
    (own / "tiny" / ".deleted").mkdir(parents=True)
    (own / "tiny" / ".deleted" / "gone.safetensors").write_text("deleted")
    (own / "tiny" / "math.safetensors").write_text("mine")
    fresh = config.seeded.__wrapped__
    assert fresh(shipped, own) == own
    assert (own / "tiny" / "math.safetensors").read_text() == "mine"
    assert (own / "tiny" / "code.safetensors").read_text() == "new"
    assert not (own / "tiny" / "gone.safetensors").exists()
    (own / "tiny" / "code.safetensors").unlink()
    fresh(shipped, own)
    assert not (own / "tiny" / "code.safetensors").exists()  # until there is a new version
    (own / config.SEEDED).write_text(f"{__version__}-older")
    fresh(shipped, own)
    assert (own / "tiny" / "code.safetensors").exists()


@pytest.mark.slow  # builds the package, for which pip asks the package index: 20 s
def test_the_wheel_answers_without_the_clone(tmp_path: Path, shared_cache: Path) -> None:
    build = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--quiet", "-w", str(tmp_path)]
    done = subprocess.run([*build, str(ROOT)], capture_output=True, text=True)
    if done.returncode and "No matching distribution" in done.stderr:
        pytest.skip("the package index is out of reach, and the build system comes from there")
    assert done.returncode == 0, done.stderr
    [wheel] = tmp_path.glob("*.whl")
    zipfile.ZipFile(wheel).extractall(tmp_path / "site")
    data = tmp_path / "data"
    settings = {"PYTHONPATH": str(tmp_path / "site"), "XDG_DATA_HOME": str(data), "HOME": str(data)}
    env = {k: v for k, v in os.environ.items() if k != "T2APP_EXPERTS"} | settings
    command = [sys.executable, "-m", "t2app", "ask", "What is 3 + 4?", "--json"]
    done = subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["label"] == "math"
    assert len(list(data.rglob("experts/tiny/*.safetensors"))) == 4
