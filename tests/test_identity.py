"""The hash of the weights says which model something belongs to, whatever the model is called."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from t2app import config, models
from t2app.engine import Engine
from t2app.evaluation import results
from t2app.identity import folders_for, identity, same_weights, weights_of
from t2app.models import BaseModel, checkpoint, source
from t2app.svf.expert import Expert
from t2app.svf.library import home
from t2app.training import runs

HASH = "0123456789ab"


def test_names_do_not_matter():
    assert identity("org/model", HASH + "cdef") == f"org/model@{HASH}"
    assert weights_of(f"a@b@{HASH}") == HASH
    assert same_weights(f"org/model@{HASH}", f"hf@{HASH}")
    assert not same_weights(f"hf@{HASH}", "hf@ba9876543210")


def test_a_folder_is_found_under_any_name(tmp_path):
    assert folders_for(tmp_path / "none", f"org/a@{HASH}") == [tmp_path / f"none/org--a@{HASH}"]
    first, second = tmp_path / f"hf@{HASH}", tmp_path / f"org--a@{HASH}"
    first.mkdir()
    (tmp_path / "hf@ba9876543210").mkdir()
    assert folders_for(tmp_path, f"org/a@{HASH}") == [first]
    second.mkdir()
    assert folders_for(tmp_path, f"org/a@{HASH}") == [second, first]


# -- one model under several names -------------------------------------------------------------


def copy_to(folder: Path, checkpoint: Path) -> Path:
    folder.parent.mkdir(parents=True, exist_ok=True)
    return Path(shutil.copytree(checkpoint, folder))


def load(folder: Path) -> BaseModel:
    return models.load(str(folder), "none", "cpu")


def engine_of(folder: Path) -> Engine:
    base = load(folder)
    return Engine(base, models.factors(base))


def expert_for(engine: Engine, name: str) -> Expert:
    from tests.conftest import random_expert

    return random_expert(engine, name)


@pytest.fixture
def experts(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("T2APP_EXPERTS", str(tmp_path / "experts"))
    monkeypatch.setenv("T2APP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "experts"


def other_weights(folder: Path, make_model) -> Path:
    make_model(seed=5).save_pretrained(folder)
    return folder


def test_two_folders_of_one_name_are_two_models(checkpoint, make_model, tmp_path, experts):
    one = copy_to(tmp_path / "a" / "hf", checkpoint)
    two = other_weights(copy_to(tmp_path / "b" / "hf", checkpoint), make_model)
    first = engine_of(one)
    first.library.add(expert_for(first, "math"))
    second = engine_of(two)
    assert second.library.experts() == {} == second.library.problems()
    second.library.add(expert_for(second, "math"))
    assert first.base.name == second.base.name == "hf"
    assert first.base.base != second.base.base
    assert first.library.folder == experts / "hf"
    assert second.library.folder == experts / second.base.base
    assert engine_of(two).library.folder == second.library.folder
    assert set(engine_of(one).library.experts()) == {"math"}
    sigma = [engine.sigma["model.layers.0.mlp.up_proj"] for engine in (first, second)]
    assert not sigma[0].allclose(sigma[1])


def test_a_download_of_a_hub_model_is_that_model(checkpoint, tmp_path, experts):
    """In the hub's cache, and in a folder of any name: the same experts, factors, runs."""
    revision = "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567"
    cached = copy_to(tmp_path / "hub" / "models--org--small" / "snapshots" / revision, checkpoint)
    found = source.locate(str(cached))
    assert (found.label, found.revision, found.missing) == ("org/small", revision, 0)
    hub = engine_of(cached)
    assert hub.base.base == f"org/small@{weights_of(hub.base.base)}"
    hub.library.add(expert_for(hub, "math"))
    folder = copy_to(tmp_path / "anything", checkpoint)
    base = load(folder)
    assert base.base == f"anything@{weights_of(hub.base.base)}"
    factored = []
    local = Engine(base, models.factors(base, lambda *call: factored.append(call)))
    assert factored == []
    assert set(local.library.experts()) == {"math"}
    assert local.library.folder == experts / "org--small"


