"""What a file or folder is that somebody gives as a model or an expert, and that is neither."""

from __future__ import annotations

import json
from pathlib import Path

from t2app.errors import T2Error

ADAPTER = "adapter_config.json"


def as_model(path: Path) -> T2Error | None:
    """The error for ``path`` given as a model; None where it is nothing that is known here."""
    adapter = _adapter(path)
    if adapter is not None and (path / "config.json").is_file() and any(path.glob("model*")):
        return T2Error(
            f"{path} has a LoRA adapter beside its weights, and both would be loaded: move "
            f"{ADAPTER} away, or merge the adapter (PEFT: merge_and_unload) and give the result"
        )
    if adapter is not None:
        return T2Error(
            f"{path} is a LoRA adapter of {_base_of(adapter)} and no whole model: give that model, "
            "or merge the adapter into it (PEFT: merge_and_unload) and give the result"
        )
    return None


def as_expert(path: Path) -> T2Error | None:
    """The error for ``path`` given as an expert; None where it is nothing that is known here."""
    if _is_gguf(path):
        return T2Error(
            f"{path} is GGUF, a model or adapter packed for llama.cpp, and no expert: choose a "
            ".safetensors file that t2app wrote, or a .pt file of the paper's code"
        )
    if (adapter := _adapter(path)) is not None:
        return T2Error(
            f"{path} is a LoRA adapter of {_base_of(adapter)} and no expert: a LoRA adds matrices, "
            "an expert scales singular values; train one on the same rows (t2app train)"
        )
    if path.is_dir():
        kind = "the folder of a model" if (path / "config.json").is_file() else "a folder"
        return T2Error(f"{path} is {kind} and no expert: choose the file of one")
    if any(len(shape) > 1 for name, shape in _tensors(path).items() if name.endswith("weight")):
        return T2Error(
            f"{path} holds the weights of a model and no expert: choose a file that t2app wrote"
        )
    return None


def _is_gguf(path: Path) -> bool:
    if path.is_dir():
        return any(path.glob("*.gguf")) and not any(path.glob("*.safetensors"))
    try:
        with path.open("rb") as file:
            return file.read(4) == b"GGUF"
    except OSError:
        return False


def _adapter(path: Path) -> Path | None:
    """Where a LoRA adapter says what it is for; None if ``path`` is none.

    A file of matrices named ``lora_A`` counts, with or without its configuration beside it.
    """
    folder = path if path.is_dir() else path.parent
    told = folder / ADAPTER
    if path.is_dir():
        return told if told.is_file() else None
    named = path.name.startswith("adapter_model.")
    return told if named or any(".lora_" in name for name in _tensors(path)) else None


def _base_of(adapter: Path) -> str:
    """The model that an adapter belongs to, in words."""
    try:
        name = json.loads(adapter.read_text(encoding="utf-8")).get("base_model_name_or_path")
    except (OSError, ValueError, AttributeError):
        name = None
    return repr(name) if name else "some model"


def _tensors(path: Path) -> dict[str, list[int]]:
    """Shapes of the tensors of a safetensors file by name; empty where it is none."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            if length > path.stat().st_size:
                return {}
            header = json.loads(file.read(length))
        return {name: e["shape"] for name, e in header.items() if name != "__metadata__"}
    except (OSError, ValueError, AttributeError, KeyError, TypeError):
        return {}
