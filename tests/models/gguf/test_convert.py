"""A GGUF file becomes a folder: the same numbers and tokens, once, whole or not at all."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from types import SimpleNamespace

import gguf as package
import numpy as np
import pytest
import torch

from t2app import models
from t2app.errors import T2Error
from t2app.models import checkpoint, memory
from t2app.models.gguf import convert, converted, folders, note_of
from t2app.models.words import UNPACKING
from tests.conftest import build_model, build_tokenizer
from tests.models.gguf.making import plain_model, write

IDS = torch.arange(1, 40)[None]
# Of Llama 3.1, at the size of the small model's heads.
LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 500000.0,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 8192,
}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("T2APP_CACHE", str(tmp_path / "cache"))


def silent(*_: object) -> None:
    pass


def left() -> list[str]:
    """What is in the folder of models, locks aside."""
    home = convert.home()
    return sorted(p.name for p in home.iterdir() if p.suffix != ".lock") if home.is_dir() else []


def fails(path: Path, pattern: str) -> None:
    """One line, and nothing is left behind."""
    with pytest.raises(T2Error, match=pattern) as error:
        converted(path, silent)
    assert "\n" not in str(error.value)
    assert left() == []


def unpacked(kind: str) -> torch.nn.Module:
    """The small model with each matrix packed and unpacked by the package."""
    model, wanted = plain_model(), package.GGMLQuantizationType[kind]
    for p in model.parameters():
        if p.dim() == 2:
            packed = package.quants.quantize(p.detach().numpy(), wanted)
            p.data = torch.from_numpy(package.quants.dequantize(packed, wanted))
    return model


@pytest.mark.parametrize("kind", ["F32", "F16", "BF16", "Q8_0", "Q4_1", "Q4_0"])
def test_the_numbers_are_those_of_the_file(tmp_path, kind):
    path = write(tmp_path / "small.gguf", kind)
    folder, note = converted(path, silent)
    assert (note.label, note.quantisation) == (f"small-{kind}", kind)
    assert json.loads((folder / "config.json").read_text())["dtype"] == (
        "bfloat16" if kind == "BF16" else "float16"
    )
    base = models.load(str(path), "none", "cpu")
    expected = unpacked(kind)
    found = dict(checkpoint_tensors(folder))
    for name, parameter in expected.named_parameters():
        # float16 keeps eleven bits; what was bfloat16 or float16 stays as it was.
        bound = 0 if kind in ("F16", "BF16") and parameter.dim() == 2 else 2**-11
        kept = found[name].float()
        if kind != "BF16":
            assert torch.allclose(kept, parameter, rtol=bound, atol=1e-7), name
        elif parameter.dim() == 2:
            assert torch.equal(kept, parameter)
    with torch.no_grad():
        said = base.model.float()(IDS).logits
        assert (said - expected(IDS).logits).norm() / said.norm() < 0.02


def checkpoint_tensors(folder: Path):
    from safetensors.torch import load_file

    for file in checkpoint.weight_files(folder):
        yield from load_file(file).items()


def test_tokens_and_template_are_those_of_the_file(tmp_path):
    base = models.load(str(write(tmp_path / "small.gguf")), "none", "cpu")
    own = build_tokenizer()
    for text in ("the quick brown fox", "Was 12,5 €?\n\tüß 日本", "<|user|>hi<|end|>"):
        assert base.tokenizer(text).input_ids == own(text).input_ids
    asked = [{"role": "user", "content": "the fox"}]
    expected = own.apply_chat_template(asked, add_generation_prompt=True, tokenize=False)
    assert base.tokenizer.decode(base.chat.prompt_ids(asked)) == expected
    assert base.chat.ends == {own.eos_token_id}
    assert base.context == 128


@pytest.mark.parametrize(
    ("rule", "apart", "told"),
    [("smollm", True, None), ("gpt-2", False, None), ("of-its-own", False, "rule to cut texts")],
)
def test_how_texts_are_cut(tmp_path, rule, apart, told):
    path = write(tmp_path / "small.gguf", values={"tokenizer.ggml.pre": rule})
    base = models.load(str(path), "none", "cpu")
    pieces = base.tokenizer.backend_tokenizer.pre_tokenizer.pre_tokenize_str("in 2026")
    assert ([p for p, _ in pieces][-1] == "6") is apart
    assert [told in note for note in base.notes] == ([True] if told else [])


def test_it_is_converted_once(tmp_path):
    path = write(tmp_path / "small.gguf", "Q8_0")
    reports: list[tuple[str, int, int]] = []
    folder, note = converted(path, lambda *report: reports.append(report))
    assert {stage for stage, _, _ in reports} == {UNPACKING}
    assert [done for _, done, _ in reports] == sorted(done for _, done, _ in reports)
    assert reports[-1][1] == reports[-1][2] == 20
    again = tmp_path / "another-name.gguf"
    shutil.copy(path, again)
    reports.clear()
    assert converted(again, lambda *report: reports.append(report)) == (folder, note)
    assert reports == []
    assert folders() == [folder]
    assert left() == [folder.name]


def test_the_model_is_known_by_its_file(tmp_path):
    path = write(tmp_path / "small-Q8_0.gguf", "Q8_0")
    base = models.load(str(path), "none", "cpu")
    sha256 = checkpoint.digest([path])
    assert base.base == f"small-Q8_0@{sha256[:12]}"
    assert (base.name, base.quantisation) == ("small-Q8_0", "Q8_0")
    folder = folders()[0]
    # Given as a folder it is the same model, and stays it where the file is gone.
    path.unlink()
    assert models.load(str(folder), "none", "cpu").base == base.base
    # Weights that somebody changed are others.
    other = build_model(1, attention_bias=False, mlp_bias=False)
    other.half().save_pretrained(folder)
    assert models.load(str(folder), "none", "cpu").base != base.base


@pytest.mark.parametrize("given", [0, 2])
def test_a_model_in_parts_is_one_model(tmp_path, given):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    one, _ = converted(write(whole / "m.gguf", "Q4_0"), silent)
    write(parts / "m.gguf", "Q4_0", tensors_a_part=7)
    folder, note = converted(sorted(parts.iterdir())[given], silent)
    for name, tensor in checkpoint_tensors(folder):
        assert torch.equal(tensor, dict(checkpoint_tensors(one))[name])
    assert Path(note.path).name == "m-00001-of-00003.gguf"
    assert len(folders()) == 2
    assert not any(f.endswith(".gguf") for p in folders() for f in os.listdir(p))


def test_a_file_of_ollama(tmp_path):
    blob = tmp_path / f"sha256-{'0' * 64}"
    write(tmp_path / "small.gguf").rename(blob)
    assert models.load(str(blob), "none", "cpu").name == "A-small-model-F16"


def test_a_folder_with_one_file(tmp_path):
    write(tmp_path / "small-F16.gguf")
    (tmp_path / "mmproj-small-F16.gguf").write_bytes(b"GGUF")
    assert models.load(str(tmp_path), "none", "cpu").name == "small-F16"
    write(tmp_path / "small-Q8_0.gguf", "Q8_0")
    with pytest.raises(T2Error, match=r"has 2 GGUF models: choose one \(F16, Q8_0\)"):
        models.load(str(tmp_path), "none", "cpu")


def test_factors_are_those_of_the_unpacked_weights(tmp_path):
    from t2app.svd.factor import factor

    base = models.load(str(write(tmp_path / "small.gguf", "Q4_1")), "nf4", "cpu")
    found = models.factors(base)
    expected = unpacked("Q4_1").model.layers[1].mlp.up_proj.weight
    value = factor(expected.half(), torch.bfloat16)
    assert torch.equal(found["model.layers.1.mlp.up_proj"].sigma, value.sigma)


# --- what goes wrong


def test_cut_off(tmp_path):
    path = write(tmp_path / "small.gguf")
    os.truncate(path, path.stat().st_size // 2)
    fails(path, "small.gguf is cut off")


@pytest.mark.parametrize(
    ("changes", "pattern"),
    [
        ({"template": None}, "small.gguf has no chat template in it"),
        ({"architecture": "unheard-of"}, "small.gguf is of architecture 'unheard-of'"),
        ({"architecture": "mamba"}, "cannot use .*small.gguf|mamba"),
        ({"values": {"tokenizer.ggml.model": "of-its-own"}}, "cannot use .*small.gguf: .*"),
        ({"extra": {"blk.0.attn_q.bias": np.ones(64, np.float32)}}, "holds [0-9,]+ numbers and"),
    ],
)
def test_files_of_no_use(tmp_path, changes, pattern):
    fails(write(tmp_path / "small.gguf", **changes), pattern)


def test_a_tensor_is_missing(tmp_path, monkeypatch):
    from tests.models.gguf import making

    real = making._tensors
    monkeypatch.setattr(
        making, "_tensors", lambda m: {k: v for k, v in real(m).items() if "ffn_up" not in k}
    )
    fails(write(tmp_path / "small.gguf"), "lacks 2 weights of its model, first .*mlp.up_proj")


def test_numbers_beyond_float16_are_kept_in_bfloat16(tmp_path):
    model = plain_model()
    model.model.layers[0].mlp.up_proj.weight.data[0, 0] = 1e6
    folder, _ = converted(write(tmp_path / "small.gguf", "F32", model=model), silent)
    found = dict(checkpoint_tensors(folder))
    assert found["model.layers.0.mlp.up_proj.weight"].dtype == torch.bfloat16
    assert found["model.layers.0.mlp.up_proj.weight"][0, 0].item() == pytest.approx(1e6, 0.01)
    model.model.layers[0].mlp.up_proj.weight.data[0, 0] = float("nan")
    with pytest.raises(T2Error, match="holds numbers that are not finite"):
        converted(write(tmp_path / "broken.gguf", "F32", model=model), silent)


def test_no_room_on_disk(tmp_path, monkeypatch):
    path = write(tmp_path / "small.gguf")
    usage = SimpleNamespace(free=10**6)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    fails(path, r"small-F16 takes 0\.\d MB unpacked and .* has 1\.0 MB free.*T2APP_CACHE")


def test_no_room_in_memory(tmp_path, monkeypatch):
    path = write(tmp_path / "small.gguf")
    monkeypatch.setattr(memory, "free", lambda place: 10**4)
    fails(path, "unpacking small-F16 takes .* of memory and 0.0 MB is free: choose a smaller")


def test_a_disk_that_fills_up_meanwhile(tmp_path, monkeypatch):
    path = write(tmp_path / "small.gguf")

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("transformers.LlamaForCausalLM.save_pretrained", full)
    fails(path, "cannot keep small-F16 in .*models: No space left on device; set T2APP_CACHE")


def test_what_a_killed_run_left_is_cleared(tmp_path):
    path = write(tmp_path / "small.gguf")
    sha256 = checkpoint.digest([path])
    old = convert.home() / f".small-F16-{sha256[:12]}.abc.partial"
    old.mkdir(parents=True)
    (old / "model.safetensors").write_bytes(b"half")
    broken = convert.home() / f"small-F16-{sha256[:12]}"
    broken.mkdir()
    folder, _ = converted(path, silent)
    assert left() == [folder.name]
    assert (folder / "model.safetensors").stat().st_size > 10**5


def test_a_note_that_is_not_one(tmp_path):
    folder, note = converted(write(tmp_path / "small.gguf"), silent)
    assert note_of(folder) == note
    told = json.loads((folder / convert.NOTE).read_text())
    for text in ("", "[]", "{}", json.dumps({**told, "format": 2}), json.dumps({"format": 1})):
        (folder / convert.NOTE).write_text(text)
        assert note_of(folder) is None
    assert note_of(tmp_path) is None


# --- rotary positions


def test_those_of_llama_3_are_carried_over(tmp_path):
    """The file has a factor for each frequency; the model then says what the original says."""
    model = plain_model(rope_parameters=LLAMA3)
    rotary = model.model.rotary_emb
    plain = 1 / 500000.0 ** (torch.arange(0, 16, 2).float() / 16)
    factors = (plain / rotary.inv_freq).numpy()
    assert factors.max() == pytest.approx(8)
    path = write(tmp_path / "small.gguf", "F32", model=model, extra={"rope_freqs.weight": factors})
    base = models.load(str(path), "none", "cpu")
    assert torch.allclose(base.model.model.rotary_emb.inv_freq.float(), rotary.inv_freq, rtol=1e-3)
    assert base.notes == ()


def test_factors_of_another_kind_are_told(tmp_path):
    factors = np.linspace(1, 5, 8, dtype=np.float32)
    path = write(tmp_path / "small.gguf", extra={"rope_freqs.weight": factors})
    (note,) = models.load(str(path), "none", "cpu").notes
    assert "stretches rotary positions (by factors) in a way that is not carried over" in note


@pytest.mark.parametrize("kind", ["yarn", "linear", "longrope"])
def test_kinds_by_name(tmp_path, kind):
    values = {"llama.rope.scaling.type": kind, "llama.rope.scaling.factor": 4.0}
    if kind == "yarn":
        values["llama.rope.scaling.original_context_length"] = 32
    base = models.load(str(write(tmp_path / "small.gguf", values=values)), "none", "cpu")
    config = base.model.config.rope_parameters
    if kind == "longrope":
        assert "(longrope) in a way that is not carried over" in base.notes[0]
        assert config["rope_type"] == "default"
    else:
        assert (config["rope_type"], config["factor"], base.notes) == (kind, 4.0, ())
