"""Settings: what is refused, what a form may hand in, the stages."""

from __future__ import annotations

from dataclasses import fields

import pytest

from t2app.errors import T2Error
from t2app.training.settings import HELP, Settings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("steps", -1),
        ("minutes", 0.0),
        ("steps", 2.5),
        ("steps", "many"),
        ("steps", float("nan")),
        ("steps", True),
        ("prompts", -1),
        ("samples", 0),
        ("validation", 0),
        ("validate_every", -1),
        ("learning_rate", 0.0),
        ("learning_rate", float("nan")),
        ("learning_rate", None),
        ("temperature", 0.0),
        ("temperature", float("inf")),
        ("clip", -1.0),
        ("kl", -0.1),
        ("kl", float("nan")),
        ("objective", "magic"),
        ("modules", "all"),
        ("seed", "x"),
        ("group_baseline", 1),
    ],
)
def test_impossible_values_are_named(name, value):
    with pytest.raises(T2Error, match=f"^{name} is ") as error:
        Settings(**{name: value})
    assert "\n" not in str(error.value)


def test_what_does_not_go_together():
    with pytest.raises(T2Error, match="two stages need at least 2"):
        Settings(objective="sft+rl", steps=1)


def test_numbers_from_a_form_become_what_they_are_meant_to_be():
    settings = Settings(steps=12.0, learning_rate=1, kl=0)
    assert (settings.steps, settings.learning_rate) == (12, 1.0)
    assert isinstance(settings.steps, int)
    assert isinstance(settings.learning_rate, float)


def test_there_and_back():
    settings = Settings(objective="sft", steps=3, modules="mlp", seed=9)
    assert Settings.from_dict(settings.to_dict()) == settings
    with pytest.raises(T2Error, match="unknown setting 'step'"):
        Settings.from_dict({"step": 1})


def test_every_setting_is_explained():
    assert set(HELP) == {field.name for field in fields(Settings)}


@pytest.mark.parametrize("steps", [2, 7, 40])
def test_stages_add_up(steps):
    assert sum(n for _, n in Settings(objective="sft+rl", steps=steps).stages()) == steps
    assert Settings(objective="rl", steps=steps).stages() == [("rl", steps)]
