"""Train an expert on real rows with the defaults, and measure it on rows of another file.

Run with ``python benchmarks/real_rows.py TRAIN --test FILE --model MODEL --seed 0 1 2``. Without
``--test`` the figures are those of the held-out rows of TRAIN. On the rows of FILE the expert is
measured against the base in every way in which it can answer them. Prints a line for each seed; the
last line is JSON. ``--out`` keeps the reports and goes on where it was stopped; ``--experts`` keeps
the experts.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))


def task_of(engine: Any, path: Path, seed: int) -> Any:
    """The task of a file, read as ``train`` reads it."""
    from t2app import data

    limits = {"count_tokens": engine.count_tokens, "max_tokens": engine.longest_prompt}
    return data.build(data.check(data.read_table(path), seed=seed, **limits))


def train(engine: Any, task: Any, name: str, settings: Any) -> tuple[Any, dict[str, Any]]:
    """A run from the defaults: the run, and its report with what was chosen."""
    from t2app.training.experts import spec_for, train_expert
    from t2app.training.journal import progress_line
    from t2app.training.runs import Run

    def watch(status: Any, progress: Any) -> None:
        if progress is not None:
            print(f"  {progress_line(progress)}", file=sys.stderr, flush=True)

    spec = spec_for(engine, task, name, settings, overwrite=True)
    run = Run.create(spec, task)
    status = train_expert(engine, task, spec, run, watch=watch)
    steps = run.settings().steps
    return run, {"why": status.why, "steps": steps, "expected": status.expected, **status.report}


def tested(engine: Any, run: Any, task: Any, others: Any, n: int) -> dict[str, Any]:
    """Expert and base on ``n`` rows of the task ``others``, which was never trained on."""
    from t2app.evaluation import choosing, measure
    from t2app.training import formats, outcome

    plan = run.get("plan.json")
    # All rows of the file, in whichever of its splits they are.
    problems = [p for rows in others.rows.values() for p in rows][:n]
    trained = formats.answered_by(replace(others, closed=task.closed), plan["answered"])
    trained = replace(trained, max_new_tokens=plan["answer_tokens"])
    delta = engine.delta({run.spec().name: 1.0})

    def scores(asked: Any, mix: Any = None) -> Sequence[float]:
        return measure.accuracy(engine, asked, problems, mix).scores

    baselines = {}
    for way in others.closed.formats() if others.closed else ():
        asked = formats.answered_by(others, way)
        likeliest = choosing.likeliest(engine, asked, problems)
        baselines[f"base, {way}"] = scores(asked)
        baselines[f"base, likeliest of the {way}"] = asked.score(problems, likeliest)
    if others.closed:
        baselines["base, its own words"] = scores(formats.answered_by(others, "free"))
    return outcome.judge(scores(trained), scores(trained, delta), baselines)


def line(seed: int, found: dict[str, Any]) -> str:
    """What came out, in a line."""
    low, high = (100 * found["gain"][end] for end in ("low", "high"))
    return (
        f"seed {seed}: {found['before']['accuracy']:.1%} -> {found['after']['accuracy']:.1%} "
        f"(n = {found['after']['n']}), gain {low:+.1f} to {high:+.1f} points, "
        f"{found['seconds']:.0f} s, {found['steps']} steps: {found['verdict_words']}"
    )


def main() -> None:
    """Train with each seed, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("train", type=Path)
    parser.add_argument("--test", type=Path, help="rows that are never trained on")
    parser.add_argument("--rows", type=int, default=500, help="of --test")
    parser.add_argument("--model", default="tiny")
    parser.add_argument("--quant", default="auto")
    parser.add_argument("--name", help="of the expert (default: that of the file)")
    parser.add_argument("--seed", type=int, nargs="+", default=[0])
    parser.add_argument("--out", type=Path, help="file of JSON lines, one for each seed")
    parser.add_argument("--experts", help="folder for the experts (default: they are thrown away)")
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings")
    args = parser.parse_args()
    kept = args.out.read_text().splitlines() if args.out and args.out.exists() else []
    reports = {report["seed"]: report for report in map(json.loads, kept)}
    with tempfile.TemporaryDirectory() as thrown_away:
        os.environ["T2APP_EXPERTS"] = args.experts or thrown_away
        for seed in args.seed:
            if seed in reports:
                continue
            reports[seed] = report = measured(args, seed)
            print(line(seed, report), flush=True)
            if args.out:
                with args.out.open("a") as out:
                    out.write(json.dumps(report) + "\n")
    print(json.dumps([reports[seed] for seed in args.seed]))


def measured(args: argparse.Namespace, seed: int) -> dict[str, Any]:
    """Train with one seed, and measure."""
    from t2app.engine import Engine
    from t2app.training.settings import Settings

    engine = Engine.load(args.model, args.quant)
    task = task_of(engine, args.train, seed)
    changes = {name: _value(text) for name, text in (s.split("=", 1) for s in args.set)}
    name = f"{args.name or args.train.name.split('.')[0]}-{seed}"
    run, report = train(engine, task, name, Settings(seed=seed, **changes))
    report = {"seed": seed, "base": engine.base.base, **report}
    if args.test:
        print(line(seed, report), file=sys.stderr, flush=True)
        report["held_out"] = {key: report[key] for key in ("before", "after", "gain", "verdict")}
        report |= tested(engine, run, task, task_of(engine, args.test, 0), args.rows)
    return report


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


if __name__ == "__main__":
    main()
