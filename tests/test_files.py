"""What is written for others can be read by others, as the umask says."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from t2app import files
from t2app.svf import expert


@pytest.fixture(params=[0o022, 0o027, 0o077], ids=oct)
def umask(request):
    before = os.umask(request.param)
    yield request.param
    os.umask(before)


def rights(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.mark.skipif(os.name == "nt", reason="rights are other ones there")
def test_shared_files_have_the_rights_of_new_ones(umask, tmp_path):
    save_file({"a": torch.ones(2)}, tmp_path / "private.safetensors")
    files.share(tmp_path / "private.safetensors")
    assert rights(tmp_path / "private.safetensors") == 0o666 & ~umask
    files.share(tmp_path)
    assert rights(tmp_path) == 0o777 & ~umask
    expert.save(
        expert.Expert("math", {"a": torch.ones(2)}, {"base": "b@1"}), tmp_path / "e.safetensors"
    )
    assert rights(tmp_path / "e.safetensors") == 0o666 & ~umask


def test_the_umask_elsewhere(umask, monkeypatch):
    monkeypatch.setattr(files, "Path", lambda _: Path("/nowhere"))
    assert files._umask() == umask
    assert os.umask(umask) == umask
