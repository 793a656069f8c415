"""Files for download, put where the page may serve them from.

Gradio serves what lies in its own folder for the time of a visit (``page`` has it swept); other
folders, such as that of the runs, stay closed.
"""

from __future__ import annotations

from pathlib import Path

from gradio.processing_utils import save_bytes_to_cache
from gradio.utils import get_upload_folder


def keep(data: bytes, name: str) -> str:
    """Write a file called ``name`` and give its path."""
    return save_bytes_to_cache(data, name, get_upload_folder())


def copy(path: Path | None, name: str) -> str | None:
    """A copy of a file, called ``name``; None where there is none."""
    if path is None or not path.is_file():
        return None
    return keep(path.read_bytes(), name)
