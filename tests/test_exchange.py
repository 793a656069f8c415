"""Experts that go to other people: folders, addresses of fsspec, and the card beside them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import fsspec
import pytest
import torch

from t2app import exchange
from t2app.cli import main
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.exchange import Place, pull, push
from t2app.svf import expert as expert_file
from t2app.svf.library import Library

OLD = Path(__file__).parent / "data" / "expert-format-1.safetensors"


@pytest.fixture
def other(engine, tmp_path) -> Library:
    """The library of somebody else, for the same base."""
    return Library(tmp_path / "other", engine.svf.layout.sizes, engine.base.base)


@pytest.fixture(params=["folder", "memory"])
def place(request, tmp_path) -> Place:
    if request.param == "folder":
        return Place.named(str(tmp_path / "shared" / "experts"))
    fsspec.filesystem("memory").store.clear()
    return Place.named("memory://bucket/experts")


def test_there_and_back(engine, other, place):
    found = push(engine.library, "math", place)
    assert found["expert"] == "math"
    assert exchange.names(place) == ["math"]
    expert = pull(other, place)
    mine = engine.library.get("math")
    assert expert.header == mine.header
    for name in mine.z:
        assert torch.equal(other.get("math").z[name], mine.z[name])


def test_several_in_one_place(engine, other, place):
    for name in ("math", "code"):
        push(engine.library, name, place)
    with pytest.raises(T2Error, match="holds several experts: name one of code, math"):
        pull(other, place)
    with pytest.raises(T2Error, match="holds no expert 'mth': it has code, math"):
        pull(other, place, "mth")
    assert pull(other, place, "code", rename="theirs").name == "theirs"
    with pytest.raises(T2Error, match="exists already"):
        pull(other, place, "code", rename="theirs")
    assert pull(other, place, "math", rename="theirs", overwrite=True)


def test_a_place_with_nothing_in_it(other, tmp_path):
    with pytest.raises(T2Error, match="cannot read: there is no"):
        pull(other, Place.named(str(tmp_path / "nowhere")))
    (tmp_path / "empty").mkdir()
    with pytest.raises(T2Error, match="there is no expert in"):
        pull(other, Place.named(str(tmp_path / "empty")))


def test_what_does_not_fit_is_refused(engine, other, place):
    push(engine.library, "math", place)
    path = place.path("math.safetensors")
    data = place.files.cat_file(path)
    place.files.pipe_file(path, data[:-8] + b"\0\0\0\1" * 2)
    with pytest.raises(T2Error, match="was changed after it was written"):
        pull(other, place)
    stranger = Library(other.folder, engine.svf.layout.sizes, "another@000000000000")
    place.files.pipe_file(path, data)
    with pytest.raises(T2Error, match="was made for small@"):
        pull(stranger, place)


def test_kinds_of_places(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Place.named("org/experts").repository == "org/experts"
    assert Place.named("org/experts").words == "org/experts on the Hugging Face hub"
    (tmp_path / "org" / "experts").mkdir(parents=True)
    assert Place.named("org/experts").repository is None
    assert Place.named("./a/b").repository is None
    assert Place.named("folder").root == str(tmp_path / "folder")
    with pytest.raises(T2Error, match="cannot use nonsense://x"):
        Place.named("nonsense://x")


def test_a_hub_that_is_out_of_reach_is_one_line(engine, other):
    with pytest.raises(T2Error) as caught:
        push(engine.library, "math", Place.named("org/experts"))
    assert str(caught.value).startswith("cannot push to org/experts on the Hugging Face hub")
    assert "\n" not in str(caught.value)
    with pytest.raises(T2Error, match="on the Hugging Face hub"):
        pull(other, Place.named("org/experts"))


def test_the_card_has_what_one_needs_to_trust_it(engine, place):
    figure = {"accuracy": 0.2, "n": 500, "ci95": [0.17, 0.24]}
    header = {
        **engine.library.get("math").header,
        "before": figure,
        "after": {**figure, "accuracy": 0.9},
        "verdict_words": "Helps: of 500 rows, 336 became right.",
        "harm": {"words": "leaves 98 of 100 alone"},
        "seed": 7,
        "dataset_sha256": "abc",
    }
    engine.library.add(replace(engine.library.get("math"), header=header), overwrite=True)
    push(engine.library, "code", place)
    push(engine.library, "math", place)
    push(engine.library, "math", place)
    card = place.files.cat_file(place.path("README.md")).decode()
    assert card.count("## math\n") == card.count("## code\n") == 1
    for line in (
        "`small@0123456789ab`",
        "Helps: of 500 rows",
        "Before training: 20.0% of 500 (95 % interval 17.0% to 24.0%)",
        "leaves 98 of 100 alone",
        "Other questions: not checked",
        '"seed": 7',
    ):
        assert line in card, line


def test_commands(engine: Engine, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(Engine, "load", classmethod(lambda cls, *_, **__: engine))
    there = str(tmp_path / "shared")
    assert main(["experts", "push", "math", there, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["place"] == there
    assert main(["experts", "pull", there, "--name", "again", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["expert"] == "again"
    assert main(["experts", "pull", there, "math"]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["experts", "pull"]) == 2
    assert "takes 1 or 2 arguments, not 0" in capsys.readouterr().err


def test_files_of_every_released_format_stay_readable():
    """Format 1, as version 0.1 wrote it. Add a file here whenever the format changes."""
    found = expert_file.load(OLD)
    assert (found.name, found.task, found.base) == ("old", "math", "small@0123456789ab")
    assert found.header["before"] == {"accuracy": 0.25, "n": 8, "ci95": [0.07, 0.59]}
    assert found.z["model.layers.0.mlp.up_proj"].tolist() == [1.5, 1.0, 0.5]
