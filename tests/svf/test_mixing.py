"""Weights as people type them, layouts and the mix itself."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from t2app.errors import T2Error
from t2app.svf.mixing import DeltaLayout, check_weights, mix, parse_weights, unknown_expert

KNOWN = ["math", "code", "reasoning"]


@pytest.mark.parametrize(
    "weights",
    [{}, {"math": 1}, {"math": 0.0}, {"math": 0.5, "code": 0.5}, {"math": "0.25"}],
)
def test_good_weights(weights):
    assert check_weights(weights, KNOWN) == {name: float(v) for name, v in weights.items()}


def test_rounded_weights_are_accepted():
    assert check_weights({"math": 0.1, "code": 0.2, "reasoning": 0.7 + 5e-7}, KNOWN)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"maths": 0.5}, "did you mean math"),
        ({"poetry": 0.5}, "choose from code, math, reasoning"),
        ({"math": -0.1}, "'math' is -0.1"),
        ({"math": math.nan}, "'math' is nan"),
        ({"math": math.inf}, "'math' is inf"),
        ({"math": "much"}, "'math' is 'much'"),
        ({"math": None}, "'math' is None"),
        ({"math": 0.9, "code": 0.4}, "sum to 1.3.*normalise"),
        ({"math": 1.0001}, "sum to 1.0001"),
    ],
)
def test_bad_weights(weights, message):
    with pytest.raises(T2Error, match=message) as error:
        check_weights(weights, KNOWN)
    assert "\n" not in str(error.value)


def test_unknown_expert_without_any_expert():
    assert "no experts" in unknown_expert("math", [])


def test_parse_weights():
    assert parse_weights("math=0.7,code=0.3") == {"math": 0.7, "code": 0.3}
    assert parse_weights(" math = 1e-1 , code=.2") == {"math": 0.1, "code": 0.2}


@pytest.mark.parametrize(
    "text",
    ["", " ", "math", "math=", "=0.5", "math=0.5,", "math=a", "math=0.1,math=0.2", "math=-1",
     "math=nan", "math:0.5", "math=0.5 code=0.5"],
)  # fmt: skip
def test_malformed_weights(text):
    with pytest.raises(T2Error):
        parse_weights(text)


@given(st.text(max_size=40))
def test_any_text_parses_or_is_a_clear_error(text):
    try:
        weights = parse_weights(text)
    except T2Error:
        return
    assert all(math.isfinite(value) and value >= 0 for value in weights.values())


@pytest.fixture
def layout() -> DeltaLayout:
    return DeltaLayout({"b": 3, "a": 2, "c": 4})


def test_flatten_and_split_are_inverse(layout):
    vectors = {"a": torch.randn(2), "b": torch.randn(3), "c": torch.randn(4)}
    flat = layout.flatten(vectors)
    assert flat.shape == (layout.total,) == (9,)
    parts = layout.split(flat)
    assert list(parts) == ["b", "a", "c"]
    for name, vector in vectors.items():
        assert torch.equal(parts[name], vector)


def test_split_of_a_batch_gives_views(layout):
    flat = torch.randn(5, 9)
    parts = layout.split(flat)
    assert parts["c"].shape == (5, 4)
    flat[2, 5] = 7.0
    assert parts["c"][2, 0] == 7.0


@pytest.mark.parametrize("shape", [(8,), (5, 8), (9, 1), (1, 1, 9), ()])
def test_split_refuses_other_shapes(layout, shape):
    with pytest.raises(T2Error, match="9"):
        layout.split(torch.zeros(shape))


def test_flatten_names_what_does_not_fit(layout):
    with pytest.raises(T2Error, match="no vector for a"):
        layout.flatten({"b": torch.zeros(3), "c": torch.zeros(4)})
    with pytest.raises(T2Error, match="for a has shape"):
        layout.flatten({"b": torch.zeros(3), "a": torch.zeros(3), "c": torch.zeros(4)})


def test_mix_is_the_weighted_sum():
    stacked, alpha = torch.randn(3, 50), torch.tensor([0.2, 0.3, 0.1])
    expected = 0.2 * stacked[0] + 0.3 * stacked[1] + 0.1 * stacked[2]
    torch.testing.assert_close(mix(stacked, alpha), expected)


@pytest.mark.parametrize("k", range(3))
def test_one_hot_is_that_expert_exactly(k):
    stacked = torch.randn(3, 1000)
    assert torch.equal(mix(stacked, torch.eye(3)[k]), stacked[k])
    assert torch.equal(mix(stacked, torch.eye(3)), stacked)


def test_rows_mix_separately_and_nothing_mixes_to_zero():
    stacked, alpha = torch.randn(3, 50), torch.rand(4, 3)
    rows = mix(stacked, alpha)
    for row in range(4):
        torch.testing.assert_close(rows[row], mix(stacked, alpha[row]))
    assert torch.equal(mix(torch.empty(0, 50), torch.empty(0)), torch.zeros(50))
    assert torch.equal(mix(stacked, torch.zeros(3)), torch.zeros(50))


def test_mix_is_differentiable():
    stacked = torch.randn(3, 50, requires_grad=True)
    alpha = torch.rand(3, requires_grad=True)
    mix(stacked, alpha).sum().backward()
    torch.testing.assert_close(alpha.grad, stacked.detach().sum(1))
    torch.testing.assert_close(stacked.grad, alpha.detach()[:, None].expand(3, 50))
