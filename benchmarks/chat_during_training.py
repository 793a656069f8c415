"""Chat and training on one resident model: what each costs the other.

Run with ``python benchmarks/chat_during_training.py``; prints one JSON object. Answers are timed
alone and while an expert trains, training is timed alone, with an answer every few seconds (a
person who reads) and with answers back to back (several people). The ways take turns in rounds, so
that slow drifts of the machine meet all of them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))
QUESTIONS = (
    "Tom has 12 apples and buys 3 boxes with 4 apples each. How many apples does he have now?",
    "Write a function double that returns a number times two.",
    "What is a baby chicken called?\nA) chick\nB) owlet\nC) fawn\nD) cub",
    "hello",
)
PAUSE = 5.0  # seconds between two answers of a person who reads


def answers(engine: Any, seconds: float, pause: float) -> list[dict[str, float]]:
    """Ask one question after the other; what the page would show of each."""
    from t2app.adapt import two_pass

    found, end, number = [], time.perf_counter() + seconds, 0
    while time.perf_counter() < end:
        began = time.perf_counter()
        first = None
        messages = [{"role": "user", "content": QUESTIONS[number % len(QUESTIONS)]}]
        for answer in two_pass.stream(engine, messages, max_new_tokens=96):
            if first is None and answer.tokens:
                first = time.perf_counter() - began
        whole = time.perf_counter() - began
        found.append({"first_token": first, "whole": whole, "tokens": answer.tokens})
        number += 1
        time.sleep(max(0.0, min(pause, end - time.perf_counter())))
    return found


def summary(found: list[dict[str, float]]) -> dict[str, float]:
    """Medians and the slow end, in seconds."""
    whole = sorted(a["whole"] for a in found)
    first = sorted(a["first_token"] for a in found)
    per_token = [a["whole"] / a["tokens"] for a in found]
    return {
        "answers": len(found),
        "first_token_median": round(statistics.median(first), 3),
        "first_token_p95": round(first[int(0.95 * (len(first) - 1))], 3),
        "answer_median": round(statistics.median(whole), 3),
        "answer_p95": round(whole[int(0.95 * (len(whole) - 1))], 3),
        "seconds_per_token_median": round(statistics.median(per_token), 5),
    }


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each way in a round")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["T2APP_EXPERTS"] = os.environ["T2APP_CACHE"] = folder
        shutil.copytree(ROOT / "experts" / "tiny", Path(folder) / "tiny")
        print(json.dumps(run(args.rounds, args.seconds)))


def run(rounds: int, seconds: float) -> dict[str, Any]:
    """Every way, ``seconds`` in each of ``rounds``."""
    from t2app import data
    from t2app.data.examples import EXAMPLES
    from t2app.engine import Engine
    from t2app.training.jobs import Jobs
    from t2app.training.settings import Settings

    engine = Engine.load()
    alone = answers(engine, seconds, 0.0)
    jobs = Jobs(engine)
    table = data.read_table(EXAMPLES[0].path)
    report = data.check(table, count_tokens=engine.count_tokens, max_tokens=engine.longest_prompt)
    # The rate is too low to change the answers: every step then does the same work.
    settings = Settings(objective="rl", steps=100_000, learning_rate=1e-12, validate_every=100_000)
    job = jobs.submit(report, name="busy", settings=settings)
    while len(jobs.get(job.id).curve) < 2:
        time.sleep(0.2)
    chats: dict[str, list] = {"every 5 s": [], "back to back": []}
    speed: dict[str, list[float]] = {"alone": [], **{way: [] for way in chats}}
    for _ in range(rounds):
        for way in speed:
            began, before = time.perf_counter(), len(jobs.get(job.id).curve)
            if way == "alone":
                time.sleep(seconds)
            else:
                chats[way] += answers(engine, seconds, PAUSE if way == "every 5 s" else 0.0)
            steps = len(jobs.get(job.id).curve) - before
            speed[way].append(60 * steps / (time.perf_counter() - began))
    jobs.close()
    return {
        "model": engine.base.base,
        "rounds": rounds,
        "seconds": seconds,
        "answers": {
            "without training": summary(alone),
            **{f"during training, {way}": summary(found) for way, found in chats.items()},
        },
        "training_steps_per_minute": {
            f"{way}" if way == "alone" else f"with answers {way}": {
                "mean": round(statistics.mean(rates), 2),
                "rounds": [round(rate, 2) for rate in rates],
            }
            for way, rates in speed.items()
        },
    }


if __name__ == "__main__":
    main()
