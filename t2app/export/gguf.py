"""GGUF for llama.cpp and what is built on it, through llama.cpp's own converters.

They know every tokenizer and every order of weights that llama.cpp wants, and change with it, so
they are asked rather than copied. Not covered: quantising further (``llama-quantize``).
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from t2app.errors import T2Error
from t2app.models import source

VARIABLE = "LLAMA_CPP"
SCRIPTS = {"gguf": "convert_hf_to_gguf.py", "gguf-lora": "convert_lora_to_gguf.py"}


def converter(way: str) -> Path:
    """llama.cpp's script for ``way``; ``T2Error`` that says how to get it where it is missing."""
    name = SCRIPTS[way]
    folder = os.environ.get(VARIABLE)
    found = Path(folder).expanduser() / name if folder else shutil.which(name)
    if found and Path(found).is_file():
        return Path(found)
    where = f"{folder} has no {name}" if folder else f"{name} is not on the path"
    raise T2Error(
        f"--as {way} needs llama.cpp's converter and {where}: git clone "
        f"https://github.com/ggml-org/llama.cpp, and set {VARIABLE} to that folder"
    )


def folder_of(model: str) -> Path:
    """The folder of a base model, fetched if it has to be."""
    found = source.locate(model)
    found.fetch(lambda *_: None)
    return found.folder


def check_file(path: Path) -> None:
    """``T2Error`` unless a file can be made there."""
    if path.exists():
        raise T2Error(f"{path} is there already: give a file that is not")
    if path.suffix != ".gguf":
        raise T2Error(f"{path.name} does not end in .gguf: give it that ending")


def write(
    way: str, path: Path, make: Callable[[Path], dict[str, Any]], base: Path | None = None
) -> dict[str, Any]:
    """Convert what ``make(folder)`` writes into the file ``path``; what it gave, and the size.

    ``base`` is the folder of the base model, which a converter of adapters asks for.
    """
    script = converter(way)
    check_file(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as work:
        found = make(Path(work) / "made")
        made = Path(work) / path.name
        command = [sys.executable, str(script), found["path"], "--outfile", str(made)]
        command += ["--base", str(base)] if base else []
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode or not made.is_file():
            lines = done.stderr.strip().splitlines() or done.stdout.strip().splitlines()
            reason = lines[-1] if lines else f"it ended with {done.returncode}"
            raise T2Error(f"llama.cpp's converter refuses this model: {reason}")
        os.replace(made, path)
    megabytes = round(path.stat().st_size / 1e6, 1)
    return {**found, "path": str(path), "megabytes": megabytes}
