"""Results are made once for what decides them, and survive what happens to their files."""

from __future__ import annotations

import json
from contextlib import suppress

from t2app.evaluation.memo import Memo, write


def test_made_once(tmp_path):
    made = []

    def make():
        made.append(1)
        return {"a": [1, 2]}

    for memo in (Memo(tmp_path), Memo(tmp_path)):
        assert memo.get(["x", {"b": 1}], make) == {"a": [1, 2]}
    assert len(made) == 1
    Memo(tmp_path).get(["x", {"b": 2}], make)
    assert len(made) == 2


def test_fresh_makes_again_but_only_once(tmp_path):
    Memo(tmp_path).get("key", lambda: 1)
    fresh = Memo(tmp_path, fresh=True)
    assert fresh.get("key", lambda: 2) == 2
    assert fresh.get("key", lambda: 3) == 2
    assert Memo(tmp_path).get("key", lambda: 4) == 2


def test_a_file_that_was_cut_off_is_made_again(tmp_path):
    memo = Memo(tmp_path)
    memo.get("key", lambda: 1)
    [file] = tmp_path.glob("*.json")
    file.write_text("")
    assert memo.get("key", lambda: 2) == 2


def test_what_fails_leaves_nothing(tmp_path):
    memo = Memo(tmp_path)
    with suppress(ZeroDivisionError):
        memo.get("key", lambda: 1 / 0)
    assert list(tmp_path.iterdir()) == []
    assert memo.get("key", lambda: 1) == 1


def test_write_replaces_in_one_step(tmp_path):
    path = tmp_path / "deep" / "table.json"
    write(path, [1])
    write(path, {"a": [1, -2.5, 1e-9], "b": ["x [1,\n2]"]}, indent=1)
    assert '"a": [ 1, -2.5, 1e-09 ]' in path.read_text()
    assert json.loads(path.read_text())["b"] == ["x [1,\n2]"]
    write(path, [2])
    assert json.loads(path.read_text()) == [2]
    assert list(path.parent.iterdir()) == [path]
