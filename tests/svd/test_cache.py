"""The factor cache: reuse, damage, kills and two processes at once."""

from __future__ import annotations

import json
import multiprocessing
import os
import shutil
from pathlib import Path

import pytest
import torch

from t2app.errors import T2Error
from t2app.svd.cache import load_or_compute
from t2app.svd.factor import factor
from t2app.svd.modules import adapted_modules
from tests.conftest import build_model

KEY = "org/small@abc-float32"


@pytest.fixture
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("T2APP_CACHE", str(tmp_path))
    return tmp_path / "factors" / "org--small@abc-float32"


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
    computed = load_or_compute(model, KEY, first)
    read = load_or_compute(model, KEY, second)
    assert first.calls == [(i + 1, 14) for i in range(14)]
    assert second.calls == []
    assert_same(computed, read)
    for name, module in adapted_modules(model).items():
        assert torch.equal(computed[name].basis, factor(module.weight).basis)


def test_weights_given_by_the_caller_are_factored(cache, make_model):
    model, other = make_model(seed=0), make_model(seed=1)
    read = adapted_modules(other)
    found = load_or_compute(model, KEY, weights=lambda name: read[name].weight)
    assert_same(found, {name: factor(module.weight) for name, module in read.items()})


def test_quantised_weight_is_refused(cache, make_model):
    model = make_model()
    layer = model.model.layers[0].self_attn.q_proj
    layer.weight = torch.nn.Parameter(layer.weight.to(torch.int8), requires_grad=False)
    with pytest.raises(ValueError, match="quantised"):
        load_or_compute(model, KEY)


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
    before = load_or_compute(model, KEY)
    damage(cache)
    count, again = Count(), Count()
    assert_same(load_or_compute(model, KEY, count), before)
    assert len(count.calls) == 14
    load_or_compute(model, KEY, again)
    assert again.calls == []


def test_other_shapes_are_computed_again(cache, make_model):
    load_or_compute(make_model(), KEY)
    count = Count()
    found = load_or_compute(make_model(intermediate_size=48), KEY, count)
    assert len(count.calls) == 14
    assert found["model.layers.0.mlp.gate_proj"].basis.shape == (48, 48)


def test_unwritable_cache_is_one_clear_line(tmp_path, monkeypatch, make_model):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("T2APP_CACHE", str(tmp_path / "file"))
    with pytest.raises(T2Error, match="T2APP_CACHE") as error:
        load_or_compute(make_model(), KEY)
    assert "\n" not in str(error.value)


def test_error_while_computing_leaves_nothing(cache, make_model):
    def stop(done: int, total: int) -> None:
        if done == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        load_or_compute(make_model(), KEY, stop)
    assert [path.name for path in cache.parent.iterdir() if path.is_dir()] == []


def die_half_way(cache: str) -> None:
    os.environ["T2APP_CACHE"] = cache
    load_or_compute(build_model(), KEY, lambda done, total: os._exit(9) if done == 5 else None)


def compute_and_report(cache: str, barrier, results) -> None:
    os.environ["T2APP_CACHE"] = cache
    model, count = build_model(), Count()
    barrier.wait()
    found = load_or_compute(model, KEY, count)
    results.put((len(count.calls), float(sum(f.sigma.sum() for f in found.values()))))


def test_killed_process_leaves_nothing_that_looks_finished(cache, make_model):
    spawn = multiprocessing.get_context("spawn")
    process = spawn.Process(target=die_half_way, args=(os.environ["T2APP_CACHE"],))
    process.start()
    process.join(120)
    assert process.exitcode == 9
    assert not cache.exists()
    assert any(path.name.startswith(".") for path in cache.parent.iterdir())
    count = Count()
    load_or_compute(make_model(), KEY, count)
    assert len(count.calls) == 14
    assert [path.name for path in cache.parent.iterdir() if path.is_dir()] == [cache.name]


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
