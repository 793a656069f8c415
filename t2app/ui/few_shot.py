"""The few-shot tab: a handful of solved examples in, the mix of experts that solves them out.

Layout and wiring; what the handlers do stands in ``few_shot_handlers``. What belongs to one user
lives in that user's session. Not covered: the search itself (``t2app.adapt.few_shot``).
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

import gradio as gr

from t2app.adapt.few_shot import Settings
from t2app.adapt.shots import FEWEST_SHOTS, MOST_SHOTS
from t2app.data.check import AUTO
from t2app.ui import few_shot_handlers as act
from t2app.ui.chat import AT_ONCE, QUIET, Chat
from t2app.ui.resident import Resident
from t2app.ui.shelf import Shelf
from t2app.ui.train_data import DETECT, ENCODINGS, reward_choices

# One at a time: a search keeps the model busy for a minute.
SEARCH: dict[str, Any] = {**QUIET, "concurrency_limit": 1, "concurrency_id": "searches"}
# Of several generations that came while one was drawn, the last counts.
LATEST: dict[str, Any] = {**AT_ONCE, "trigger_mode": "always_last"}
CLICKS = """element.addEventListener('click', (event) => {
    const target = event.target.closest('[data-example]');
    if (target) trigger('click', {...target.dataset});
});"""
LEAD = (
    "Give 3 to 10 questions with their answers, of one kind. The search tries many mixes of the "
    "experts at once and keeps the one that answers most of them right. Nothing is trained."
)
FITNESS = {
    "accuracy": "Right answers",
    "likelihood": "Likelihood of the given answers",
}

Parts = dict[str, Any]


def remembered() -> gr.BrowserState:
    """The key under which this browser's last search is kept; made outside of all tabs.

    Inside a tab that is not open, it would not be read when the page loads.
    """
    return gr.BrowserState(None, storage_key="t2app.search", secret="t2app")


def build(
    page: gr.Blocks, resident: Resident, tabs: gr.Tabs, chat: Chat, key: gr.BrowserState
) -> None:
    """Put the tab into the open page; the chat is where a mix is used."""
    parts: Parts = {
        "source": gr.State(act.TYPED),
        "search": gr.State(None),
        "ticket": gr.State(0),
        "result": gr.State(None),
        "key": key,
    }
    with gr.Row(elem_classes="t2-lab t2-expert-body", elem_id="t2-few-shot"):
        with gr.Column(scale=5, min_width=320, elem_classes="t2-lab"):
            parts |= _examples()
        with gr.Column(scale=7, min_width=320, elem_classes="t2-lab"):
            parts |= _search()
            parts |= _result()
    _wire_examples(parts)
    _wire_search(resident, parts)
    _wire_result(resident, tabs, parts, chat)
    _wire_reload(page, resident, parts)


# -- layout --------------------------------------------------------------------------------------


def _examples() -> Parts:
    with gr.Column(elem_classes="t2-card", elem_id="t2-shots"):
        gr.HTML(f'<h2>Solved examples</h2><p class="t2-lead">{LEAD}</p>')
        with gr.Tabs(selected=act.TYPED, elem_id="t2-shots-from") as ways:
            with gr.Tab("Type", id=act.TYPED) as typed:
                grid = gr.Dataframe(
                    headers=["question", "answer"],
                    value=[["", ""] for _ in range(MOST_SHOTS)],
                    datatype="str",
                    type="pandas",
                    interactive=True,
                    wrap=True,
                    show_label=False,
                    column_widths=["70%", "30%"],
                    max_height=300,
                    buttons=[],
                    elem_id="t2-shots-grid",
                )
            with gr.Tab("Paste", id=act.PASTED) as pasted:
                text = gr.Textbox(
                    label="Rows",
                    info="From a spreadsheet, or CSV: a question and its answer on each line.",
                    placeholder="question,answer\nWhat is 2 + 3?,5",
                    lines=8,
                    max_lines=16,
                    elem_id="t2-shots-text",
                )
            with gr.Tab("Upload", id=act.UPLOADED) as uploaded:
                file = gr.File(
                    label="CSV, TSV, JSON or JSON Lines",
                    file_types=[".csv", ".tsv", ".txt", ".json", ".jsonl"],
                    height=150,
                    elem_id="t2-shots-file",
                )
        gr.HTML("<h3>No examples at hand? Try some of these</h3>")
        tried = gr.HTML(_tried(), js_on_load=CLICKS, elem_id="t2-shots-try")
        parts = _reading() | _settings()
        notice = gr.HTML(visible=False, elem_id="t2-shots-notice")
        with gr.Row(elem_classes="t2-actions"):
            start = gr.Button("Find the mix", variant="primary", elem_id="t2-shots-start")
            stop = gr.Button("Stop", variant="stop", visible=False, elem_id="t2-shots-stop")
    return {
        "ways": ways,
        "tabs": {act.TYPED: typed, act.PASTED: pasted, act.UPLOADED: uploaded},
        "grid": grid,
        "text": text,
        "file": file,
        "tried": tried,
        **parts,
        "notice": notice,
        "start": start,
        "stop": stop,
    }


def _tried() -> str:
    buttons = "".join(
        f'<button type="button" data-example="{number}" title="{example.description}">'
        f"{example.title}</button>"
        for number, example in enumerate(act.TRIED)
    )
    return f'<div class="t2-chips">{buttons}</div>'


def _reading() -> Parts:
    """How rows that were pasted or uploaded are read, where that cannot be told."""
    with gr.Accordion(
        act.READING, open=False, elem_classes="t2-fold", elem_id="t2-shots-reading"
    ) as reading:
        header = gr.Dropdown(
            [("Detect", DETECT), ("Yes", "yes"), ("No", "no")],
            value=DETECT,
            label="First row names the columns",
            elem_id="t2-shots-header",
        )
        encoding = gr.Dropdown(
            [("Detect", DETECT), *ENCODINGS],
            value=DETECT,
            label="Encoding",
            allow_custom_value=True,
            elem_id="t2-shots-encoding",
        )
        columns = gr.Textbox(
            label="Columns",
            info="Left empty, they are guessed. Or by name: question=text, answer=label",
            max_lines=1,
            elem_id="t2-shots-columns",
        )
    return {"reading": reading, "header": header, "encoding": encoding, "columns": columns}


def _settings() -> Parts:
    usual = Settings()
    with gr.Accordion(
        "Advanced", open=False, elem_classes="t2-fold", elem_id="t2-shots-advanced"
    ) as advanced:
        fitness = gr.Radio(
            [(label, name) for name, label in FITNESS.items()],
            value=usual.fitness,
            label="What makes a mix good",
            info="Likelihood goes through the given answers word by word: it tells mixes apart "
            "more finely, but only where the answers show their steps.",
        )
        count = gr.Slider(
            FEWEST_SHOTS,
            MOST_SHOTS,
            value=MOST_SHOTS,
            step=1,
            label="Examples to search on",
            info="Rows beyond these are never searched on and measure the result.",
        )
        experts = gr.Dropdown(
            [],
            multiselect=True,
            label="Experts to mix",
            info="None chosen: all that a first pass may choose.",
            elem_id="t2-shots-experts",
        )
        per_layer = gr.Checkbox(label="A weight for each expert in every layer")
        free = gr.Checkbox(label="Weights may add up to more than 1")
        reward = gr.Dropdown(reward_choices(), value=AUTO, label="How answers are judged")
        with gr.Row(elem_classes="t2-edit"):
            population = gr.Number(usual.population, label="Mixes a generation", precision=0)
            generations = gr.Number(usual.generations, label="Generations at most", precision=0)
        with gr.Row(elem_classes="t2-edit"):
            elite = gr.Number(usual.elite, label="Share that is kept", step=0.05)
            patience = gr.Number(usual.patience, label="Patience, in generations", precision=0)
        seed = gr.Number(usual.seed, label="Seed", precision=0)
        prior = gr.Number(
            usual.prior,
            label="Examples that the first pass counts for",
            info="It looks at the questions alone. With few examples a mix may solve one more than "
            "another by chance; 0 goes by the examples alone, as in the paper.",
            minimum=0,
            step=1,
            elem_id="t2-shots-prior",
        )
    return {
        "count": count,
        "reward": reward,
        "advanced": advanced,
        "experts": experts,
        "settings": [
            fitness,
            per_layer,
            free,
            generations,
            population,
            elite,
            seed,
            prior,
            patience,
        ],
    }


def _search() -> Parts:
    with gr.Column(elem_classes="t2-card", elem_id="t2-search"):
        gr.HTML("<h2>The search</h2>")
        examples = gr.HTML()
        state = gr.HTML(act.view.waiting(act.NOT_YET), elem_id="t2-search-state")
        with gr.Row(elem_classes="t2-expert-body"):
            weights = _plot("t2-search-weights")
            fitness = _plot("t2-search-fitness")
    return {"examples": examples, "state": state, "weights": weights, "fitness": fitness}


def _plot(name: str) -> gr.Plot:
    return gr.Plot(
        show_label=False, container=False, visible=False, elem_id=name, elem_classes="t2-plot"
    )


def _result() -> Parts:
    with gr.Column(visible=False, elem_classes="t2-card", elem_id="t2-found") as card:
        gr.HTML("<h2>The mix it found</h2>")
        bars = gr.Plot(
            show_label=False, container=False, elem_id="t2-found-bars", elem_classes="t2-plot"
        )
        layers = _plot("t2-found-layers")
        mix_words = gr.HTML(elem_id="t2-found-words")
        scores = gr.HTML(elem_id="t2-found-scores")
        result_notice = gr.HTML(visible=False, elem_id="t2-found-notice")
        with gr.Row(elem_classes="t2-actions t2-keep"):
            name = gr.Textbox(
                label="Name", max_lines=1, scale=1, min_width=200, elem_id="t2-found-name"
            )
            save = gr.Button("Save", size="md", interactive=False, elem_id="t2-found-save")
            use = gr.Button(
                "Use in chat",
                variant="primary",
                size="md",
                interactive=False,
                elem_id="t2-found-use",
            )
    return {
        "card": card,
        "bars": bars,
        "layers": layers,
        "mix_words": mix_words,
        "scores": scores,
        "result_notice": result_notice,
        "name": name,
        "save": save,
        "use": use,
    }


# -- wiring --------------------------------------------------------------------------------------


def _wire_examples(parts: Parts) -> None:
    """The way that was opened last is the one that counts."""
    for way, tab in parts["tabs"].items():
        tab.select(partial(str, way), None, parts["source"], **AT_ONCE)
    parts["tried"].click(
        act.example, None, [parts["file"], parts["source"], parts["ways"]], **AT_ONCE
    )


def _wire_search(resident: Resident, parts: Parts) -> None:
    """The one event that searches, what starts it, what stops it, and what follows."""
    buttons = [parts["start"], parts["stop"]]
    given = _of(parts, ("ticket", "source", "grid", "text", "file", "reward", "count", "experts"))
    given += _of(parts, ("header", "encoding", "columns"))
    asked = ("search", "result", "ticket", "notice", "examples", "state")
    parts["advanced"].expand(
        resident.bind(act.offered), parts["experts"], parts["experts"], **AT_ONCE
    )
    parts["start"].click(
        resident.bind(act.begin),
        [*given, *parts["settings"]],
        [*_of(parts, asked), *buttons, parts["reading"]],
        **AT_ONCE,
    )
    searching = parts["ticket"].change(
        resident.bind(act.searching),
        parts["search"],
        _of(parts, ("result", "notice")),
        trigger_mode="once",
        **SEARCH,
    )
    shown = ("state", "weights", "fitness", "card", "bars", "layers", "mix_words", "scores")
    shown += ("save", "use")
    parts["result"].change(act.drawn, parts["result"], _of(parts, shown), **LATEST)
    parts["stop"].click(None, cancels=[searching], api_visibility="private")
    after = ("result", "state", "name")
    searching.then(act.settled, parts["result"], [*_of(parts, after), *buttons], **AT_ONCE)


def _wire_reload(page: gr.Blocks, resident: Resident, parts: Parts) -> None:
    """Whatever a search has found is kept; a page that loads anew shows it again."""
    shelf: Shelf[act.Result] = Shelf()
    parts["result"].change(partial(act.keep, shelf), _of(parts, ("key", "result")), None, **LATEST)
    page.load(
        resident.bind(act.restore, shelf),
        _of(parts, ("key", "ticket")),
        _of(parts, ("key", "result", "examples", "name")),
        **AT_ONCE,
    )


def _of(parts: Parts, names: Iterable[str]) -> list[Any]:
    return [parts[name] for name in names]


def _wire_result(resident: Resident, tabs: gr.Tabs, parts: Parts, chat: Chat) -> None:
    """Keep the mix, and use it."""
    given = [parts["result"], parts["name"]]
    parts["save"].click(
        resident.bind(act.save), given, [parts["result"], parts["result_notice"]], **AT_ONCE
    )
    parts["use"].click(
        resident.bind(act.use),
        given,
        [
            tabs,
            chat.side.strategy,
            chat.session.mixer,
            chat.session.hand,
            chat.side.by_hand,
            chat.talk.box,
            chat.talk.notice,
            parts["result"],
            parts["result_notice"],
        ],
        **AT_ONCE,
    )
