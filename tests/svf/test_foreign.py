"""Files and folders that are neither a model nor an expert, and are told what they are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from t2app import models
from t2app.errors import T2Error
from t2app.svf.library import Library


def lora_folder(folder: Path, config: bool = True) -> Path:
    folder.mkdir()
    if config:
        told = {"base_model_name_or_path": "org/base", "peft_type": "LORA"}
        (folder / "adapter_config.json").write_text(json.dumps(told))
    tensors = {"base_model.model.model.layers.0.self_attn.q_proj.lora_A.weight": torch.ones(2, 4)}
    save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def gguf_file(path: Path) -> Path:
    path.write_bytes(b"GGUF\x03\x00\x00\x00")
    return path


def gguf_folder(folder: Path) -> Path:
    folder.mkdir()
    gguf_file(folder / "model-q4.gguf")
    return folder


def renamed_lora(folder: Path) -> Path:
    path = lora_folder(folder, config=False) / "adapter_model.safetensors"
    return path.rename(folder / "mine.safetensors")


def weights(path: Path) -> Path:
    save_file({"model.embed_tokens.weight": torch.ones(3, 4)}, path)
    return path


CASES = {
    "LoRA folder": (
        lambda p: lora_folder(p / "lora"),
        "lora is a LoRA adapter of 'org/base' and no whole model.*merge_and_unload",
        "lora is a LoRA adapter of 'org/base' and no expert.*train one on the same rows",
    ),
    "LoRA file": (
        lambda p: lora_folder(p / "lora") / "adapter_model.safetensors",
        "LoRA adapter of 'org/base'",
        "LoRA adapter of 'org/base' and no expert",
    ),
    "LoRA file of another name": (
        lambda p: renamed_lora(p / "lora"),
        "LoRA adapter of some model",
        "LoRA adapter of some model and no expert",
    ),
    "GGUF file": (
        lambda p: gguf_file(p / "model.gguf"),
        "model.gguf is cut off or damaged",
        "model.gguf is GGUF.*no expert: choose a .safetensors file",
    ),
    "GGUF file of another name": (
        lambda p: gguf_file(p / "model.safetensors"),
        "is cut off or damaged",
        "is GGUF.*no expert",
    ),
    "GGUF folder": (
        lambda p: gguf_folder(p / "quantised"),
        "model-q4.gguf is cut off or damaged",
        "quantised is GGUF.*no expert",
    ),
    "weights": (
        lambda p: weights(p / "model.safetensors"),
        "is not a folder",
        "holds the weights of a model and no expert",
    ),
    "folder": (
        lambda p: p,
        "has no config.json",
        "is a folder and no expert: choose the file of one",
    ),
}  # fmt: skip


@pytest.mark.parametrize(("make", "as_model", "as_expert"), CASES.values(), ids=CASES)
def test_it_is_told_what_it_is(tmp_path, make, as_model, as_expert):
    path = make(tmp_path)
    with pytest.raises(T2Error, match=as_model) as error:
        models.load(str(path), "none", "cpu")
    assert "\n" not in str(error.value)
    library = Library(tmp_path / "experts", {"a": 4}, "b@1")
    with pytest.raises(T2Error, match=as_expert) as error:
        library.import_file(path, {})
    assert "\n" not in str(error.value)


def test_what_lies_beside_the_weights_of_a_model(checkpoint, tmp_path):
    folder = Path(shutil.copytree(checkpoint, tmp_path / "both"))
    gguf_file(folder / "model.gguf")
    assert models.load(str(folder), "none", "cpu").name == "both"
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(T2Error, match=r"beside its weights.*move adapter_config.json away"):
        models.load(str(folder), "none", "cpu")
