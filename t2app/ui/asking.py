"""What happens when someone asks, edits, retries or takes back a question: the chat's handlers.

Each takes plain values and gives the new values of the components it is wired to (``chat``), in
that order. Nothing here is kept between calls, so users cannot meet. Not covered: layout.
"""

from __future__ import annotations

import html
import logging
import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import gradio as gr

from t2app import adapt
from t2app.adapt import mixes, router, trust, two_pass
from t2app.adapt.two_pass import Answer
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.ui import charts, conversation, safe, words
from t2app.ui.conversation import Turn, Turns

Stream = Callable[..., Iterator[Answer]]
Values = tuple[Any, ...]
Weights = Mapping[str, float]
Withdrawn = tuple[int, Turns]

# A browser redraws the conversation at every update: more than this often only costs time.
SECONDS_BETWEEN_UPDATES = 0.08

BUSY = "Still answering the last question. Press stop first, or wait for the end."
BLANK = "Write a question first."
NOTHING_YET = "Ask a question first; then it can be asked again with other weights."
NEWEST = "The newest"
DAMAGED = "The conversation that this browser had kept could not be read, so this is a new one."


def ask(text: str, turns: Turns, ticket: int, strategy: str, hand: Weights) -> Values:
    """Ask what stands in the box."""
    return _open(turns, turns, ticket, text, strategy, hand, box="")


def pick(turns: Turns, ticket: int, strategy: str, hand: Weights, event: gr.SelectData) -> Values:
    """Ask the example that was clicked."""
    return _open(turns, turns, ticket, event.value["text"], strategy, hand)


def try_kind(kind: str, turns: Turns, ticket: int, strategy: str, hand: Weights) -> Values:
    """Ask an example of a kind, one that was not asked yet if there is any."""
    asked = {turn.question for turn in turns}
    fresh = [question for question in words.EXAMPLES[kind] if question not in asked]
    question = random.choice(fresh or words.EXAMPLES[kind])
    return _open(turns, turns, ticket, question, strategy, hand)


def retry(turns: Turns, ticket: int, strategy: str, hand: Weights) -> Values:
    """Ask the last question again, in place of its answer."""
    if not turns:
        return _refused(turns, BLANK)
    return _open(turns[:-1], turns, ticket, turns[-1].question, strategy, hand)


def ask_again(turns: Turns, ticket: int, hand: Weights) -> Values:
    """Ask the last question again with weights set by hand, below the answer it had."""
    if not turns:
        return _refused(turns, NOTHING_YET)
    return _open(turns, turns, ticket, turns[-1].question, "manual", hand)


def edit(turns: Turns, ticket: int, strategy: str, hand: Weights, event: gr.EditData) -> Values:
    """Ask a question in new words; what came after it goes."""
    kept = turns[: conversation.turn_at(turns, event.index)]
    return _open(kept, turns, ticket, safe.unshield(event.value), strategy, hand)


def undo(turns: Turns, ticket: int) -> Values:
    """Take the last question back into the box, also one that is still being answered."""
    kept = turns[:-1]
    return kept, (ticket, kept), turns[-1].question if turns else gr.skip()


def cleared(ticket: int) -> Values:
    """Forget the conversation, also the update that an answer in progress may still send."""
    return (), (ticket, ())


def _open(
    kept: Turns,
    before: Turns,
    ticket: int,
    text: str,
    strategy: str,
    hand: Weights,
    box: Any = None,
) -> Values:
    """Put a question behind ``kept`` and raise the ticket, or refuse and leave all as it was."""
    question = safe.clean(text or "")
    if conversation.busy(before):
        return _refused(before, BUSY)
    if not question:
        return _refused(before, BLANK)
    weights = scaled(hand) if strategy == "manual" else {}
    turns = (*kept, Turn(question, strategy, weights=weights))
    new_box = gr.update(
        submit_btn=False, stop_btn=words.STOP, **({} if box is None else {"value": box})
    )
    return turns, before, ticket + 1, conversation.messages(turns), note(""), new_box


def _refused(turns: Turns, reason: str) -> Values:
    same = gr.skip()
    return same, same, same, conversation.messages(turns), note(reason), same


