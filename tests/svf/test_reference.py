"""Files of the paper's own code: the same weights as it makes itself, and nothing else gets in."""

from __future__ import annotations

import os
import pickle
from pathlib import Path

import pytest
import torch

from t2app.errors import T2Error
from t2app.svf import reference
from t2app.svf.basis import keep
from t2app.svf.hooks import correct

BASE = "tiny@0123456789ab"
SHAPES = {
    "model.layers.0.self_attn.q_proj": (6, 6),
    "model.layers.0.mlp.up_proj": (9, 6),
    "model.layers.0.mlp.down_proj": (6, 9),
}
MLP = [name for name in SHAPES if "mlp" in name]


@pytest.fixture
def weights() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {name: torch.randn(shape, generator=generator) for name, shape in SHAPES.items()}


@pytest.fixture
def sigma(weights) -> dict[str, torch.Tensor]:
    return {name: torch.linalg.svdvals(w) for name, w in weights.items()}


@pytest.fixture
def learned() -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    return {name: torch.randn(6, generator=generator) for name in MLP}


def composed(weight: torch.Tensor, p: torch.Tensor, max_mult: float) -> torch.Tensor:
    """``compose_new_params`` of the reference (utils.py), in float32."""
    u, s, vt = torch.linalg.svd(weight, full_matrices=False)
    mm = torch.sigmoid(p) * max_mult
    return (u @ torch.diag(s * mm) @ vt) * (s.sum() / (s * mm).sum())


def save_listed(path: Path, learned: dict[str, torch.Tensor]) -> Path:
    """As ``torch.save(policy.state_dict())`` does."""
    values = torch.nn.ParameterList([torch.nn.Parameter(p.bfloat16()) for p in learned.values()])
    torch.save(
        {f"{reference.LISTED}{key}": value for key, value in values.state_dict().items()}, path
    )
    return path


def save_named(path: Path, learned: dict[str, torch.Tensor]) -> Path:
    """As ``torch.save(learnable_params)`` does."""
    torch.save({f"{k}.weight": torch.nn.Parameter(p) for k, p in learned.items()}, path)
    return path


@pytest.mark.parametrize("max_mult", [1.0, 2.0])
def test_the_same_weights_as_the_reference_makes(tmp_path, weights, sigma, learned, max_mult):
    path = save_named(tmp_path / "learnable_params.pt", learned)
    expert = reference.load(path, sigma, BASE, "gsm8k")
    for name in MLP:
        u, s, vt = torch.linalg.svd(weights[name], full_matrices=False)
        ours = u @ torch.diag(s * expert.z[name]) @ vt
        expected = composed(weights[name], learned[name], max_mult)
        assert torch.allclose(ours, expected, atol=1e-5)
    assert torch.equal(expert.z["model.layers.0.self_attn.q_proj"], torch.ones(6))


def test_a_layer_with_the_expert_computes_what_the_reference_computes(weights, sigma, learned):
    name = "model.layers.0.mlp.up_proj"
    _, _, vt = torch.linalg.svd(weights[name], full_matrices=False)
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(2))
    delta = reference.scale(learned[name], sigma[name]) - 1
    ours = correct(x, keep(vt.t().contiguous(), "dense"), delta) @ weights[name].t()
    assert torch.allclose(ours, x @ composed(weights[name], learned[name], 1.0).t(), atol=1e-4)


def test_a_listed_file_is_read_in_the_order_of_the_model(tmp_path, sigma, learned):
    listed = save_listed(tmp_path / "policy_params.pt", learned)
    named = save_named(
        tmp_path / "learnable_params.pt", {k: p.bfloat16().float() for k, p in learned.items()}
    )
    one, other = (reference.load(path, sigma, BASE, "x") for path in (listed, named))
    assert all(torch.equal(one.z[name], other.z[name]) for name in SHAPES)
    assert one.header["source"]["file"] == "policy_params.pt"
    assert (one.name, one.base) == ("x", BASE)
    assert "policy_params.pt" in one.description


class Evil:
    def __reduce__(self):
        return os.system, ("touch evil",)


def test_a_file_that_would_run_code_is_not_opened(tmp_path, sigma, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name, save in (
        ("a.pt", torch.save),
        ("b.pt", lambda x, p: p.write_bytes(pickle.dumps(x, 2))),
    ):
        save({"x": Evil()}, tmp_path / name)
        with pytest.raises(T2Error, match="run code"):
            reference.load(tmp_path / name, sigma, BASE, "x")
    assert not (tmp_path / "evil").exists()


def broken(path: Path) -> None:
    path.write_bytes(b"PK\x03\x04 not a zip")


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (broken, "cannot read x.pt"),
        (lambda p: p.touch(), "cannot read x.pt"),
        (lambda p: torch.save([1.0], p), "no dict of tensors"),
        (lambda p: torch.save({}, p), "no dict of tensors"),
        (lambda p: torch.save({"adaptive_weights": torch.ones(3, 1)}, p), "few-shot"),
        (lambda p: save_listed(p, {"a": torch.zeros(6)}), "1 matrices, this model has 2"),
        (lambda p: save_named(p, {"model.layers.7.mlp.up_proj": torch.zeros(6)}), "layers.7"),
        (lambda p: save_named(p, {MLP[0]: torch.zeros(5)}), r"\(5,\) values .*needs \(6,\)"),
        (lambda p: save_named(p, {MLP[0]: torch.full((6,), float("nan"))}), "NaN"),
    ],
)
def test_what_does_not_fit_is_refused_in_one_line(tmp_path, sigma, write, message):
    write(tmp_path / "x.pt")
    with pytest.raises(T2Error, match=message) as found:
        reference.load(tmp_path / "x.pt", sigma, BASE, "x")
    assert "\n" not in str(found.value)


def test_a_missing_file_is_named(tmp_path, sigma):
    with pytest.raises(T2Error, match="no file at"):
        reference.load(tmp_path / "gone.pt", sigma, BASE, "x")
