"""The built-in model and its experts: what the issue asks of them, on few fresh problems.

The exact figures, on many problems, are in ``assets/tiny/README.md``; bounds here are loose, for
60 problems of each task. ``data/handwritten.jsonl`` is for testing only: nothing is tuned to it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from t2app import adapt
from t2app.adapt import two_pass
from t2app.config import TINY_DIR
from t2app.engine import Engine
from t2app.evaluation import measure
from t2app.evaluation.measure import Accuracy
from t2app.tasks import DISPATCH, TASKS, Problem

pytestmark = pytest.mark.skipif(
    not (TINY_DIR / "model.safetensors").exists(),
    reason=f"no built-in model in {TINY_DIR}: make it with python -m t2app pretrain",
)
HANDWRITTEN = Path(__file__).parent / "data" / "handwritten.jsonl"
TRAINED = ("math", "code", "reasoning")
N = 60
SEED = "tests"


@pytest.fixture(scope="module")
def engine(shared_cache: Path) -> Iterator[Engine]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("T2APP_CACHE", str(shared_cache))
        patch.delenv("T2APP_EXPERTS", raising=False)
        engine = Engine.load()
    yield engine
    engine.svf.remove()


@pytest.fixture(scope="module")
def accuracy(engine: Engine):
    """``accuracy(task, weights)`` on fresh problems, each measured once."""
    known: dict[tuple, Accuracy] = {}

    def measured(name: str, weights: dict[str, float] | None = None) -> Accuracy:
        key = (name, *(weights or {}).items())
        if key not in known:
            task = TASKS[name]
            problems = task.problems("test", N, SEED)
            known[key] = measure.accuracy(engine, task, problems, engine.delta(weights))
        return known[key]

    return measured


def test_it_is_small() -> None:
    assert sum(f.stat().st_size for f in TINY_DIR.rglob("*") if f.is_file()) <= 16e6


def test_plain_transformers_loads_it_and_says_the_same(engine):
    model, info = AutoModelForCausalLM.from_pretrained(
        TINY_DIR, dtype=torch.float32, output_loading_info=True
    )
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    tokenizer = AutoTokenizer.from_pretrained(TINY_DIR)
    talk = [{"role": "user", "content": "Anna has 5 apples and buys 3 more. How many now?"}]
    prompt = tokenizer.apply_chat_template(
        talk, add_generation_prompt=True, return_dict=True, return_tensors="pt"
    )
    said = model.generate(**prompt, do_sample=False, max_new_tokens=40)
    ours = engine.generate([engine.prompt_ids(talk)], max_new_tokens=40)[0]
    assert said[0, prompt["input_ids"].shape[1] :].tolist() == ours.token_ids
    assert ours.finished


def test_no_built_in_file_is_left_over() -> None:
    names = {f.name for f in TINY_DIR.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "recipe.json"} <= names
    assert not names & {"pretraining.pt", "pretraining.part"}


def test_the_first_pass_reads_handwritten_questions(engine):
    rows = [json.loads(line) for line in HANDWRITTEN.read_text("utf-8").splitlines() if line]
    total, right = Counter(r["kind"] for r in rows), Counter()
    for row in rows:
        found = adapt.choose(engine, row["question"]).label
        right[row["kind"]] += found == row["kind"]
    each = ", ".join(f"{kind} {right[kind]}/{total[kind]}" for kind in sorted(total))
    print(f"\nfirst pass on handwritten questions: {each}")
    assert len(rows) >= 160
    assert min(total.values()) >= 40
    assert sum(right.values()) >= 0.85 * len(rows), each


@pytest.mark.parametrize("name", TRAINED)
def test_the_skill_is_latent_in_the_base(accuracy, name):
    found = accuracy(name).accuracy
    assert 0.05 <= found <= 0.68, f"{name}: the plain base is at {found:.0%}"


@pytest.mark.parametrize(("name", "points"), [("math", 0.35), ("code", 0.12), ("reasoning", 0.12)])
def test_each_expert_gains(engine, accuracy, name, points):
    assert name in engine.library.experts(), engine.library.problems()
    before, after = accuracy(name).accuracy, accuracy(name, {name: 1.0}).accuracy
    assert after >= before + points, f"{name}: {before:.0%} -> {after:.0%}"


def test_the_classifier_is_no_worse_than_the_base(engine):
    problems = DISPATCH.problems("test", N, SEED)
    before = measure.accuracy(engine, DISPATCH, problems, None).accuracy
    after = measure.accuracy(engine, DISPATCH, problems, engine.delta({"dispatch": 1.0})).accuracy
    assert after >= 0.75
    assert after >= before - 0.05


def test_every_expert_file_fits_and_says_where_it_comes_from(engine):
    assert engine.library.problems() == {}
    experts = engine.library.experts()
    assert {*TRAINED, "dispatch"} <= set(experts)
    for name, expert in experts.items():
        assert expert.header["created"], name
        assert expert.header["before"]["n"] >= 500
        assert expert.header["after"]["n"] >= 500
        assert expert.description


ASKED = {
    "math": Problem(
        "math",
        "There are 8 rows of 12 chairs. 17 chairs are removed. How many chairs are there now?",
        "79",
        "",
        "",
    ),
    "code": Problem(
        "code",
        "Write a Python function f that takes a list of numbers xs, adds 7 to each number and "
        "then multiplies each of them by 3 and returns the list.",
        "f([1, 2]) -> [24, 27]\nf([]) -> []\nf([-7, 30]) -> [0, 111]",
        "",
        "",
    ),
    "reasoning": Problem(
        "reasoning",
        "What is a baby dog called?\nA) kitten\nB) calf\nC) puppy\nD) foal",
        "C",
        "",
        "",
        (("A", "kitten"), ("B", "calf"), ("C", "puppy"), ("D", "foal")),
    ),
    "other": Problem(
        "other",
        "Hello!",
        "Hi! Ask me a word problem, a small Python function or a multiple choice question.",
        "",
        "",
    ),
}


@pytest.mark.parametrize("kind", ASKED)
def test_one_question_of_each_kind_is_answered_in_two_passes(engine, kind):
    problem = ASKED[kind]
    answer = two_pass.ask(engine, problem.question)
    assert answer.adaptation.label == kind
    assert answer.adaptation.probabilities[kind] > 0.5
    assert TASKS[kind].score([problem], [answer.text]) == [1.0], answer.text
    seconds = sum(answer.timings.values())
    assert 0 < answer.timings["first_pass"] < seconds
