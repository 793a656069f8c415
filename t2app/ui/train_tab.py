"""The train tab: rows in, an expert out, and the runs there have been.

Layout and wiring; what the handlers do stands in ``train_data`` (the rows) and ``train_runs`` (the
runs). A run is a job of the app and not of a visit: the page looks at it once a second while one is
active, so it can be closed at any time. What a visitor is preparing lives in the visitor's session.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import gradio as gr

from t2app.data.examples import EXAMPLES
from t2app.data.names import ROLES
from t2app.training.settings import HELP, MODULES, OBJECTIVES, Settings
from t2app.ui import train_data, train_look, train_reward, train_runs
from t2app.ui.chat import Chat
from t2app.ui.resident import Resident
from t2app.ui.train_form import FIELDS, LABELS

Components = dict[str, Any]
Handler = Callable[..., Any]

QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
AT_ONCE: dict[str, Any] = {**QUIET, "concurrency_limit": None}
# What shows runs, one after the other: an older look must not undo what was chosen since. Each
# takes milliseconds.
IN_TURN: dict[str, Any] = {**QUIET, "concurrency_limit": 1, "concurrency_id": "runs"}
# Reading and checking a large file takes some seconds, and says so in one place. One after the
# other, so that a choice always finds what the one before it made of the rows.
CHECKS: dict[str, Any] = {
    "api_visibility": "private",
    "show_progress": "minimal",
    "concurrency_limit": 1,
    "concurrency_id": "rows",
}
# Estimates run the model: one at a time, and of several changes in a row the last counts.
PLANS: dict[str, Any] = {**QUIET, "concurrency_limit": 1, "trigger_mode": "always_last"}

# A click inside carries what the element that was clicked says of itself.
CLICKS = """element.addEventListener('click', (event) => {
    const target = event.target.closest('[data-row], [data-start], [data-run], [data-example]');
    if (target && !target.disabled) trigger('click', {...target.dataset});
});"""
# Rows from a spreadsheet go into the grid as rows instead of into one cell.
PASTES = """document.addEventListener('paste', (event) => {
    if (!event.target.closest?.('#t2-grid')) return;
    const text = event.clipboardData?.getData('text/plain') ?? '';
    if (!/[\\t\\n]/.test(text.trim())) return;
    event.preventDefault();
    event.stopPropagation();
    trigger('input', {text});
}, true);"""
STEPS = (
    ("Choose rows", "You see what the model will read, and which rows cannot be used and why."),
    (
        "Press Train",
        "The rest is decided for you. A few rows are set aside first, to measure with.",
    ),
    (
        "Read the verdict",
        "The base model and the expert answer the rows set aside. It helps, makes no difference, "
        "or hurts.",
    ),
)
ROLE_LABELS = {
    "question": "Question",
    "answer": "Right answer",
    "context": "Context",
    "choices": "Options to choose from",
    "tests": "Tests for a program",
    "system": "System prompt",
}


def remembered() -> gr.BrowserState:
    """The run that a browser looked at last; the runs themselves are the app's.

    To be put outside the tabs, whose parts do not exist before they are opened for the first time.
    """
    return gr.BrowserState(None, storage_key="t2app.run", secret="t2app")


def build(
    page: gr.Blocks,
    resident: Resident,
    tabs: gr.Tabs,
    tab: gr.Tab,
    chat: Chat,
    queues: train_runs.Queues,
    saved: gr.BrowserState,
) -> None:
    """Put the tab into ``page``, which must be open; the chat is where an expert is used."""
    resident.refuse_while(queues.busy)
    parts: Components = {
        "draft": gr.State(None),
        "ticket": gr.State(0),
        "start": gr.State(0),
        "row": gr.State(None),
        "chosen": gr.State(None),
        "seen": gr.State(None),
        "saved": saved,
        "timer": gr.Timer(train_runs.SECONDS_BETWEEN_LOOKS, active=False),
    }
    with gr.Row(elem_id="t2-train"):
        with gr.Column(scale=7, min_width=320, elem_classes="t2-stack"):
            parts |= _new_view() | _run_view() | _compare_view()
        with gr.Column(scale=3, min_width=300, elem_classes="t2-stack", elem_id="t2-train-side"):
            parts |= _side()
    _wire_rows(parts, resident)
    _wire_runs(page, parts, resident, queues, tab)
    _wire_use(parts, resident, queues, tabs, chat)


# -- layout --------------------------------------------------------------------------------------


def _new_view() -> Components:
    with gr.Column(elem_classes="t2-stack") as view:
        notice = gr.HTML(visible=False, elem_classes="t2-notice")
        parts = _sources() | _typing() | _rows()
    return {"new_view": view, "notice": notice, **parts}


def _sources() -> Components:
    with gr.Column(elem_classes="t2-card", elem_id="t2-sources") as sources:
        gr.HTML(
            "<h2>Train an expert</h2><p class='t2-lead'>Give it questions with the right answers. "
            "It practises on them on the model you chat with, and then tells you, on rows it has "
            "never seen, whether that helped.</p>"
        )
        file = gr.File(
            label="Drop a file here, or click to choose one",
            show_label=False,
            elem_id="t2-drop",
            height=150,
        )
        gr.HTML(
            "<p class='t2-quiet'>CSV, TSV, JSON Lines or a text export from a spreadsheet, up to "
            "20 MB. Encoding, separators and columns are found out.</p>"
        )
        to_typing = gr.Button("Type or paste rows instead", size="sm", elem_id="t2-to-typing")
        gr.HTML("<h3>No data at hand? Try one of these</h3>")
        examples = _clickable("t2-examples", _examples())
    return {"sources": sources, "file": file, "to_typing": to_typing, "examples": examples}


def _clickable(elem_id: str, value: str = "") -> gr.HTML:
    """HTML whose parts tell what was clicked, without Gradio's own look of tables and buttons."""
    return gr.HTML(value, js_on_load=CLICKS, apply_default_css=False, elem_id=elem_id)


