"""Models that are on this computer, as the model tab lists them: what each needs, whether it fits.

And what any model would take, before it is loaded. Words and HTML only. Not covered: finding them
(``t2app.models.shelf``).
"""

from __future__ import annotations

import html
from collections.abc import Sequence

import torch

from t2app.models import memory
from t2app.models.catalogue import Listed
from t2app.models.shelf import Found
from t2app.models.words import gigabytes

NOTHING = (
    "None of the Hugging Face cache, LM Studio or Ollama. A folder or a GGUF file that lies "
    "elsewhere can be given by its path."
)


def choices(found: Sequence[Found], place: torch.device) -> list[tuple[str, str]]:
    """Those that can be used, for the menu."""
    return [
        (f"{one.title} · {gigabytes(one.size)} on this computer · {_needs(one, place)}", one.name)
        for one in found
        if not one.problem
    ]


def _needs(one: Found, place: torch.device) -> str:
    return f"{gigabytes(one.need(place) or 0)} of memory"


def table(found: Sequence[Found], place: torch.device) -> str:
    """All of them, those that are of no use with the reason."""
    if not found:
        return f'<p class="t2-quiet">{NOTHING}</p>'
    free = memory.free(place)
    rows = "".join(_row(one, place, free) for one in found)
    return (
        '<div class="t2-scroll"><table class="t2-found"><thead><tr><th scope="col">Model</th>'
        '<th scope="col">Size</th><th scope="col">Needs</th><th scope="col">Of</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def _row(one: Found, place: torch.device, free: int) -> str:
    title, where = html.escape(one.title), html.escape(one.where)
    need = None if one.problem else one.need(place)
    if need is None:
        verdict = f'<td class="t2-no">{html.escape(one.problem[:1].upper() + one.problem[1:])}</td>'
    elif need <= free:
        verdict = f"<td>{gigabytes(need)}, fits</td>"
    else:
        verdict = f'<td class="t2-no">{gigabytes(need)}, does not fit</td>'
    name = html.escape(one.name, quote=True)
    return (
        f'<tr data-model="{name}"><th scope="row" title="{name}">{title}</th>'
        f"<td>{gigabytes(one.size)}</td>{verdict}<td>{where}</td></tr>"
    )


def about(entry: Listed, here: Found | None, quant: str, storage: str, place: torch.device) -> str:
    """What a model would take on ``place``, in words; T2Error for an impossible ``quant``."""
    kind = entry.precision(quant, storage, place)
    need, free = entry.need(kind, storage, place), memory.free(place)
    fits = need.total <= free
    count = entry.parameters
    many = f"{count / 1000:.1f} billion" if count >= 1000 else f"{count:.0f} million"
    size = (
        f"{gigabytes(here.size)} on this computer ({here.where})"
        if here is not None
        else f"{entry.download:.1f} GB to download"
    )
    text = (
        f"<b>{html.escape(entry.title)}</b>, {many} parameters, {size}. In {kind} it takes "
        f"{gigabytes(need.total)} of memory ({gigabytes(need.weights)} for the weights, "
        f"{gigabytes(need.factors)} for the factors), which "
        f"<b>{'fits' if fits else 'does not fit'}</b> into the {gigabytes(free)} that are free."
    )
    if entry.gated and here is None:
        text += " Its licence has to be accepted on huggingface.co first."
    return f'<p class="t2-quiet {"" if fits else "t2-short"}">{text}</p>'
