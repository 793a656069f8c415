"""The model tab: what it says and what its buttons do."""

from __future__ import annotations

import re
from types import SimpleNamespace

import gradio as gr
import pytest
import torch

from t2app.errors import T2Error
from t2app.models import memory, precision
from t2app.models.catalogue import CATALOGUE, listed
from t2app.svf import basis
from t2app.ui import models
from t2app.ui.resident import Loading
from tests.ui.double import Double


@pytest.fixture(autouse=True)
def _same_machine_everywhere(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(memory, "free", lambda place: 8 * 10**9)
    monkeypatch.setattr(memory, "total", lambda place: 16 * 10**9)
    monkeypatch.setattr(precision, "fastest_on_cpu", lambda: "bfloat16")
    monkeypatch.setattr(basis, "has_bfloat16_products", lambda: True)


class Holder:
    """In place of ``Resident``."""

    def __init__(self, loading: Loading | None = None, refusal: str | None = None) -> None:
        self.engine, self.loading, self.refusal = Double(), loading, refusal
        self.asked: list[tuple] = []

    def switch(self, *arguments: str) -> None:
        if self.refusal:
            raise T2Error(self.refusal)
        self.asked.append(arguments)
        self.loading = Loading(arguments[0])


def text(value: str) -> str:
    return re.sub(r"<[^>]*>", "", value)


def test_the_list_is_sound() -> None:
    assert len({entry.name for entry in CATALOGUE}) == len(CATALOGUE) >= 12
    assert [entry.parameters for entry in CATALOGUE] == sorted(e.parameters for e in CATALOGUE)
    for entry in CATALOGUE:
        assert re.fullmatch(r"[\w.-]+/[\w.-]+", entry.name)
        assert 100 <= entry.parameters <= 8200
        assert entry.linear < entry.parameters
        assert entry.download >= 0.9 * 2 * entry.parameters / 1000
    assert listed("Qwen/Qwen3-0.6B").title == "Qwen3 0.6B"
    assert listed("no/such") is None


def test_the_menu_says_what_each_model_needs_in_a_precision() -> None:
    full = dict(map(reversed, models.choices(Double(), "none", "auto")))
    small = dict(map(reversed, models.choices(Double(), "nf4", "auto")))
    assert full["Qwen/Qwen3-4B-Instruct-2507"] == (
        "Qwen3 4B · 8.0 GB to download · 10.9 GB of memory"
    )
    assert "5.5 GB of memory" in small["Qwen/Qwen3-4B-Instruct-2507"]
    assert small["google/gemma-3-1b-it"].endswith("licence on the hub")
    assert models.listing(Double(), "nf4", "auto")["choices"] == models.choices(
        Double(), "nf4", "auto"
    )


def test_whether_a_model_fits_is_said() -> None:
    fits = text(models.needed(Double(), "Qwen/Qwen3-0.6B", "none", "auto"))
    assert "In bfloat16 it takes 1.9 GB" in fits
    assert "which fits into the 8.0 GB that are free" in fits
    large = models.needed(Double(), "meta-llama/Llama-3.1-8B-Instruct", "none", "auto")
    assert "which does not fit" in text(large)
    assert "licence has to be accepted" in large
    assert "t2-short" in large
    assert "In nf4 it takes" in text(
        models.needed(Double(), "Qwen/Qwen3-4B-Instruct-2507", "auto", "auto")
    )
    assert "checked before" in models.needed(Double(), "org/unknown", "auto", "auto")
    assert models.BUILT_IN in models.needed(Double(), None, "auto", "auto")


def test_factors_may_be_kept_smaller() -> None:
    def gigabytes(storage: str) -> float:
        line = text(models.needed(Double(), "Qwen/Qwen3-4B-Instruct-2507", "nf4", storage))
        return float(re.search(r"it takes ([\d.]+) GB", line)[1])

    assert gigabytes("auto") > gigabytes("int8") + 1 > gigabytes("nf4") + 1.3
    holder = Holder()
    models.start(holder, "org/model", "nf4", "nf4")
    assert holder.asked == [("org/model", "nf4", "cpu", "nf4")]


def test_what_is_loaded_now_names_what_is_not_adapted() -> None:
    engine = Double()
    engine.base = SimpleNamespace(
        name="big",
        device=torch.device("cpu"),
        place=None,
        skipped=("mlp.experts.down_proj (2 x)", "<b>"),
        notes=("thinking is off",),
    )
    said = models.present(engine)
    assert "<dt>Notes</dt><dd>thinking is off</dd>" in said
    assert "mlp.experts.down_proj (2 x); &lt;b&gt;" in said
    assert "8.0 GB free of 16.0 GB" in said
    assert "Not adapted" not in models.present(Double())


def test_a_model_that_may_be_on_all_gpus_is_counted_on_all(monkeypatch) -> None:
    asked = []
    engine = Double()
    engine.base.device, engine.base.place = torch.device("cuda:0"), torch.device("cuda")
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda index: 10**9)
    monkeypatch.setattr(memory, "total", lambda place: asked.append(place) or 16 * 10**9)
    assert "2.0 GB used by this app" in models.memory_bar(engine)
    engine.base.place = torch.device("cuda:0")
    assert "1.0 GB used by this app" in models.memory_bar(engine)
    assert asked == [torch.device("cuda"), torch.device("cuda:0")]


