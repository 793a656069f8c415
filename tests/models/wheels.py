"""Small wheels in folders that pip takes for a package index."""

from __future__ import annotations

import hashlib
import zipfile
from pathlib import Path

import pytest

from t2app.models.wheel import Wheel

PROJECT, VERSION = "t2app_test_model", "0.1.2"


def wheel_of(folder: Path, content: bytes, member: str = "model/Small-F16.gguf") -> Wheel:
    """Put a wheel with one file in it into ``folder``, and say what is known of it."""
    folder.mkdir(exist_ok=True)
    path = folder / f"{PROJECT}-{VERSION}-py3-none-any.whl"
    info = f"{PROJECT}-{VERSION}.dist-info"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(member, content)
        archive.writestr(
            f"{info}/METADATA",
            # What it asks for does not exist, and is never asked for.
            f"Metadata-Version: 2.1\nName: {PROJECT}\nVersion: {VERSION}\n"
            "Requires-Dist: t2app-test-none\n",
        )
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return Wheel(
        requirement=f"{PROJECT.replace('_', '-')}=={VERSION}",
        file=path.name,
        size=path.stat().st_size,
        sha256=_sha256(path.read_bytes()),
        member=member,
        member_size=len(content),
        member_sha256=_sha256(content),
    )


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def serve(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """From now on pip knows this folder and no other place."""
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(folder))
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
