"""The paper's tasks out of public rows: the public splits stay what they are."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from t2app.data import public
from t2app.errors import T2Error


def gsm8k(n: int, start: int = 0) -> list[dict[str, Any]]:
    return [
        {"question": f"Ann has {i} pens and buys 3. How many now?", "answer": f"So.\n#### {i + 3}"}
        for i in range(start, start + n)
    ]


def mbpp(task_id: int) -> dict[str, Any]:
    return {
        "text": f"Write a function to add {task_id} to a number.",
        "code": f"def add(x):\n    return x + {task_id}",
        "task_id": task_id,
        "test_list": [f"assert add(1) == {1 + task_id}"],
    }


def write(folder: Path, name: str, rows: list[dict[str, Any]], packed: bool = False) -> Path:
    text = "".join(json.dumps(row) + "\n" for row in rows).encode()
    path = folder / f"{name}.jsonl{'.gz' if packed else ''}"
    path.write_bytes(gzip.compress(text) if packed else text)
    return path


def numbers(problems: Any) -> set[str]:
    return {p.question for p in problems}


@pytest.mark.parametrize("packed", [False, True])
def test_training_and_test_rows_stay_apart(tmp_path: Path, packed: bool) -> None:
    write(tmp_path, "gsm8k-train", gsm8k(60), packed)
    write(tmp_path, "gsm8k-test", gsm8k(25, start=500), packed)
    task = public.load("gsm8k", tmp_path)
    assert task.reward == "numeric"
    assert numbers(task.rows["test"]) == {row["question"] for row in gsm8k(25, start=500)}
    learned = numbers(task.rows["train"]) | numbers(task.rows["validation"])
    assert learned == {row["question"] for row in gsm8k(60)}
    assert len(task.rows["train"]) + len(task.rows["validation"]) == 60
    assert task.rows["validation"]
    assert task.dataset.file == "gsm8k"
    assert task.dataset.rows == {s: len(rows) for s, rows in task.rows.items()} | {"rejected": 0}


def test_the_seed_decides_which_rows_choose(tmp_path: Path) -> None:
    write(tmp_path, "gsm8k-train", gsm8k(60))
    write(tmp_path, "gsm8k-test", gsm8k(25, start=500))
    first, again, other = (public.load("gsm8k", tmp_path, seed=s).rows for s in (0, 0, 1))
    assert first == again
    assert first["validation"] != other["validation"]
    assert first["test"] == other["test"]


def test_one_file_is_divided_by_the_published_numbers(tmp_path: Path) -> None:
    write(tmp_path, "mbpp", [mbpp(i) for i in (*range(1, 41), *range(505, 560))])
    task = public.load("mbpp", tmp_path)
    assert len(task.rows["test"]) == len(range(11, 41)) + len(range(505, 511))
    assert len(task.rows["train"]) + len(task.rows["validation"]) == len(range(511, 560))
    assert not any("add 5 to" in p.question for rows in task.rows.values() for p in rows)


def test_a_set_without_training_rows_is_for_measuring(tmp_path: Path) -> None:
    rows = [
        {
            "task_id": f"HumanEval/{i}",
            "prompt": f"def add_{i}(x):\n    '''Add {i} to x.'''\n",
            "entry_point": f"add_{i}",
            "canonical_solution": f"    return x + {i}\n",
            "test": f"def check(candidate):\n    assert candidate(1) == {1 + i}\n",
        }
        for i in range(12)
    ]
    write(tmp_path, "humaneval", rows)
    task = public.load("humaneval", tmp_path)
    assert [len(task.rows[s]) for s in ("train", "validation", "test")] == [0, 0, 12]


def test_rows_that_are_not_there_are_named(tmp_path: Path) -> None:
    with pytest.raises(T2Error, match=r"no rows of gsm8k: expected gsm8k-train\.jsonl"):
        public.load("gsm8k", tmp_path)
    write(tmp_path, "gsm8k-train", gsm8k(60))
    with pytest.raises(T2Error, match=r"expected gsm8k-test\.jsonl"):
        public.load("gsm8k", tmp_path)
    with pytest.raises(T2Error, match="unknown public task 'mmlu': choose from gsm8k"):
        public.load("mmlu", tmp_path)


@pytest.mark.parametrize("damage", [b"\x1f\x8b\x08broken", b'{"question": '])
def test_a_damaged_file_is_named(tmp_path: Path, damage: bytes) -> None:
    path = write(tmp_path, "gsm8k-train", gsm8k(60), packed=damage[0] == 0x1F)
    path.write_bytes(damage)
    with pytest.raises(T2Error, match=f"cannot read {path}"):
        public.load("gsm8k", tmp_path)


def test_from_the_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = []

    def load_dataset(repo: str, config: str | None, split: str) -> list[dict[str, Any]]:
        asked.append((repo, config, split))
        return gsm8k(60) if split == "train" else gsm8k(25, start=500)

    fake = ModuleType("datasets")
    fake.load_dataset = load_dataset
    monkeypatch.setitem(sys.modules, "datasets", fake)
    assert len(public.load("gsm8k").rows["test"]) == 25
    assert asked == [("openai/gsm8k", "main", "train"), ("openai/gsm8k", "main", "test")]
    monkeypatch.setattr(fake, "load_dataset", lambda *a, **k: 1 / 0)
    with pytest.raises(T2Error, match=r"cannot get gsm8k .*division by zero; give a folder"):
        public.load("gsm8k")
    monkeypatch.setitem(sys.modules, "datasets", None)
    with pytest.raises(T2Error, match=r"pip install datasets, or give a folder .*--data"):
        public.load("gsm8k")