def _examples() -> str:
    return "".join(
        f'<button type="button" data-example="{number}"><b>{example.title}</b>'
        f"<span>{example.description}</span></button>"
        for number, example in enumerate(EXAMPLES)
    )


def _typing() -> Components:
    with gr.Column(visible=False, elem_classes="t2-card", elem_id="t2-typing") as typing:
        gr.HTML("<h2>Type or paste rows</h2>")
        hint = gr.HTML(
            "<p class='t2-quiet'>Click a cell to write in it; copy rows in a spreadsheet and paste "
            "them onto the table. The names of the columns can be changed too.</p>",
            js_on_load=PASTES,
        )
        grid = gr.Dataframe(
            headers=list(train_data.GRID_COLUMNS),
            value=train_data.EMPTY_GRID,
            datatype="str",
            type="pandas",
            interactive=True,
            wrap=True,
            show_label=False,
            max_height=420,
            buttons=[],
            elem_id="t2-grid",
        )
        with gr.Row(elem_classes="t2-actions"):
            use_typed = gr.Button("Use these rows", variant="primary", size="md")
            typed_back = gr.Button("Back", size="md")
    return {
        "typing": typing,
        "hint": hint,
        "grid": grid,
        "use_typed": use_typed,
        "typed_back": typed_back,
    }


def _rows() -> Components:
    with gr.Column(visible=False, elem_classes="t2-stack") as rows:
        with gr.Column(elem_classes="t2-card", elem_id="t2-rows"):
            with gr.Row(elem_classes="t2-head-row"):
                facts = gr.HTML(elem_id="t2-file-facts")
                other = gr.Button("Other rows", size="sm", elem_classes="t2-small")
            with gr.Row(elem_classes="t2-roles"):
                roles = {role: _role(role) for role in ROLES[:2]}
            confirm = gr.Button(
                "These columns are right", size="sm", visible=False, elem_id="t2-confirm-columns"
            )
            with gr.Accordion(
                "More columns, encoding and separators", open=False, elem_classes="t2-fold"
            ) as more:
                with gr.Row(elem_classes="t2-roles"):
                    roles |= {role: _role(role) for role in ROLES[2:]}
                with gr.Row(elem_classes="t2-roles"):
                    encoding = gr.Dropdown(
                        label="Encoding", allow_custom_value=True, elem_id="t2-encoding"
                    )
                    delimiter = gr.Dropdown(label="Separated by", elem_id="t2-delimiter")
                    header = gr.Dropdown(
                        label="First row names the columns", elem_id="t2-header-row"
                    )
            preview = _clickable("t2-preview")
        with gr.Column(elem_classes="t2-card t2-optional", elem_id="t2-reading"):
            reading = gr.HTML()
    return {
        "rows": rows,
        "facts": facts,
        "other": other,
        "encoding": encoding,
        "delimiter": delimiter,
        "header": header,
        **roles,
        "confirm": confirm,
        "more": more,
        "preview": preview,
        "reading": reading,
    }


