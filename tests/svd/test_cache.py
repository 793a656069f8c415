"""The factor cache: reuse, damage, kills, a full disk, and two processes at once."""

from __future__ import annotations

import copy
import json
import multiprocessing
import os
import shutil
from pathlib import Path

import pytest
import torch

from t2app.errors import T2Error
from t2app.svd import cache as cache_module
from t2app.svd.cache import dense_weight, disk_bytes, load_or_compute
from t2app.svd.factor import Factor, factor
from t2app.svd.modules import adapted_modules, module_shape
from tests.conftest import build_model

KEY = "org/small@abc-float32"


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("T2APP_CACHE", str(tmp_path))
    return tmp_path / "factors" / "org--small@abc-float32"


def factors_of(model, progress=None, key: str = KEY) -> dict[str, Factor]:
    """The factors of a model's own weights, apart from the file that they are mapped from."""
    modules = adapted_modules(model)
    shapes = {name: module_shape(module) for name, module in modules.items()}
    found = load_or_compute(
        shapes, key, lambda name: dense_weight(modules[name]), torch.float32, progress
    )
    return copy.deepcopy(found)


class Count:
    """Progress callback that remembers its calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, int]] = []

    def __call__(self, done: int, total: int) -> None:
        self.calls.append((done, total))


def assert_same(left, right) -> None:
    assert list(left) == list(right)
    for name in left:
        assert left[name].side == right[name].side
        assert torch.equal(left[name].basis, right[name].basis)
        assert torch.equal(left[name].sigma, right[name].sigma)


def test_computed_once_then_read(cache, make_model):
    first, second = Count(), Count()
    model = make_model()
    computed = factors_of(model, first)
    read = factors_of(model, second)
    assert first.calls == [(i + 1, 14) for i in range(14)]
    assert second.calls == []
    assert_same(computed, read)
    for name, module in adapted_modules(model).items():
        assert torch.equal(computed[name].basis, factor(module.weight).basis)


def test_quantised_weight_is_refused(cache, make_model):
    model = make_model()
    layer = model.model.layers[0].self_attn.q_proj
    layer.weight = torch.nn.Parameter(layer.weight.to(torch.int8), requires_grad=False)
    with pytest.raises(ValueError, match="quantised"):
        factors_of(model)


def damage_nothing_there(folder: Path) -> None:
    shutil.rmtree(folder)


def damage_no_manifest(folder: Path) -> None:
    (folder / "manifest.json").unlink()


def damage_half_manifest(folder: Path) -> None:
    text = (folder / "manifest.json").read_text()
    (folder / "manifest.json").write_text(text[: len(text) // 2])


def damage_manifest_of_another_kind(folder: Path) -> None:
    (folder / "manifest.json").write_text("[1, 2]")


def damage_other_key(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["key"] = "something else"
    (folder / "manifest.json").write_text(json.dumps(manifest))


def damage_missing_file(folder: Path) -> None:
    (folder / "00003.safetensors").unlink()


def damage_truncated(folder: Path) -> None:
    path = folder / "00003.safetensors"
    path.write_bytes(path.read_bytes()[:-10])


def damage_one_byte(folder: Path) -> None:
    path = folder / "00003.safetensors"
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        damage_nothing_there,
        damage_no_manifest,
        damage_half_manifest,
        damage_manifest_of_another_kind,
        damage_other_key,
        damage_missing_file,
        damage_truncated,
        damage_one_byte,
    ],
)
def test_damage_is_computed_again(cache, make_model, damage):
    model = make_model()
    before = factors_of(model)
    damage(cache)
    count, again = Count(), Count()
    assert_same(factors_of(model, count), before)
    assert len(count.calls) == 14
    factors_of(model, again)
    assert again.calls == []


def test_other_shapes_are_computed_again(cache, make_model):
    factors_of(make_model())
    count = Count()
    found = factors_of(make_model(intermediate_size=48), count)
    assert len(count.calls) == 14
    assert found["model.layers.0.mlp.gate_proj"].basis.shape == (48, 48)


def test_unwritable_cache_is_one_clear_line(tmp_path, monkeypatch, make_model):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("T2APP_CACHE", str(tmp_path / "file"))
    with pytest.raises(T2Error, match="T2APP_CACHE") as error:
        factors_of(make_model())
    assert "\n" not in str(error.value)


def test_a_run_that_was_stopped_goes_on_where_it_was(cache, make_model):
    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        factors_of(make_model(), stop)
    assert not cache.exists()
    count = Count()
    found = factors_of(make_model(), count)
    assert count.calls == [(done, 14) for done in range(4, 15)]
    assert_same(found, factors_of(make_model(), key="another key"))
    assert sorted(path.name for path in cache.iterdir())[-1] == "manifest.json"


@pytest.mark.parametrize("damage", ["truncated", "changed", "journal", "line"])
def test_only_what_is_whole_is_kept_of_a_stopped_run(cache, make_model, damage):
    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        factors_of(make_model(), stop)
    partial = cache.parent / f".{cache.name}.partial"
    file, journal = partial / "00001.safetensors", partial / "journal.jsonl"
    if damage == "truncated":
        file.write_bytes(file.read_bytes()[:-10])
    elif damage == "changed":
        data = bytearray(file.read_bytes())
        data[-5] ^= 1
        file.write_bytes(data)
    elif damage == "journal":
        journal.write_bytes(b"\xff\x00")
    else:
        journal.write_text(journal.read_text()[:-30])
    count = Count()
    found = factors_of(make_model(), count)
    assert len(count.calls) == {"journal": 14}.get(damage, 12)
    assert_same(found, factors_of(make_model(), key="another key"))


def test_a_full_disk_is_said_before_computing(cache, make_model, monkeypatch):
    usage = shutil.disk_usage(".")._replace(free=1000)
    monkeypatch.setattr(cache_module.shutil, "disk_usage", lambda path: usage)
    count = Count()
    with pytest.raises(T2Error, match="T2APP_CACHE to another disk"):
        factors_of(make_model(), count)
    assert count.calls == []


def test_disk_space_is_estimated_well(cache, make_model):
    model = make_model()
    shapes = {name: module_shape(module) for name, module in adapted_modules(model).items()}
    factors_of(model)
    size = sum(path.stat().st_size for path in cache.iterdir())
    assert size < disk_bytes(shapes, torch.float32) < size + 1.1 * cache_module.OVERHEAD


def die_half_way(cache: str) -> None:
    os.environ["T2APP_CACHE"] = cache
    factors_of(build_model(), lambda done, total: os._exit(9) if done == 5 else None)


def compute_and_report(cache: str, barrier, results) -> None:
    os.environ["T2APP_CACHE"] = cache
    model, count = build_model(), Count()
    barrier.wait()
    found = factors_of(model, count)
    results.put((len(count.calls), float(sum(f.sigma.sum() for f in found.values()))))


def test_a_killed_process_leaves_nothing_that_looks_finished(cache, make_model):
    spawn = multiprocessing.get_context("spawn")
    process = spawn.Process(target=die_half_way, args=(os.environ["T2APP_CACHE"],))
    process.start()
    process.join(120)
    assert process.exitcode == 9
    assert not cache.exists()
    count = Count()
    found = factors_of(make_model(), count)
    # The fifth was written whole before the process died.
    assert count.calls == [(done, 14) for done in range(6, 15)]
    assert_same(found, factors_of(make_model(), key="another key"))
    assert f".{cache.name}.partial" not in {path.name for path in cache.parent.iterdir()}


def test_two_processes_compute_once_and_agree(cache):
    spawn = multiprocessing.get_context("spawn")
    barrier, results = spawn.Barrier(2), spawn.Queue()
    arguments = (os.environ["T2APP_CACHE"], barrier, results)
    processes = [spawn.Process(target=compute_and_report, args=arguments) for _ in range(2)]
    for process in processes:
        process.start()
    reports = [results.get(timeout=120) for _ in processes]
    for process in processes:
        process.join(60)
    assert sorted(calls for calls, _ in reports) == [0, 14]
    assert reports[0][1] == reports[1][1]
