"""Loading base models: every precision, and every way it can go wrong."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, BertConfig, BertForMaskedLM, T5Config

from t2app import config, models
from t2app.errors import T2Error
from t2app.models import memory, precision
from t2app.models.loading import plain_bytes
from t2app.svd.factor import factor
from t2app.svd.modules import adapted_modules
from t2app.svf.hooks import SVF

MESSAGES = [{"role": "user", "content": "the quick fox"}]


@pytest.fixture
def folder(checkpoint, tmp_path) -> Path:
    """A copy of the checkpoint to spoil."""
    return Path(shutil.copytree(checkpoint, tmp_path / "small"))


def fails(match: str, *arguments, **keywords) -> None:
    """``models.load`` raises one line that matches."""
    with pytest.raises(T2Error, match=match) as error:
        models.load(*map(str, arguments), **keywords)
    assert "\n" not in str(error.value)


# --- what works


def test_local_folder(checkpoint):
    base = models.load(str(checkpoint), quant="none", device="cpu")
    digest = hashlib.sha256((checkpoint / "model.safetensors").read_bytes()).hexdigest()
    assert (base.name, base.base) == ("small", f"small@{digest[:12]}")
    assert (base.precision, base.device, base.context) == ("bfloat16", torch.device("cpu"), 128)
    assert base.model.dtype == torch.bfloat16
    assert not base.model.training
    assert not any(parameter.requires_grad for parameter in base.model.parameters())
    assert base.tokenizer.pad_token_id is not None
    ids = base.tokenizer.apply_chat_template(MESSAGES, add_generation_prompt=True)["input_ids"]
    assert base.tokenizer.decode(ids) == "<|user|>the quick fox<|end|><|assistant|>"


def test_built_in_model_is_float32(checkpoint, monkeypatch):
    monkeypatch.setattr(config, "TINY_DIR", checkpoint)
    for name in ("tiny", str(checkpoint)):
        base = models.load(name, device="cpu")
        assert (base.name, base.precision) == ("tiny", "float32")
        assert base.base.startswith("tiny@")
        assert base.model.dtype == torch.float32


def test_sharded_checkpoint(checkpoint, tmp_path):
    whole = models.load(str(checkpoint), quant="none", device="cpu")
    shards = tmp_path / "shards"
    whole.model.save_pretrained(shards, max_shard_size="50kB")
    whole.tokenizer.save_pretrained(shards)
    assert len(list(shards.glob("*.safetensors"))) > 1
    base = models.load(str(shards), device="cpu")
    assert base.base.startswith("shards@")
    for left, right in zip(whole.model.parameters(), base.model.parameters(), strict=True):
        assert torch.equal(left, right)
    next(iter(sorted(shards.glob("*.safetensors")))).unlink()
    fails("lacks its weights.*model-00001", shards)


def test_factors_are_those_of_the_weights_and_cached(checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("T2APP_CACHE", str(tmp_path))
    base = models.load(str(checkpoint), quant="none", device="cpu")
    calls: list[tuple[str, int, int]] = []
    found = models.factors(base, lambda *call: calls.append(call))
    assert calls == [("factoring", done, 14) for done in range(1, 15)]
    # Of the checkpoint's float32 numbers, of which the loaded model has but the rounded ones.
    original = load_file(checkpoint / "model.safetensors")
    for name in adapted_modules(base.model):
        expected = factor(original[f"{name}.weight"], torch.bfloat16)
        assert torch.equal(found[name].basis, expected.basis)
    calls.clear()
    models.factors(base, lambda *call: calls.append(call))
    assert calls == []


def test_importing_pulls_in_neither_bitsandbytes_nor_gradio():
    code = (
        "import sys, t2app\n"
        "assert 'torch' not in sys.modules\n"
        "import t2app.models, t2app.svf.hooks\n"
        "assert not {'bitsandbytes', 'gradio'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=config.ROOT)


# --- quantised on the CPU


@pytest.fixture(params=["nf4", "int8"])
def quantised(request, checkpoint) -> models.BaseModel:
    pytest.importorskip("bitsandbytes")
    return models.load(str(checkpoint), quant=request.param, device="cpu")


def test_a_quantised_model_says_nothing_at_every_product(quantised, caplog):
    with torch.no_grad(), caplog.at_level("WARNING"):
        quantised.model(torch.tensor([[5, 6, 7]]))
    assert not [r for r in caplog.records if r.name.startswith("bitsandbytes")]


@pytest.fixture
def ids() -> torch.Tensor:
    return torch.randint(0, 300, (3, 8), generator=torch.Generator().manual_seed(1))


def dequantised(base: models.BaseModel, checkpoint: Path):
    """A float32 model with exactly the weights that the quantised one computes with."""
    from bitsandbytes.functional import dequantize_4bit

    plain = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32).eval()
    plain.requires_grad_(False)
    for name, module in adapted_modules(base.model).items():
        weight = module.weight
        if base.precision == "nf4":
            value = dequantize_4bit(weight.data, weight.quant_state).float()
        else:
            scale = weight.SCB if weight.SCB is not None else module.state.SCB
            value = weight.data.float() * scale[:, None] / 127
        plain.get_submodule(name).weight.data = value
    return plain


def test_quantised_layers_and_factors_of_the_original(quantised, checkpoint, ids, tmp_path):
    bnb = pytest.importorskip("bitsandbytes")
    kind = bnb.nn.Linear4bit if quantised.precision == "nf4" else bnb.nn.Linear8bitLt
    modules = adapted_modules(quantised.model)
    assert len(modules) == 14
    assert all(isinstance(module, kind) for module in modules.values())
    original = load_file(checkpoint / "model.safetensors")
    expected = {name: factor(original[f"{name}.weight"], torch.bfloat16) for name in modules}

    # Also after the model has run: nothing is read back from its own weights.
    with torch.no_grad():
        quantised.model(ids)
    found = models.factors(quantised)
    for name, value in expected.items():
        assert torch.equal(found[name].basis, value.basis)
        assert torch.equal(found[name].sigma, value.sigma)


def test_quantised_shares_its_factors_with_bfloat16(quantised, checkpoint, tmp_path, monkeypatch):
    monkeypatch.setenv("T2APP_CACHE", str(tmp_path))
    models.factors(quantised)
    calls: list[tuple] = []
    plain = models.load(str(checkpoint), quant="none", device="cpu")
    models.factors(plain, lambda *call: calls.append(call))
    assert calls == []


def test_quantised_delta_works_after_evaluation(quantised, checkpoint, ids):
    """Output and gradient match a float32 model with the dequantised weights, run before or not."""
    plain = dequantised(quantised, checkpoint)
    found = models.factors(quantised)
    svf, reference = SVF(quantised.model, found), SVF(plain, found)
    values = torch.randn(svf.layout.total, generator=torch.Generator().manual_seed(2)) * 0.3

    with torch.no_grad():
        base = quantised.model(ids).logits
        with svf.using(torch.zeros_like(values)):
            assert torch.equal(quantised.model(ids).logits, base)

    results = []
    for model, hooks in ((quantised.model, svf), (plain, reference)):
        delta = values.clone().requires_grad_()
        with hooks.using(delta):
            logits = model(ids).logits.float()
        logits.log_softmax(-1)[..., 7].sum().backward()
        assert delta.grad is not None
        results.append((logits.detach(), delta.grad))
        for part in hooks.layout.split(delta.grad).values():
            assert part.abs().max() > 0

    # int8 rounds activations too, so it is further off.
    bound = 0.05 if quantised.precision == "nf4" else 0.15
    for actual, expected in zip(*results, strict=True):
        assert (actual - expected).norm() / expected.norm() < bound


def test_nf4_on_the_cpu_is_never_repacked(checkpoint, ids):
    pytest.importorskip("bitsandbytes")
    base = models.load(str(checkpoint), quant="nf4", device="cpu")
    before = {n: m.weight.data.clone() for n, m in adapted_modules(base.model).items()}
    with torch.no_grad():
        base.model(ids)
    for name, module in adapted_modules(base.model).items():
        assert not getattr(module.weight.quant_state, "packing_format_for_cpu", False)
        assert torch.equal(module.weight.data, before[name])


# --- what goes wrong


@pytest.mark.parametrize("name", ["./nowhere", "/no/such/folder", "~/nowhere/x", "a/b/c", "", " "])
def test_folder_missing(name):
    fails("no model folder", name)


def test_file_in_place_of_a_folder(folder):
    fails("is not a folder", folder / "config.json")


def test_built_in_model_missing(monkeypatch, tmp_path):
    monkeypatch.setattr(config, "TINY_DIR", tmp_path / "tiny")
    fails("run python -m t2app pretrain", "tiny")


def test_no_config(folder):
    (folder / "config.json").unlink()
    fails("no config.json", folder)


@pytest.mark.parametrize("text", ["{", "[]", '{"model_type": "unheard-of"}', "{}"])
def test_bad_config(folder, text):
    (folder / "config.json").write_text(text)
    fails("config.json", folder)


def test_no_weights(folder):
    (folder / "model.safetensors").unlink()
    fails("lacks its weights", folder)


@pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pth"])
def test_pickle_only(folder, name):
    (folder / "model.safetensors").rename(folder / name)
    fails("only pickled weights.*convert them", folder)


@pytest.mark.parametrize("text", ["{}", "[]", "{", '{"weight_map": {}}'])
def test_bad_index(folder, text):
    (folder / "model.safetensors").unlink()
    (folder / "model.safetensors.index.json").write_text(text)
    fails("again", folder)


@pytest.mark.parametrize("keep", [0, 4, 100, 5000, -1])
def test_truncated_weights(folder, keep):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    fails("model.safetensors.*download it again", folder)


def test_pointer_in_place_of_weights(folder):
    (folder / "model.safetensors").write_text("version https://git-lfs.github.com/spec/v1\n")
    fails("not a whole safetensors file", folder)


def test_missing_keys(folder):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    del tensors["model.layers.1.mlp.up_proj.weight"]
    save_file(tensors, path, {"format": "pt"})
    fails("lacks 1 weights.*model.layers.1.mlp.up_proj.weight", folder)
    fails("lacks 1 weights", folder, quant="nf4", device="cpu")


def test_weights_of_another_shape(folder):
    path = folder / "model.safetensors"
    tensors = load_file(path)
    tensors["model.layers.1.mlp.up_proj.weight"] = torch.zeros(3, 3)
    save_file(tensors, path, {"format": "pt"})
    fails("cannot load", folder)


def test_no_chat_template(folder):
    (folder / "chat_template.jinja").unlink()
    fails("no chat template", folder)


def test_no_tokenizer(folder):
    for path in folder.glob("tokenizer*"):
        path.unlink()
    fails("tokenizer", folder)


def test_encoder_only(folder):
    shape = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    BertForMaskedLM(BertConfig(**shape, intermediate_size=32, vocab_size=60)).save_pretrained(
        folder
    )
    fails("no decoder-only language model.*BertForMaskedLM", folder)


def test_encoder_decoder(folder):
    T5Config(architectures=["T5ForConditionalGeneration"]).save_pretrained(folder)
    fails("no decoder-only language model.*T5", folder)


def test_quantised_already(folder):
    path = folder / "config.json"
    content = json.loads(path.read_text())
    content["quantization_config"] = {"quant_method": "bitsandbytes", "load_in_4bit": True}
    path.write_text(json.dumps(content))
    fails("quantised already", folder)


def test_not_enough_memory_is_said_before_loading(checkpoint, monkeypatch):
    monkeypatch.setattr(memory, "free", lambda place: 10**6)
    monkeypatch.setattr(
        "transformers.AutoModelForCausalLM.from_pretrained",
        lambda *_, **__: pytest.fail("the weights were read"),
    )
    for quant in ("none", "nf4", "auto"):
        fails("small needs .* and memory has 1.0 MB free: .*smaller model", checkpoint, quant=quant)


def test_not_enough_memory_to_factor_is_said_before(checkpoint, monkeypatch, tmp_path):
    monkeypatch.setenv("T2APP_CACHE", str(tmp_path))
    base = models.load(str(checkpoint), quant="none", device="cpu")
    monkeypatch.setattr(memory, "free", lambda place: 10**3)
    with pytest.raises(T2Error, match=r"factoring small takes .* for a matrix of .*is free"):
        models.factors(base)


def test_bitsandbytes_not_installed(checkpoint, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    fails("pip install bitsandbytes", checkpoint, quant="nf4")
    fails("pip install bitsandbytes", checkpoint, quant="int8")
    assert models.load(str(checkpoint), device="cpu").precision in ("bfloat16", "float32")


@pytest.mark.parametrize("device", ["cuda", "cuda:0"])
def test_cuda_asked_for_but_absent(checkpoint, monkeypatch, device):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    fails("no CUDA GPU is usable", checkpoint, device=device)


def test_gpu_number_that_is_not_there(checkpoint, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    fails("there are 1", checkpoint, device="cuda:1")


@pytest.mark.parametrize("device", ["gpu", "mps", "", "cpu:x"])
def test_unknown_device(checkpoint, device):
    fails("unknown device", checkpoint, device=device)


@pytest.fixture
def gpus(monkeypatch) -> dict[int, int]:
    """Two GPUs, by what each has free: change it. What is put on them stays on the CPU."""
    frees = {0: 10**9, 1: 10**9}
    for name in ("WORLD_SIZE", "LOCAL_RANK"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: len(frees))
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda index: (frees[index], 80 * 10**9))
    return frees


@pytest.fixture
def placed(monkeypatch) -> list[dict]:
    """How ``from_pretrained`` was asked to place each model."""
    asked: list[dict] = []
    real = AutoModelForCausalLM.from_pretrained

    def put(folder, *, device_map, max_memory=None, **rest):
        asked.append({"device_map": device_map, "max_memory": max_memory})
        return real(folder, device_map={"": "cpu"}, **rest)

    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", put)
    return asked


def launched(monkeypatch, rank: int, size: int = 2) -> None:
    """As ``torchrun`` and ``accelerate launch`` say it."""
    monkeypatch.setenv("WORLD_SIZE", str(size))
    monkeypatch.setenv("LOCAL_RANK", str(rank))


@pytest.mark.parametrize("device", ["auto", "cuda"])
@pytest.mark.parametrize("rank", [0, 1])
def test_one_of_several_processes_loads_on_its_own_gpu(
    checkpoint, monkeypatch, gpus, placed, device, rank
):
    launched(monkeypatch, rank)
    gpus[1 - rank] = 0  # the other process has filled it
    base = models.load(str(checkpoint), "none", device)
    own = torch.device("cuda", rank)
    assert placed == [{"device_map": {"": own}, "max_memory": None}]
    assert base.place == own


@pytest.mark.parametrize("device", ["auto", "cuda"])
def test_one_of_several_processes_is_refused_where_its_own_gpu_is_full(
    checkpoint, monkeypatch, gpus, placed, device
):
    launched(monkeypatch, 1)
    gpus.update({0: 80 * 10**9, 1: 10**6})
    fails("the GPU has 1.0 MB free", checkpoint, quant="none", device=device)
    assert placed == []


def test_more_processes_than_gpus(checkpoint, monkeypatch, gpus, placed):
    launched(monkeypatch, 2, 3)
    fails("process 3 .* no GPU of its own: there are 2", checkpoint, quant="none", device="cuda")
    assert placed == []
    assert models.load(str(checkpoint), "none", "cpu").place == torch.device("cpu")


def test_a_process_that_is_shown_its_own_gpu_only(checkpoint, monkeypatch, gpus, placed):
    launched(monkeypatch, 1)
    del gpus[1]
    models.load(str(checkpoint), "none", "cuda")
    assert placed[0]["device_map"] == {"": torch.device("cuda", 0)}


@pytest.mark.parametrize("size", [None, 1])
def test_one_process_uses_every_gpu_where_the_first_is_too_small(
    checkpoint, monkeypatch, gpus, placed, size
):
    if size is not None:
        launched(monkeypatch, 0, size)
    assert models.load(str(checkpoint), "none", "auto").place == torch.device("cuda")
    assert placed.pop()["device_map"] == {"": torch.device("cuda")}
    gpus[0] = memory.SPARE
    assert models.load(str(checkpoint), "none", "cuda").place == torch.device("cuda")
    asked = placed.pop()
    assert asked["device_map"] == "balanced"
    assert list(asked["max_memory"]) == [0, 1]


def test_a_gpu_by_its_number_is_taken_alone(checkpoint, gpus, placed):
    gpus[0] = 0
    base = models.load(str(checkpoint), "none", "cuda:1")
    assert placed == [{"device_map": {"": torch.device("cuda:1")}, "max_memory": None}]
    assert str(base.place) == "cuda:1"


def test_the_size_unquantised_is_known_before_loading(checkpoint, tmp_path, monkeypatch):
    base = models.load(str(checkpoint), "none", "cpu")
    base.model.save_pretrained(tmp_path)
    written = (tmp_path / "model.safetensors").stat().st_size
    monkeypatch.setattr(
        "transformers.AutoModelForCausalLM.from_pretrained",
        lambda *_, **__: pytest.fail("the weights were read"),
    )
    assert plain_bytes(str(checkpoint)) == pytest.approx(written, rel=0.05)
    monkeypatch.setattr(config, "TINY_DIR", checkpoint)
    assert plain_bytes("tiny") == pytest.approx(2 * written, rel=0.05)


def test_unknown_quantisation(checkpoint):
    fails("unknown quantisation 'q4'", checkpoint, quant="q4")


def test_auto_on_a_gpu_without_bitsandbytes(monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    assert precision.choose("small", "auto", torch.device("cuda")) == "bfloat16"


def test_auto_says_that_a_large_model_is_quantised(checkpoint, monkeypatch, caplog):
    pytest.importorskip("bitsandbytes")
    monkeypatch.setattr(precision, "fastest_on_cpu", lambda: "bfloat16")
    needs = memory.skeleton(models.checkpoint.read_config(checkpoint))
    room = memory.need(needs, "bfloat16").total - 1
    monkeypatch.setattr(memory, "free", lambda place: room)
    assert models.load(str(checkpoint), device="cpu").precision == "nf4"
    assert "small is loaded in nf4 because of its size" in caplog.text


@pytest.mark.parametrize(
    ("label", "device", "fastest", "fits", "expected"),
    [
        ("tiny", "cuda", "bfloat16", True, "float32"),
        ("small", "cuda", "bfloat16", True, "nf4"),
        ("small", "cpu", "bfloat16", True, "bfloat16"),
        ("small", "cpu", "float32", True, "float32"),
        ("small", "cpu", "bfloat16", False, "nf4"),
    ],
)
def test_auto_precision(monkeypatch, label, device, fastest, fits, expected):
    monkeypatch.setattr(precision, "fastest_on_cpu", lambda: fastest)
    assert precision.choose(label, "auto", torch.device(device), lambda _: fits) == expected


def test_auto_takes_bfloat16_where_the_faster_float32_does_not_fit(monkeypatch):
    monkeypatch.setattr(precision, "fastest_on_cpu", lambda: "float32")
    place = torch.device("cpu")
    assert precision.choose("small", "auto", place, lambda kind: kind != "float32") == "bfloat16"


def test_what_is_fastest_is_measured():
    assert precision.fastest_on_cpu() in ("bfloat16", "float32")


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("quant", ["none", "nf4", "int8"])
def test_delta_on_a_gpu(checkpoint, ids, quant):
    base = models.load(str(checkpoint), quant=quant, device="cuda")
    svf = SVF(base.model, models.factors(base))
    delta = torch.full((svf.layout.total,), 0.1, requires_grad=True)
    with svf.using(delta):
        base.model(ids.cuda()).logits.float().square().mean().backward()
    assert all(part.abs().max() > 0 for part in svf.layout.split(delta.grad).values())
