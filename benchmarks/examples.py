"""Every bundled example, trained from the defaults: what the page promises, measured.

Run with ``python benchmarks/examples.py``; it goes on where it was stopped, writes
``docs/results/examples.json`` after each run and prints a Markdown table. Experts and runs go to a
folder that is thrown away. ``--seed`` gives other seeds, for trying things out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
OUT = ROOT / "docs" / "results" / "examples.json"


def measure(engine: Any, example: Any, seed: int, changes: dict[str, Any]) -> dict[str, Any]:
    """Train on one example with one seed; the run's report with the sizes of the splits."""
    from t2app import data
    from t2app.training.experts import spec_for, train_expert
    from t2app.training.runs import Run
    from t2app.training.settings import Settings

    checked = data.check(
        data.read_table(example.path),
        seed=seed,
        count_tokens=engine.count_tokens,
        max_tokens=engine.longest_prompt,
    )
    task = data.build(checked)
    name = f"{example.path.stem}-{seed}"
    settings = Settings(seed=seed, **changes)
    spec = spec_for(engine, task, name, settings, overwrite=True)
    status = train_expert(engine, task, spec, Run.create(spec, task))
    kept = {"example": example.path.stem, "seed": seed, "why": status.why}
    return {**kept, "expected": status.expected, **status.report}


def markdown(runs: list[dict[str, Any]]) -> str:
    """One row for each example: means over the seeds, the gain of each seed."""
    lines = [
        "| example | judged by | learned by | train / choose / held out | before | after "
        "| gain in points, each seed (95 % interval) | verdict | seconds, at most | expected |",
        "|---" * 10 + "|",
    ]
    for name in dict.fromkeys(run["example"] for run in runs):
        mine = sorted((r for r in runs if r["example"] == name), key=lambda r: r["seed"])
        rows = mine[0]["rows"]
        cells = (
            name,
            mine[0]["reward"],
            _once(run["objective"] for run in mine),
            f"{rows['train']} / {rows['validation']} / {rows['test']}",
            f"{statistics.mean(run['before']['accuracy'] for run in mine):.1%}",
            f"{statistics.mean(run['after']['accuracy'] for run in mine):.1%}",
            ", ".join(_gain(run["gain"]) for run in mine),
            _once(run["verdict"] for run in mine),
            f"{max(run['seconds'] for run in mine):.0f}",
            _span(run["expected"] for run in mine if run.get("expected")),
        )
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def _once(values: Any) -> str:
    return ", ".join(dict.fromkeys(values))


def _span(values: Any) -> str:
    found = sorted(values)
    ends = dict.fromkeys(f"{value:.0f}" for value in (found[:1] + found[-1:]))
    return " to ".join(ends) or "–"


def _gain(gain: dict[str, float]) -> str:
    mean, low, high = (100 * gain[key] for key in ("mean", "low", "high"))
    return f"{mean:+.0f} ({low:.0f} to {high:.0f})"


def main() -> None:
    """Measure what is not in the file yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--example", nargs="+", help="such as word-problems; default: all")
    parser.add_argument("--out", type=Path, default=OUT)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=VALUE", help="settings")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["T2APP_EXPERTS"] = os.environ["T2APP_CACHE"] = folder
        from t2app.data.examples import EXAMPLES
        from t2app.engine import Engine

        engine = Engine.load()
        changes = {name: _value(text) for name, text in (s.split("=", 1) for s in args.set)}
        found = json.loads(args.out.read_text()) if args.out.exists() else {}
        if (found.get("model"), found.get("settings")) != (engine.base.base, changes):
            found = {"model": engine.base.base, "settings": changes, "runs": []}
        done = {(run["example"], run["seed"]) for run in found["runs"]}
        for seed in args.seed:
            for example in EXAMPLES:
                name = example.path.stem
                if (name, seed) in done or name not in (args.example or [name]):
                    continue
                report = measure(engine, example, seed, changes)
                print(f"{name}, seed {seed}: {report['verdict_words']}", file=sys.stderr)
                del report["path"]
                found["runs"].append(report)
                args.out.parent.mkdir(parents=True, exist_ok=True)
                args.out.write_text(json.dumps(found, indent=1) + "\n")
    print(markdown(found["runs"]))


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return text


if __name__ == "__main__":
    main()
