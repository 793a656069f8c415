"""The model tab: what is loaded and how much memory it takes, and another model in its place.

Layout, wiring and the handlers; loading itself is ``resident``'s. Whoever loads a model does so for
everybody who has the page open, and the browser that did it then draws the page anew, once an
answer that is under way there has ended. Not covered: what a model needs (``t2app.models``).
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from functools import partial
from typing import Any

import gradio as gr
import psutil
import torch

from t2app.config import SMOLLM2, TINY
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.models import memory, shelf
from t2app.models.catalogue import CATALOGUE, Listed, listed
from t2app.models.words import gigabytes
from t2app.ui import conversation, found, invitation
from t2app.ui.chat import Chat
from t2app.ui.resident import Resident

SECONDS_BETWEEN_LOOKS = 0.5
QUANTS = {
    "auto": "Best for this machine",
    "nf4": "NF4 (4 bit)",
    "int8": "int8",
    "none": "Full (16 bit)",
}
STORAGES = {"auto": "As they are", "int8": "int8", "nf4": "NF4"}
BUILT_IN = "The built-in model stays ready at all times."

HANDLER: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
AT_ONCE: dict[str, Any] = {**HANDLER, "concurrency_limit": None}
RELOAD = "() => { window.location.reload(); }"


def watch() -> gr.Timer:
    """What looks how far a model is. Outside the tabs: one that was never opened has no clock."""
    return gr.Timer(SECONDS_BETWEEN_LOOKS, active=False)


def build(page: gr.Blocks, resident: Resident, talk: Chat, clock: gr.Timer) -> None:
    """Put the tab into ``page``, which must be open; the chat offers the first real model too."""
    kept = resident.engine.svf.storage
    kept = kept if kept in STORAGES else "auto"
    with gr.Row(elem_id="t2-models"):
        with gr.Column(scale=4, min_width=300, elem_classes="t2-card"):
            now = gr.HTML(present(resident.engine), elem_id="t2-model-now")
            unload = gr.Button(
                "Unload it, back to the built-in model",
                size="sm",
                visible=resident.engine.base.name != TINY,
                elem_id="t2-model-unload",
            )
            gr.HTML("<h2>On this computer</h2>")
            own = invitation.build(resident, "t2-model-get")
            here = gr.HTML(elem_id="t2-model-found")
        with gr.Column(scale=6, min_width=300, elem_classes="t2-card"):
            gr.HTML("<h2>Load another model</h2>")
            name = gr.Dropdown(
                choices=choices(resident.engine, "auto", kept),
                value=None,
                label="Model",
                info="Pick one, or write a Hugging Face id (ID:Q4_K_M for one of its GGUF files), "
                "a folder or a GGUF file.",
                allow_custom_value=True,
                elem_id="t2-model-name",
            )
            quant = gr.Radio(
                choices=[(words, key) for key, words in QUANTS.items()],
                value="auto",
                label="Precision",
                elem_id="t2-model-quant",
            )
            storage = gr.Radio(
                choices=[(words, key) for key, words in STORAGES.items()],
                value=kept,
                label="Factors",
                info="Smaller ones save memory and make experts coarser: int8 hardly, NF4 more.",
                elem_id="t2-model-factors",
            )
            needs = gr.HTML(elem_id="t2-model-needs")
            load = gr.Button("Load", variant="primary", elem_id="t2-model-load")
            how_far = gr.HTML(progress(resident), elem_id="t2-model-progress")
    # Counts the models that this browser brought; with each the page is drawn anew.
    brought = gr.State(0)
    offers = (talk.invite, own)
    shown = [now, unload, load, how_far, clock, *(part for o in offers for part in o.parts)]

    for field in (name, quant, storage):
        field.change(resident.bind(needed), [name, quant, storage], needs, **AT_ONCE)
    for field in (quant, storage):
        field.change(resident.bind(listing), [quant, storage], [name, here], **AT_ONCE)
    page.load(resident.bind(listing), [quant, storage], [name, here], **AT_ONCE)
    for offer in offers:
        offer.button.click(partial(start, resident, SMOLLM2, "auto", kept), None, shown, **HANDLER)
    load.click(partial(start, resident), [name, quant, storage], shown, **HANDLER)
    unload.click(partial(start, resident, TINY, "auto", "auto"), None, shown, **HANDLER)
    looked = [brought, talk.session.turns]
    clock.tick(partial(look, resident), looked, [*shown, brought], **AT_ONCE)
    brought.change(None, js=RELOAD, **AT_ONCE)
    page.load(partial(arrive, resident), None, shown, **AT_ONCE)


def choices(
    engine: Engine, quant: str, storage: str, here: Sequence[shelf.Found] = ()
) -> list[tuple[str, str]]:
    """The menu: what is ``here``, then each model with its download and the memory it needs."""
    there = found.choices(here, _place(engine))
    return there + [(_choice(engine, entry, quant, storage), entry.name) for entry in CATALOGUE]


def _choice(engine: Engine, entry: Listed, quant: str, storage: str) -> str:
    kind = precision_here(engine, entry, quant, storage)
    size = gigabytes(entry.need(kind, storage, _place(engine)).total)
    licence = " · licence on the hub" if entry.gated else ""
    return f"{entry.title} · {entry.download:.1f} GB to download · {size} of memory{licence}"


def listing(engine: Engine, quant: str, storage: str) -> tuple[Any, str]:
    """The menu for a precision and factors, and the list of what is on this computer."""
    here = shelf.found()
    menu = gr.update(choices=choices(engine, quant, storage, here))
    return menu, found.table(here, _place(engine))


def precision_here(engine: Engine, entry: Listed, quant: str, storage: str) -> str:
    """The precision that ``quant`` comes to for a listed model on this machine."""
    return entry.precision(quant, storage, _place(engine))


def start(resident: Resident, name: str | None, quant: str, storage: str) -> tuple[Any, ...]:
    """Begin to load a model, or say why not."""
    try:
        if not (name or "").strip():
            raise T2Error("pick a model or write its name first")
        resident.switch(name.strip(), quant, str(_place(resident.engine)), storage)
    except T2Error as error:
        said = note(str(error))
        offered = _offers(resident, said if name == SMOLLM2 else "")
        return *_state(resident), said, gr.skip(), *offered
    return *_state(resident), progress(resident), gr.Timer(active=True), *_offers(resident)


def look(resident: Resident, brought: int, turns: conversation.Turns = ()) -> tuple[Any, ...]:
    """How far it is, twice a second while a model is being loaded.

    Drawing the page anew would break off an answer that is under way in it.
    """
    loading = resident.loading
    ready = loading is not None and loading.ready
    waits = ready and conversation.busy(turns)
    clock = gr.skip() if _running(resident) or waits else gr.Timer(active=False)
    again = brought + 1 if ready and not waits else gr.skip()
    return *_state(resident), progress(resident), clock, *_offers(resident), again


def arrive(resident: Resident) -> tuple[Any, ...]:
    """What to show when the page is opened, also while a model is being loaded."""
    clock = gr.Timer(active=_running(resident))
    return *_state(resident), progress(resident), clock, *_offers(resident)


def _offers(resident: Resident, refusal: str = "") -> tuple[Any, ...]:
    """The offer of a real model, in the chat and on this tab; what came of it, if it was taken."""
    said = progress(resident) if invitation.accepted(resident) is not None else ""
    return 2 * invitation.shown(resident, refusal or said)


def _running(resident: Resident) -> bool:
    return resident.loading is not None and resident.loading.running


def _state(resident: Resident) -> tuple[Any, ...]:
    """What is loaded, and the two buttons."""
    engine, running = resident.engine, _running(resident)
    return (
        present(engine),
        gr.update(visible=engine.base.name != TINY, interactive=not running),
        gr.update(interactive=not running),
    )


def present(engine: Engine) -> str:
    """The model that answers now: facts, what experts cannot adapt, notes, memory."""
    state = engine.status()
    facts = {
        "Model": state["model"],
        "Precision": state["precision"],
        "Device": state["device"],
        "Context": f"{state['context']:,} tokens",
    }
    if engine.base.quantisation:
        facts["Weights"] = f"unpacked from GGUF ({engine.base.quantisation})"
    rows = "".join(f"<dt>{k}</dt><dd>{html.escape(str(v))}</dd>" for k, v in facts.items())
    if engine.base.skipped:
        rows += f"<dt>Not adapted</dt><dd>{html.escape('; '.join(engine.base.skipped))}</dd>"
    if engine.base.notes:
        rows += f"<dt>Notes</dt><dd>{html.escape('; '.join(engine.base.notes))}</dd>"
    return f"<h2>In use now</h2><dl class='t2-model-facts'>{rows}</dl>{memory_bar(engine)}"


def _place(engine: Engine) -> torch.device:
    """Where models are loaded: all GPUs, where the first was loaded for all of them."""
    return engine.base.place or engine.base.device


def memory_bar(engine: Engine) -> str:
    """What the app takes of this device's memory, what others take, what is free."""
    place = _place(engine)
    whole, free = memory.total(place), memory.free(place)
    own = (
        sum(torch.cuda.memory_reserved(index) for index in memory.gpus(place))
        if place.type == "cuda"
        else psutil.Process().memory_info().rss
    )
    own = min(own, whole - free) if whole > free else own
    others = max(0, whole - free - own)
    label = f"{gigabytes(own)} used by this app, {gigabytes(free)} free of {gigabytes(whole)}"
    return (
        f'<div class="t2-memory" role="img" aria-label="Memory: {label}">'
        f'<i style="width:{own / whole:.1%}"></i><i class="t2-others" '
        f'style="width:{others / whole:.1%}"></i></div><p class="t2-quiet">Memory: {label}.</p>'
    )