def _role(role: str) -> gr.Dropdown:
    return gr.Dropdown(
        label=ROLE_LABELS[role],
        multiselect=role == "choices",
        interactive=True,
        elem_id=f"t2-role-{role}",
        min_width=180,
    )


def _side() -> Components:
    new = gr.Button("Train another", elem_id="t2-new", visible=False)
    with gr.Column(elem_classes="t2-stack") as new_side:
        with gr.Column(elem_classes="t2-card") as intro:
            gr.HTML(_intro())
        parts = {"intro": intro, **_expert()}
    with gr.Column(elem_classes="t2-card"):
        gr.HTML("<h2>Runs</h2>")
        runs = _clickable("t2-runs")
        compare = gr.Dropdown(
            label="Compare runs",
            multiselect=True,
            max_choices=train_runs.MOST_COMPARED,
            visible=False,
            elem_id="t2-compare-runs",
        )
    return {
        "new": new,
        "new_side": new_side,
        **parts,
        "runs": runs,
        "compare": compare,
    }


def _intro() -> str:
    steps = "".join(f"<li><b>{name}.</b> {text}</li>" for name, text in STEPS)
    return f"<h2>How it goes</h2><ol class='t2-how-it-goes'>{steps}</ol>"


def _expert() -> Components:
    with gr.Column(visible=False, elem_classes="t2-card", elem_id="t2-expert") as expert:
        gr.HTML("<h2>Your expert</h2>")
        check = gr.HTML(elem_id="t2-check")
        rejected = gr.DownloadButton("Download the rows left out", size="sm", visible=False)
        name = gr.Textbox(label="Name", max_length=41, elem_id="t2-name")
        description = gr.Textbox(
            label="What it is for",
            info="The first pass reads this to decide when to use it.",
            lines=2,
            elem_id="t2-description",
        )
        plan = gr.HTML(elem_id="t2-plan")
        refused = gr.HTML(visible=False, elem_classes="t2-notice")
        train = gr.Button("Train", variant="primary", elem_id="t2-start")
        with gr.Column(visible=False, elem_classes="t2-ask", elem_id="t2-replace") as replace:
            asked = gr.HTML()
            with gr.Row(elem_classes="t2-actions"):
                keep_both = gr.Button("Keep both", variant="primary", size="sm")
                overwrite = gr.Button("Replace it", variant="stop", size="sm")
                leave = gr.Button("Cancel", size="sm")
        advanced = _advanced()
    return {
        "expert": expert,
        "check": check,
        "rejected": rejected,
        "name": name,
        "description": description,
        "plan": plan,
        "refused": refused,
        "train": train,
        "replace": replace,
        "asked": asked,
        "keep_both": keep_both,
        "overwrite": overwrite,
        "leave": leave,
        **advanced,
    }


def _advanced() -> Components:
    usual = Settings()
    choices = {
        "objective": [(f"{name}: {said}", name) for name, said in OBJECTIVES.items()],
        "modules": [(f"{name}: {said}", name) for name, said in MODULES.items()],
    }
    with gr.Accordion("Advanced", open=False, elem_classes="t2-fold", elem_id="t2-advanced"):
        reward = gr.Dropdown(
            label="Reward",
            info="how an answer is judged",
            choices=train_data.reward_choices(),
            value=train_data.AUTO,
            elem_id="t2-reward",
        )
        tell = gr.Checkbox(
            label="Tell the choices",
            info="labels or options stand in front of each question, also in the chat",
            value=True,
            elem_id="t2-tell",
        )
        fields: Components = {}
        for name in FIELDS:
            given = {
                "label": LABELS[name],
                "info": HELP[name],
                "value": getattr(usual, name),
                "elem_id": f"t2-set-{name.replace('_', '-')}",
            }
            if name in choices:
                fields[name] = gr.Dropdown(choices=choices[name], **given)
            elif isinstance(given["value"], bool):
                fields[name] = gr.Checkbox(**given)
            else:
                fields[name] = gr.Number(**given)
        own = train_reward.panel()
    return {"reward": reward, "tell": tell, **fields, **own}


