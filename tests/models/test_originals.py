"""Original matrices by the names of the loaded model, one at a time."""

from __future__ import annotations

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    GPT2Config,
)

from t2app import models
from t2app.models import checkpoint as files
from t2app.models import loading
from t2app.models.memory import skeleton
from t2app.models.originals import Originals
from t2app.svd.factor import factor
from t2app.svd.modules import adapted_modules

TEXT = {
    "hidden_size": 64,
    "intermediate_size": 96,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "vocab_size": 300,
    "max_position_embeddings": 128,
    "bos_token_id": None,
    "eos_token_id": 0,
    "pad_token_id": 0,
}
SEES = {"hidden_size": 32, "intermediate_size": 32}
# Models that also see, of which the text part answers; their checkpoints have names of their own.
SEEING = {
    "gemma3": {
        "text_config": {**TEXT, "sliding_window": 8},
        "vision_config": {
            **SEES,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 28,
            "patch_size": 14,
        },
        "mm_tokens_per_image": 4,
    },
    "qwen3_5": {
        "text_config": {
            **TEXT,
            "linear_key_head_dim": 16,
            "linear_value_head_dim": 16,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
        },
        "vision_config": {**SEES, "depth": 1, "num_heads": 2, "out_hidden_size": 64},
    },
}


def never() -> None:
    pytest.fail("a second copy of the model was loaded")


def originals(folder, whole=never) -> Originals:
    tensors = files.read_headers(files.weight_files(folder))
    return Originals(skeleton(files.read_config(folder)), tensors, whole)


@pytest.mark.parametrize("kind", SEEING)
def test_the_text_part_of_a_model_that_sees(kind, tokenizer, tmp_path):
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **SEEING[kind])
    AutoModelForImageTextToText.from_config(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    base = models.load(str(tmp_path), "none", "cpu")
    read = originals(tmp_path)
    live = adapted_modules(base.model)
    assert live
    assert not any("vision" in name or "visual" in name for name in live)
    for name, module in live.items():
        assert torch.equal(read(name).to(module.weight.dtype), module.weight)


def test_gpt2_stores_its_weights_transposed(tokenizer, tmp_path):
    pytest.importorskip("bitsandbytes")
    shape = {"n_embd": 64, "n_layer": 2, "n_head": 2, "vocab_size": 300, "n_positions": 32}
    model = AutoModelForCausalLM.from_config(GPT2Config(**shape))
    model.save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    base = models.load(str(tmp_path), quant="nf4", device="cpu")
    assert base.context == 32
    found = models.factors(base)
    for name, module in adapted_modules(model).items():
        assert torch.equal(found[name].basis, factor(module.weight.t(), torch.bfloat16).basis)


def test_checkpoint_without_the_prefix_of_the_whole_model(checkpoint, tmp_path, tokenizer):
    """As GPT-2's own is: ``layers.0...`` instead of ``model.layers.0...``."""
    tensors = load_file(checkpoint / "model.safetensors")
    save_file(
        {name.removeprefix("model."): tensor for name, tensor in tensors.items()},
        tmp_path / "model.safetensors",
        {"format": "pt"},
    )
    (tmp_path / "config.json").write_bytes((checkpoint / "config.json").read_bytes())
    name = "model.layers.1.mlp.up_proj"
    assert torch.equal(originals(tmp_path)(name), tensors[f"{name}.weight"])


def spoil(checkpoint, folder) -> None:
    """A copy in which one matrix has another form, as if transformers made it of several."""
    folder.mkdir()
    for file in checkpoint.iterdir():
        (folder / file.name).write_bytes(file.read_bytes())
    tensors = load_file(folder / "model.safetensors")
    name = "model.layers.0.mlp.down_proj.weight"
    tensors[name] = tensors[name].reshape(-1)
    save_file(tensors, folder / "model.safetensors", {"format": "pt"})


@pytest.mark.parametrize("precision", ["bfloat16", "nf4"])
def test_what_is_stored_in_another_form_comes_from_a_whole_model(
    checkpoint, tmp_path, monkeypatch, caplog, precision
):
    """From the loaded one if it is not quantised, else from a second copy in bfloat16."""
    if precision == "nf4":
        pytest.importorskip("bitsandbytes")
    monkeypatch.setenv("T2APP_CACHE", str(tmp_path / "cache"))
    base = models.load(str(checkpoint), "nf4" if precision == "nf4" else "none", "cpu")
    spoil(checkpoint, tmp_path / "spoilt")
    name = "model.layers.0.mlp.down_proj"
    read = originals(tmp_path / "spoilt", lambda: loading._whole(base))
    assert "1 matrices are stored in another form than the model uses" in caplog.text
    assert name in caplog.text
    expected = load_file(checkpoint / "model.safetensors")[f"{name}.weight"].bfloat16()
    assert torch.equal(read(name).bfloat16(), expected)