def needed(engine: Engine, name: str | None, quant: str, storage: str) -> str:
    """What the chosen model would take here, in words; nothing for one that is not listed."""
    entry = listed((name or "").strip())
    one = next((one for one in shelf.found() if one.name == name and not one.problem), None)
    if entry is None and one is None:
        text = "What it needs is checked before anything is loaded." if name else BUILT_IN
        return f'<p class="t2-quiet">{text}</p>'
    try:
        return found.about(entry or one.listed, one, quant, storage, _place(engine))
    except T2Error as error:
        return note(str(error))


def progress(resident: Resident) -> str:
    """The model that is being loaded, or why it could not be."""
    loading = resident.loading
    if loading is None or loading.ready:
        return ""
    if loading.error:
        return note(f"{loading.error}. {resident.engine.base.name} stays.")
    width = 100 if loading.share is None else 100 * loading.share
    moving = "" if loading.share is not None else " t2-moving"
    name, line = html.escape(loading.model), html.escape(loading.line)
    return (
        f'<div class="t2-loading{moving}" role="status"><div><i style="width:{width:.1f}%"></i>'
        f'</div><p class="t2-quiet"><b>{name}</b>: {line}. The present model goes on answering.'
        "</p></div>"
    )


def note(line: str) -> str:
    """One line that says what is wrong."""
    text = html.escape(line[:1].upper() + line[1:])
    return f'<div class="t2-note" role="alert">{text.rstrip(".")}.</div>'