def _run_view() -> Components:
    with gr.Column(visible=False, elem_classes="t2-stack", elem_id="t2-run") as view:
        with gr.Column(elem_classes="t2-card"):
            head = gr.HTML()
            notice = gr.HTML(visible=False, elem_classes="t2-notice")
            progress = gr.HTML(elem_id="t2-progress")
            result = gr.HTML(elem_id="t2-result")
            with gr.Row(elem_classes="t2-actions"):
                use = gr.Button("Use it in chat", variant="primary", size="md", visible=False)
                stop = gr.Button("Stop and keep the best", size="md", visible=False)
                resume = gr.Button("Resume", variant="primary", size="md", visible=False)
                again = gr.Button("Run again", size="md", visible=False)
                delete = gr.Button("Delete", size="md", visible=False)
            with gr.Column(visible=False, elem_classes="t2-ask") as sure:
                gr.HTML(
                    "<p class='t2-say'>Delete this run, with its log and curve? "
                    "Its expert stays in the list.</p>"
                )
                with gr.Row(elem_classes="t2-actions"):
                    yes = gr.Button("Delete the run", variant="stop", size="sm")
                    no = gr.Button("Keep it", size="sm")
        with gr.Row(elem_classes="t2-charts"):
            charts = {
                name: gr.Plot(
                    show_label=False,
                    visible=False,
                    min_width=250,
                    elem_classes="t2-curve",
                    elem_id=f"t2-curve-{measure}",
                )
                for name, measure in train_runs.CURVES.items()
            }
        look = train_look.panel()
        with gr.Column(elem_classes="t2-card t2-optional", elem_id="t2-held-out"):
            held_out = gr.HTML(apply_default_css=False)
        with gr.Accordion("How it was trained", open=False, elem_classes="t2-fold t2-card"):
            facts = gr.HTML()
            with gr.Row(elem_classes="t2-actions"):
                files = {
                    "expert_file": gr.DownloadButton("Expert", size="sm", visible=False),
                    "rejected_file": gr.DownloadButton("Rows left out", size="sm", visible=False),
                    "log_file": gr.DownloadButton("Log", size="sm", visible=False),
                }
    return {
        "run_view": view,
        "head": head,
        "run_notice": notice,
        "progress": progress,
        "result": result,
        "use": use,
        "stop": stop,
        "resume": resume,
        "again": again,
        "delete": delete,
        "sure": sure,
        "yes": yes,
        "no": no,
        **charts,
        **look,
        "held_out": held_out,
        "run_facts": facts,
        **files,
    }


def _compare_view() -> Components:
    with gr.Column(visible=False, elem_classes="t2-card", elem_id="t2-compared") as view:
        gr.HTML("<h2>Runs side by side</h2>")
        chart = gr.Plot(show_label=False, elem_classes="t2-curve")
        table = gr.HTML(apply_default_css=False)
    return {"compare_view": view, "compared": table, "compare_chart": chart}


# -- wiring --------------------------------------------------------------------------------------


