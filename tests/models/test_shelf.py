"""Models of other programs on this computer: found, counted, or told why they are of no use."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
from huggingface_hub import constants

from t2app import models
from t2app.models import checkpoint, memory, shelf, smollm2
from t2app.models import gguf as files
from tests.models.gguf.making import plain_model, write

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    """A home without any model."""
    folder = tmp_path / "home"
    folder.mkdir()
    for name in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(name, str(folder))
    monkeypatch.delenv("OLLAMA_MODELS", raising=False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder / "hub"))
    monkeypatch.setenv("T2APP_CACHE", str(tmp_path / "cache"))
    return folder


def only() -> shelf.Found:
    (found,) = shelf.found()
    return found


def test_nothing():
    assert shelf.found() == []


@pytest.mark.parametrize("place", [".lmstudio", ".cache/lm-studio", "moved"])
def test_lm_studio(home, place):
    if place == "moved":
        (home / ".lmstudio-home-pointer").write_text(str(home / "moved") + "\n")
    folder = home / place / "models" / "someone" / "small-GGUF"
    folder.mkdir(parents=True)
    path = write(folder / "small-Q8_0.gguf", "Q8_0")
    (folder / "mmproj-small-f16.gguf").write_bytes(b"GGUF")
    found = only()
    assert (found.name, found.where) == (str(path), "LM Studio")
    assert (found.title, found.size, found.problem) == ("small-Q8_0", path.stat().st_size, "")
    assert models.load(found.name, "none", "cpu").name == "small-Q8_0"


def ollama(home: Path, name: str, path: Path) -> Path:
    """Put a file where Ollama has the model of that name."""
    sha256 = checkpoint.sha256_of(path)
    blob = home / "blobs" / f"sha256-{sha256}"
    blob.parent.mkdir(parents=True, exist_ok=True)
    shutil.move(path, blob)
    manifest = home / "manifests" / name
    manifest.parent.mkdir(parents=True, exist_ok=True)
    layers = [
        {"mediaType": "application/vnd.ollama.image.license", "digest": "sha256:0"},
        {"mediaType": "application/vnd.ollama.image.model", "digest": f"sha256:{sha256}"},
    ]
    manifest.write_text(json.dumps({"layers": layers}))
    return blob


@pytest.mark.parametrize(
    ("manifest", "title"),
    [
        ("registry.ollama.ai/library/small/1b", "small:1b (Q8_0)"),
        ("registry.ollama.ai/someone/small/latest", "someone/small:latest (Q8_0)"),
        ("hf.co/someone/small/Q8_0", "hf.co/someone/small:Q8_0"),
    ],
)
def test_ollama(home, tmp_path, manifest, title):
    path = write(tmp_path / "m.gguf", "Q8_0")
    blob = ollama(home / ".ollama" / "models", manifest, path)
    found = only()
    assert (found.name, found.title, found.where) == (str(blob), title, "Ollama")
    assert models.load(found.name, "none", "cpu").quantisation == "Q8_0"


def test_ollama_elsewhere_and_what_it_never_finished(home, tmp_path, monkeypatch):
    monkeypatch.setenv("OLLAMA_MODELS", str(tmp_path / "models"))
    blob = ollama(tmp_path / "models", "r/library/a/b", write(tmp_path / "m.gguf"))
    assert only().name == str(blob)
    (tmp_path / "models" / "manifests" / "r" / "library" / "a" / "c").write_text("{")
    assert only().name == str(blob)
    blob.unlink()
    assert shelf.found() == []


def snapshot(home: Path, name: str, revision: str = "abc") -> Path:
    """A snapshot of the hub's cache."""
    repository = home / "hub" / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True, exist_ok=True)
    (repository / "refs" / "main").write_text(revision)
    (repository / "snapshots" / revision).mkdir(parents=True)
    return repository / "snapshots" / revision


def test_the_hubs_cache(home, checkpoint_files):
    folder = snapshot(home, "org/small")
    shutil.copytree(checkpoint_files, folder, dirs_exist_ok=True)
    found = only()
    assert (found.name, found.title, found.where) == (
        "org/small",
        "org/small",
        "Hugging Face cache",
    )
    assert found.size == (checkpoint_files / "model.safetensors").stat().st_size
    # An older snapshot that main no longer means is not looked at.
    shutil.rmtree(snapshot(home, "org/small", "newer"))
    assert only().name == "org/small"


@pytest.fixture
def checkpoint_files(checkpoint: Path) -> Path:
    return checkpoint


