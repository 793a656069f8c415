"""Where things are kept, and the two environment variables that move them.

``T2APP_EXPERTS`` replaces the folder of experts, ``T2APP_CACHE`` the folder of factors and runs.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
ASSETS = ROOT / "assets"
TINY = "tiny"
# Other names of models: the first real one, and the best that is here.
SMOLLM2 = "smollm2"
AUTO = "auto"
TINY_DIR = ASSETS / TINY


def experts_root() -> Path:
    """Folder of the folders of experts, one for each base model."""
    root = os.environ.get("T2APP_EXPERTS")
    return Path(root).expanduser() if root else ROOT / "experts"


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