def _wire_rows(parts: Components, resident: Resident) -> None:
    """Everything about the rows; whatever changes them raises the ticket, and so the estimate."""
    looked = [parts[name] for name in train_data.LOOKED]
    opened = [parts[name] for name in train_data.OPENED]
    draft, seed = parts["draft"], parts["seed"]

    def opens(handler: Handler) -> Handler:
        return resident.bind(train_data.guarded(handler, train_data.OPENED))

    def looks(handler: Handler, *first: Any) -> Handler:
        return resident.bind(train_data.guarded(handler, train_data.LOOKED), *first)

    file, examples, grid = parts["file"], parts["examples"], parts["grid"]
    opening = {"outputs": opened, **CHECKS}
    looking = {"outputs": looked, "show_progress_on": parts["preview"], **CHECKS}
    file.upload(opens(train_data.opened), [file, seed], show_progress_on=file, **opening)
    examples.click(opens(train_data.example), seed, show_progress_on=examples, **opening)
    parts["use_typed"].click(
        opens(train_data.typed), [grid, seed], show_progress_on=grid, **opening
    )
    reading = [parts["encoding"], parts["delimiter"], parts["header"]]
    for choice in reading:
        choice.input(looks(train_data.read_again), [draft, *reading], **looking)
    for role in ROLES:
        handler = looks(train_data.remapped, role)
        parts[role].input(handler, [draft, parts[role]], **looking)
    parts["confirm"].click(looks(train_data.confirmed), draft, **looking)
    judged = [draft, parts["reward"], seed, parts["tell"]]
    for choice in (parts["reward"], seed, parts["tell"]):
        choice.input(looks(train_data.rejudged), judged, **looking)
    typed = [draft, parts["own_code"], parts["own_weights"]]
    parts["own_try"].click(
        resident.bind(train_reward.tried),
        typed,
        [parts["own_table"], parts["own_said"]],
        show_progress_on=parts["own_said"],
        **CHECKS,
    )
    used = train_reward.USED
    parts["own_use"].click(
        resident.bind(train_data.guarded(train_reward.used, used)),
        typed,
        [parts[name] for name in used],
        show_progress_on=parts["own_said"],
        **CHECKS,
    )
    plan = {
        "fn": resident.bind(train_data.planned),
        "inputs": [draft, *(parts[name] for name in FIELDS)],
        "outputs": parts["plan"],
        **PLANS,
    }
    parts["ticket"].change(**plan)
    for name in FIELDS:
        if isinstance(parts[name], gr.Dropdown | gr.Checkbox):
            parts[name].input(**plan)
        elif name != "seed":  # when it is left, not at every digit
            parts[name].blur(**plan)
    views = [parts[name] for name in train_data.VIEWS]
    parts["to_typing"].click(
        train_data.to_typing, draft, [*views, grid, parts["notice"]], **AT_ONCE
    )
    for button in (parts["typed_back"], parts["other"]):
        button.click(train_data.to_sources, None, [*views, file, parts["notice"]], **AT_ONCE)
    parts["hint"].input(train_data.pasted, grid, [grid, parts["notice"]], **AT_ONCE)
    parts["preview"].click(
        resident.bind(train_data.turned),
        [draft, parts["start"], parts["row"]],
        [parts["start"], parts["row"], parts["preview"], parts["reading"]],
        **AT_ONCE,
    )


def _wire_runs(
    page: gr.Blocks,
    parts: Components,
    resident: Resident,
    queues: train_runs.Queues,
    tab: gr.Tab,
) -> None:
    """Everything about runs."""
    view = [parts[name] for name in train_runs.VIEW]
    chosen, bind = parts["chosen"], resident.bind
    page.load(bind(train_runs.opened, queues), parts["saved"], view, **IN_TURN)
    look = {"fn": bind(train_runs.looked, queues), "inputs": [chosen, parts["seen"]]}
    tab.select(**look, outputs=view, **IN_TURN)
    parts["timer"].tick(**look, outputs=view, **IN_TURN)
    parts["runs"].click(bind(train_runs.picked, queues), None, view, **IN_TURN)
    parts["new"].click(bind(train_runs.to_new, queues), None, view, **IN_TURN)
    parts["compare"].input(bind(train_runs.compared, queues), parts["compare"], view, **IN_TURN)
    asked = [*view, parts["refused"], parts["replace"], parts["asked"]]
    given = [parts["draft"], parts["name"], parts["description"], *(parts[n] for n in FIELDS)]
    parts["train"].click(bind(train_runs.begin, queues, False), given, asked, **IN_TURN)
    parts["overwrite"].click(bind(train_runs.begin, queues, True), given, asked, **IN_TURN)
    parts["keep_both"].click(
        bind(train_runs.begin_beside, queues), given, [*asked, parts["name"]], **IN_TURN
    )
    parts["leave"].click(_hidden, None, parts["replace"], **AT_ONCE)
    for name in ("stop", "resume", "again"):
        handler = bind(getattr(train_runs, name), queues)
        parts[name].click(handler, chosen, view, **IN_TURN)
    parts["delete"].click(partial(gr.update, visible=True), None, parts["sure"], **AT_ONCE)
    parts["no"].click(_hidden, None, parts["sure"], **AT_ONCE)
    parts["yes"].click(bind(train_runs.delete, queues), chosen, view, **IN_TURN)
    train_look.wire(parts, bind, queues, AT_ONCE)


def _hidden() -> Any:
    return gr.update(visible=False)


def _wire_use(
    parts: Components, resident: Resident, queues: train_runs.Queues, tabs: gr.Tabs, chat: Chat
) -> None:
    """From a result to the chat."""
    parts["use"].click(
        resident.bind(train_runs.use, queues),
        parts["chosen"],
        [
            tabs,
            chat.side.strategy,
            chat.session.mixer,
            chat.session.hand,
            chat.side.by_hand,
            chat.talk.box,
            chat.talk.notice,
            parts["run_notice"],
        ],
        **AT_ONCE,
    )