def answer(
    engine: Engine,
    stream: Stream,
    turns: Turns,
    before: Turns,
    compare: bool,
    temperature: float,
    length: int,
    aloud: bool = False,
    mix: str | None = None,
) -> Iterator[Values]:
    """Answer the open question, update by update; closing this stops the model.

    An error gives back the conversation as it was ``before``, and the question to the box.
    """
    *kept, turn = turns
    # Another model may be in use before this one has ended.
    turn = replace(turn, model=engine.base.name)
    try:
        snapshots = stream(
            engine,
            conversation.history(turns),
            strategy=turn.strategy,
            weights=turn.weights if turn.strategy == "manual" else None,
            generate_label=bool(aloud),
            mix=(mix or None) if turn.strategy == "few-shot" else None,
            compare=bool(compare),
            temperature=float(temperature),
            max_new_tokens=int(length),
        )
        with closing(snapshots):
            for count, snapshot in enumerate(_spaced(snapshots)):
                turn = turn.heard(snapshot)
                yield _shown((*kept, turn), first=count == 0)
    except T2Error as error:
        yield _failed(before, turn.question, str(error))
    except Exception as error:  # a defect: the user must get the question back all the same
        logging.getLogger(__name__).exception("while answering")
        reason = f"Something went wrong: {type(error).__name__}. The terminal says more."
        yield _failed(before, turn.question, reason)


def _spaced(snapshots: Iterable[Answer]) -> Iterator[Answer]:
    """The first, the last, and of the others as many as a browser can show."""
    last = float("-inf")
    for snapshot in snapshots:
        if snapshot.done or time.monotonic() - last >= SECONDS_BETWEEN_UPDATES:
            last = time.monotonic()
            yield snapshot


def _shown(turns: Turns, first: bool) -> Values:
    """An update; the first brings the mix, and keeps the question should the page be reloaded."""
    same = gr.skip()
    mix = _mix_of(turns) if first else (same, same)
    notice = same if conversation.busy(turns) else note("")
    saved = conversation.dump(turns) if first else same
    return turns, conversation.messages(turns), *mix, notice, same, saved


def _failed(before: Turns, question: str, reason: str) -> Values:
    return (
        before,
        conversation.messages(before),
        gr.skip(),
        gr.skip(),
        note(reason),
        gr.update(value=question),
        gr.skip(),
    )


def settled(engine: Engine, turns: Turns, ticket: int, withdrawn: Withdrawn) -> Values:
    """What follows an answer, whole, stopped or failed: save it, show its speed, free the box.

    A question that was taken back while the model was at work may have got one more update:
    ``withdrawn`` names its ticket, and the turns that stay.
    """
    notice = note("") if conversation.busy(turns) else gr.skip()
    taken_back, kept = withdrawn
    turns = kept if ticket == taken_back else conversation.closed(turns)
    return (
        *_rest(engine, turns),
        notice,
        gr.update(submit_btn=words.ASK, stop_btn=False),
        conversation.dump(turns),
    )


def restore(engine: Engine, saved: Any, ticket: int) -> Values:
    """The conversation that the browser kept, when the page loads.

    Someone may have asked already before the page had loaded in full: that goes first, and so does
    the notice that a question was refused.
    """
    if ticket:
        return (gr.skip(),) * 11
    turns, notice = (), gr.skip()
    if saved is not None:
        try:
            turns = conversation.load(saved)
        except ValueError:
            notice = note(DAMAGED)
    return *_rest(engine, turns), notice, gr.skip(), conversation.dump(turns)


def _rest(engine: Engine, turns: Turns) -> Values:
    """All that depends on the whole conversation, including sliders set to its latest mix."""
    names = expert_names(engine)
    weights = slider_weights(names, turns[-1].weights if turns else {})
    # The number makes every mixer a new one: sliders that were moved are drawn anew as well.
    mixer = {"number": time.monotonic_ns(), "weights": weights}
    return (
        turns,
        conversation.messages(turns),
        *_mix_of(turns, names),
        mixer,
        weights,
        hand_line(weights),
        status_line(engine.status(), turns),
    )


def _mix_of(turns: Turns, names: Sequence[str] = ()) -> Values:
    """Chart and words for the latest mix; before there is one, all experts at nothing."""
    seen = [turn.weights for turn in turns if turn.looked]
    weights = seen[-1] if seen else dict.fromkeys(names, 0.0)
    return charts.mix_figure(weights), mix_line(turns, names)


def expert_names(engine: Engine) -> list[str]:
    """Experts that can be mixed into an answer; one that only sorts questions cannot."""
    experts = engine.library.experts()
    return [name for name, expert in experts.items() if expert.task != "dispatch"]