def test_load_starts_and_watches() -> None:
    holder = Holder()
    _, unload, load, how_far, clock = models.start(holder, " org/model ", "nf4", "auto")
    assert holder.asked == [("org/model", "nf4", "cpu", "auto")]
    assert "org/model" in how_far
    assert "goes on answering" in how_far
    assert (load["interactive"], unload["visible"]) == (False, False)
    assert isinstance(clock, gr.Timer)
    assert clock.active


@pytest.mark.parametrize("place", ["cpu", "cuda", "cuda:0", "cuda:1"])
def test_the_next_model_goes_where_the_first_was_asked_to_go(place: str) -> None:
    """To the GPU of that number, or to all where ``cuda`` was asked for, wherever it lies now."""
    holder = Holder()
    holder.engine.base.place = torch.device(place)
    models.start(holder, "org/model", "auto", "auto")
    assert holder.asked == [("org/model", "auto", place, "auto")]


@pytest.mark.parametrize("name", [None, "", "  "])
def test_load_without_a_name(name: str | None) -> None:
    holder = Holder()
    assert "Pick a model or write its name first." in models.start(holder, name, "auto", "auto")[3]
    assert holder.asked == []


def test_a_refusal_is_shown() -> None:
    holder = Holder(refusal="the model cannot be changed now: <an expert> is being trained")
    how_far = models.start(holder, "org/model", "auto", "auto")[3]
    assert "The model cannot be changed now: &lt;an expert&gt; is being trained." in how_far


def test_looking_goes_on_while_loading_and_ends_with_it() -> None:
    holder = Holder(Loading("big", "factoring matrix 3 of 12, 2 min left", 0.25))
    *_, how_far, clock, brought = models.look(holder, 0)
    assert "width:25.0%" in how_far
    assert "factoring matrix 3 of 12, 2 min left." in how_far
    assert (clock, brought) == (gr.skip(), gr.skip())
    holder.loading = Loading("big", ready=True)
    *_, how_far, clock, brought = models.look(holder, 0)
    assert (how_far, clock.active, brought) == ("", False, 1)


def test_a_failure_says_that_the_old_model_stays() -> None:
    holder = Holder(Loading("big", error="no model 'big' on the hub: check the spelling"))
    *_, how_far, clock, brought = models.look(holder, 0)
    assert "No model &#x27;big&#x27; on the hub: check the spelling. tiny stays." in how_far
    assert (clock.active, brought) == (False, gr.skip())


@pytest.mark.parametrize("running", [True, False])
def test_a_page_that_is_opened_later_finds_the_loading(running: bool) -> None:
    holder = Holder(Loading("big") if running else None)
    *_, how_far, clock = models.arrive(holder)
    assert (("big" in how_far), clock.active) == (running, running)
