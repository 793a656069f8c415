"""What only a GPU can show: recorded steps say what plain ones say, and a step waits once."""

from __future__ import annotations

import pytest
import torch

from t2app.engine import Engine
from t2app.evaluation.bench import shapes

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.slow,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]


@pytest.fixture(scope="module")
def gpu_engine() -> Engine:
    engine = shapes.engine("qwen2.5-0.5b", device="cuda")
    engine.ends = set()
    return engine


def test_a_graph_says_what_the_plain_step_says(gpu_engine: Engine) -> None:
    engine = gpu_engine
    assert engine.means.kind == "fixed"
    prompts = [[5, 6, 7, 8, 9], [4, 3], [9] * 20]
    mixes = 0.05 * torch.randn(3, engine.svf.layout.total, device="cuda")
    for delta in (None, mixes[0], mixes):
        said = {}
        for kind in ("fixed", "slots"):
            engine.means.kind = kind
            engine.means._free.clear()
            done = engine.generate(prompts, delta, max_new_tokens=4, likelihoods=True)
            said[kind] = [c.likelihood for c in done]
        engine.means.kind = "fixed"
        assert said["fixed"] == pytest.approx(said["slots"], abs=0.05)


def test_steps_are_recorded_once(gpu_engine: Engine) -> None:
    engine = gpu_engine
    engine.means._free.clear()
    for _ in range(2):
        engine.generate([[5, 6, 7]] * 4, max_new_tokens=6)
    [rows] = engine.means._free
    assert rows._works
    assert len(rows._recordings) == 1


@pytest.mark.parametrize("quant", ["nf4", "int8"])
def test_a_quantised_base_takes_the_same_path(quant: str) -> None:
    engine = shapes.engine("qwen2.5-0.5b", device="cuda", quant=quant)
    engine.ends = set()
    delta = 0.05 * torch.randn(engine.svf.layout.total, device="cuda")
    engine.generate([[5, 6, 7]] * 2, delta, max_new_tokens=6)
    assert engine.means.kind == "fixed"
