"""Quantisations, parts and choices, by the names of files."""

from __future__ import annotations

from pathlib import Path

import pytest

from t2app.errors import T2Error
from t2app.identity import family
from t2app.models.gguf import header, names
from tests.models.gguf.making import write

FILES = [
    "README.md",
    "model-Q4_K_M.gguf",
    "model-Q8_0.gguf",
    "mmproj-model-f16.gguf",
    "model.imatrix.gguf",
    "big/model-Q6_K-00001-of-00002.gguf",
    "big/model-Q6_K-00002-of-00002.gguf",
]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("SmolLM2-135M-Instruct.Q4_1.gguf", "Q4_1"),
        ("qwen2.5-0.5b-instruct-q4_k_m.gguf", "Q4_K_M"),
        ("Llama-3.2-1B-Instruct-IQ3_XXS.gguf", "IQ3_XXS"),
        ("gemma-3-1b-it-UD-Q4_K_XL.gguf", "Q4_K_XL"),
        ("gpt-oss-20b-mxfp4.gguf", "MXFP4"),
        ("model-bf16.gguf", "BF16"),
        ("model-fp16-00001-of-00003.gguf", "FP16"),
        ("qwen2.gguf", ""),
        ("phi-q.gguf", ""),
    ],
)
def test_the_quantisation_in_a_name(name, expected):
    assert names.quantisation_named(name) == expected


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        ("Q4_K_M", "model-Q4_K_M.gguf"),
        ("q4_k_m", "model-Q4_K_M.gguf"),
        ("model-Q8_0.gguf", "model-Q8_0.gguf"),
        ("Q6_K", "big/model-Q6_K-00001-of-00002.gguf"),
        ("big/model-Q6_K-00001-of-00002.gguf", "big/model-Q6_K-00001-of-00002.gguf"),
    ],
)
def test_which_file_is_meant(wanted, expected):
    assert names.choose(FILES, wanted, "org/model") == expected


def test_what_cannot_be_chosen_is_told_with_what_can():
    with pytest.raises(T2Error, match=r"org/m has no 'Q2_K': choose from Q6_K, Q4_K_M, Q8_0"):
        names.choose(FILES, "Q2_K", "org/m")
    with pytest.raises(T2Error, match=r"org/m has 3 GGUF models: choose one \(Q6_K, Q4_K_M, Q8_0"):
        names.choose(FILES, "", "org/m")
    with pytest.raises(T2Error, match="org/m has no GGUF file of a model"):
        names.choose(FILES[3:5], "", "org/m")
    assert names.choose(FILES[:2], "", "org/m") == "model-Q4_K_M.gguf"


def test_parts(tmp_path):
    first = write(tmp_path / "model.gguf", tensors_a_part=8)
    assert first.name == "model-00001-of-00003.gguf"
    found = names.parts(first)
    assert names.parts(found[2]) == found
    assert header.read(first).parts == 3
    found[1].unlink()
    with pytest.raises(
        T2Error, match=r"is one of 3 parts and model-00002-of-00003.gguf is missing"
    ):
        names.parts(first)


def test_what_a_model_is_called(tmp_path):
    blob = tmp_path / f"sha256-{'0' * 64}"
    write(tmp_path / "a.gguf", "Q8_0").rename(blob)
    assert names.label(header.read(blob)) == "A-small-model-Q8_0"
    for name, label in {"Small.Q4_1.gguf": "Small-Q4_1", "small.gguf": "small-Q8_0"}.items():
        path = write(tmp_path / name, "Q8_0")
        assert names.label(header.read(path)) == label


def test_the_quantisation_of_a_file_that_does_not_say(tmp_path):
    path = write(tmp_path / "a.gguf", "Q8_0")
    read = header.read(path)
    silent = {k: v for k, v in read.metadata.items() if k != "general.file_type"}
    for metadata in (silent, {**silent, "general.file_type": 9999}):
        other = header.Header(path, metadata, read.tensors, read.fields, read.data)
        assert names.quantisation(other) == "Q8_0"


def test_models_of_one_family():
    same = [
        "HuggingFaceTB/SmolLM2-135M-Instruct@0123456789ab",
        "SmolLM2-135M-Instruct-Q4_1@ba9876543210",
        "bartowski/SmolLM2-135M-Instruct-GGUF",
        "smollm2-135m-instruct-gguf-q8_0",
        "SmolLM2-135M-Instruct.Q4_1",
    ]
    assert {family(name) for name in same} == {"smollm2-135m-instruct"}
    assert family("SmolLM2-135M") != family("SmolLM2-135M-Instruct")
    assert Path(family("org/Model")).name == "model"
