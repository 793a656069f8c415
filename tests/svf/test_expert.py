"""Expert files: what goes in comes out, and nothing damaged or foreign gets in."""

from __future__ import annotations

import json
import pickle
import threading
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

from t2app.errors import T2Error
from t2app.svf.expert import Expert, _decode, _encode, check_fits, load, read_header, save

SHAPES = {"model.layers.0.q": 4, "model.layers.0.k": 2}
BASE = "tiny@0123456789ab"


def make_expert(name: str = "math", **header) -> Expert:
    z = {key: 1 + torch.randn(size) for key, size in SHAPES.items()}
    return Expert(name, z, {"base": BASE, "description": "does sums", "task": "math", **header})


@pytest.fixture
def path(tmp_path) -> Path:
    return tmp_path / "math.safetensors"


def test_round_trip(path):
    expert = make_expert(
        seed=7,
        rows={"train": 10, "validation": 2},
        before={"accuracy": 0.1, "ci95": [0.05, 0.15]},
        examples=["How many?", "Wie viele Äpfel? 🍏"],
        prototype=[0.5, -0.25],
        reward=None,
        version="1",
    )
    save(expert, path)
    found = load(path)
    assert found.name == expert.name
    assert found.header == expert.header
    assert set(found.z) == set(expert.z)
    assert all(torch.equal(found.z[name], expert.z[name]) for name in expert.z)
    assert (found.description, found.base, found.task) == ("does sums", BASE, "math")


def test_delta_in_the_order_asked_for():
    expert = make_expert()
    names = list(SHAPES)
    flat = expert.delta(names)
    assert torch.equal(flat, torch.cat([expert.z[names[0]], expert.z[names[1]]]) - 1)
    assert torch.equal(expert.delta(names[::-1])[:2], expert.z[names[1]] - 1)


def test_header_is_readable_without_this_program(path):
    save(make_expert(seed=7), path)
    with safe_open(path, framework="pt") as file:
        metadata = file.metadata()
        assert {file.get_tensor(key).dtype for key in file.keys()} == {torch.float32}  # noqa: SIM118
    assert metadata["format"] == "t2app-expert"
    assert metadata["format_version"] == "1"
    assert metadata["name"] == "math"
    assert metadata["base"] == BASE
    assert metadata["seed"] == "7"
    assert read_header(path)["seed"] == 7


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(JSON)
def test_every_header_value_survives(value):
    assert _decode(_encode(value)) == value


def test_a_type_that_torch_lacks_is_one_line(path):
    """The library that reads the file gives a KeyError for it."""
    text = json.dumps(
        {
            "__metadata__": {"format": "t2app-expert", "format_version": "1", "base": BASE},
            "a": {"dtype": "F8_E8M0", "shape": [4], "data_offsets": [0, 4]},
        }
    ).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + bytes(4))
    with pytest.raises(T2Error, match="is damaged"):
        load(path)


@pytest.mark.parametrize("where", ["value", "header"])
def test_deep_nesting_is_no_crash(path, where):
    deep = "[" * 100_000
    head = {"format": "t2app-expert", "format_version": "1", "base": BASE, "note": deep}
    text = json.dumps({"__metadata__": head}) if where == "value" else deep
    path.write_bytes(len(text).to_bytes(8, "little") + text.encode())
    with pytest.raises(T2Error):
        load(path)


def test_save_leaves_nothing_else_and_replaces_at_once(path):
    save(make_expert(), path)
    stop = threading.Event()

    def rewrite() -> None:
        while not stop.is_set():
            save(make_expert(), path)

    writer = threading.Thread(target=rewrite)
    writer.start()
    try:
        for _ in range(200):
            load(path)
    finally:
        stop.set()
        writer.join()
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_save_failing_leaves_the_old_file(path, monkeypatch):
    save(make_expert(seed=1), path)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("t2app.svf.expert.os.replace", full)
    with pytest.raises(T2Error, match="No space left"):
        save(make_expert(seed=2), path)
    assert load(path).header["seed"] == 1
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_missing_file(path):
    with pytest.raises(T2Error, match="no expert file"):
        load(path)


def test_folder_in_place_of_a_file(tmp_path):
    with pytest.raises(T2Error, match="cannot read"):
        load(tmp_path)


def test_truncated_anywhere(path):
    save(make_expert(), path)
    data = path.read_bytes()
    for length in range(0, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(T2Error) as error:
            load(path)
        assert path.name in str(error.value)
        assert "\n" not in str(error.value)


def test_changed_values_are_noticed(path):
    save(make_expert(), path)
    data = bytearray(path.read_bytes())
    data[-2] ^= 1
    path.write_bytes(data)
    with pytest.raises(T2Error, match="changed after it was written"):
        load(path)


@pytest.mark.parametrize(
    "content",
    [b"hello", b"\xff" * 64, b"\x02\0\0\0\0\0\0\0[]", b"\x02\0\0\0\0\0\0\0{}", pickle.dumps({})],
)
def test_not_a_safetensors_file(path, content):
    path.write_bytes(content)
    with pytest.raises(T2Error, match=r"damaged or not a safetensors file|not an expert"):
        load(path)


def write(path: Path, tensors=None, **changes) -> None:
    """A file as another program would make it, following the contract or not."""
    metadata = {"format": "t2app-expert", "format_version": "1", "name": "math", "base": BASE}
    metadata |= changes
    tensors = tensors or {name: torch.ones(size) for name, size in SHAPES.items()}
    save_file(tensors, path, {k: v for k, v in metadata.items() if v is not None})


def test_file_by_another_program(path):
    write(path, seed="3", rows=json.dumps({"train": 1}))
    expert = load(path)
    assert expert.header == {"base": BASE, "seed": 3, "rows": {"train": 1}}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"format": None}, "not an expert file"),
        ({"format": "pt"}, "not an expert file"),
        ({"format_version": "2"}, "version 2.*reads 1"),
        ({"format_version": None}, "version None"),
        ({"base": None}, "which base model"),
        ({"base": ""}, "which base model"),
        ({"tensors": {"a": torch.ones(2, 2)}}, "float32 vector"),
        ({"tensors": {"a": torch.ones(2, dtype=torch.float16)}}, "float32 vector"),
        ({"tensors": {"a": torch.tensor([1.0, float("nan")])}}, "NaN"),
        ({"tensors": {"a": torch.tensor([1.0, float("inf")])}}, "NaN or infinity"),
    ],
)
def test_foreign_files(path, changes, message):
    write(path, **changes)
    with pytest.raises(T2Error, match=message):
        load(path)


def test_no_vectors(path):
    save_file({}, path, {"format": "t2app-expert", "format_version": "1", "base": BASE})
    with pytest.raises(T2Error, match="no vectors"):
        load(path)


def test_fits():
    check_fits(make_expert(), SHAPES, BASE)


@pytest.mark.parametrize(
    ("shapes", "base", "message"),
    [
        (SHAPES, "tiny@other", "made for tiny@0123456789ab, not for tiny@other"),
        ({**SHAPES, "more": 3}, BASE, "lacks 1 matrices of this model, first more"),
        ({"model.layers.0.q": 4}, BASE, "first model.layers.0.k"),
        ({**SHAPES, "model.layers.0.q": 5}, BASE, "has 4 values for model.layers.0.q.*needs 5"),
    ],
)
def test_does_not_fit(shapes, base, message):
    with pytest.raises(T2Error, match=message):
        check_fits(make_expert(), shapes, base)
