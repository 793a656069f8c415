"""What happens on the few-shot page: examples in, a mix searched while one looks on, kept, used.

Handlers: an engine and plain values in, the new values of the components they are wired to
(``few_shot``) out. An accepted search raises ``ticket``, which starts the one event that searches:
refused examples start nothing, and there is one event to stop. Not covered: layout.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr
import pandas as pd

from t2app import data
from t2app.adapt import few_shot, mixes, shots
from t2app.adapt.few_shot import Found, Generation, Settings
from t2app.adapt.shots import Shots
from t2app.data.columns import parse
from t2app.data.examples import EXAMPLES
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.evaluation import few_shot as evaluation
from t2app.ui import asking, charts, few_shot_charts, words
from t2app.ui import few_shot_view as view
from t2app.ui.asking import note
from t2app.ui.experts_handlers import done, index
from t2app.ui.shelf import Shelf
from t2app.ui.train_data import DETECT, HEADERS, cells_of, quoted
from t2app.ui.train_draft import suggested_name

Values = tuple[Any, ...]
SAME = gr.skip()

TYPED, PASTED, UPLOADED = "typed", "pasted", "uploaded"
# Files of these kinds to try: an answer of each can be judged by itself.
TRIED = tuple(e for e in EXAMPLES if e.file != "secret-codes.csv")
NOT_YET = "No search yet. What it tries, and what comes of it, shows up here."
NOTHING_FOUND = "Search a mix first."
NO_FILE = "Choose a file first, or type some examples."
NOTHING_PASTED = "Paste some rows first: a question and its answer each."
READING = "How the rows are read"
# What settles a doubt there.
SETTLED_BY = {
    "encoding": "choose the encoding",
    "header": "say whether the first row names the columns",
    "columns": "name the columns of the question and of the answer",
    "rows": "name the columns, these or others",
}


# Compared by identity: their parts, such as tensors, cannot be.
@dataclass(frozen=True, eq=False)
class Search:
    """A search that was accepted: what it searches on and how, and what to call the result.

    ``experts`` are those to mix; None stands for all that a first pass may choose. ``base`` is the
    model they are mixed for.
    """

    shots: Shots
    settings: Settings
    name: str
    experts: tuple[str, ...] | None = None
    base: str = ""


@dataclass(frozen=True, eq=False)
class Result:
    """What a search has found so far.

    ``records`` are its generations, ``phase`` is "searching", "measuring", "done" or "stopped";
    ``report`` says how good the mix is, ``saved`` is the name that it is kept under.
    """

    search: Search
    records: tuple[Generation, ...]
    phase: str = "searching"
    report: Mapping[str, Any] | None = None
    saved: str | None = None

    @property
    def last(self) -> Generation:
        """The latest generation."""
        return self.records[-1]

    @property
    def found(self) -> Found:
        """The best mix so far."""
        return self.last.found


# -- examples in -------------------------------------------------------------------------------


def begin(
    engine: Engine,
    ticket: int,
    source: str,
    grid: pd.DataFrame,
    pasted: str,
    path: str | None,
    reward: str,
    count: float,
    experts: Sequence[str],
    header: str,
    encoding: str,
    columns: str,
    *given: Any,
) -> Values:
    """Read the examples and open a search, or refuse and leave all as it was.

    ``header``, ``encoding`` and ``columns`` say how rows that were pasted or uploaded are read.

    Gives the search, the result (none yet), the ticket, the notice, words about the examples, the
    state of the search, the buttons to search and to stop, and the part that says how rows are
    read, which unfolds where that has to be said.
    """
    try:
        settings = settings_from(*given)
        table = _table(source, grid, pasted, path, HEADERS.get(header), encoding)
        found = shots.read(
            table,
            columns=_columns(table, columns),
            reward=reward,
            shots=int(count),
            seed=settings.seed,
            engine=engine,
        )
        names = tuple(experts or ()) or None
        found = replace(found, notes=(*found.notes, *few_shot.notes(engine, settings, names)))
    except T2Error as error:
        asks = isinstance(error, data.Unclear)
        line = _settle(error) if asks else str(error)
        if path:  # where it is on this computer is not shown
            line = quoted(line.replace(str(path), Path(path).name), Path(path).name)
        unfolded = gr.update(open=True) if asks else SAME
        return SAME, SAME, SAME, note(line), *(SAME,) * 4, unfolded
    name = suggested_name(f"{Path(table.name).stem}-mix", engine.library.experts())
    return (
        Search(found, settings, name, names, engine.base.base),
        None,
        ticket + 1,
        note(""),
        view.shots_words(found),
        view.waiting("Trying the first generation of mixes. The first one takes longest."),
        gr.update(visible=False),
        gr.update(visible=True),
        SAME,
    )


def offered(engine: Engine, chosen: Sequence[str]) -> Any:
    """The experts that there are to mix now; what was chosen stays chosen where it is there."""
    names = asking.expert_names(engine)
    return gr.update(choices=names, value=[name for name in chosen or () if name in names])


def settings_from(
    fitness: str,
    per_layer: bool,
    free: bool,
    generations: float,
    population: float,
    elite: float,
    seed: float,
    prior: float,
    patience: float,
) -> Settings:
    """Settings of a search from the fields of the page; T2Error for what cannot be."""
    try:
        return Settings(
            fitness=fitness,
            per_layer=bool(per_layer),
            normalised=not free,
            generations=int(generations),
            population=int(population),
            elite=float(elite),
            seed=int(seed),
            prior=float(prior),
            patience=int(patience),
        )
    except (TypeError, ValueError, OverflowError):
        raise T2Error("a number under Advanced is missing: fill it in") from None


def _table(
    source: str,
    grid: pd.DataFrame,
    pasted: str,
    path: str | None,
    header: bool | None,
    encoding: str,
) -> data.Table:
    """The examples as a table, from where they were put last."""
    if source == UPLOADED:
        if not path:
            raise T2Error(NO_FILE)
        named = None if encoding in (DETECT, None, "") else str(encoding)
        return data.read_table(path, Path(path).name, encoding=named, header=header)
    if source == PASTED:
        if not (pasted or "").strip():
            raise T2Error(NOTHING_PASTED)
        rows = pasted.encode("utf-8", "replace")
        return data.read_table(rows, "pasted rows", encoding="utf-8", header=header)
    columns, cells = cells_of(grid)
    return data.table_from_cells(columns, cells, "typed examples")


def _settle(doubt: data.Unclear) -> str:
    """What is not clear, and where on this page to settle it."""
    return f"{doubt.fact}. Under “{READING}”, {SETTLED_BY[doubt.about]}."


def _columns(table: data.Table, named: str) -> data.Columns:
    """The columns that were named, as ``question=NAME, answer=NAME``, and the rest guessed."""
    return data.guess(table, parse(named) if (named or "").strip() else None)


def example(event: gr.EventData) -> Values:
    """A file to try was clicked: it is put where files are uploaded, which is then in view."""
    number = index(event, "example", len(TRIED))
    if number is None:
        return SAME, SAME, SAME
    return str(TRIED[number].path), UPLOADED, gr.Tabs(selected=UPLOADED)


# -- the search --------------------------------------------------------------------------------


def searching(engine: Engine, search: Search) -> Iterator[Values]:
    """Search, generation by generation, then measure: the result and the notice.

    Closing this stops the search. The page is drawn from the result (``drawn``) and not from here:
    figures that a generator gives are shown once and never again.
    """
    result = None
    try:
        with closing(
            few_shot.search(engine, search.shots, search.settings, search.experts)
        ) as generations:
            for record in generations:
                records = (*result.records, record) if result else (record,)
                result = Result(search, records)
                yield result, SAME
        result = replace(result, phase="measuring")
        yield result, SAME
        for measured in evaluation.measuring(engine, search.shots, result.found):
            # Not before the rest has figures: the page would say that there is none.
            if measured.report["rest"] or not search.shots.rest:
                phase = "done" if measured.done == measured.total else "measuring"
                result = replace(result, report=measured.report, phase=phase)
                yield result, SAME
    except T2Error as error:
        yield SAME, note(str(error))
    except Exception as error:  # a defect: the examples must stay all the same
        logging.getLogger(__name__).exception("while searching")
        yield SAME, note(f"Something went wrong: {type(error).__name__}. The terminal says more.")


def drawn(result: Result | None) -> Values:
    """Everything that shows a search and what it has found so far.

    Gives the state of the search, its two figures, the card of the result, the mix as bars, by
    layer where layers have weights of their own, and in words, what it is worth, and the buttons
    to keep it and to use it, which wait for the end.
    """
    hidden = gr.update(visible=False)
    if result is None:
        return SAME, hidden, hidden, hidden, SAME, hidden, SAME, "", SAME, SAME
    search, found = result.search, result.found
    fitness = search.settings.fitness
    layers = hidden
    if len(found.alpha) > 1:
        layers = gr.update(value=few_shot_charts.layers_figure(found), visible=True)
    shares = {name: max(0.0, weight) for name, weight in found.weights.items()}
    return (
        view.progress(result.last, search.shots, fitness, result.phase),
        gr.update(value=few_shot_charts.weights_figure(result.records), visible=True),
        gr.update(value=few_shot_charts.fitness_figure(result.records, fitness), visible=True),
        gr.update(visible=True),
        charts.mix_figure(shares),
        layers,
        view.mix(found),
        view.scores(result.report),
        *(gr.update(interactive=result.phase in ("done", "stopped")),) * 2,
    )


def settled(result: Result | None) -> Values:
    """What follows a search, whole, stopped or failed.

    Gives the result, the state where there is none, the name to save under, and the buttons to
    search and to stop.
    """
    buttons = gr.update(visible=True), gr.update(visible=False)
    if result is None:
        return SAME, view.waiting(NOT_YET), SAME, *buttons
    if result.phase != "done":
        result = replace(result, phase="stopped")
    return result, SAME, result.search.name, *buttons


def keep(shelf: Shelf[Result], key: Any, result: Result | None) -> None:
    """Keep what a search has found so far, for the browser with this key."""
    if isinstance(key, str) and result is not None:
        shelf.put(key, result)


def restore(engine: Engine, shelf: Shelf[Result], key: Any, ticket: int) -> Values:
    """What this browser's last search had found, when the page loads anew.

    The search itself ended with the page. Gives the key, the result, words about the examples, and
    the name to save under; nothing but a key where there is no search of this model.
    """
    result = shelf.get(key)
    fresh = SAME if isinstance(key, str) else shelf.new_key()
    if ticket or result is None or result.search.base != engine.base.base:
        return fresh, SAME, SAME, SAME
    if result.phase != "done":
        result = replace(result, phase="stopped")
    search = result.search
    return fresh, result, view.shots_words(search.shots), result.saved or search.name


# -- what was found ----------------------------------------------------------------------------


def save(engine: Engine, result: Result | None, name: str) -> Values:
    """Keep the mix under a name: the result and the notice."""
    if result is None:
        return SAME, note(NOTHING_FOUND)
    try:
        kept = _saved(engine, result, (name or "").strip())
    except T2Error as error:
        return SAME, note(str(error))
    return kept, done(f"{kept.saved} is among the experts now, and needs none of its parts.")


def _check_model(engine: Engine, search: Search) -> None:
    if search.base != engine.base.base:
        raise T2Error(
            "this mix was found for the model that was loaded before: load that one again, or "
            "search anew"
        )


def _saved(engine: Engine, result: Result, name: str) -> Result:
    search = result.search
    _check_model(engine, search)
    mixes.save(engine, name, search.shots, result.found, search.settings, report=result.report)
    return replace(result, saved=name)


def use(engine: Engine, result: Result | None, name: str) -> Values:
    """Over to the chat with the mix in effect.

    A mix that the sliders cannot show, by layer or above 1, is saved under ``name`` before. Gives
    the open tab, the strategy, the sliders with their weights and line, a question, the chat's
    notice, the result, and the notice here.
    """
    if result is None:
        return *(SAME,) * 8, note(NOTHING_FOUND)
    try:
        _check_model(engine, result.search)
        if result.saved is None and not _plain(result.found):
            result = _saved(engine, result, (name or "").strip())
        chosen = {result.saved: 1.0} if result.saved else result.found.weights
        for expert, weight in chosen.items():
            if weight > 0:
                engine.library.get(expert)  # it may have been deleted meanwhile
    except T2Error as error:
        return *(SAME,) * 8, note(str(error))
    weights = {expert: chosen.get(expert, 0.0) for expert in asking.expert_names(engine)}
    task = result.search.shots
    what = result.saved or "the mix that was found"
    return (
        gr.Tabs(selected=words.TAB_CHAT),
        "manual",
        {"number": time.monotonic_ns(), "weights": weights},
        weights,
        asking.hand_line(weights),
        (task.rest or task.shots)[0].question,
        done(f"Answers now come from {what}, until you choose another way."),
        result,
        note(""),
    )


def _plain(found: Found) -> bool:
    """Whether one weight for each expert, of one whole together, says everything."""
    return len(found.alpha) == 1 and sum(found.weights.values()) <= 1 + 1e-6
