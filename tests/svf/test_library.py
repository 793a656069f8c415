"""The folder of experts: what appears, vanishes or is no good."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
import torch

from t2app.errors import T2Error
from t2app.svf import library as library_module
from t2app.svf.expert import Expert, load, save
from t2app.svf.library import Library, check_name

SHAPES = {"a": 4, "b": 2}
BASE = "tiny@0123456789ab"


def make_expert(name: str, base: str = BASE, fill: float = 1.5) -> Expert:
    z = {key: torch.full((size,), fill) for key, size in SHAPES.items()}
    return Expert(name, z, {"base": base})


@pytest.fixture
def library(tmp_path) -> Library:
    return Library(tmp_path / "experts", SHAPES, BASE)


def put(library: Library, name: str, **changes) -> Path:
    path = library.folder / f"{name}.safetensors"
    save(make_expert(name, **changes), path)
    return path


def test_missing_folder_is_an_empty_library(library):
    assert library.experts() == {}
    assert library.problems() == {}
    with pytest.raises(T2Error, match="no experts"):
        library.get("math")


def test_sorted_and_refreshed_by_itself(library):
    put(library, "math")
    assert list(library.experts()) == ["math"]
    path = put(library, "code")
    assert list(library.experts()) == ["code", "math"]
    path.unlink()
    assert list(library.experts()) == ["math"]
    with pytest.raises(T2Error, match="choose from math"):
        library.get("code")


def test_changed_file_is_read_again(library):
    path = put(library, "math", fill=1.5)
    stat = path.stat()
    assert library.get("math").z["a"][0] == 1.5
    put(library, "math", fill=2.5)
    # Same size and time: the file was still replaced by another one.
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert library.get("math").z["a"][0] == 2.5


def test_unchanged_files_are_read_once(library, monkeypatch):
    put(library, "math")
    (library.folder / "broken.safetensors").write_bytes(b"x")
    reads = []

    def counted(path):
        reads.append(path.name)
        return load(path)

    monkeypatch.setattr(library_module.expert_file, "load", counted)
    for _ in range(3):
        library.experts()
        library.problems()
    assert sorted(reads) == ["broken.safetensors", "math.safetensors"]


def test_problems_say_why_and_do_not_hide_the_rest(library):
    put(library, "math")
    put(library, "foreign", base="other@1")
    put(library, "Bad Name")
    put(library, "other")
    half = put(library, "half")
    half.write_bytes(half.read_bytes()[:-3])
    (library.folder / "empty.safetensors").touch()
    (library.folder / "notes.txt").write_text("not an expert, not a problem")
    assert list(library.experts()) == ["math"]
    problems = library.problems()
    assert set(problems) == {
        "foreign.safetensors",
        "Bad Name.safetensors",
        "other.safetensors",
        "half.safetensors",
        "empty.safetensors",
    }
    assert "other@1" in problems["foreign.safetensors"]
    assert all("\n" not in reason for reason in problems.values())
    with pytest.raises(T2Error, match="damaged"):
        library.get("half")


def test_mended_file_is_no_problem_any_more(library):
    path = put(library, "math")
    path.write_bytes(b"x")
    assert "math.safetensors" in library.problems()
    put(library, "math")
    assert library.problems() == {}
    assert library.get("math").name == "math"


def test_renaming_the_file_renames_the_expert(library):
    put(library, "math").rename(library.folder / "sums.safetensors")
    assert library.get("sums").name == "sums"


def test_get_suggests_close_names(library):
    put(library, "reasoning")
    with pytest.raises(T2Error, match="did you mean reasoning"):
        library.get("resoning")


def test_add_and_delete(library):
    path = library.add(make_expert("math"))
    assert path == library.folder / "math.safetensors"
    with pytest.raises(T2Error, match="exists already"):
        library.add(make_expert("math", fill=3.0))
    assert library.get("math").z["a"][0] == 1.5
    library.add(make_expert("math", fill=3.0), overwrite=True)
    assert library.get("math").z["a"][0] == 3.0
    library.delete("math")
    assert library.experts() == {}
    with pytest.raises(T2Error, match="unknown expert"):
        library.delete("math")


def test_a_damaged_expert_can_be_deleted(library):
    put(library, "math").write_bytes(b"x")
    library.delete("math")
    assert library.problems() == {}


@pytest.mark.parametrize(
    "name",
    ["", "Math", "-a", "_a", "a b", "a.b", "../a", "a/b", "a" * 42, "ä", "a\n", "base", "other"],
)
def test_bad_names(library, name):
    with pytest.raises(T2Error):
        library.add(make_expert(name))
    assert not library.folder.exists()


@pytest.mark.parametrize("name", ["a", "0", "math", "my-expert_2", "a" * 41])
def test_good_names(name):
    assert check_name(name) == name


def test_delete_does_not_leave_the_folder(library, tmp_path):
    put(library, "math")
    save(make_expert("outside"), tmp_path / "outside.safetensors")
    with pytest.raises(T2Error):
        library.delete("../outside")
    assert (tmp_path / "outside.safetensors").exists()


def test_a_file_that_does_not_fit_takes_its_name_all_the_same(library):
    put(library, "math", base="other@ba9876543210")
    assert library.experts() == {}
    assert library.has_file("math")
    assert not library.has_file("code")


def test_add_refuses_what_does_not_fit(library):
    with pytest.raises(T2Error, match="not for"):
        library.add(make_expert("math", base="other@1"))
    assert not library.folder.exists()


def test_two_adds_at_once_keep_one(library):
    outcomes = []
    barrier = threading.Barrier(2)

    def add(fill: float) -> None:
        barrier.wait()
        try:
            library.add(make_expert("math", fill=fill))
            outcomes.append("added")
        except T2Error:
            outcomes.append("refused")

    threads = [threading.Thread(target=add, args=(fill,)) for fill in (2.0, 3.0)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["added", "refused"]


def test_rename(library):
    put(library, "math", fill=2.5)
    put(library, "code")
    with pytest.raises(T2Error, match="'code' exists already"):
        library.rename("math", "code")
    with pytest.raises(T2Error, match="is not a name"):
        library.rename("math", "Big Sums")
    path = library.rename("math", "sums")
    assert list(library.experts()) == ["code", "sums"]
    assert library.get("sums").z["a"][0] == 2.5
    assert load(path).name == "sums"
    with pytest.raises(T2Error, match="unknown expert"):
        library.rename("math", "other-sums")


def test_describe(library):
    put(library, "math")
    library.describe("math", "  does\nsums ")
    found = library.get("math")
    assert found.description == "does sums"
    assert found.base == BASE
    for text, message in (("", "empty"), (" \n", "empty"), ("x" * 301, "301 characters")):
        with pytest.raises(T2Error, match=message):
            library.describe("math", text)
    assert library.get("math").description == "does sums"


def test_what_was_deleted_comes_back(library):
    put(library, "math", fill=2.5)
    library.delete("math")
    assert list(library.folder.glob("*.safetensors")) == []
    put(library, "math", fill=3.5)
    with pytest.raises(T2Error, match="exists already"):
        library.restore("math")
    library.rename("math", "sums")
    library.restore("math")
    assert {name: e.z["a"][0].item() for name, e in library.experts().items()} == {
        "math": 2.5,
        "sums": 3.5,
    }
    for name in ("math", "code", "../math", ""):
        with pytest.raises(T2Error):
            library.restore(name)


def test_two_pages_delete_at_once(library, monkeypatch):
    put(library, "math")
    seen = library._refresh()
    library.delete("math")
    monkeypatch.setattr(library, "_refresh", lambda: seen)
    library.delete("math")  # the other page still saw it
    monkeypatch.undo()
    library.restore("math")
    assert library.get("math").z["a"][0] == 1.5


def test_describing_what_another_page_deleted_does_not_bring_it_back(library, monkeypatch):
    put(library, "math")
    expert = library.get("math")
    library.delete("math")
    monkeypatch.setattr(library, "get", lambda name: expert)
    with pytest.raises(T2Error, match="deleted meanwhile"):
        library.describe("math", "does sums")
    assert not library.path("math").exists()


def test_import_and_export(library, tmp_path):
    put(library, "math", fill=2.5)
    target = tmp_path / "copy.safetensors"
    library.export("math", target)
    with pytest.raises(T2Error, match="exists already"):
        library.export("math", target)
    with pytest.raises(T2Error, match="'math' exists already"):
        library.import_file(target, {})
    assert library.import_file(target, {}, name="sums").name == "sums"
    assert library.get("sums").z["a"][0] == 2.5
    (tmp_path / "x.csv").touch()
    with pytest.raises(T2Error, match="no file of an expert"):
        library.import_file(tmp_path / "x.csv", {})


def test_import_of_a_file_of_the_reference(tmp_path):
    sigma = {"layers.0.mlp.up": torch.tensor([3.0, 1.0]), "layers.0.attn": torch.tensor([1.0])}
    library = Library(tmp_path / "experts", {name: len(s) for name, s in sigma.items()}, BASE)
    path = tmp_path / "Policy Params (best).pt"
    torch.save({"learnable_params_module_list.0": torch.zeros(2)}, path)
    expert = library.import_file(path, sigma)
    assert expert.name == "policy-params-best"
    # The same number for every singular value changes nothing: the sum is kept.
    assert torch.equal(library.get(expert.name).z["layers.0.mlp.up"], torch.ones(2))


def test_fingerprint_changes_with_the_folder(library):
    seen = [library.fingerprint()]
    for change in (
        lambda: put(library, "math"),
        lambda: library.describe("math", "does sums"),
        lambda: library.rename("math", "sums"),
        lambda: library.delete("sums"),
    ):
        change()
        seen.append(library.fingerprint())
    assert seen[0] == seen[-1]
    assert len(set(seen)) == len(seen) - 1
    put(library, "math")
    assert library.fingerprint() == library.fingerprint()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Policy Params (2)", "policy-params-2"),
        ("äöü", "expert"),
        ("other", "other-1"),
        ("x" * 60, "x" * 41),
    ],
)
def test_free_name(text, expected):
    assert check_name(library_module.free_name(text)) == expected
