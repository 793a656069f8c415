"""Where things are kept, and the two environment variables that move them.

``T2APP_EXPERTS`` replaces the folder of experts, ``T2APP_CACHE`` the folder of factors and runs. In
a clone the experts lie beside the program; an installed program keeps them in the user's data
folder, where those that came with it are put at the first start.
"""

from __future__ import annotations

import os
import shutil
import sys
from functools import cache
from pathlib import Path

import platformdirs

from t2app import __version__

PACKAGE = Path(__file__).resolve().parent
# What lies beside the package in a clone is in this folder of an installed one (pyproject.toml).
SHIPPED = PACKAGE / "_shipped"
INSTALLED = SHIPPED.is_dir()
ROOT = SHIPPED if INSTALLED else PACKAGE.parent
ASSETS = ROOT / "assets"
TINY = "tiny"
# Other names of models: the first real one, and the best that is here.
SMOLLM2 = "smollm2"
AUTO = "auto"
TINY_DIR = ASSETS / TINY
# In a folder of experts: the version whose own experts have been put there.
SEEDED = ".t2app-version"


def experts_root() -> Path:
    """Folder of the folders of experts, one for each base model."""
    root = os.environ.get("T2APP_EXPERTS")
    if root:
        return Path(root).expanduser()
    if not INSTALLED:
        return ROOT / "experts"
    own = platformdirs.user_data_path("t2app", appauthor=False) / "experts"
    return seeded(ROOT / "experts", own)


@cache
def seeded(shipped: Path, own: Path) -> Path:
    """``own``, with the shipped experts in it, once for each version of the program.

    Those that are there, and those that were deleted, are left alone.
    """
    mark = own / SEEDED
    if mark.is_file() and mark.read_text(encoding="utf-8") == __version__:
        return own
    for path in sorted(shipped.glob("*/*.safetensors")):
        there = own / path.parent.name / path.name
        if not there.exists() and not (there.parent / ".deleted" / path.name).exists():
            there.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, there)
    own.mkdir(parents=True, exist_ok=True)
    mark.write_text(__version__, encoding="utf-8")
    return own


def experts_dir(base_name: str) -> Path:
    """Folder of the experts for a base model of that name, e.g. ``experts/tiny``."""
    return experts_root() / base_name.strip("/").replace("/", "--")


def cache_dir() -> Path:
    """Folder for what can be computed again (factors) or continued (runs)."""
    chosen = os.environ.get("T2APP_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches" / "t2app"
    if os.name == "nt":
        return Path(os.environ.get("LOCALAPPDATA", Path.home())) / "t2app"
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "t2app"
