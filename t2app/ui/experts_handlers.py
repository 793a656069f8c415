"""What happens on the experts page: looked at, compared, imported, renamed, deleted, brought back.

Handlers: an engine and plain values in, the new values of the components they are wired to
(``experts``) out. The folder of experts may change at any moment, by another page, a training run
or by hand: ``View`` says what this page has seen of it, and a new view draws everything anew.
Not covered: layout.
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr

from t2app.adapt import mixes, router
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.evaluation import figures, results
from t2app.svf import compare
from t2app.svf.expert import Expert
from t2app.svf.library import SUFFIX, free_name
from t2app.tasks import DISPATCH
from t2app.ui import asking, train_charts, words
from t2app.ui import experts_charts as charts
from t2app.ui import experts_view as view
from t2app.ui.asking import note
from t2app.ui.conversation import Turns, mix_words
from t2app.ui.train_downloads import copy
from t2app.ui.train_runs import Queues

Values = tuple[Any, ...]
SAME = gr.skip()

PICK_ONE = "Choose an expert from the table first."
NOTHING_TO_IMPORT = "Choose a file first."
NO_EFFECTS = (
    "What each expert does to each task has not been measured for this model and these experts. "
    "<code>python -m t2app eval</code> measures it."
)
NO_MIXES = (
    "The mix of each question was not kept. <code>python -m t2app eval</code> measures it again."
)
ALL_TASKS = ("all tasks: means", "")
NO_CHOICES = "Ask something in the chat: each answer shows up here with what it was mixed from."


@dataclass(frozen=True)
class View:
    """The folder as it was when this page was drawn, and the expert that it is open at."""

    seen: str = ""
    chosen: str | None = None


# -- what there is -----------------------------------------------------------------------------


def looked(engine: Engine, now: View) -> Values:
    """The view, its notice; nothing while the folder is as this page has seen it.

    Whoever removed the expert that the page was open at, the page says so and opens another.
    """
    library = engine.library
    seen = library.fingerprint()
    if seen == now.seen:
        return SAME, SAME
    names = list(library.experts())
    if now.chosen in names:
        return replace(now, seen=seen), SAME
    said = SAME
    if now.chosen is not None:
        said = note(f"{now.chosen} is gone: it was removed or renamed elsewhere.")
    return View(seen, names[0] if names else None), said


def picked(engine: Engine, now: View, event: gr.EventData) -> Values:
    """Another expert was clicked in the table."""
    name = getattr(event, "expert", None)
    if name not in engine.library.experts():
        return looked(engine, now)
    return replace(now, chosen=name), note("")


def listed(engine: Engine, now: View) -> Values:
    """The table, and the files that are no experts of this model."""
    library = engine.library
    experts = library.experts()
    sizes = {name: library.size(name) for name in experts}
    return view.table(experts, sizes, now.chosen), view.problems(_reasons(engine))


def _reasons(engine: Engine) -> dict[str, str]:
    """Why files are no experts of this model, without saying where this computer keeps them."""
    library = engine.library
    return {
        file: reason.removeprefix(str(library.folder / file)).removeprefix(":").strip()
        for file, reason in library.problems().items()
    }


# -- one expert --------------------------------------------------------------------------------


def opened(engine: Engine, now: View, shown: str | None) -> Values:
    """Everything about the chosen expert; the whole card goes away where there is none.

    Gives whose card is shown, the card, title, download, fields to rename and describe, the
    question before deleting, strengths and their words, the choice of a matrix, facts, two curves,
    examples and the header. What somebody is typing into the card survives a change of the folder.
    """
    expert = _chosen(engine, now)
    if expert is None:
        return None, gr.update(visible=False), *(SAME,) * 13
    strength = compare.strength(expert)
    matrices = [(_matrix_label(name), name) for name in expert.z]
    strongest = max(strength, key=strength.__getitem__)
    fields = expert.name, expert.description, gr.update(visible=False)
    choice = gr.update(choices=matrices, value=strongest)
    if shown == expert.name:
        fields, choice = (SAME,) * 3, SAME
    return (
        expert.name,
        gr.update(visible=True),
        view.title(expert),
        copy(engine.library.path(expert.name), f"{expert.name}{SUFFIX}"),
        *fields,
        charts.strength_figure(strength),
        view.strength_words(strength),
        choice,
        view.facts(expert, engine.library.size(expert.name), engine.library.note(expert)),
        *_curves(expert),
        view.examples(expert),
        view.shown_header(expert),
    )


def _chosen(engine: Engine, now: View) -> Expert | None:
    return engine.library.experts().get(now.chosen or "")


def _matrix_label(name: str) -> str:
    layer, module = compare.place(name)
    return f"layer {layer}: {module}" if layer else module


def _curves(expert: Expert) -> list[Any]:
    """How it was learnt: the measure to choose by, and the one to learn by, as far as kept."""
    found = expert.header.get("curve")
    curve = [entry for entry in found if _is_entry(entry)] if isinstance(found, list) else []
    last = max((entry["step"] for entry in curve), default=1)
    kept = [m for m in ("validation", "reward", "loss") if any(e.get(m) is not None for e in curve)]
    drawn = [
        gr.update(value=train_charts.figure(curve, measure, last), visible=True)
        for measure in kept[:2]
    ]
    return [*drawn, *(gr.update(visible=False),) * (2 - len(drawn))]


def _is_entry(entry: Any) -> bool:
    """Whether it is a step of a curve, in a file that anybody may have written."""
    return isinstance(entry, dict) and all(
        isinstance(entry.get(key), int | float | None) for key in ("validation", "reward", "loss")
    ) and isinstance(entry.get("step"), int)  # fmt: skip


def matrix(engine: Engine, now: View, name: str | None) -> Values:
    """``z`` of one matrix of the chosen expert with the spectrum behind it, and words for it."""
    expert = _chosen(engine, now)
    if expert is None or name not in expert.z or name not in engine.sigma:
        return SAME, SAME
    z = expert.z[name].tolist()
    return charts.vector_figure(z, engine.sigma[name].tolist()), view.vector_words(name, z)


def try_example(engine: Engine, now: View, event: gr.EventData) -> Values:
    """Over to the chat with an example question in the box."""
    expert = _chosen(engine, now)
    questions = view.example_questions(expert) if expert else []
    number = index(event, "question", len(questions))
    if number is None:
        return SAME, SAME
    return gr.Tabs(selected=words.TAB_CHAT), questions[number]


def index(event: gr.EventData, key: str, count: int) -> int | None:
    """A position below ``count`` that an event carries; browsers send what they like."""
    text = str(getattr(event, key, ""))
    return int(text) if text.isascii() and text.isdigit() and int(text) < count else None


# -- changes -----------------------------------------------------------------------------------


def imported(engine: Engine, now: View, path: str | None, name: str | None) -> Values:
    """Take an expert over from a file: the view, the notice, and the fields emptied if it worked.

    A refused file stays where it is, so that only the name has to be changed.
    """
    if not path:
        return SAME, note(NOTHING_TO_IMPORT), SAME, SAME
    wanted = (name or "").strip() or None
    try:
        expert = engine.library.import_file(Path(path), engine.sigma, wanted)
    except T2Error as error:
        return SAME, note(str(error).replace(str(path), Path(path).name)), SAME, SAME
    known = engine.library.note(expert)
    said = f"{expert.name} is here{f', {known}' if known else ''}."
    return _moved(engine, expert.name), done(said), None, ""


def suggested(path: str | None) -> str:
    """A name to import a file under; one of t2app keeps its own unless another is wanted."""
    return free_name(Path(path).stem) if path else ""


def saved(engine: Engine, now: View, name: str, description: str) -> Values:
    """Rename and describe the chosen expert: the view and the notice."""
    expert = _chosen(engine, now)
    if expert is None:
        return _lost(engine, now)
    name, line = (name or "").strip(), " ".join((description or "").split())
    changes = []
    try:
        if line != expert.description:
            engine.library.describe(expert.name, line)
            changes.append("described")
        if name != expert.name:
            engine.library.rename(expert.name, name)
            changes.append(f"called {name}")
    except T2Error as error:
        return looked(engine, now)[0], note(str(error))
    if not changes:
        return SAME, note("Nothing was changed.")
    was = f"{expert.name} is now {' and '.join(changes)}."
    return _moved(engine, name), done(was)


def question(engine: Engine, now: View) -> Values:
    """Ask before deleting, and say what depends on the expert."""
    expert = _chosen(engine, now)
    if expert is None:
        return SAME, SAME
    name = html.escape(expert.name)
    more = "Conversations stay as they are; from then on they are answered without it."
    if expert.task == "dispatch":
        way = words.STRATEGIES["classifier"][0]
        more = f"It sorts the questions for the way “{way}”, which needs it."
    elif mixes.is_mix(expert):
        more = "It is a mix that a few-shot search found; the experts it was made of stay."
    ask = f'<p class="t2-say">Delete <b>{name}</b>? {more} You can take this back.</p>'
    return gr.update(visible=True), ask


def deleted(engine: Engine, now: View) -> Values:
    """Delete the chosen expert: the view, the notice, and what can be taken back."""
    if now.chosen is None:
        return *_lost(engine, now), SAME, SAME
    try:
        engine.library.delete(now.chosen)
    except T2Error as error:
        return looked(engine, now)[0], note(str(error)), SAME, SAME
    following = looked(engine, replace(now, chosen=None))[0]
    undo = gr.update(visible=True, value=f"Bring {now.chosen} back")
    return following, done(f"{now.chosen} is deleted."), now.chosen, undo


def restored(engine: Engine, now: View, gone: str | None) -> Values:
    """Take the last deletion back: the view, the notice, and nothing more to take back."""
    try:
        engine.library.restore(gone or "")
    except T2Error as error:
        return looked(engine, now)[0], note(str(error)), SAME, SAME
    return _moved(engine, gone or ""), done(f"{gone} is back."), None, gr.update(visible=False)


def done(text: str) -> Any:
    """An update of the notice for what went well."""
    body = f'<div class="t2-note t2-done" role="status">{html.escape(text)}</div>'
    return gr.update(value=body, visible=True)


def _moved(engine: Engine, name: str) -> View:
    return View(engine.library.fingerprint(), name)


def _lost(engine: Engine, now: View) -> Values:
    """The expert that was meant has gone meanwhile."""
    following, said = looked(engine, now)
    return following, note(PICK_ONE) if now.chosen is None else said


# -- the expert that sorts questions -----------------------------------------------------------


def router_state(engine: Engine) -> Values:
    """What the expert that sorts questions does not know of these experts; the button to train it.

    It is one of the ways to choose a mix, so its absence is told only where there are experts.
    """
    experts = engine.library.experts()
    reason = router.out_of_date(experts)
    if reason is None and router.find(experts) is None and len(asking.expert_names(engine)) > 1:
        reason = f"no expert sorts questions yet, so “{words.STRATEGIES['classifier'][0]}” is idle"
    if reason is None:
        return gr.update(visible=False), gr.update(visible=False)
    line = f"{html.escape(reason[:1].upper() + reason[1:])}. Training it takes a few minutes."
    told = f'<div class="t2-note" role="status">{line}</div>'
    return gr.update(value=told, visible=True), gr.update(visible=True)


def retrained(engine: Engine, queues: Queues) -> Values:
    """Train it on the questions that the experts keep, and go to where training is shown.

    Gives the open tab, the notice, and what ``router_state`` gives.
    """
    experts = engine.library.experts()
    name = router.find(experts) or DISPATCH.name
    try:
        queues.of(engine).submit_task(router.task(experts), name=name, overwrite=True)
    except T2Error as error:
        return SAME, note(str(error)), SAME, SAME
    hidden = gr.update(visible=False)
    said = done(f"{name} is being trained; its run is on the Train page.")
    return gr.Tabs(selected=words.TAB_TRAIN), said, hidden, hidden


# -- several experts ---------------------------------------------------------------------------


def compared(engine: Engine, now: View, one: str | None, other: str | None) -> Values:
    """Similarity of all experts, its words, and the two choices for side by side.

    The first is the chosen expert, the second another one, unless they were chosen by hand.
    """
    experts = engine.library.experts()
    names = list(experts)
    if len(names) < 2:
        hidden = gr.update(visible=False)
        return hidden, view.similarity_words(names, [[1.0]]), hidden, hidden, hidden
    cells = compare.similarity(experts, list(engine.library.shapes)).tolist()
    one = one if one in names else now.chosen if now.chosen in names else names[0]
    if other not in names or other == one:
        other = next(name for name in names if name != one)
    return (
        gr.update(value=charts.similarity_figure(names, cells), visible=True),
        view.similarity_words(names, cells),
        gr.update(choices=names, value=one, visible=True),
        gr.update(choices=names, value=other, visible=True),
        gr.update(visible=True),
    )


def paired(engine: Engine, one: str | None, other: str | None) -> Values:
    """Two experts side by side: words, and with the name above each, strengths on one scale.

    The last figure shows where they agree.
    """
    experts = engine.library.experts()
    if one not in experts or other not in experts:
        return (SAME,) * 6
    first, second = experts[one], experts[other]
    strengths = [compare.strength(e) for e in (first, second)]
    top = max(max(s.values()) for s in strengths) or 1
    both = {one: first, other: second}
    cosine = 1.0
    if one != other:
        cosine = compare.similarity(both, list(engine.library.shapes))[0, 1].item()
    return (
        view.pair_words(first, second, cosine),
        *(f"<h4>{html.escape(e.name)}: mean |z − 1|</h4>" for e in (first, second)),
        *(charts.strength_figure(s, top) for s in strengths),
        charts.agreement_figure(compare.similarity_by_matrix(first, second)),
    )


# -- what they do ------------------------------------------------------------------------------


def effects(engine: Engine, strategy: str | None) -> Values:
    """What each expert does to each task, and its words; then how questions were sorted.

    Gives figure, words, the choice of a strategy (what was chosen stays chosen where it is there),
    and the part of the page that is about sorting.
    """
    hidden = gr.update(visible=False)
    found, whole = results.cross_effects(engine), results.load(engine)
    if found is None:
        return hidden, f'<p class="t2-quiet">{NO_EFFECTS}</p>', SAME, hidden
    ways = {"base": found["base"], **found["experts"]}
    measured = {
        way: {task: view.accuracy(row.get(task)) for task in found["tasks"]}
        for way, row in ways.items()
    }
    figure = charts.effects_figure(found["tasks"], list(ways), measured)
    strategies = list((whole or {}).get("confusion") or {})
    choice = [(words.STRATEGIES.get(name, (name,))[0], name) for name in strategies]
    return (
        gr.update(value=figure, visible=True),
        view.effects_words(found),
        gr.update(
            choices=choice,
            value=strategy if strategy in strategies else next(iter(strategies), None),
        ),
        gr.update(visible=bool(strategies)),
    )


def confusion(engine: Engine, strategy: str | None, task: str | None) -> Values:
    """How a strategy sorted questions of known kinds, its words, and the choice of a task.

    The task is one whose mixes are shown (``mixed``); the choice goes away where none were kept.
    """
    whole, hidden = results.load(engine) or {}, gr.update(visible=False)
    found = (whole.get("confusion") or {}).get(strategy or "")
    if not found:
        return hidden, "", hidden
    figure = charts.confusion_figure(found["kinds"], found["labels"], found["counts"])
    tasks = list(_kept_mixes(whole, strategy))
    choices = [ALL_TASKS, *((name, name) for name in tasks)]
    value = task if task in tasks else ALL_TASKS[1]
    return (
        gr.update(value=figure, visible=True),
        view.confusion_words(found),
        gr.update(choices=choices, value=value, visible=bool(tasks)),
    )


def mixed(engine: Engine, strategy: str | None, task: str | None) -> Values:
    """What a strategy mixed for each question of a task, or on average for each task; its words."""
    found = _kept_mixes(results.load(engine) or {}, strategy)
    one = found.get(task or "")
    if not found or (one is not None and not one.get("rows")):
        return gr.update(visible=False), f'<p class="t2-quiet">{NO_MIXES}</p>'
    # Not every task need have met every expert: all of them, so that each keeps its colour.
    names = [*sorted({n for kept in found.values() for n in kept["experts"]} - {"base"}), "base"]
    if one is None:
        rows = [_shares(kept["experts"], kept["mean"], names) for kept in found.values()]
        figure = charts.contributions_figure(names, rows, list(found))
    else:
        rows = [_shares(one["experts"], row, names) for row in one["rows"]]
        figure = charts.contributions_figure(names, rows)
    return gr.update(value=figure, visible=True), view.mixed_words(one and task, len(rows))


def _kept_mixes(whole: Mapping[str, Any], strategy: str | None) -> Mapping[str, Any]:
    """Task -> what its questions were answered with, as ``figures.contributions`` gives it."""
    return (whole.get("contributions") or {}).get(strategy or "") or {}


def _shares(experts: Sequence[str], row: Sequence[float], names: Sequence[str]) -> list[float]:
    """A row of shares of ``experts`` in the order of ``names``."""
    by_name = dict(zip(experts, row, strict=True))
    return [by_name.get(name, 0.0) for name in names]


def contributions(turns: Turns) -> Values:
    """What every answer of the present conversation was mixed from, and its words."""
    mixed = [turn.weights for turn in turns if turn.looked]
    if not mixed:
        return gr.update(visible=False), f'<p class="t2-quiet">{NO_CHOICES}</p>'
    found = figures.contributions(mixed)
    line = f"Question {len(mixed)} was answered by {mix_words(mixed[-1])}."
    return (
        gr.update(value=charts.contributions_figure(found["experts"], found["rows"]), visible=True),
        f'<p class="t2-quiet">{html.escape(line)}</p>',
    )
