"""The resolver against vLLM's contract, without vLLM: what it is given, what it must give back.

The contract is that of ``vllm.lora.resolver`` and of the resolvers that come with vLLM: an abstract
class with ``async resolve_lora(base_model_name, lora_name)``, a request with a name, a number above
0 and a path, and a registry. Not covered: vLLM itself.
"""

from __future__ import annotations

import asyncio
import json
import sys
import tomllib
from abc import ABC, abstractmethod
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import pytest
import torch
from safetensors.torch import load_file

from t2app import vllm_plugin
from t2app.errors import T2Error
from t2app.svf.low_rank import cut
from t2app.svf.merged import merged_weight


@dataclass(frozen=True)
class LoRARequest:
    lora_name: str
    lora_int_id: int
    lora_path: str

    def __post_init__(self) -> None:
        assert self.lora_int_id > 0
        assert Path(self.lora_path).is_dir()


class LoRAResolver(ABC):
    @abstractmethod
    async def resolve_lora(self, base_model_name: str, lora_name: str) -> LoRARequest | None: ...


class Registry:
    def __init__(self) -> None:
        self.resolvers: dict[str, LoRAResolver] = {}

    def register_resolver(self, name: str, resolver: LoRAResolver) -> None:
        assert isinstance(resolver, LoRAResolver)
        self.resolvers[name] = resolver


@pytest.fixture
def resolve(engine, monkeypatch, tmp_path):
    """``resolve("math=0.5")`` as vLLM asks for a name that it does not know."""
    registry = Registry()
    request, resolver = ModuleType("vllm.lora.request"), ModuleType("vllm.lora.resolver")
    request.LoRARequest = LoRARequest
    resolver.LoRAResolver, resolver.LoRAResolverRegistry = LoRAResolver, registry
    for module in (ModuleType("vllm"), ModuleType("vllm.lora"), request, resolver):
        monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setenv("T2APP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv(vllm_plugin.VARIABLE, "32")
    monkeypatch.setattr(vllm_plugin.Engine, "load", lambda *_: engine)
    vllm_plugin.register()
    [found] = registry.resolvers.values()
    return lambda *names: asyncio.run(_together(found, names))


async def _together(resolver: LoRAResolver, names: tuple[str, ...]) -> list[LoRARequest | None]:
    return await asyncio.gather(*(resolver.resolve_lora("small", name) for name in names))


def test_a_mix_becomes_an_adapter(engine, resolve):
    [found] = resolve("math=0.7,code=0.3")
    assert found.lora_name == "math=0.7,code=0.3"
    folder = Path(found.lora_path)
    settings = json.loads((folder / "adapter_config.json").read_text())
    assert (settings["peft_type"], settings["r"]) == ("LORA", 32)
    tensors = load_file(folder / "adapter_model.safetensors")
    delta = engine.delta({"math": 0.7, "code": 0.3})
    part = cut(engine.svf.layout, engine.sigma, delta, 32)
    for name, mine in engine.svf.layout.split(part).items():
        layer = engine.svf.layers[name]
        a, b = (tensors[f"base_model.model.{name}.lora_{side}.weight"] for side in "AB")
        change = merged_weight(layer, mine) - layer.module.weight
        torch.testing.assert_close(b @ a, change, atol=1e-5, rtol=1e-4)


def test_the_same_mix_is_made_once_and_others_are_others(resolve):
    first, again, other, alike = resolve("math", "math", "code", "math=1")
    assert first == again
    assert first.lora_int_id != other.lora_int_id
    assert first.lora_path == alike.lora_path
    assert [first] == resolve("math")


def test_an_expert_that_changed_is_a_new_adapter(engine, make_expert, resolve):
    [before] = resolve("math")
    engine.library.add(make_expert("math", seed=9), overwrite=True)
    [after] = resolve("math")
    assert before.lora_int_id != after.lora_int_id


def test_other_names_are_left_to_vllm(resolve, caplog):
    assert resolve("some/other-adapter", "math=2", "math=0", "=") == [None] * 4
    assert "weights sum to 2" in caplog.text


@pytest.mark.parametrize("given", ["0", "x", "513", "-1"])
def test_ranks(monkeypatch, given):
    monkeypatch.setenv(vllm_plugin.VARIABLE, given)
    with pytest.raises(T2Error, match="give a rank from 1 to 512"):
        vllm_plugin.rank()


def test_vllm_finds_it():
    project = tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text())["project"]
    entry = project["entry-points"]["vllm.general_plugins"]["t2app"]
    module, _, function = entry.partition(":")
    assert module == vllm_plugin.__name__
    assert callable(getattr(vllm_plugin, function))
