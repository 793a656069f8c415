"""Models with their chat formats: training, scoring and decoding; folders that are refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, BloomConfig, MambaConfig

from t2app import config, models
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.models import BaseModel
from t2app.models.chat import ChatFormat
from t2app.tasks import Problem
from t2app.training import next_token
from tests.models.formats import ASK, CHATML, NO_SYSTEM, SYSTEM, TAGS_AS_TEXT, tokenizer_with
from tests.training.toy import TASK

END = "</im>"


@pytest.fixture
def both_ends(small_base: BaseModel, small_factors, tmp_path, monkeypatch) -> Iterator[Engine]:
    """The turn ends with ``</im>``; the tokenizer names another end, as Gemma 3 and Phi-4-mini."""
    monkeypatch.setenv("T2APP_EXPERTS", str(tmp_path / "experts"))
    tokenizer = tokenizer_with(CHATML)
    tokenizer.pad_token, tokenizer.padding_side = tokenizer.eos_token, "left"
    chat = ChatFormat(tokenizer, eos=[0])
    engine = Engine(replace(small_base, tokenizer=tokenizer, chat=chat), small_factors)
    yield engine
    engine.svf.remove()


def test_next_token_training_teaches_the_end_of_the_turn(both_ends):
    problem = Problem("toy", "the fox", "dog", "dog", "")
    ids = next_token.answer_ids(both_ends, TASK, problem)
    assert both_ends.tokenizer.decode(ids) == "dog</im>"
    assert ids[-1] != both_ends.tokenizer.eos_token_id


def test_labels_are_scored_up_to_the_end_of_the_turn(both_ends):
    labels = ["math", "mathematics", "other"]
    end = both_ends.tokenizer.convert_tokens_to_ids(END)
    prompt = both_ends.prompt_ids([ASK])
    spelled = {x: [*both_ends.tokenizer(x).input_ids, end] for x in labels}
    expected = {}
    for label, ids in spelled.items():
        share = 1.0
        for i, token in enumerate(ids):
            allowed = sorted({o[i] for o in spelled.values() if o[:i] == ids[:i] and len(o) > i})
            with torch.no_grad():
                logits = both_ends.model(torch.tensor([prompt + ids[:i]])).logits[0, -1]
            share *= logits[allowed].softmax(0)[allowed.index(token)].item()
        expected[label] = share
    assert both_ends.label_probabilities([ASK], labels) == pytest.approx(expected, abs=1e-5)


def test_decoding_stops_at_each_end(both_ends, monkeypatch):
    end = both_ends.tokenizer.convert_tokens_to_ids(END)
    for token in (end, 0):
        row = torch.full((len(both_ends.model.lm_head.weight),), 0.0)
        row[token] = 1e4
        forward = both_ends.model.lm_head.forward
        monkeypatch.setattr(
            both_ends.model.lm_head, "forward", lambda x, f=forward, r=row: f(x) + r
        )
        done = both_ends.generate([both_ends.prompt_ids([ASK])], max_new_tokens=5)[0]
        assert (done.token_ids, done.text, done.finished) == ([token], "", True)
        monkeypatch.undo()


@pytest.fixture
def text_ends(small_base, small_factors, tmp_path, monkeypatch) -> Iterator[Engine]:
    """An engine whose template ends turns with text that is no token."""
    monkeypatch.setenv("T2APP_EXPERTS", str(tmp_path / "experts"))
    tokenizer = tokenizer_with(TAGS_AS_TEXT)
    tokenizer.pad_token, tokenizer.padding_side = tokenizer.eos_token, "left"
    engine = Engine(
        replace(small_base, tokenizer=tokenizer, chat=ChatFormat(tokenizer)), small_factors
    )
    yield engine
    engine.svf.remove()


def test_an_end_that_is_text_finishes_an_answer(text_ends):
    ids = text_ends.tokenizer("a dog</turn>\n<turn>user").input_ids
    done = text_ends.completion(ids, None)
    assert (done.text, done.finished) == ("a dog", True)
    assert not text_ends.completion(ids[:3], None).finished


def test_decoding_stops_at_an_end_that_is_text(text_ends, monkeypatch):
    tokenizer = text_ends.tokenizer
    said = tokenizer("a dog</turn>\n<turn>user and so on").input_ids
    other = tokenizer("a dog and so on and on and on").input_ids[: len(said)]
    spoken = [torch.tensor(pair) for pair in zip(said, other, strict=False)]
    steps = iter(spoken)
    monkeypatch.setattr(
        "t2app.engine.batch.pick", lambda logits, *_: next(steps)[-len(logits) :].clone()
    )
    prompt = text_ends.prompt_ids([ASK])
    first, second = text_ends.generate([prompt, prompt], max_new_tokens=len(spoken))
    whole = len(tokenizer("a dog</turn>").input_ids)
    assert first.token_ids == said[: len(first.token_ids)]
    assert whole <= len(first.token_ids) <= whole + 1
    assert (first.text, first.finished) == ("a dog", True)
    assert (second.token_ids, second.finished) == (other[: len(spoken)], False)


# -- folders of models -------------------------------------------------------------------------


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    """A copy of the built-in model to change."""
    return Path(shutil.copytree(config.TINY_DIR, tmp_path / "changed"))


@pytest.fixture
def unread(monkeypatch) -> None:
    """The test fails where weights are read."""
    monkeypatch.setattr(
        AutoModelForCausalLM, "from_pretrained", lambda *_, **__: pytest.fail("weights were read")
    )


def change(file: Path, **values: Any) -> None:
    """Set values of a JSON file; None removes one."""
    content = {**json.loads(file.read_text()), **values}
    file.write_text(json.dumps({key: value for key, value in content.items() if value is not None}))


def test_the_format_of_a_folder(tiny):
    change(tiny / "tokenizer_config.json", eos_token="<|pad|>")
    change(tiny / "generation_config.json", eos_token_id=[0, 1])
    template = tiny / "chat_template.jinja"
    template.write_text(template.read_text().replace("eos_token", "'<|end|>'"))
    base = models.load(str(tiny), "none", "cpu")
    assert (base.chat.end, base.chat.ends) == (2, {0, 1, 2})
    assert base.notes == ()


def test_a_folder_without_generation_settings_or_ends(tiny):
    (tiny / "generation_config.json").unlink()
    change(tiny / "tokenizer_config.json", eos_token=None, pad_token=None)
    base = models.load(str(tiny), "none", "cpu")
    assert base.chat.ends == {2}
    assert base.tokenizer.decode(base.chat.answer_ids("Ho")) == "Ho<|end|>"
    assert base.tokenizer.pad_token_id == 2


def test_notes_are_told(tiny, caplog):
    (tiny / "chat_template.jinja").write_text(
        NO_SYSTEM + (tiny / "chat_template.jinja").read_text()
    )
    base = models.load(str(tiny), "none", "cpu")
    assert base.notes == base.chat.notes
    assert "changed: its chat template takes no system turn" in caplog.text


@pytest.mark.parametrize(
    ("file", "values", "message"),
    [
        ("tokenizer_config.json", {"eos_token": 7}, "changed"),
        ("generation_config.json", {"eos_token_id": "two"}, "changed|generation_config"),
        ("config.json", {"vocab_size": 4}, "embedding has 4 rows"),
        ("config.json", {"num_hidden_layers": "two"}, "config.json"),
    ],
)
def test_what_is_wrong_is_told_before_the_weights_are_read(
    tiny, monkeypatch, file, values, message
):
    monkeypatch.setattr(
        AutoModelForCausalLM, "from_pretrained", lambda *_, **__: pytest.fail("read")
    )
    change(tiny / file, **values)
    with pytest.raises(T2Error, match=message) as error:
        models.load(str(tiny), "none", "cpu")
    assert "\n" not in str(error.value)


def test_a_token_of_the_template_that_the_embedding_lacks(tiny, monkeypatch):
    monkeypatch.setattr(
        AutoModelForCausalLM, "from_pretrained", lambda *_, **__: pytest.fail("read")
    )
    tokenizer = models.checkpoint.read_tokenizer(tiny)
    tokenizer.add_special_tokens({"additional_special_tokens": ["<|note|>"]})
    tokenizer.chat_template = "<|note|>" + tokenizer.chat_template
    tokenizer.save_pretrained(tiny)
    with pytest.raises(T2Error, match=r"'<\|note\|>' \(number 1,024\).*has 1,024 rows"):
        models.load(str(tiny), "none", "cpu")


def with_tokenizer(model: torch.nn.Module, folder: Path) -> Path:
    model.save_pretrained(folder)
    tokenizer = models.checkpoint.read_tokenizer(config.TINY_DIR)
    tokenizer.model_max_length = 10**30
    tokenizer.save_pretrained(folder)
    return folder


def test_a_model_without_a_longest_context(tmp_path, caplog, monkeypatch):
    monkeypatch.setenv("T2APP_EXPERTS", str(tmp_path / "experts"))
    shape = BloomConfig(vocab_size=1024, hidden_size=64, n_layer=2, n_head=4)
    folder = with_tokenizer(AutoModelForCausalLM.from_config(shape), tmp_path / "bloom")
    engine = Engine.load(str(folder), "none", "cpu")
    assert engine.base.context == 4096
    assert "name no longest context: 4,096 tokens are assumed" in caplog.text
    rows = [engine.prompt_ids([ASK]), engine.prompt_ids([SYSTEM, ASK])]
    assert sum(engine.label_probabilities([ASK], ["a", "b"]).values()) == pytest.approx(1)
    assert all(c.token_ids for c in engine.generate(rows, max_new_tokens=3))


def test_a_model_without_attention_is_refused(tmp_path):
    shape = MambaConfig(vocab_size=1024, hidden_size=64, num_hidden_layers=2, state_size=8)
    folder = with_tokenizer(AutoModelForCausalLM.from_config(shape), tmp_path / "mamba")
    with pytest.raises(T2Error, match=r"mamba has no attention \(mamba\).*choose a transformer"):
        models.load(str(folder), "none", "cpu")
