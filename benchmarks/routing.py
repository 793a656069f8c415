"""Every way to sort questions, on several models, in one table.

Run with ``python benchmarks/routing.py --data DIR --models tiny FOLDER ...``. The built-in model
keeps its own experts and is asked about its own tasks. Any other gets five experts whose vectors
change nothing (routing does not depend on them), each with 64 example questions: bank customers'
questions, messages (unwanted or everyday, ``benchmarks/data``), ARC-Easy, GSM8K and MBPP. DIR holds
banking-12-intents.csv, arc-easy-train.jsonl.gz, gsm8k-train.jsonl.gz and mbpp.jsonl.gz. Asked are
120 other questions of each, and 100 general ones that belong to no expert. ``--classifier STEPS``
trains an expert that classifies first. Nothing outside temporary folders and T2APP_CACHE is
written. The table is markdown; the last line is JSON, with 95 % intervals (Wilson).
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import os
import random
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import torch

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

KEPT, ASKED = 64, 120
HERE = Path(__file__).resolve().parent / "data"
HELD_OUT = ROOT / "tests" / "data" / "general-held-out.jsonl"
STRATEGIES = ("auto", "prototype", "prompt, plain", "prompt", "prompt, said", "classifier")
ASKS_THE_MODEL = STRATEGIES[2:]
# group: the reward that its answers would have, which its description begins with
GROUPS = {
    "intents": "exact",
    "messages": "exact",
    "science": "choice",
    "sums": "numeric",
    "code": "code",
}


def rows(path: Path) -> Iterator[dict]:
    """Objects of a file of JSON lines, gzipped or not."""
    data = path.read_bytes()
    text = (gzip.decompress(data) if path.suffix == ".gz" else data).decode()
    yield from map(json.loads, filter(None, text.split("\n")))


def questions(group: str, data: Path) -> list[str]:
    """All questions of a group, in a fixed random order."""
    if group == "intents":
        with (data / "banking-12-intents.csv").open(encoding="utf-8") as file:
            found = [row["text"] for row in csv.DictReader(file)]
    elif group == "messages":
        files = (HERE / "unwanted-messages.txt", HERE / "everyday-messages.txt")
        found = [line for f in files for line in f.read_text("utf-8").splitlines() if line]
    elif group == "science":
        found = [multiple_choice(row) for row in rows(data / "arc-easy-train.jsonl.gz")]
    elif group == "sums":
        found = [row["question"] for row in rows(data / "gsm8k-train.jsonl.gz")]
    else:  # of MBPP the rows that are not its test split
        found = [r["text"] for r in rows(data / "mbpp.jsonl.gz") if r["task_id"] > 510]
    found = list(dict.fromkeys(found))
    random.Random(f"routing {group}").shuffle(found)
    return found


def multiple_choice(row: dict) -> str:
    """A question with its options, one a line."""
    options = zip("ABCDE", row["choices"]["text"], strict=False)
    return "\n".join([row["question"], *(f"{letter}) {text}" for letter, text in options)])


def general(path: Path) -> list[str]:
    """Questions that belong to no expert."""
    return [row["question"] for row in rows(path)]


def add_experts(engine, data: Path) -> dict[str, list[str]]:
    """Put the five experts into the library; the questions to ask, by expert."""
    from t2app.data.suggest import describe
    from t2app.svf.expert import Expert

    z = {name: torch.ones(size) for name, size in engine.svf.layout.sizes.items()}
    asked = {}
    for group, reward in GROUPS.items():
        found = questions(group, data)
        kept, asked[group] = found[:KEPT], found[KEPT : KEPT + ASKED]
        header = {
            "base": engine.base.base,
            "task": f"{group}.csv",
            "description": describe(kept, reward),
            "examples": kept,
        }
        engine.library.add(Expert(group, z, header), overwrite=True)
    return asked


def train_classifier(engine, steps: int) -> dict:
    """An expert that classifies, by next-token training on what ``router`` makes of the experts."""
    from t2app.adapt import router
    from t2app.training import experts, runs
    from t2app.training.settings import Settings

    task = router.task(engine.library.experts())
    settings = Settings(
        objective="sft", steps=steps, prompts=16, validation=16, validate_every=max(1, steps // 2)
    )
    spec = experts.spec_for(engine, task, "sorter", settings, overwrite=True, size=24)
    began = time.perf_counter()
    report = experts.train_expert(engine, task, spec, runs.Run.create(spec, task)).report
    return {
        "steps": steps,
        "seconds": round(time.perf_counter() - began),
        "before": report["before"],
        "after": report["after"],
    }


def chosen(engine, strategy: str, asked: Sequence[str]) -> list[str]:
    """The label that a strategy gives each question."""
    from t2app import adapt
    from t2app.adapt import labels

    if strategy == "prompt, plain":  # the scores as the model gives them
        listed = labels.from_experts(engine.library.experts())
        names = list(listed)
        found = (labels.scores(engine, listed, q, None) for q in asked)
        return [names[int(values.argmax())] for values in found]
    name, said = strategy.partition(",")[0], strategy.endswith("said")
    return [adapt.choose(engine, q, name, generate=said).label for q in asked]


def share(right: int, n: int) -> dict:
    """A share with its 95 % interval."""
    from t2app.evaluation.stats import wilson

    low, high = wilson(right, n)
    return {"right": right, "n": n, "share": right / n, "ci95": [round(low, 4), round(high, 4)]}


def measure(engine, strategy: str, asked: dict[str, list[str]], others: list[str]) -> dict:
    """How many questions of each group are sent where they belong."""
    began = time.perf_counter()
    chosen(engine, strategy, others[:1])
    ready = time.perf_counter() - began
    began = time.perf_counter()
    said = {group: chosen(engine, strategy, found) for group, found in asked.items()}
    said["general"] = chosen(engine, strategy, others)
    count = sum(map(len, said.values()))
    right = {g: sum(x == ("other" if g == "general" else g) for x in s) for g, s in said.items()}
    own = [group for group in said if group != "general"]
    n = sum(len(said[g]) for g in own)
    return {
        "own": share(sum(right[g] for g in own), n),
        "general": share(right["general"], len(others)),
        "each": {group: [right[group], len(found)] for group, found in said.items()},
        "labels": {group: dict(Counter(found)) for group, found in said.items()},
        "first_use_seconds": round(ready, 1),
        "seconds": round((time.perf_counter() - began) / count, 4),
    }


def on_model(args: argparse.Namespace, model: str) -> dict:
    """All strategies on one model."""
    from t2app.adapt import router, trust
    from t2app.config import TINY
    from t2app.engine import Engine
    from t2app.tasks import BUILT_IN

    engine = Engine.load(model, "none" if model != TINY else "auto", args.device)
    found: dict = {"model": engine.base.name, "strategies": {}}
    if model == TINY:
        asked = {
            k: [p.question for p in t.problems("test", ASKED, "routing")]
            for k, t in BUILT_IN.items()
            if k in ("math", "code", "reasoning", "other")
        }
    else:
        asked = add_experts(engine, args.data)
        if args.classifier:
            found["classifier"] = train_classifier(engine, args.classifier)
    others = general(args.general)
    for strategy in args.strategy or STRATEGIES:
        if strategy == "classifier" and router.find(engine.library.experts()) is None:
            continue
        most = args.asked if strategy in ASKS_THE_MODEL else ASKED
        some = {group: rows[:most] for group, rows in asked.items()}
        few = others[: len(others) * most // ASKED] if most < ASKED else others
        result = measure(engine, strategy, some, few)
        told = trust.measure(engine, strategy) if strategy in trust.MEASURED else None
        found["strategies"][strategy] = {**result, "trust": told.line if told else None}
        print(line(found["model"], strategy, result), flush=True)
    engine.svf.remove()
    return found


def line(model: str, strategy: str, found: dict) -> str:
    """A row of the table."""
    cells = [percent(found[part]) for part in ("own", "general")]
    each = ", ".join(f"{g} {r}/{n}" for g, (r, n) in found["each"].items() if g != "general")
    return f"| {model} | {strategy} | {' | '.join(cells)} | {each} | {found['seconds']:.3f} |"


def percent(found: dict) -> str:
    """``97.5 % (95.9 to 98.5; 585/600)``."""
    low, high = (100 * x for x in found["ci95"])
    return f"{found['share']:.1%} ({low:.1f} to {high:.1f}; {found['right']}/{found['n']})"


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--models", nargs="+", default=["tiny"], help="tiny, or folders")
    parser.add_argument("--data", type=Path, help="where the files of real rows are")
    parser.add_argument("--strategy", action="append", choices=STRATEGIES)
    parser.add_argument("--general", type=Path, default=HELD_OUT, help="other general questions")
    parser.add_argument("--asked", type=int, default=ASKED, help="of each group, to ask the model")
    parser.add_argument("--classifier", type=int, default=0, metavar="STEPS")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    if args.data is None and set(args.models) != {"tiny"}:
        parser.error("--data is needed for models other than tiny: the folder of the real rows")
    torch.set_num_threads(args.threads)
    print("| model | strategy | own questions | general ones left to the base | each | seconds |")
    print("|---|---|---|---|---|---|", flush=True)
    results = []
    for model in args.models:
        with tempfile.TemporaryDirectory() as folder:
            if model != "tiny":
                os.environ["T2APP_EXPERTS"] = folder
            results.append(on_model(args, model))
            os.environ.pop("T2APP_EXPERTS", None)
    print(json.dumps({"threads": args.threads, "general": args.general.name, "models": results}))


if __name__ == "__main__":
    main()
