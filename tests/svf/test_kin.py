"""Experts on another quantisation of the model that they were trained on."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from t2app import models
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.svf import kin
from t2app.svf.expert import Expert
from tests.models.gguf.making import plain_model, write


@pytest.fixture
def engines(tmp_path, monkeypatch):
    """``engines(name, kind)``: an engine on the small model, packed so."""
    monkeypatch.setenv("T2APP_CACHE", str(tmp_path / "cache"))
    made: list[Engine] = []

    def make(name: str, kind: str, **changes: object) -> Engine:
        monkeypatch.setenv("T2APP_EXPERTS", str(tmp_path / f"experts-{len(made)}"))
        path = write(tmp_path / f"{name}-{kind}.gguf", kind, model=plain_model(**changes))
        base = models.load(str(path), "none", "cpu")
        made.append(Engine(base, models.factors(base)))
        return made[-1]

    yield make
    for engine in made:
        engine.svf.remove()


def expert(engine: Engine, **changes: object) -> Expert:
    z = {name: torch.full((size,), 1.1) for name, size in engine.svf.layout.sizes.items()}
    return Expert("mine", z, {**engine.trained_on(), "description": "mine", **changes})


def exported(engine: Engine, path: Path, **changes: object) -> Path:
    engine.library.add(expert(engine, **changes))
    engine.library.export("mine", path)
    return path


def test_an_expert_says_on_what_weights_it_was_trained(engines):
    engine = engines("small", "Q8_0")
    engine.library.add(expert(engine))
    header = engine.library.get("mine").header
    assert header["weights"] == "Q8_0"
    assert header["base"] == engine.base.base
    assert set(header[kin.HEADER]) == set(engine.svf.layout.names)
    assert engine.library.note(engine.library.get("mine")) is None


@pytest.mark.parametrize(("one", "other"), [("Q8_0", "Q4_0"), ("F16", "Q4_1"), ("Q4_0", "F16")])
def test_on_another_quantisation_it_fits_and_what_is_known_is_told(engines, tmp_path, one, other):
    trained, used = engines("small", one), engines("small", other)
    assert trained.base.base.partition("@")[2] != used.base.base.partition("@")[2]
    file = exported(trained, tmp_path / "mine.safetensors")
    found = used.library.import_file(file, used.sigma)
    note = used.library.note(found)
    assert f"trained on other weights of this model ({trained.base.base}, {one})" in note
    assert "is not known until it is measured" in note
    assert used.delta({"mine": 1.0}) is not None
    assert used.library.problems() == {}


def test_another_model_of_that_name_is_refused(engines, tmp_path):
    trained, used = engines("small", "Q8_0"), engines("small", "Q4_0", seed=1)
    file = exported(trained, tmp_path / "mine.safetensors")
    with pytest.raises(T2Error, match=r"was made for .*Q8_0@.*, not for .*Q4_0@.*: load that mod"):
        used.library.import_file(file, used.sigma)


def test_the_same_numbers_under_another_name_are_refused(engines, tmp_path):
    trained, used = engines("small", "Q8_0"), engines("large", "Q4_0")
    file = exported(trained, tmp_path / "mine.safetensors")
    with pytest.raises(T2Error, match="was made for"):
        used.library.import_file(file, used.sigma)


@pytest.mark.parametrize("told", [None, "text", {}, {"a": 1.0}, "numbers"])
def test_headers_that_do_not_tell_are_refused(engines, tmp_path, told):
    trained, used = engines("small", "Q8_0"), engines("small", "Q4_0")
    told = dict.fromkeys(used.library.tops, "x") if told == "numbers" else told
    file = exported(trained, tmp_path / "mine.safetensors", **{kin.HEADER: told})
    with pytest.raises(T2Error, match="was made for"):
        used.library.import_file(file, used.sigma)