def test_packed_ones_in_the_hubs_cache(home):
    folder = snapshot(home, "org/packed")
    (folder / "deep").mkdir()
    write(folder / "small-Q4_0.gguf", "Q4_0")
    write(folder / "deep" / "small-F16.gguf", tensors_a_part=8)
    found = {one.name: one for one in shelf.found()}
    parts = "org/packed:deep/small-F16-00001-of-00003.gguf"
    assert set(found) == {"org/packed:small-Q4_0.gguf", parts}
    assert found[parts].size == sum(p.stat().st_size for p in (folder / "deep").iterdir())
    assert found[parts].listed.parameters == pytest.approx(
        found["org/packed:small-Q4_0.gguf"].listed.parameters
    )


@pytest.mark.parametrize("change", ["no template", "no text", "quantised", "not whole"])
def test_what_else_is_in_the_hubs_cache(home, checkpoint_files, change):
    folder = snapshot(home, "org/other")
    shutil.copytree(checkpoint_files, folder, dirs_exist_ok=True)
    settings = json.loads((folder / "config.json").read_text())
    if change == "no template":
        (folder / "chat_template.jinja").unlink()
    elif change == "no text":
        settings["architectures"] = ["BertModel"]
    elif change == "quantised":
        settings["quantization_config"] = {"quant_method": "gptq"}
    else:
        weights = folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1])
    (folder / "config.json").write_text(json.dumps(settings))
    found = shelf.found()
    assert [one.name for one in found] == (["org/other"] if change == "not whole" else [])
    assert all("truncated" in one.problem for one in found)


def test_files_of_no_use_are_told_and_come_last(home):
    folder = home / ".lmstudio" / "models" / "a" / "b"
    folder.mkdir(parents=True)
    write(folder / "a-base.gguf", template=None)
    (folder / "b-broken.gguf").write_bytes(b"GGUF")
    write(folder / "c-parts.gguf", tensors_a_part=8)
    (folder / "c-parts-00002-of-00003.gguf").unlink()
    write(folder / "d-good.gguf")
    found = shelf.found()
    assert found[0].title == "d-good (F16)"
    told = {one.title.split(" ")[0]: one.problem for one in found[1:]}
    assert told["a-base"].startswith("has no chat template")
    assert told["b-broken"] == "is cut off or damaged: get it again"
    assert "c-parts-00002-of-00003.gguf is missing" in told["c-parts"]


def test_ours(home, tmp_path, monkeypatch):
    path = write(tmp_path / "small-Q8_0.gguf", "Q8_0")
    folder, note = files.converted(path, lambda *_: None)
    # As long as the file is there, it is the file that is listed where it belongs.
    assert shelf.found() == []
    path.unlink()
    assert (only().name, only().title, only().where) == (str(folder), "small-Q8_0", "t2app")
    known = smollm2.WHEEL.__class__(**{**vars(smollm2.WHEEL), "member_sha256": note.sha256})
    monkeypatch.setattr(smollm2, "WHEEL", known)
    assert only().name == "smollm2"


def test_what_it_needs_is_what_it_takes(home, tmp_path, monkeypatch):
    """Counted from the names and shapes of the file's tensors, packed or not."""
    folder = home / ".lmstudio" / "models"
    folder.mkdir(parents=True)
    path = write(folder / "small-Q4_0.gguf", "Q4_0")
    listed = only().listed
    bones = memory.skeleton(plain_model().config)
    for precision in ("bfloat16", "nf4"):
        ours = listed.need(precision, "auto", CPU)
        theirs = memory.need(bones, precision, "auto")
        assert ours.weights == pytest.approx(theirs.weights, rel=1e-3)
        assert ours.factors == pytest.approx(theirs.factors, rel=1e-3)
    converted, _ = files.converted(path, lambda *_: None)
    path.unlink()
    again = only().listed
    assert (again.linear, again.numbers) == (listed.linear, listed.numbers)
    monkeypatch.setattr("t2app.models.memory.free", lambda place: 10**12)
    assert only().need(CPU) == listed.need(listed.precision("auto", "auto", CPU), "auto", CPU).total
    assert converted.is_dir()


def test_a_file_is_read_once(home, monkeypatch):
    folder = home / ".lmstudio" / "models"
    folder.mkdir(parents=True)
    path = write(folder / "small-Q4_0.gguf", "Q4_0")
    before = only()
    with monkeypatch.context() as patch:
        patch.setattr(files, "read", lambda _: pytest.fail("it was read again"))
        assert only() == before
    write(path, "Q8_0")
    assert only().size != before.size
