"""The chat tab: a conversation beside the mix of experts that answers it.

Layout and wiring; what the handlers do stands in ``asking``. What belongs to one user lives in
that user's session and browser, never in a module. An accepted question raises ``ticket``, which
starts the one event that asks the model: a refused question starts nothing, and there is one event
to stop.
Not covered: how the mix is chosen (``t2app.adapt``) and the frame around the tab (``page``).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from t2app import adapt
from t2app.adapt import two_pass
from t2app.ui import asking, invitation, words
from t2app.ui.resident import Resident

# So many people are answered at once, in one batch, each with their own mix.
ANSWERS_AT_ONCE = 32

# Copies what is read, not its source: without the first pass and what ``safe.shield`` put in.
COPY_TEXT = """() => {
    const row = document.activeElement?.closest('.message-buttons')?.previousElementSibling;
    const parts = [...(row?.querySelectorAll('.message-content') ?? [])]
        .filter((part) => !part.closest('.thought-group'))
        .map((part) => part.innerText.replaceAll('\\ufeff', '').replaceAll('\\u1fef', '`').trim());
    if (parts.length) navigator.clipboard?.writeText(parts.join('\\n\\n'));
}"""

QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}
# Queued, although they take no time: a change of state starts other events only from the queue.
AT_ONCE: dict[str, Any] = {**QUIET, "concurrency_limit": None}
# One after the other: a question that is asked while the page still loads must not meet the
# conversation that is being restored.
IN_TURN: dict[str, Any] = {**QUIET, "concurrency_limit": 1, "concurrency_id": "questions"}


@dataclass(frozen=True)
class Talk:
    """Components of the left column: the conversation."""

    chatbot: gr.Chatbot
    notice: gr.HTML
    box: gr.Textbox
    compare: gr.Checkbox
    kinds: tuple[gr.Button, ...]


@dataclass(frozen=True)
class Side:
    """Components of the right column: the mix, and how it is chosen."""

    chart: gr.Plot
    mix: gr.HTML
    strategy: gr.Radio
    explained: gr.HTML
    saved_mix: gr.Dropdown
    hand: gr.Accordion
    by_hand: gr.HTML
    again: gr.Button
    temperature: gr.Slider
    length: gr.Slider
    aloud: gr.Checkbox

    @property
    def answering(self) -> list[gr.components.Component]:
        """What decides how an answer is written."""
        return [self.temperature, self.length, self.aloud, self.saved_mix]


@dataclass(frozen=True)
class Session:
    """Values of one visit.

    ``before``: the conversation before the open question; ``ticket``: how many questions were
    accepted; ``withdrawn``: the ticket of the question that was taken back, or at which all was
    cleared, and the turns that stay; ``mixer``: what the sliders are drawn from; ``hand``: where
    they stand; ``saved``: what the browser keeps.
    """

    turns: gr.State
    before: gr.State
    ticket: gr.State
    withdrawn: gr.State
    mixer: gr.State
    hand: gr.State
    saved: gr.BrowserState


@dataclass(frozen=True)
class Chat:
    """The whole tab, for other tabs that lead here."""

    talk: Talk
    side: Side
    session: Session
    invite: invitation.Invitation


def build(page: gr.Blocks, resident: Resident, stream: asking.Stream = two_pass.stream) -> Chat:
    """Put the tab into ``page``, which must be open, and give its components."""
    engine = resident.engine
    session = _session()
    with gr.Row(elem_id="t2-main"):
        with gr.Column(scale=7, min_width=320, elem_id="t2-talk"):
            invite = invitation.build(resident, "t2-invite")
            talk = _talk()
            status = gr.HTML(asking.status_line(engine.status()), elem_id="t2-status")
        with gr.Column(scale=3, min_width=300, elem_id="t2-side"):
            side = _side(session, engine.status()["context"])
    _wire_questions(talk, side, session, resident)
    _wire_answers(page, talk, side, session, status, resident, stream)
    return Chat(talk, side, session, invite)


def _session() -> Session:
    return Session(
        turns=gr.State(()),
        before=gr.State(()),
        ticket=gr.State(0),
        withdrawn=gr.State((-1, ())),
        mixer=gr.State(None),
        hand=gr.State({}),
        # Scrambled rather than secret: it never leaves the browser of whoever typed it.
        saved=gr.BrowserState(None, storage_key="t2app.conversation", secret="t2app"),
    )


def _talk() -> Talk:
    chatbot = gr.Chatbot(
        label="Conversation",
        show_label=False,
        elem_id="t2-chat",
        height=None,
        editable="user",
        buttons=["copy"],
        feedback_options=None,
        latex_delimiters=[],
        placeholder=words.EMPTY_CHAT,
        examples=[
            {"text": questions[0], "display_text": f"{kind}\n{questions[0]}"}
            for kind, questions in words.EXAMPLES.items()
        ],
    )
    notice = gr.HTML(visible=False, elem_id="t2-notice")
    box = gr.Textbox(
        label="Your question",
        placeholder=words.PLACEHOLDER,
        elem_id="t2-box",
        max_lines=8,
        autofocus=True,
        submit_btn=words.ASK,
    )
    with gr.Row(elem_id="t2-tools"):
        compare = gr.Checkbox(
            label="Compare with the base model", elem_id="t2-compare", container=False
        )
        with gr.Row(elem_id="t2-kinds"):
            gr.HTML("Try", elem_id="t2-try")
            kinds = tuple(gr.Button(kind, size="sm", min_width=0) for kind in words.EXAMPLES)
    return Talk(chatbot, notice, box, compare, kinds)


def _side(session: Session, context: int) -> Side:
    with gr.Column(elem_id="t2-mix", elem_classes="t2-card"):
        gr.HTML("<h2>Mix of experts</h2>")
        chart = gr.Plot(show_label=False, container=False, elem_id="t2-chart")
        mix = gr.HTML(elem_id="t2-mix-words")
    with gr.Column(elem_classes="t2-card"):
        strategy = gr.Radio(
            choices=[(asking.strategy_words(name)[0], name) for name in adapt.STRATEGIES],
            value=adapt.DEFAULT,
            label="How the mix is chosen",
            elem_id="t2-strategy",
            container=False,
        )
        explained = gr.HTML(asking.explained(adapt.DEFAULT), elem_id="t2-explained")
        saved_mix = gr.Dropdown(
            [(asking.NEWEST, "")], value="", label="Mix", visible=False, elem_id="t2-saved-mix"
        )
    with gr.Accordion("Set the weights by hand", open=False, elem_id="t2-hand") as hand:
        by_hand = gr.HTML(asking.hand_line({}), render=False)
        _sliders(session, by_hand)
        by_hand.render()
        again = gr.Button("Ask again with these weights", elem_id="t2-again")
    with gr.Accordion("Settings", open=False, elem_id="t2-settings"):
        temperature = gr.Slider(
            0,
            1.5,
            value=0,
            step=0.05,
            label="Temperature",
            info="0 always gives the most likely answer; higher is more varied.",
        )
        most, usual = asking.lengths(context)
        length = gr.Slider(
            16,
            most,
            value=usual,
            step=8,
            label="Longest answer, in tokens",
        )
        aloud = gr.Checkbox(
            label="Let the first pass say its label",
            info="As in the paper: one label takes all. Otherwise every label gets a probability.",
            elem_id="t2-aloud",
        )
    return Side(
        chart, mix, strategy, explained, saved_mix, hand, by_hand, again, temperature, length, aloud
    )


def _sliders(session: Session, by_hand: gr.HTML) -> None:
    """One slider for each expert there is, drawn anew when the experts or the mix change."""

    @gr.render(inputs=[session.mixer], triggers=[session.mixer.change], show_progress="hidden")
    def draw(mixer: Mapping[str, Any]) -> None:
        weights = mixer["weights"]
        if not weights:
            gr.HTML(f'<p class="t2-quiet">{words.NO_EXPERTS}</p>')
        sliders = [
            gr.Slider(
                0,
                1,
                value=value,
                step=0.01,
                label=f"{name} ",  # with the space it is not taken for a key of Gradio's own texts
                interactive=True,
                elem_classes="t2-slider",
            )
            for name, value in weights.items()
        ]
        changed = partial(asking.moved, list(weights))
        for slider in sliders:
            slider.change(changed, sliders, [session.hand, by_hand], **AT_ONCE)


def _wire_questions(talk: Talk, side: Side, session: Session, resident: Resident) -> None:
    """Everything that asks a question."""
    given = [session.turns, session.ticket, side.strategy, session.hand]
    changed = [
        session.turns,
        session.before,
        session.ticket,
        talk.chatbot,
        talk.notice,
        talk.box,
    ]
    talk.box.submit(asking.ask, [talk.box, *given], changed, **IN_TURN)
    talk.chatbot.retry(asking.retry, given, changed, **IN_TURN)
    talk.chatbot.edit(asking.edit, given, changed, **IN_TURN)
    talk.chatbot.example_select(asking.pick, given, changed, **IN_TURN)
    for button in talk.kinds:
        button.click(partial(asking.try_kind, button.value), given, changed, **IN_TURN)
    by_hand = [session.turns, session.ticket, session.hand]
    side.again.click(asking.ask_again, by_hand, changed, **IN_TURN)
    side.strategy.change(
        resident.bind(asking.chosen),
        [side.strategy, side.saved_mix],
        [side.explained, side.saved_mix],
        **AT_ONCE,
    )
    talk.chatbot.copy(None, js=COPY_TEXT, **AT_ONCE)


def _wire_answers(
    page: gr.Blocks,
    talk: Talk,
    side: Side,
    session: Session,
    status: gr.HTML,
    resident: Resident,
    stream: asking.Stream,
) -> None:
    """The one event that asks the model, what stops it, and what follows."""
    conversation = [session.turns, talk.chatbot, side.chart, side.mix]
    answering = session.ticket.change(
        resident.bind(asking.answer, stream),
        [session.turns, session.before, talk.compare, *side.answering],
        [*conversation, talk.notice, talk.box, session.saved],
        trigger_mode="once",
        concurrency_limit=ANSWERS_AT_ONCE,
        **QUIET,
    )
    hand = [session.mixer, session.hand, side.by_hand]
    everything = [*conversation, *hand, status, talk.notice, talk.box, session.saved]
    after = [session.turns, session.ticket, session.withdrawn]
    settle = resident.bind(asking.settled)
    side.hand.expand(resident.bind(asking.refreshed), session.hand, hand, **AT_ONCE)
    talk.box.stop(None, cancels=[answering], api_visibility="private")
    # In turn: a retry that was pressed just before is taken back as well.
    undone = talk.chatbot.undo(
        asking.undo,
        [session.turns, session.ticket],
        [session.turns, session.withdrawn, talk.box],
        cancels=[answering],
        **IN_TURN,
    )
    cleared = talk.chatbot.clear(
        asking.cleared,
        session.ticket,
        [session.turns, session.withdrawn],
        cancels=[answering],
        **AT_ONCE,
    )
    for event in (answering, undone, cleared):
        event.then(settle, after, everything, **AT_ONCE)
    told = (resident.bind(asking.told), side.strategy, side.explained)
    answering.then(*told, **QUIET)
    page.load(*told, **QUIET)
    page.load(resident.bind(asking.restore), [session.saved, session.ticket], everything, **IN_TURN)
    page.load(resident.bind(asking.fitted), side.strategy, [side.strategy, side.length], **AT_ONCE)
