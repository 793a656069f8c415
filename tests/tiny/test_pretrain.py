"""Pretraining with a very small recipe: batches, checkpoint, kills, what is refused."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoTokenizer

from t2app.errors import T2Error
from t2app.tiny import corpus, pretrain
from t2app.tiny.pretrain import Recipe
from tests.kills import die, killed

SMALL = Recipe(steps=10, rows=2, length=48, hidden=16, layers=1, heads=2, ffn=16, warmup=2)


@pytest.fixture(autouse=True)
def _quick_tokenizer(monkeypatch, tiny_tok):
    monkeypatch.setattr(pretrain.tiny_tokenizer, "train", lambda seed: tiny_tok)


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def same(a: Path, b: Path) -> bool:
    first, second = weights(a), weights(b)
    return first.keys() == second.keys() and all(torch.equal(first[k], second[k]) for k in first)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, tiny_tok) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pretrain.tiny_tokenizer, "train", lambda seed: tiny_tok)
        return pretrain.run(tmp_path_factory.mktemp("whole") / "model", SMALL)


# -- batches ---------------------------------------------------------------------------------


def test_a_batch_is_a_function_of_the_step(tiny_tok):
    a, b = (pretrain.batch(tiny_tok, SMALL, 3) for _ in range(2))
    assert torch.equal(a[0], b[0])
    assert torch.equal(a[1], b[1])
    assert a[0].shape == a[1].shape == (2, 49)
    assert not torch.equal(a[0], pretrain.batch(tiny_tok, SMALL, 4)[0])
    assert not torch.equal(a[0], pretrain.batch(tiny_tok, replace(SMALL, seed=2), 3)[0])


def test_a_batch_is_the_conversations_in_the_chat_format(tiny_tok):
    recipe = replace(SMALL, rows=4, length=500)
    ids, _ = pretrain.batch(tiny_tok, recipe, 0)
    expected: list[int] = []
    for talk in islice(corpus.conversations(recipe.seed, 0), 60):
        expected += tiny_tok.apply_chat_template(talk, return_dict=True)["input_ids"]
    assert ids.flatten().tolist() == expected[: ids.numel()]


def test_answers_count_questions_a_little_and_the_frame_not_at_all(tiny_tok):
    recipe = replace(SMALL, rows=4, length=500)
    ids, weight = (x.flatten() for x in pretrain.batch(tiny_tok, recipe, 0))
    assert weight.unique().tolist() == pytest.approx([0.0, recipe.question_weight, 1.0])
    talks = list(islice(corpus.conversations(recipe.seed, 0), 60))
    answers = [m["content"] for t in talks for m in t if m["role"] == "assistant"]
    text = tiny_tok.decode(ids[weight == 1.0])
    said = text.split("<|end|>")[:-1]
    assert said == answers[: len(said)]
    assert len(said) > 5
    asked = tiny_tok.decode(ids[(weight > 0) & (weight < 1)])
    assert "<|user|>" not in asked
    assert "To which category" not in asked


# -- training --------------------------------------------------------------------------------


def test_it_writes_a_checkpoint_that_transformers_loads(undisturbed):
    model, info = AutoModelForCausalLM.from_pretrained(undisturbed, output_loading_info=True)
    assert not info["missing_keys"]
    assert not info["unexpected_keys"]
    assert model.config.model_type == "llama"
    tok = AutoTokenizer.from_pretrained(undisturbed)
    prompt = tok.apply_chat_template(
        [{"role": "user", "content": "hi"}],
        add_generation_prompt=True,
        return_dict=True,
        return_tensors="pt",
    )
    out = model.generate(**prompt, max_new_tokens=3, do_sample=False)
    assert out.shape[1] > prompt["input_ids"].shape[1]
    assert model.generation_config.eos_token_id == tok.eos_token_id
    recipe = json.loads((undisturbed / "recipe.json").read_text())
    assert recipe["steps"] == 10
    assert not (undisturbed / "pretraining.pt").exists()


def test_the_loss_falls(tmp_path):
    seen = []
    recipe = replace(SMALL, steps=60, rows=4, hidden=32, learning_rate=1e-2)
    pretrain.run(tmp_path / "m", recipe, report=seen.append)
    assert [p["step"] for p in seen] == [10, 20, 30, 40, 50, 60]
    assert seen[-1]["loss"] < seen[0]["loss"] - 0.5
    assert seen[-1]["left"] == 0
    assert all(a["seconds"] < b["seconds"] for a, b in pairwise(seen))


def test_a_recipe_is_repeatable(undisturbed, tmp_path):
    assert same(pretrain.run(tmp_path / "again", SMALL), undisturbed)
    assert not same(pretrain.run(tmp_path / "other", replace(SMALL, seed=2)), undisturbed)


@pytest.mark.parametrize(
    "recipe",
    [Recipe(), Recipe(steps=50), Recipe(steps=100, warmup=100), Recipe(warmup=0), SMALL],
    ids=["default", "short", "as short as the warm-up", "no warm-up", "small"],
)
def test_the_learning_rate_is_never_negative(recipe):
    rates = [pretrain._rate(recipe, step) for step in range(recipe.steps)]
    assert min(rates) > 0
    assert max(rates) <= recipe.learning_rate


def test_the_learning_rate_warms_up_and_falls_in_a_straight_line():
    recipe = Recipe(steps=1000, warmup=50)
    rates = [pretrain._rate(recipe, step) for step in range(recipe.steps)]
    assert rates[0] == pytest.approx(recipe.learning_rate / 50)
    assert rates[49] == rates[50] == recipe.learning_rate
    assert rates[525] == pytest.approx(recipe.learning_rate / 2)
    assert rates[-1] == pytest.approx(recipe.learning_rate / 950)
    falls = [a - b for a, b in pairwise(rates[50:])]
    assert falls == pytest.approx([recipe.learning_rate / 950] * len(falls))


# -- kills -----------------------------------------------------------------------------------


def in_step(out: Path, step: int) -> None:
    batch = pretrain.batch

    def deadly(tok, recipe, at):
        if at == step:
            die()
        return batch(tok, recipe, at)

    pretrain.batch = deadly
    pretrain.run(out, SMALL, checkpoint_every=2)


def while_a_checkpoint_is_written(out: Path, number: int) -> None:
    save, count = torch.save, iter(range(99))

    def deadly(state, path):
        if next(count) == number:
            Path(path).write_bytes(b"half of it")
            die()
        save(state, path)

    torch.save = deadly
    pretrain.run(out, SMALL, checkpoint_every=2)


@pytest.mark.parametrize(
    ("how", "number"),
    [
        (in_step, 0),
        (in_step, 3),
        (in_step, 4),  # right after a checkpoint
        (in_step, 6),
        (in_step, 7),  # between checkpoints
        (in_step, 9),
        (while_a_checkpoint_is_written, 0),
        (while_a_checkpoint_is_written, 2),
    ],
)
def test_a_killed_run_ends_in_the_same_weights(undisturbed, tmp_path, how, number):
    out = tmp_path / "model"
    killed(lambda: how(out, number))
    assert not (out / "model.safetensors").exists()
    steps = []
    pretrain.run(out, SMALL, checkpoint_every=2, report=lambda p: steps.append(p["step"]))
    assert steps == [10]
    assert same(out, undisturbed)


# -- refused ---------------------------------------------------------------------------------


def test_an_unfinished_run_of_another_recipe_is_refused(tmp_path):
    out = tmp_path / "model"
    killed(lambda: in_step(out, 5))
    with pytest.raises(T2Error, match=r"another recipe.*delete it or choose another folder"):
        pretrain.run(out, replace(SMALL, learning_rate=1e-3))
    with pytest.raises(T2Error, match="another recipe"):
        pretrain.run(out, replace(SMALL, hidden=32))
    pretrain.run(out, SMALL)


@pytest.mark.parametrize("keep", [0, 0.5])
def test_a_damaged_run_is_refused(tmp_path, keep):
    out = tmp_path / "model"
    killed(lambda: in_step(out, 5))
    path = out / "pretraining.pt"
    data = path.read_bytes()
    path.write_bytes(data[: int(keep * len(data))])
    with pytest.raises(T2Error, match=r"pretraining.pt is damaged: delete it"):
        pretrain.run(out, SMALL)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"steps": 0}, "steps is 0"),
        ({"rows": -1}, "rows is -1"),
        ({"heads": 3}, "multiple of twice the heads"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"learning_rate": 0.0}, "learning_rate is 0.0"),
    ],
)
def test_impossible_recipes_are_named(changes, message):
    with pytest.raises(T2Error, match=message):
        replace(SMALL, **changes)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_that_is_not_there_is_one_clear_line(tmp_path):
    with pytest.raises(T2Error, match="no CUDA GPU is usable: choose cpu"):
        pretrain.run(tmp_path, SMALL, device="cuda")
