"""What happens on the few-shot page: with a small random model, real searches and real handlers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import gradio as gr
import pandas as pd
import pytest

from t2app.adapt import few_shot
from t2app.adapt.shots import Shots
from t2app.data.check import AUTO
from t2app.tasks import TASKS
from t2app.ui import few_shot_handlers as act
from t2app.ui import few_shot_view as view
from t2app.ui import words
from t2app.ui.few_shot_handlers import PASTED, TYPED, UPLOADED, Result, Search
from t2app.ui.shelf import Shelf

SKIP = act.gr.skip()
EMPTY = pd.DataFrame([["", ""]] * 4, columns=["question", "answer"])
THREE = pd.DataFrame(
    [["What is 2 + 3?", "5"], ["What is 4 + 4?", "8"], ["What is 9 - 2?", "7"], ["", ""]],
    columns=["question", "answer"],
)
SETTINGS = ("likelihood", False, False, 2, 4, 0.5, 0, 0, 3)
SEARCH, RESULT, TICKET, NOTICE = range(4)


def begin(engine: Any, source: str = TYPED, grid: Any = THREE, **more: Any) -> tuple[Any, ...]:
    given = {"pasted": "", "path": None, "reward": AUTO, "count": 10, "experts": []}
    given |= {"header": "detect", "encoding": "detect", "columns": "", **more}
    settings = given.pop("settings", SETTINGS)
    return act.begin(engine, 3, source, grid, *given.values(), *settings)


def said(update: Any) -> str:
    return update["value"]


@pytest.fixture
def search(engine) -> Search:
    return begin(engine)[SEARCH]


@pytest.fixture
def result(engine, search) -> Result:
    *_, (last, _) = act.searching(engine, search)
    return last


# -- examples in ---------------------------------------------------------------------------------


def test_typed_examples_open_a_search(engine) -> None:
    values = begin(engine)
    assert values[TICKET] == 4
    assert values[RESULT] is None
    assert [p.gold for p in values[SEARCH].shots.shots] == ["5", "8", "7"]
    assert values[SEARCH].settings.fitness == "likelihood"
    assert "3 examples" in values[4]
    assert "numbers" in values[4]  # how answers are judged


def test_the_experts_that_were_chosen_are_mixed(engine) -> None:
    search = begin(engine, experts=["math", "code"])[SEARCH]
    *_, (result, _) = act.searching(engine, search)
    assert result.found.experts == ("math", "code")
    assert begin(engine)[SEARCH].experts is None
    refused = begin(engine, experts=["gone"])
    assert refused[SEARCH] == SKIP
    assert "gone" in said(refused[NOTICE])


def test_experts_to_mix_are_those_there_are(engine) -> None:
    update = act.offered(engine, ["math", "gone"])
    assert update["choices"] == ["code", "math", "reasoning"]
    assert update["value"] == ["math"]


def test_pasted_and_uploaded_examples(engine, tmp_path) -> None:
    text = "question,answer\n" + "\n".join(f"What is {n} + 1?,{n + 1}" for n in range(12))
    pasted = begin(engine, PASTED, pasted=text)[SEARCH]
    assert (len(pasted.shots.shots), len(pasted.shots.rest)) == (10, 2)
    assert pasted.name == "pasted-rows-mix"
    path = tmp_path / "My sums.csv"
    path.write_text(text)
    uploaded = begin(engine, UPLOADED, path=str(path), count=5)[SEARCH]
    assert (len(uploaded.shots.shots), len(uploaded.shots.rest)) == (5, 7)
    assert uploaded.name == "my-sums-mix"


def test_one_example_is_shown_as_it_is_asked(engine) -> None:
    shown = begin(engine)[4]
    assert "Row 1, as it will be asked and answered" in shown
    assert "user: What is 2 + 3?\nassistant: 5" in shown


def test_a_question_about_the_rows_can_be_answered(engine, tmp_path) -> None:
    rows = "hello,hi\nbye,see you\nthanks,welcome\n"
    *shown, reading = begin(engine, PASTED, pasted=rows)
    assert reading == gr.update(open=True)
    asked = said(shown[NOTICE])
    assert "first row may name the columns" in asked
    assert "--" not in asked
    found = begin(
        engine, PASTED, pasted=rows, header="no", columns="question=column 2,answer=column 1"
    )
    assert [p.question for p in found[SEARCH].shots.shots] == ["hi", "see you", "welcome"]
    path = tmp_path / "few.csv"
    path.write_bytes("question,answer\nяк?,да\nне?,нет\n".encode("cp1251"))
    assert "encoding" in said(begin(engine, UPLOADED, path=str(path))[NOTICE])
    found = begin(engine, UPLOADED, path=str(path), encoding="cp1251")
    assert [p.question for p in found[SEARCH].shots.shots] == ["як?", "не?"]


def test_guessed_columns_that_lose_most_rows_are_asked_about(engine) -> None:
    rows = "question,answer\nhello,hi\nbye,see you\na?,\nb?,\nc?,\n"
    asked = said(begin(engine, PASTED, pasted=rows)[NOTICE])
    assert "2 rows that can be used of 5" in asked
    assert "Under “How the rows are read”, name the columns, these or others." in asked
    found = begin(engine, PASTED, pasted=rows, columns="question=question, answer=answer")
    assert len(found[SEARCH].shots.shots) == 2


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"grid": EMPTY}, "Typed examples is empty"),
        ({"grid": THREE[:1]}, "one example only"),
        ({"source": PASTED}, "Paste some rows first"),
        ({"source": UPLOADED}, "Choose a file first"),
        ({"source": UPLOADED, "path": "/nowhere/x.csv"}, "&#x27;x.csv&#x27;"),
        ({"reward": "numeric", "grid": THREE.assign(answer=["a", "b", "c", ""])}, "Row 1"),
        ({"settings": ("accuracy", False, False, None, 4, 0.5, 0, 2, 3)}, "Advanced"),
        ({"settings": ("accuracy", False, False, 2, 1, 0.5, 0, 2, 3)}, "Population is 1"),
        ({"settings": ("accuracy", False, False, 2, 4, 0.5, 0, -1, 3)}, "Prior is -1"),
        ({"grid": pd.DataFrame([["Why?", "a"], ["Why?", "b"]], columns=list("xy"))}, "exampl"),
    ],
)
def test_examples_that_cannot_be_searched_on_start_nothing(engine, more, message) -> None:
    values = begin(engine, **more)
    assert values[SEARCH] == values[RESULT] == values[TICKET] == SKIP
    assert message in said(values[NOTICE])
    assert "\n" not in said(values[NOTICE])


def test_files_to_try_are_put_where_files_are_uploaded() -> None:
    path, source, tabs = act.example(SimpleNamespace(example="1"))
    assert Path(path) == act.TRIED[1].path
    assert source == tabs.selected == UPLOADED
    for number in ("99", "-1", "x", None):
        assert act.example(SimpleNamespace(example=number)) == (SKIP,) * 3


# -- the search ----------------------------------------------------------------------------------


def test_a_search_shows_every_generation_and_measures_at_the_end(engine, search) -> None:
    found = [result for result, notice in act.searching(engine, search)]
    assert [len(r.records) for r in found] == [1, 2, 2, 2]
    assert [r.phase for r in found] == ["searching", "searching", "measuring", "done"]
    assert found[-1].last.why == "all 2 generations are done"
    assert found[-1].report["examples"]["after"]["n"] == 3
    assert found[-1].report["rest"] is None


@pytest.mark.parametrize(
    ("fittest", "line"),
    [(2 / 3, "2 of 3 examples right."), (1.0, "Another answers 3, but is not what a first pass")],
)
def test_a_fitter_mix_that_was_passed_over_is_told(result, search, fittest, line) -> None:
    found = replace(result.found, fitness=2 / 3)
    record = replace(result.last, found=found, fittest=fittest)
    shown = view.progress(record, search.shots, "accuracy", "done")
    assert line in shown
    assert ("Another" in shown) == (fittest == 1)


def test_closing_stops_the_search(engine, search, monkeypatch) -> None:
    closed = []
    real = few_shot.search

    def watched(*given: Any) -> Iterator[Any]:
        try:
            yield from real(*given)
        finally:
            closed.append(True)

    monkeypatch.setattr(few_shot, "search", watched)
    running = act.searching(engine, search)
    first, _ = next(running)
    running.close()
    assert closed == [True]
    stopped, _, name, start, stop = act.settled(first)
    assert stopped.phase == "stopped"
    assert (start["visible"], stop["visible"]) == (True, False)
    assert name == search.name
    state, *_, save, use = act.drawn(stopped)
    assert "Stopped after 1 generation" in state
    assert save["interactive"]
    assert use["interactive"]


def test_what_is_drawn_follows_the_records(engine, search) -> None:
    first, _ = next(act.searching(engine, search))
    state, weights, fitness, card, bars, layers, line, scores, save, _ = act.drawn(first)
    assert "Generation 1 of at most 2" in state
    assert [trace.name for trace in weights["value"].data if trace.name] == [
        "code", "math", "reasoning",
    ]  # fmt: skip
    assert list(fitness["value"].data[0].y) == [first.last.best_fitness]
    assert card["visible"]
    assert list(bars.data[0].y) == ["code", "math", "reasoning", "base"]
    assert layers["visible"] is False
    assert "Mix:" in line
    assert scores == ""
    assert save["interactive"] is False


def test_nothing_found_yet() -> None:
    assert act.drawn(None)[3]["visible"] is False
    assert act.NOT_YET in act.settled(None)[1]
    assert act.NOTHING_FOUND in said(act.save(None, None, "x")[1])
    assert act.NOTHING_FOUND in said(act.use(None, None, "x")[-1])


def test_weights_by_layer_are_drawn_by_layer(engine) -> None:
    search = begin(engine, settings=("likelihood", True, True, 1, 4, 0.5, 0, 0, 3))[SEARCH]
    *_, (result, _) = act.searching(engine, search)
    _, _, _, _, _, layers, line, *_ = act.drawn(result)
    assert [len(row) for row in layers["value"].data[0].z] == [3, 3]  # two layers, three experts
    assert "Every layer has weights of its own" in line


def test_an_expert_that_vanishes_before_the_search_is_told(engine, search) -> None:
    for name in list(engine.library.experts()):
        engine.library.delete(name)
    [(result, notice)] = act.searching(engine, search)
    assert result == SKIP
    assert "no experts to mix" in said(notice)


def test_a_defect_gives_a_line_and_keeps_the_page(engine, search, monkeypatch) -> None:
    def broken(*given: Any) -> Iterator[Any]:
        raise RuntimeError("boom")
        yield

    monkeypatch.setattr(few_shot, "search", broken)
    [(_, notice)] = act.searching(engine, search)
    assert "RuntimeError" in said(notice)


# -- what was found ------------------------------------------------------------------------------


def test_a_mix_is_saved_and_used(engine, result) -> None:
    kept, notice = act.save(engine, result, " my-mix ")
    assert kept.saved == "my-mix"
    assert "my-mix is among the experts" in said(notice)
    assert "mix" in engine.library.get("my-mix").header
    assert "exists already" in said(act.save(engine, result, "my-mix")[1])
    tabs, strategy, mixer, hand, _, question, *_ = act.use(engine, kept, "my-mix")
    assert (tabs.selected, strategy) == (words.TAB_CHAT, "manual")
    assert hand == mixer["weights"]
    assert {name for name, weight in hand.items() if weight} == {"my-mix"}
    assert question == result.search.shots.shots[0].question


def test_a_plain_mix_is_used_without_saving(engine, result) -> None:
    before = set(engine.library.experts())
    _, _, _, hand, *_ = act.use(engine, result, "x")
    assert set(engine.library.experts()) == before
    assert hand == pytest.approx(result.found.weights)
    assert engine.delta(hand) is None or engine.delta(hand).shape == (engine.svf.layout.total,)


def test_a_mix_that_sliders_cannot_show_is_saved_first(engine) -> None:
    search = begin(engine, settings=("likelihood", True, False, 1, 4, 0.5, 0, 0, 3))[SEARCH]
    *_, (result, _) = act.searching(engine, search)
    *_, hand, _, _, _, kept, _ = act.use(engine, result, "by-layer")
    assert kept.saved == "by-layer"
    assert hand["by-layer"] == 1
    refused = act.use(engine, result, "by-layer")
    assert refused[0] == SKIP
    assert "exists already" in said(refused[-1])


def test_using_a_mix_of_which_a_part_was_deleted_meanwhile(engine, result) -> None:
    found = replace(result.found, alpha=((0.5, 0.5, 0.0),), experts=("code", "math", "reasoning"))
    result = replace(result, records=(replace(result.last, found=found),))
    engine.library.delete("code")
    refused = act.use(engine, result, "x")
    assert refused[0] == SKIP
    assert "unknown expert &#x27;code&#x27;" in said(refused[-1]).lower()


def test_using_a_mix_that_was_deleted_meanwhile(engine, result) -> None:
    kept, _ = act.save(engine, result, "my-mix")
    engine.library.delete("my-mix")
    refused = act.use(engine, kept, "my-mix")
    assert refused[0] == SKIP
    assert "unknown expert" in said(refused[-1]).lower()


def test_a_mix_of_another_model_is_neither_saved_nor_used(engine, result) -> None:
    other = replace(result, search=replace(result.search, base="another"))
    assert "found for the model that was loaded before" in said(act.save(engine, other, "x")[1])
    assert "found for the model that was loaded before" in said(act.use(engine, other, "x")[-1])


def test_a_page_that_loads_anew_shows_the_last_search(engine, search, result) -> None:
    shelf = Shelf()
    key, *rest = act.restore(engine, shelf, None, 0)
    assert isinstance(key, str)
    assert rest == [SKIP] * 3
    act.keep(shelf, key, None)
    assert act.restore(engine, shelf, key, 0) == (SKIP,) * 4
    act.keep(shelf, key, result)
    same, found, examples, name = act.restore(engine, shelf, key, 0)
    assert (same, found, name) == (SKIP, result, search.name)
    assert "3 examples" in examples
    # A search that has begun meanwhile goes first; a mix of another model is not shown.
    assert act.restore(engine, shelf, key, 1) == (SKIP,) * 4
    act.keep(shelf, key, replace(result, search=replace(search, base="another")))
    assert act.restore(engine, shelf, key, 0) == (SKIP,) * 4
    for odd in ([], {}, 3):
        act.keep(shelf, odd, result)
        key, *rest = act.restore(engine, shelf, odd, 0)
        assert isinstance(key, str)
        assert rest == [SKIP] * 3
    assert act.restore(engine, shelf, "other", 0) == (SKIP,) * 4


def test_a_search_that_ended_with_its_page_has_stopped(engine, search) -> None:
    shelf, (first, _) = Shelf(), next(act.searching(engine, search))
    act.keep(shelf, "key", first)
    assert first.phase == "searching"
    assert act.restore(engine, shelf, "key", 0)[1].phase == "stopped"
    act.keep(shelf, "key", replace(first, saved="mine"))
    assert act.restore(engine, shelf, "key", 0)[3] == "mine"


def test_scores_say_what_was_seen_and_what_is_missing() -> None:
    part = {"before": {"accuracy": 0.2, "n": 10}, "after": {"accuracy": 0.9, "n": 10}}
    gain = {**part, "gain": {"mean": 0.7, "ci95": [0.5, 0.9]}}
    whole = view.scores({"examples": gain, "rest": gain})
    assert "searched on, so no measure" in whole
    assert "+70 points (+50 to +90)" in whole
    assert "no more rows" in view.scores({"examples": part, "rest": None})
    assert view.scores(None) == ""


def test_words_about_examples_are_escaped() -> None:
    problems = tuple(TASKS["math"].problems("train", 2, 0))
    shots = Shots(TASKS["math"], problems, notes=("<b>note</b>",))
    assert "&lt;b&gt;note&lt;/b&gt;" in view.shots_words(shots)
