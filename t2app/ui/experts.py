"""The experts tab: what there is, what is in each, how they differ and what they do.

Layout and wiring; what the handlers do stands in ``experts_handlers``. Everything on the page is
drawn from one value, ``view``: a change of the folder or of the chosen expert gives a new one.
Not covered: training experts (``train_tab``), searching mixes (``few_shot``).
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import gradio as gr

from t2app.svf import reference
from t2app.svf.library import SUFFIX
from t2app.ui import asking, train_runs
from t2app.ui import experts_handlers as act
from t2app.ui.chat import AT_ONCE, QUIET, Chat
from t2app.ui.experts_handlers import View
from t2app.ui.resident import Resident

# Another page, a training run or a file manager may change the folder at any time.
SECONDS_BETWEEN_LOOKS = 2

# A click inside carries what the element that was clicked says of itself.
CLICKS = """element.addEventListener('click', (event) => {
    const target = event.target.closest('[data-expert], [data-question]');
    if (target) trigger('click', {...target.dataset});
});"""
# Looking and drawing take turns: two views at once could end in the older one.
IN_TURN: dict[str, Any] = {**QUIET, "trigger_mode": "always_last"}

Parts = dict[str, Any]


def build(
    resident: Resident, tabs: gr.Tabs, tab: gr.Tab, chat: Chat, queues: train_runs.Queues
) -> None:
    """Put the tab into the open page.

    An example question leads to the chat; the expert that sorts questions is trained in ``queues``.
    """
    parts: Parts = {
        "view": gr.State(View()),
        "gone": gr.State(None),
        "shown": gr.State(None),
        "timer": gr.Timer(SECONDS_BETWEEN_LOOKS, active=False),
    }
    with gr.Column(elem_classes="t2-lab", elem_id="t2-experts-page"):
        parts |= _list()
        parts |= _one()
        parts |= _all()
    _wire_list(resident, tabs, tab, parts, chat)
    _wire_changes(resident, parts)
    _wire_router(resident, tabs, parts, queues)
    _wire_one(resident, tabs, parts, chat)
    _wire_all(resident, tabs, tab, parts, chat)


# -- layout --------------------------------------------------------------------------------------


def _list() -> Parts:
    with gr.Column(elem_classes="t2-card", elem_id="t2-experts-list"):
        gr.HTML("<h2>Experts</h2>")
        table = gr.HTML(js_on_load=CLICKS, elem_id="t2-experts-table")
        problems = gr.HTML(elem_id="t2-experts-problems")
        notice = gr.HTML(visible=False, elem_id="t2-experts-notice")
        router = gr.HTML(visible=False, elem_id="t2-experts-router")
        retrain = gr.Button("Train it now", visible=False, size="sm", elem_id="t2-experts-retrain")
        undo = gr.Button("Bring it back", visible=False, size="sm", elem_id="t2-experts-undo")
        with gr.Accordion("Import an expert", open=False, elem_classes="t2-fold") as fold:
            gr.HTML(
                f'<p class="t2-quiet">A <code>{SUFFIX}</code> file of t2app for this model, or a '
                "<code>policy_params.pt</code> or <code>learnable_params.pt</code> of "
                f"{reference.SOURCE}. Files are only read: nothing in them is run.</p>"
            )
            with gr.Row(elem_classes="t2-import"):
                file = gr.File(
                    label="File of an expert",
                    file_types=[SUFFIX, reference.SUFFIX],
                    height=130,
                    elem_id="t2-experts-file",
                )
                with gr.Column(min_width=220):
                    import_name = gr.Textbox(
                        label="Name", info="As the file says, if left empty.", max_lines=1
                    )
                    take = gr.Button("Import", variant="primary", elem_id="t2-experts-import")
    return {
        "table": table,
        "problems": problems,
        "notice": notice,
        "undo": undo,
        "router": router,
        "retrain": retrain,
        "fold": fold,
        "file": file,
        "import_name": import_name,
        "import": take,
    }


def _one() -> Parts:
    with gr.Column(visible=False, elem_classes="t2-card", elem_id="t2-expert") as one:
        with gr.Row(elem_classes="t2-expert-head"):
            title = gr.HTML(elem_id="t2-expert-title")
            with gr.Row(elem_classes="t2-actions"):
                download = gr.DownloadButton("Download", size="sm", min_width=0)
                delete = gr.Button("Delete…", size="sm", min_width=0, elem_id="t2-expert-delete")
        with gr.Column(visible=False, elem_classes="t2-sure", elem_id="t2-expert-sure") as sure:
            question = gr.HTML()
            with gr.Row(elem_classes="t2-actions"):
                yes = gr.Button("Delete", variant="stop", size="sm", min_width=0)
                no = gr.Button("Keep it", size="sm", min_width=0)
        with gr.Row(elem_classes="t2-expert-body"):
            with gr.Column(scale=7, min_width=320):
                gr.HTML("<h3>Where it changes the model</h3>")
                strength = _plot("t2-expert-strength")
                strength_words = gr.HTML()
                matrix = gr.Dropdown(
                    label="Inside one matrix", elem_id="t2-expert-matrix", filterable=True
                )
                vector = _plot("t2-expert-vector")
                vector_words = gr.HTML()
            with gr.Column(scale=5, min_width=300):
                gr.HTML("<h3>About it</h3>")
                facts = gr.HTML(elem_id="t2-expert-facts")
                gr.HTML("<h3>Example questions</h3>")
                examples = gr.HTML(js_on_load=CLICKS, elem_id="t2-expert-examples")
        with gr.Row(elem_classes="t2-expert-body"):
            curves = [_plot(f"t2-expert-curve-{n}") for n in (1, 2)]
        with gr.Accordion("Rename or describe", open=False, elem_classes="t2-fold"):
            with gr.Row(elem_classes="t2-edit"):
                name = gr.Textbox(label="Name", max_lines=1, scale=1, elem_id="t2-expert-name")
                description = gr.Textbox(
                    label="What it is for",
                    max_lines=2,
                    scale=3,
                    elem_id="t2-expert-description",
                )
            gr.HTML('<p class="t2-quiet">The first pass reads both when it chooses an expert.</p>')
            save = gr.Button("Save", size="sm", elem_id="t2-expert-save")
        with gr.Accordion("Everything in its file", open=False, elem_classes="t2-fold"):
            header = gr.JSON(show_label=False, elem_id="t2-expert-header")
    return {
        "one": one,
        "title": title,
        "download": download,
        "delete": delete,
        "sure": sure,
        "question": question,
        "yes": yes,
        "no": no,
        "strength": strength,
        "strength_words": strength_words,
        "matrix": matrix,
        "vector": vector,
        "vector_words": vector_words,
        "facts": facts,
        "examples": examples,
        "curves": curves,
        "name": name,
        "description": description,
        "save": save,
        "header": header,
    }


def _all() -> Parts:
    with gr.Column(elem_classes="t2-card", elem_id="t2-experts-all"), gr.Tabs():
        with gr.Tab("Compare"):
            with gr.Row(elem_classes="t2-expert-body"):
                with gr.Column(scale=5, min_width=300):
                    gr.HTML("<h3>How alike they are</h3>")
                    alike, alike_words = _plot("t2-alike"), gr.HTML()
                with gr.Column(scale=7, min_width=320) as pair:
                    gr.HTML("<h3>Side by side</h3>")
                    with gr.Row(elem_classes="t2-edit"):
                        left = gr.Dropdown(label="One", elem_id="t2-pair-one", filterable=True)
                        right = gr.Dropdown(label="Other", elem_id="t2-pair-other", filterable=True)
                    pair_words = gr.HTML()
            with gr.Row(elem_classes="t2-three"):
                captions, figures = [], []
                for name in ("one", "other", "agreement"):
                    with gr.Column(min_width=240):
                        captions.append(gr.HTML("<h4>Cosine similarity by matrix</h4>"))
                        figures.append(_plot(f"t2-pair-{name}-figure"))
        with gr.Tab("What they do to each task"), gr.Row(elem_classes="t2-expert-body"):
            with gr.Column(min_width=320):
                gr.HTML("<h3>Each expert on each task</h3>")
                effects, effects_words = _plot("t2-effects"), gr.HTML()
            with gr.Column(min_width=320, visible=False) as sorting:
                gr.HTML("<h3>How questions were sorted</h3>")
                strategy = gr.Dropdown(label="Sorted by", elem_id="t2-confusion-by")
                confusion, confusion_words = _plot("t2-confusion"), gr.HTML()
                gr.HTML("<h3>What their answers were mixed from</h3>")
                mixed_task = gr.Dropdown(label="Questions of", elem_id="t2-mixed-task")
                mixed, mixed_words = _plot("t2-mixed"), gr.HTML(elem_id="t2-mixed-words")
        with gr.Tab("In this conversation", id="conversation") as conversation:
            gr.HTML("<h3>What each answer was mixed from</h3>")
            chosen, chosen_words = _plot("t2-contributions"), gr.HTML()
    return {
        "alike": alike,
        "alike_words": alike_words,
        "left": left,
        "right": right,
        "pair": pair,
        "pair_words": pair_words,
        "pair_figures": [*captions[:2], *figures],
        "effects": effects,
        "effects_words": effects_words,
        "strategy": strategy,
        "confusion": confusion,
        "confusion_words": confusion_words,
        "mixed_task": mixed_task,
        "mixed": mixed,
        "mixed_words": mixed_words,
        "sorting": sorting,
        "conversation": conversation,
        "chosen": chosen,
        "chosen_words": chosen_words,
    }


def _plot(name: str) -> gr.Plot:
    return gr.Plot(show_label=False, container=False, elem_id=name, elem_classes="t2-plot")


# -- wiring --------------------------------------------------------------------------------------


def _wire_list(resident: Resident, tabs: gr.Tabs, tab: gr.Tab, parts: Parts, chat: Chat) -> None:
    """Look at the folder when the tab opens and while it is open; draw what is new."""
    view, bind = parts["view"], resident.bind
    found = [view, parts["notice"]]
    tab.select(bind(act.looked), view, found, **IN_TURN)
    tabs.select(_while_open(tab), None, parts["timer"], **AT_ONCE)
    parts["timer"].tick(bind(act.looked), view, found, **IN_TURN)
    parts["table"].click(bind(act.picked), view, found, **IN_TURN)
    view.change(bind(act.listed), view, [parts["table"], parts["problems"]], **IN_TURN)
    # The chat's sliders are one for each expert: an expert that has gone takes its own along.
    hand = [chat.session.mixer, chat.session.hand, chat.side.by_hand]
    view.change(bind(asking.refreshed), chat.session.hand, hand, **AT_ONCE)


def _while_open(tab: gr.Tab) -> Callable[[gr.SelectData], gr.Timer]:
    """Nobody looks at a folder whose table is not on the screen."""

    def switched(event: gr.SelectData) -> gr.Timer:
        return gr.Timer(active=event.value == tab.label)

    return switched


def _wire_changes(resident: Resident, parts: Parts) -> None:
    """Import, rename, describe, delete, bring back."""
    view, notice, bind = parts["view"], parts["notice"], resident.bind
    file, name = parts["file"], parts["import_name"]
    parts["import"].click(
        bind(act.imported), [view, file, name], [view, notice, file, name], **IN_TURN
    )
    parts["save"].click(
        bind(act.saved), [view, parts["name"], parts["description"]], [view, notice], **IN_TURN
    )
    sure = parts["sure"]
    parts["delete"].click(bind(act.question), view, [sure, parts["question"]], **AT_ONCE)
    parts["no"].click(partial(gr.update, visible=False), None, sure, **AT_ONCE)
    undo = [parts["gone"], parts["undo"]]
    parts["yes"].click(bind(act.deleted), view, [view, notice, *undo], **IN_TURN)
    parts["undo"].click(bind(act.restored), [view, parts["gone"]], [view, notice, *undo], **IN_TURN)


def _wire_router(
    resident: Resident, tabs: gr.Tabs, parts: Parts, queues: train_runs.Queues
) -> None:
    """Say when the expert that sorts questions does not know the experts there are; train it."""
    told = [parts["router"], parts["retrain"]]
    parts["view"].change(resident.bind(act.router_state), None, told, **IN_TURN)
    parts["retrain"].click(
        resident.bind(act.retrained, queues), None, [tabs, parts["notice"], *told], **AT_ONCE
    )


def _wire_one(resident: Resident, tabs: gr.Tabs, parts: Parts, chat: Chat) -> None:
    """The card of the chosen expert."""
    view, bind = parts["view"], resident.bind
    everything = [
        parts[key]
        for key in (
            "shown", "one", "title", "download", "name", "description", "sure", "strength",
            "strength_words", "matrix", "facts",
        )
    ]  # fmt: skip
    everything += [*parts["curves"], parts["examples"], parts["header"]]
    opened = view.change(bind(act.opened), [view, parts["shown"]], everything, **IN_TURN)
    one_matrix = (bind(act.matrix), [view, parts["matrix"]])
    drawn = [parts["vector"], parts["vector_words"]]
    opened.then(*one_matrix, drawn, **IN_TURN)
    parts["matrix"].input(*one_matrix, drawn, **IN_TURN)
    parts["examples"].click(bind(act.try_example), view, [tabs, chat.talk.box], **AT_ONCE)


def _wire_all(resident: Resident, tabs: gr.Tabs, tab: gr.Tab, parts: Parts, chat: Chat) -> None:
    """The card about several experts."""
    view, bind = parts["view"], resident.bind
    left, right = parts["left"], parts["right"]
    shown = [parts["alike"], parts["alike_words"], left, right, parts["pair"]]
    compared = view.change(bind(act.compared), [view, left, right], shown, **IN_TURN)
    pair = (bind(act.paired), [left, right], [parts["pair_words"], *parts["pair_figures"]])
    compared.then(*pair, **IN_TURN)
    for choice in (left, right):
        choice.input(*pair, **IN_TURN)
    strategy, task = parts["strategy"], parts["mixed_task"]
    shown = [parts["effects"], parts["effects_words"], strategy, parts["sorting"]]
    measured = view.change(bind(act.effects), strategy, shown, **IN_TURN)
    sorted_by = (
        bind(act.confusion),
        [strategy, task],
        [parts["confusion"], parts["confusion_words"], task],
    )
    mixed = (bind(act.mixed), [strategy, task], [parts["mixed"], parts["mixed_words"]])
    measured.then(*sorted_by, **IN_TURN).then(*mixed, **IN_TURN)
    strategy.input(*sorted_by, **IN_TURN).then(*mixed, **IN_TURN)
    task.input(*mixed, **IN_TURN)
    for opened in (tab.select, parts["conversation"].select):
        opened(
            act.contributions,
            chat.session.turns,
            [parts["chosen"], parts["chosen_words"]],
            **AT_ONCE,
        )
