"""The first pass with 4 to 500 experts: accuracy and cost of prototypes, and of the prompt.

Run with ``python benchmarks/prototypes.py``; prints one JSON object. The experts are made: each is
a subject with a way to ask about it, and vectors that change nothing. The prompt lists every label,
so it ends where the model's context does. Nothing outside a temporary folder is written.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

SUBJECTS = (
    "bread soup cheese apples garden roses trees lawn birds cats dogs horses fish trains cars "
    "bikes boats planes piano guitar songs dances films books poems paintings photos football "
    "tennis chess swimming running mountains rivers islands weather stars planets maps castles "
    "money taxes shops shoes hats paint walls windows doors beds"
).split()
WAYS = (
    "How do I take care of {s} {x}?",
    "Who invented {s}, {x}?",
    "Write a short poem about {s} and {x}.",
    "What does it cost to buy {s} {x}?",
    "Translate into French: I like {s} {x}.",
    "Is it safe to have {s} {x}?",
    "Tell me a joke about {s} and {x}.",
    "My {s} are broken, {x}, what now?",
    "Which {s} are the best {x}?",
    "Give me three facts about {s} {x}.",
)
ENDINGS = (
    "at home",
    "in winter",
    "for a child",
    "in a small town",
    "without help",
    "this week",
    "with my sister",
    "in the morning",
    "for ten people",
    "near the sea",
    "on a Sunday",
    "in an old house",
    "after work",
    "for the first time",
    "at school",
    "in the dark",
)


def questions(kind: int) -> list[str]:
    """All questions of a made expert: one subject, one way to ask."""
    subject, way = SUBJECTS[kind % len(SUBJECTS)], WAYS[kind // len(SUBJECTS)]
    return [way.format(s=subject, x=x) for x in ENDINGS]


def measure(engine, kinds: list[int], asked: int, prompt: bool) -> dict:
    """Accuracy, probability given to the right one, and seconds, with these experts."""
    from t2app import adapt
    from t2app.adapt import prototype
    from t2app.errors import T2Error
    from t2app.evaluation.stats import wilson
    from t2app.svf.expert import Expert

    rng = random.Random(0)
    z = {name: torch.ones(size) for name, size in engine.svf.layout.sizes.items()}
    held_out = []
    began = time.perf_counter()
    for kind in kinds:
        own = questions(kind)
        rng.shuffle(own)
        kept, rest = own[:12], own[12:]
        header = {
            "base": engine.base.base,
            "description": own[0],
            "examples": kept,
            "prototype": prototype.of(engine, kept),
        }
        engine.library.add(Expert(f"kind-{kind}", z, header))
        held_out += [(q, f"kind-{kind}") for q in rest]
    made = time.perf_counter() - began
    began = time.perf_counter()
    prototype.missing(engine)
    ready = time.perf_counter() - began
    rng.shuffle(held_out)
    held_out = held_out[:asked]
    found = {
        "experts": len(kinds),
        "questions": len(held_out),
        "first_use_seconds": round(ready, 2),
    }
    found["one_prototype_seconds"] = round(made / len(kinds), 4)
    for strategy in ("prototype", *(["prompt"] if prompt else [])):
        try:
            chosen = [(adapt.choose(engine, q, strategy), name) for q, name in held_out]
        except T2Error as error:
            found[strategy] = {"error": str(error)}
            continue
        right = [a.label == name for a, name in chosen]
        low, high = wilson(sum(right), len(right))
        found[strategy] = {
            "accuracy": round(sum(right) / len(right), 4),
            "ci95": [round(low, 4), round(high, 4)],
            "mean_probability_of_label": round(
                statistics.mean(a.probabilities[a.label] for a, _ in chosen), 4
            ),
            "median_seconds": round(statistics.median(a.seconds for a, _ in chosen), 5),
        }
    return found


def main() -> None:
    """Run and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experts", type=int, action="append")
    parser.add_argument("--questions", type=int, default=300)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    rows = []
    for count in args.experts or (4, 10, 50, 100, 500):
        with tempfile.TemporaryDirectory() as folder:
            os.environ["T2APP_EXPERTS"] = folder
            from t2app.engine import Engine

            engine = Engine.load()
            kinds = random.Random(count).sample(range(len(SUBJECTS) * len(WAYS)), count)
            rows.append(measure(engine, kinds, args.questions, prompt=count <= 50))
            engine.svf.remove()
    print(json.dumps({"threads": args.threads, "rows": rows}))


if __name__ == "__main__":
    main()
