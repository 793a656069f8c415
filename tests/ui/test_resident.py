"""The engine that answers, and another in its place: background, refusals, failures, memory."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import threading
import weakref
from types import SimpleNamespace

import gradio as gr
import pytest
import torch

from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.ui import page
from t2app.ui.resident import Resident


def named(name: str) -> SimpleNamespace:
    return SimpleNamespace(
        base=SimpleNamespace(name=name),
        execution=SimpleNamespace(choice="factored"),
        svf=SimpleNamespace(storage="int8"),
    )


class Loader:
    """In place of ``Engine.load``: reports, waits for ``go``, then gives an engine or fails."""

    def __init__(self, outcome: object = None) -> None:
        self.outcome = outcome
        self.asked: list[tuple[str, str, str]] = []
        self.options: dict[str, str] = {}
        self.reported, self.go = threading.Event(), threading.Event()

    def __call__(self, model, quant, device, report, **options):
        self.asked.append((model, quant, device))
        self.options = options
        report("factoring", 3, 12)
        self.reported.set()
        assert self.go.wait(10)
        if isinstance(self.outcome, Exception):
            raise self.outcome
        return named(model)


def switched(loader: Loader, resident: Resident) -> None:
    loader.go.set()
    resident.wait(10)


def test_the_old_model_answers_until_the_new_one_is_ready() -> None:
    loader = Loader()
    old = named("old")
    resident = Resident(old, loader)
    resident.switch("new", "nf4", "cpu")
    assert loader.reported.wait(10)
    assert resident.engine is old
    assert resident.loading.line == "factoring matrix 3 of 12"
    assert resident.loading.share == 0.25
    with pytest.raises(T2Error, match="new is being loaded: wait"):
        resident.switch("third")
    switched(loader, resident)
    assert resident.engine.base.name == "new"
    assert resident.loading.ready
    assert loader.asked == [("new", "nf4", "cpu")]
    assert loader.options == {"execution": "factored", "storage": "int8"}


def test_factors_of_the_next_model_may_be_kept_otherwise() -> None:
    loader = Loader()
    resident = Resident(named("old"), loader)
    resident.switch("new", storage="nf4")
    resident.wait(10)
    assert loader.options["storage"] == "nf4"


@pytest.mark.parametrize(
    ("failure", "line"),
    [
        (T2Error("no model 'new'"), "no model 'new'"),
        (torch.OutOfMemoryError("CUDA"), "does not fit into memory"),
        (MemoryError(), "does not fit into memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory"), "does not fit into memory"),
        (RuntimeError("a defect"), "RuntimeError. The terminal says more"),
    ],
)
def test_whatever_goes_wrong_the_old_model_stays(failure: Exception, line: str) -> None:
    loader, old = Loader(failure), named("old")
    resident = Resident(old, loader)
    resident.switch("new")
    switched(loader, resident)
    assert resident.engine is old
    assert line in resident.loading.error
    resident.switch("another")  # and another may be tried


def test_refused_while_something_needs_the_model() -> None:
    loader, old = Loader(), named("old")
    resident = Resident(old, loader)
    busy: list[str] = ["an expert is being trained: wait for it or stop it"]
    resident.refuse_while(lambda: busy[0] if busy else None)
    with pytest.raises(T2Error, match="cannot be changed now: an expert is being trained"):
        resident.switch("new")
    assert loader.asked == []
    busy.clear()
    resident.switch("new")
    assert loader.reported.wait(10)
    busy.append("a job that was started while the model was being loaded")
    switched(loader, resident)
    assert resident.engine is old
    assert "started while" in resident.loading.error


def test_an_answer_keeps_the_model_that_it_began_with() -> None:
    resident = Resident(named("old"), Loader())

    def stream(engine, first: str, value: int):
        for _ in range(3):
            yield engine.base.name, first, value

    answer = resident.bind(stream, "first")(7)
    assert next(answer) == ("old", "first", 7)
    resident._engine = named("new")
    assert list(answer) == [("old", "first", 7)] * 2
    assert next(resident.bind(stream, "first")(7)) == ("new", "first", 7)


def test_bound_handlers_look_like_the_rest_of_their_arguments() -> None:
    def handler(engine, fixed, value: str, event: gr.SelectData) -> str:
        return engine.base.name + fixed + value

    bound = Resident(named("old")).bind(handler, "-")
    assert list(inspect.signature(bound).parameters) == ["value", "event"]
    assert bound("x", None) == "old-x"
    assert gr.utils.get_type_hints(bound)["event"] is gr.SelectData


@pytest.fixture
def own_engine(small_base, small_factors, monkeypatch, tmp_path) -> list[Engine]:
    """An engine that only this list holds, and that has answered."""
    monkeypatch.setenv("T2APP_EXPERTS", str(tmp_path))
    base = dataclasses.replace(small_base, model=copy.deepcopy(small_base.model))
    engine = Engine(base, small_factors)
    engine.generate([[1, 2, 3]], torch.zeros(engine.svf.layout.total), max_new_tokens=3)
    return [engine]


@pytest.mark.parametrize("on_the_page", [False, True])
def test_unloading_frees_the_model(own_engine, on_the_page, monkeypatch) -> None:
    """Nothing of the old model is left, and no tab of the page holds on to it."""
    made: list[Resident] = []

    def note(*arguments) -> Resident:
        made.append(Resident(*arguments))
        return made[-1]

    engine, loader = own_engine.pop(), Loader()
    parts = (engine, engine.model, engine.svf, next(engine.model.parameters()))
    left = [weakref.ref(part) for part in parts]
    # Held until the end, as the server holds the page.
    note(engine, loader)
    _blocks = page.build(made[0]) if on_the_page else None
    del engine, parts
    made[0].switch("new")
    assert loader.reported.wait(10)
    switched(loader, made[0])
    assert [ref() for ref in left] == [None] * 4
