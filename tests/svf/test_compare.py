"""How far experts go from the base, and how alike they are."""

from __future__ import annotations

import pytest
import torch

from t2app.svf import compare
from t2app.svf.expert import Expert

NAMES = ("a", "b")


def make(name: str, a: float, b: float) -> Expert:
    return Expert(name, {"a": torch.tensor([1 + a, 1 - a]), "b": torch.tensor([1 + b])})


def test_strength_is_the_mean_distance_from_one():
    found = compare.strength(make("x", 0.5, -0.25))
    assert found == pytest.approx({"a": 0.5, "b": 0.25})
    assert compare.numbers(make("x", 0, 0)) == 3


def test_similarity_is_that_of_the_differences_from_the_base():
    experts = {
        "one": make("one", 1, 0),
        "twice": make("twice", 2, 0),
        "against": make("against", -1, 0),
        "elsewhere": make("elsewhere", 0, 1),
        "nothing": make("nothing", 0, 0),
    }
    found = compare.similarity(experts, NAMES)
    assert torch.allclose(found.diagonal(), torch.ones(5, dtype=torch.float64))
    assert torch.allclose(found, found.t())
    assert found[0].tolist() == pytest.approx([1, 1, -1, 0, 0])


def test_similarity_by_matrix():
    found = compare.similarity_by_matrix(make("x", 1, 1), make("y", 1, -1))
    assert found == pytest.approx({"a": 1, "b": -1})


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("model.layers.3.mlp.up_proj", ("3", "mlp.up_proj")),
        ("transformer.h.11.attn.c_attn", ("11", "attn.c_attn")),
        ("model.layers.0.experts.2.w1", ("0", "experts.2.w1")),
        ("lm_head", ("", "lm_head")),
    ],
)
def test_place(name, expected):
    assert compare.place(name) == expected
