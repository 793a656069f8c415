"""The paper's tasks, out of public rows: GSM8K, MBPP, ARC, HumanEval (paper, section 4).

The rows lie in a folder (``NAME-train.jsonl``, ``NAME-test.jsonl``, gzipped or not) or come from
the Hugging Face hub through the package ``datasets``. What is trained on and what chooses the best
step come from the public training rows, what is measured from the public test rows, which are never
mixed. Not covered: how rows are read and judged (``check``), which is as for any file; MATH, whose
answers are formulas that no reward here can compare.
"""

from __future__ import annotations

import gzip
import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, get_args

from t2app.data.asked import Example
from t2app.data.check import Report, TokenCounter, check
from t2app.data.table import Table, read_table
from t2app.data.task import RowsTask, assemble
from t2app.errors import T2Error
from t2app.tasks.base import Split

Side = Literal["train", "test"]
# Training rows that choose the best step, as many as a file of one's own gives at most.
VALIDATION = 200


@dataclass(frozen=True)
class Public:
    """A public set of rows: its ``repo`` and ``config`` on the hub, and the split of each side.

    ``taken`` chooses rows of one file by their ``task_id`` where all lie in one.
    """

    name: str
    description: str
    repo: str
    splits: Mapping[Side, str]
    config: str | None = None
    reward: str = "auto"
    taken: Mapping[Side, range] | None = None


TASKS = {
    public.name: public
    for public in (
        Public(
            "gsm8k",
            "grade-school word problems whose answer is a number (GSM8K)",
            "openai/gsm8k",
            {"train": "train", "test": "test"},
            "main",
            "numeric",
        ),
        Public(
            "mbpp",
            "short Python functions from a sentence and tests (MBPP)",
            "google-research-datasets/mbpp",
            {"train": "train+validation", "test": "test"},
            "full",
            "code",
            {"train": range(511, 975), "test": range(11, 511)},
        ),
        Public(
            "arc-easy",
            "school science questions with four options (ARC-Easy)",
            "allenai/ai2_arc",
            {"train": "train", "test": "test"},
            "ARC-Easy",
            "choice",
        ),
        Public(
            "arc-challenge",
            "harder school science questions with four options (ARC-Challenge)",
            "allenai/ai2_arc",
            {"train": "train", "test": "test"},
            "ARC-Challenge",
            "choice",
        ),
        Public(
            "humaneval",
            "Python functions to complete (HumanEval)",
            "openai/openai_humaneval",
            {"test": "test"},
            reward="code",
        ),
    )
}


def load(
    name: str,
    folder: Path | None = None,
    *,
    seed: int = 0,
    count_tokens: TokenCounter | None = None,
    max_tokens: int | None = None,
) -> RowsTask:
    """The task called ``name``; its rows from ``folder``, or from the hub where that is None.

    ``seed`` decides which training rows choose the best step. Sets without training rows have test
    rows only. Raises T2Error for an unknown name, and where rows are missing or cannot be read.
    """
    public = TASKS.get(name)
    if public is None:
        raise T2Error(f"unknown public task {name!r}: choose from {', '.join(TASKS)}")
    limits = {"count_tokens": count_tokens, "max_tokens": max_tokens}
    found = {
        side: check(_table(public, side, folder), reward=public.reward, seed=seed, **limits)
        for side in public.splits
    }
    return assemble(_joined(public, found), description=public.description)


def _joined(public: Public, found: Mapping[Side, Report]) -> Report:
    """One report whose splits are the public ones."""
    splits: dict[Split, tuple[Example, ...]] = dict.fromkeys(get_args(Split), ())
    if "train" in found:
        parts = found["train"].splits
        choosing = parts["validation"][:VALIDATION]
        rest = (*parts["train"], *parts["validation"][VALIDATION:], *parts["test"])
        splits |= {"train": _in_order(rest), "validation": choosing}
    splits["test"] = _in_order([e for part in found["test"].splits.values() for e in part])
    main = found.get("train", found["test"])
    sums = "".join(report.table.sha256 for report in found.values())
    table = replace(
        main.table,
        name=public.name,
        sha256=hashlib.sha256(sums.encode()).hexdigest(),
    )
    rejected = tuple(row for report in found.values() for row in report.rejected)
    longest = max(report.answer_tokens for report in found.values())
    return replace(
        main, table=table, splits=splits, rejected=rejected, answer_tokens=longest, problem=None
    )


def _in_order(examples: Sequence[Example]) -> tuple[Example, ...]:
    return tuple(sorted(examples, key=lambda example: example.number))


# -- where the rows come from --------------------------------------------------------------------


def _table(public: Public, side: Side, folder: Path | None) -> Table:
    rows = _from_hub(public, side) if folder is None else _from_folder(public, side, folder)
    text = "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    return read_table(text.encode(), f"{public.name}-{side}")


def _from_folder(public: Public, side: Side, folder: Path) -> list[dict[str, Any]]:
    """The rows of the side's own file, or its share of the one that holds all of them."""
    rows = _read(folder, f"{public.name}-{side}")
    if rows is not None:
        return rows
    rows = _read(folder, public.name)
    if rows is None or (public.taken is None and "train" in public.splits):
        raise T2Error(
            f"{folder} has no rows of {public.name}: expected {public.name}-{side}.jsonl or "
            f"{public.name}-{side}.jsonl.gz"
        )
    if public.taken is None:
        return rows
    return [row for row in rows if row.get("task_id") in public.taken[side]]


def _read(folder: Path, stem: str) -> list[dict[str, Any]] | None:
    """The rows of a file of JSON lines; None where there is none of that name."""
    openers: dict[str, Callable[..., Any]] = {".jsonl": open, ".jsonl.gz": gzip.open}
    for ending, opener in openers.items():
        path = folder / f"{stem}{ending}"
        if not path.is_file():
            continue
        try:
            with opener(path, "rt", encoding="utf-8") as lines:
                return [json.loads(line) for line in lines if line.strip()]
        except (OSError, EOFError, ValueError) as error:
            raise T2Error(f"cannot read {path}: {error}") from error
    return None


def _from_hub(public: Public, side: Side) -> list[dict[str, Any]]:
    try:
        import datasets
    except ImportError:
        raise T2Error(
            f"{public.name} comes from the Hugging Face hub through the package datasets: pip "
            "install datasets, or give a folder with its rows (--data)"
        ) from None
    try:
        found = datasets.load_dataset(public.repo, public.config, split=public.splits[side])
    except Exception as error:
        # datasets passes on whatever its network stack raises, with no common class.
        reason = str(error).strip().splitlines()[:1]
        raise T2Error(
            f"cannot get {public.name} ({public.repo}) from the Hugging Face hub: "
            f"{''.join(reason)}; give a folder with its rows (--data)"
        ) from error
    return [dict(row) for row in found]