def test_experts_with_the_revision_of_the_hub_still_fit(checkpoint, tmp_path, experts):
    revision = "0a1b2c3d4e5f60718293a4b5c6d7e8f901234567"
    cached = copy_to(tmp_path / "models--org--small" / "snapshots" / revision, checkpoint)
    engine = engine_of(cached)
    expert = expert_for(engine, "old")
    expert.header["base"] = f"org/small@{revision}"
    engine.library.add(expert)
    assert set(engine_of(cached).library.experts()) == {"old"}
    expert.header["base"] = "org/small@" + 40 * "1"
    with pytest.raises(models.loading.T2Error, match="was made for"):
        engine.library.add(expert, overwrite=True)


def test_experts_in_two_folders_are_told(small_base, empty_engine, experts, caplog):
    for folder, names in (("hf", ("a", "b")), ("small", ("c",))):
        for name in names:
            empty_engine.library.folder = experts / folder
            empty_engine.library.add(expert_for(empty_engine, name))
    assert home("small", small_base.base) == experts / "hf"
    assert f"also in {experts / 'small'}: import them" in caplog.text
    assert home("other", "other@ba9876543210") == experts / "other"


def test_the_shipped_experts_are_those_of_the_built_in_weights(tmp_path, monkeypatch):
    monkeypatch.delenv("T2APP_EXPERTS", raising=False)
    copied = copy_to(tmp_path / "mine", config.TINY_DIR)
    digest = checkpoint.digest(checkpoint.weight_files(copied))
    assert home("mine", identity("mine", digest)) == config.ROOT / "experts" / "tiny"


def test_a_folder_called_tiny_is_not_the_built_in_model(checkpoint, tmp_path, experts):
    base = load(copy_to(tmp_path / "tiny", checkpoint))
    assert (base.name, base.precision) == ("tiny-folder", "bfloat16")


def test_runs_and_results_of_another_name(small_base, empty_engine, experts, tmp_path):
    old = tmp_path / "cache" / "runs" / small_base.base.replace("small", "before")
    run = old / "20260101-000000-math-0123"
    run.mkdir(parents=True)
    (run / "run.json").write_text("{}")
    assert [r.folder for r in runs.all_runs(small_base.base)] == [run]
    assert runs.find(small_base.base, run.name).folder == run
    results.folder().mkdir(parents=True)
    table = {"model": small_base.base.replace("small", "before"), "tasks": {}}
    (results.folder() / "before.json").write_text(json.dumps(table))
    assert results.load(empty_engine) == table


# -- hashing -----------------------------------------------------------------------------------


def test_a_file_is_hashed_once(checkpoint, tmp_path, experts, monkeypatch):
    files = models.checkpoint.weight_files(copy_to(tmp_path / "hf", checkpoint))
    digest = models.checkpoint.digest
    expected = digest(files)
    hashed = []
    real = models.checkpoint.hashlib.file_digest
    monkeypatch.setattr(
        models.checkpoint.hashlib,
        "file_digest",
        lambda file, kind: hashed.append(file.name) or real(file, kind),
    )
    assert digest(files) == expected
    assert hashed == []
    data = bytearray(files[0].read_bytes())
    data[-1] ^= 1
    files[0].write_bytes(data)
    assert digest(files) != expected
    assert len(hashed) == 1
    for note in (tmp_path / "cache" / "hashes").iterdir():
        note.write_text("{")
    digest(files)
    assert len(hashed) == 2


def test_a_cache_that_cannot_be_written_does_not_matter(checkpoint, tmp_path, monkeypatch):
    file = tmp_path / "file"
    file.write_text("no folder")
    monkeypatch.setenv("T2APP_CACHE", str(file))
    assert models.checkpoint.digest(models.checkpoint.weight_files(checkpoint))


def test_the_hub_has_named_its_files_by_their_hash(checkpoint, tmp_path):
    name = 64 * "a"
    blob = tmp_path / "blobs" / name
    blob.parent.mkdir()
    shutil.copy(checkpoint / "model.safetensors", blob)
    link = tmp_path / "snapshots" / "1" / "model.safetensors"
    link.parent.mkdir(parents=True)
    link.symlink_to(blob)
    assert models.checkpoint.digest([link]) == name