def lengths(context: int) -> tuple[int, int]:
    """The longest answer that can be asked for and the usual one, in tokens."""
    most = max(16, context // 2)
    return most, min(two_pass.DEFAULT_LENGTH, most)


def fitted(engine: Engine, strategy: str) -> Values:
    """What depends on the model and may have changed with it: a strategy it has, its lengths."""
    most, usual = lengths(engine.status()["context"])
    fits = strategy != "classifier" or router.find(engine.library.experts())
    return gr.skip() if fits else adapt.DEFAULT, gr.update(maximum=most, value=usual)


def slider_weights(names: Iterable[str], weights: Weights) -> dict[str, float]:
    """One weight for each expert, rounded down to what a slider shows."""
    return {name: int(weights.get(name, 0) * 100 + 1e-6) / 100 for name in names}


def refreshed(engine: Engine, hand: Weights) -> Values:
    """Sliders for the experts there are now, where the old ones stand; nothing if all are known."""
    names = expert_names(engine)
    if names == sorted(hand):
        return gr.skip(), gr.skip(), gr.skip()
    weights = {name: hand.get(name, 0.0) for name in names}
    return {"number": time.monotonic_ns(), "weights": weights}, weights, hand_line(weights)


def scaled(weights: Weights) -> dict[str, float]:
    """Weights that add up to at most 1: more is shared out in proportion."""
    total = max(1.0, sum(weights.values()))
    return {name: value / total for name, value in weights.items()}


def moved(names: list[str], *values: float) -> Values:
    """Sliders were moved: their values, and what they come to."""
    weights = dict(zip(names, values, strict=True))
    return weights, hand_line(weights)


def note(text: str) -> Any:
    """An update of the notice above the box; without text it goes away."""
    line = html.escape(text[:1].upper() + text[1:])
    body = f'<div class="t2-note" role="alert">{line}</div>' if text else ""
    return gr.update(value=body, visible=bool(text))


def mix_line(turns: Turns, names: Sequence[str] = ()) -> str:
    """The latest mix in words: what the chart shows, for those who cannot see it."""
    seen = [turn for turn in turns if turn.looked]
    if not seen:
        return f'<p class="t2-quiet">{words.EMPTY_MIX if names else words.NO_EXPERTS}</p>'
    mix = conversation.mix_words(seen[-1].weights)
    return f'<p class="t2-quiet">Latest answer: {html.escape(mix)}</p>'


def hand_line(weights: Weights) -> str:
    """What weights set by hand come to."""
    total = sum(weights.values())
    if total > 1 + 1e-9:
        mix = conversation.mix_words(scaled(weights))
        text = f"Together {total:.2f}, which is more than 1, so they are scaled: {mix}."
    else:
        text = f"The base model gets the rest: {conversation.percent(1 - total)}."
    return f'<p class="t2-quiet">{html.escape(text)}</p>'


def strategy_words(name: str) -> tuple[str, str]:
    """Name on the page and explanation of a strategy."""
    return words.STRATEGIES.get(name, (name.capitalize(), adapt.STRATEGIES.get(name, "")))


def explained(strategy: str, more: str = "") -> str:
    """The lines below the choice of strategies."""
    lines = [strategy_words(strategy)[1], more]
    return "".join(f'<p class="t2-quiet">{html.escape(line)}</p>' for line in lines if line)


def told(engine: Engine, strategy: str) -> str:
    """The lines below the choice, with how far the strategy is to be trusted on this model.

    What is not known yet is measured in the background.
    """
    if strategy not in trust.MEASURED:
        return explained(strategy)
    trust.measure_in_background(engine)
    found = trust.known(engine, strategy)
    if found is not None:
        return explained(strategy, found.line[:1].upper() + found.line[1:])
    return explained(strategy, words.MEASURING if trust.is_running(engine) else "")


def chosen(engine: Engine, strategy: str, mix: str | None) -> Values:
    """A strategy was chosen: the line that explains it, and where saved mixes are chosen from."""
    known = list(mixes.mixes(engine.library.experts()))
    offered = [(NEWEST, ""), *((name, name) for name in known)]
    visible = strategy == "few-shot" and bool(known)
    value = mix if mix in known else ""
    return told(engine, strategy), gr.update(choices=offered, value=value, visible=visible)


def status_line(state: Mapping[str, Any], turns: Turns = ()) -> str:
    """Model, device, precision, memory, execution and the speed of the latest answer."""
    memory = float(state["memory_mb"])
    size = f"{memory:.0f} MB" if memory < 1000 else f"{memory / 1000:.1f} GB"
    facts = {
        "Model": state["model"],
        "Device": state["device"],
        "Precision": state["precision"],
        "Memory": size,
        "Execution": state["execution"],
    }
    if turns and turns[-1].rate:
        model = turns[-1].model
        other = f", by {model}" if model not in ("", state["model"]) else ""
        facts["Last answer"] = f"{turns[-1].rate:.0f} tokens/s{other}"
    cells = (
        f"<span><b>{name}</b> {html.escape(str(value))}</span>" for name, value in facts.items()
    )
    return f'<div class="t2-facts">{"".join(cells)}</div>'
