"""GGUF through llama.cpp's converters: asked rightly, and missed in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from t2app.cli import main
from t2app.errors import T2Error
from t2app.export import gguf

# Takes what llama.cpp's scripts take, and writes down what it was given.
SCRIPT = """
import argparse, json, pathlib, sys
parser = argparse.ArgumentParser()
parser.add_argument("folder", type=pathlib.Path)
parser.add_argument("--outfile", type=pathlib.Path, required=True)
parser.add_argument("--base", type=pathlib.Path)
args = parser.parse_args()
files = sorted(path.name for path in args.folder.iterdir())
if args.base and not (args.base / "config.json").exists():
    sys.exit("no base")
args.outfile.write_text(json.dumps(files))
"""


@pytest.fixture
def llama_cpp(tmp_path, monkeypatch) -> Path:
    folder = tmp_path / "llama.cpp"
    folder.mkdir()
    for name in gguf.SCRIPTS.values():
        (folder / name).write_text(SCRIPT)
    monkeypatch.setenv(gguf.VARIABLE, str(folder))
    return folder


@pytest.mark.parametrize(
    ("way", "expected"), [("gguf", "model.safetensors"), ("gguf-lora", "adapter_model.safetensors")]
)
def test_the_converter_gets_what_it_converts(base_folder, tmp_path, llama_cpp, way, expected):
    out = tmp_path / "out" / "mix.gguf"
    command = ["export", "--as", way, "--model", str(base_folder), "--weights", "one=1", str(out)]
    assert main(command) == 0
    assert expected in out.read_text()
    assert [path.name for path in out.parent.iterdir()] == ["mix.gguf"]


def test_what_it_refuses_is_told(base_folder, tmp_path, llama_cpp, capsys):
    (llama_cpp / "convert_hf_to_gguf.py").write_text("raise NotImplementedError('odd tokenizer')")
    out = tmp_path / "mix.gguf"
    assert main(["export", "--as", "gguf", "--model", str(base_folder), str(out)]) == 2
    assert "converter refuses this model: NotImplementedError: odd" in capsys.readouterr().err
    assert not out.exists()


def test_without_it_one_line_says_where_to_get_it(tmp_path, monkeypatch, capsys):
    monkeypatch.delenv(gguf.VARIABLE, raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert main(["export", "--as", "gguf", str(tmp_path / "mix.gguf")]) == 2
    error = capsys.readouterr().err
    assert "convert_hf_to_gguf.py is not on the path" in error
    assert "set LLAMA_CPP to that folder" in error
    monkeypatch.setenv(gguf.VARIABLE, str(tmp_path))
    with pytest.raises(T2Error, match=r"has no convert_lora_to_gguf\.py"):
        gguf.converter("gguf-lora")


def test_the_file_is_named_and_new(tmp_path):
    with pytest.raises(T2Error, match=r"does not end in \.gguf"):
        gguf.check_file(tmp_path / "mix")
    (tmp_path / "mix.gguf").touch()
    with pytest.raises(T2Error, match="is there already"):
        gguf.check_file(tmp_path / "mix.gguf")
