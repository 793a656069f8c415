"""What a GGUF file says of itself, and what is wrong with it."""

from __future__ import annotations

import os
import re
import struct
from pathlib import Path

import gguf as package
import pytest

from t2app.errors import T2Error
from t2app.models.gguf import header
from tests.models.gguf.making import write


@pytest.fixture(scope="module")
def file(tmp_path_factory) -> Path:
    return write(tmp_path_factory.mktemp("gguf") / "small.gguf", "Q4_1")


def fails(path: Path, pattern: str) -> None:
    with pytest.raises(T2Error, match=pattern) as error:
        header.check([header.read(path)])
    assert "\n" not in str(error.value)
    assert path.name in str(error.value)


def test_it_says_what_the_reader_of_the_package_says(file):
    ours, theirs = header.read(file), package.GGUFReader(file)
    header.check([ours])
    assert (ours.architecture, ours.parts, ours.about("context_length")) == ("llama", 1, 128)
    assert ours.metadata["tokenizer.ggml.tokens"] == 300
    assert ours.metadata["general.name"] == "A small model"
    assert len(ours.tensors) == len(theirs.tensors) == 2 + 2 * 9
    for own, other in zip(ours.tensors, theirs.tensors, strict=True):
        assert (own.name, own.shape) == (other.name, tuple(map(int, other.shape[::-1])))
        assert own.nbytes == other.n_bytes
        assert ours.data + own.offset == other.data_offset


def test_whatever_a_file_begins_with_is_told_by_content(file, tmp_path):
    (tmp_path / "text").write_text("GGML and so on")
    assert header.is_gguf(file)
    assert not header.is_gguf(tmp_path / "text")
    assert not header.is_gguf(tmp_path / "none")
    fails(tmp_path / "text", "is not a GGUF file")
    with pytest.raises(T2Error, match=r"cannot read .*none"):
        header.read(tmp_path / "none")


@pytest.mark.parametrize("share", [0, 0.001, 0.01, 0.05, 0.1, 0.5, 0.999])
def test_cut_off(file, tmp_path, share):
    data = file.read_bytes()
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(data[: int(share * len(data))])
    fails(cut, "is cut off")


def test_cut_off_by_a_byte_is_told_with_sizes(file, tmp_path):
    cut = tmp_path / "cut.gguf"
    cut.write_bytes(file.read_bytes())
    whole = header.read(file)
    last = max(whole.data + t.offset + t.nbytes for t in whole.tensors)
    os.truncate(cut, last - 1)
    fails(cut, r"is cut off: 0\.1 MB of 0\.1 MB; get it again")
    os.truncate(cut, last)
    header.check([header.read(cut)])


def test_bytes_that_make_no_sense_never_hang_or_raise_otherwise(file, tmp_path):
    data = bytearray(file.read_bytes()[:4000])
    wrong = tmp_path / "wrong.gguf"
    for at in range(4, 400, 3):
        changed = bytearray(data)
        changed[at : at + 8] = struct.pack("<Q", 2**63 - 1)
        wrong.write_bytes(changed)
        with pytest.raises(T2Error):
            header.check([header.read(wrong)])


@pytest.mark.parametrize("version", [1, 4, 3 << 24])
def test_other_versions(file, tmp_path, version):
    data = bytearray(file.read_bytes())
    data[4:8] = struct.pack("<I", version)
    other = tmp_path / "other.gguf"
    other.write_bytes(data)
    fails(other, "is GGUF of version")


@pytest.mark.parametrize(
    ("changes", "pattern"),
    [
        ({"template": None}, "has no chat template in it: choose an instruction-tuned"),
        ({"template": ""}, "has no chat template in it"),
        ({"architecture": "unheard-of"}, "is of architecture 'unheard-of', which transformers"),
        ({"architecture": "t5"}, "is of architecture 't5'"),
        ({"architecture": "clip"}, "reads pictures for a model and is none"),
        ({"values": {"general.type": "mmproj"}}, "reads pictures for a model"),
        ({"values": {"general.type": "imatrix"}}, "tells how to quantise one and is none"),
        ({"values": {"general.type": "adapter"}}, "is a LoRA adapter and no whole model: merge"),
    ],
)
def test_of_no_use_here(tmp_path, changes, pattern):
    path = write(tmp_path / "other.gguf", **changes)
    fails(path, pattern)
    said = header.unusable(header.read(path))
    with pytest.raises(T2Error, match=re.escape(said)):
        header.check([header.read(path)])


@pytest.mark.parametrize("name", ["llama", "qwen2", "qwen2moe", "gpt-oss", "lfm2", "gemma3"])
def test_architectures_by_both_spellings(tmp_path, name):
    path = write(tmp_path / "other.gguf", architecture=name)
    assert header.unusable(header.read(path)) is None


def test_a_type_that_the_package_does_not_know(file, tmp_path):
    whole = header.read(file)
    data = bytearray(file.read_bytes())
    name = whole.tensors[0].name.encode()
    at = data.index(struct.pack("<Q", len(name)) + name) + 8 + len(name) + 4 + 16
    data[at : at + 4] = struct.pack("<I", 250)
    other = tmp_path / "other.gguf"
    other.write_bytes(data)
    with pytest.raises(T2Error, match="is of type 250, which the package gguf does not know"):
        header.check([header.read(other)])
