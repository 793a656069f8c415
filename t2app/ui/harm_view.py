"""What an expert does to other questions (``evaluation.harm``), as HTML. Pure functions.

The finding comes from an expert's file, which anybody may have written: every value is checked for
its form and escaped.
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from typing import Any

from t2app.evaluation.harm import HEADS
from t2app.ui.conversation import percent

STYLES = {"leaves alone": "good", "unclear": "even", "harms": "poor"}
ADVICE = {
    "leaves alone": "Alone and always on, it answers other questions nearly as the base does.",
    "unclear": "Look at the answers below before you use it for everything.",
    "harms": "So it is not offered as always on: let the first pass decide when it is used, or set "
    "its weight by hand in the chat.",
}


def card(found: Any) -> str:
    """The finding with its figures and some answers that changed; empty where there is none."""
    if not isinstance(found, dict):
        return ""
    verdict = str(found.get("verdict"))
    if verdict not in HEADS:
        return _notice("Other questions were not checked", _why(found), "even")
    groups = _groups(found)
    if not groups:
        return _notice("Other questions", "It is the base, unchanged, so it changes none.", "even")
    return f"{_notice(HEADS[verdict], ADVICE[verdict], STYLES[verdict])}{details(found)}"


def line(found: Any) -> str:
    """The finding in a few words; empty where there is none."""
    if not isinstance(found, dict):
        return ""
    verdict = str(found.get("verdict"))
    if verdict not in HEADS:
        return f'<span class="t2-quiet">not checked: {html.escape(_why(found))}</span>'
    return f'<span class="t2-tag t2-{STYLES[verdict]}">{html.escape(HEADS[verdict])}</span>'


def details(found: Any) -> str:
    """Figures and changed answers without a headline."""
    groups = _groups(found) if isinstance(found, dict) else []
    return f"{_table(groups)}{_changed(groups)}"


def _why(found: Mapping[str, Any]) -> str:
    why = found.get("why")
    return str(why) if why else "no reason is known"


def _notice(title: str, text: str, style: str) -> str:
    text = text[:1].upper() + text[1:]
    end = "" if text.endswith((".", "?", "!")) or not text else "."
    return (
        f'<div class="t2-verdict t2-{style} t2-harm" role="status"><h3>{html.escape(title)}</h3>'
        f"<p>{html.escape(text)}{end}</p></div>"
    )


def _groups(found: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The groups whose figures are numbers."""
    groups = found.get("groups")
    return [g for g in groups if _is_group(g)] if isinstance(groups, list) else []


def _is_group(group: Any) -> bool:
    if not isinstance(group, dict):
        return False
    pairs = [group.get("same_ci95"), group.get("kl_ci95")]
    if not all(isinstance(pair, list) and len(pair) == 2 for pair in pairs):
        return False
    numbers = [group.get("n"), group.get("same"), group.get("kl"), *pairs[0], *pairs[1]]
    return all(
        isinstance(x, int | float) and not isinstance(x, bool) and math.isfinite(x) for x in numbers
    )


def _table(groups: Sequence[Mapping[str, Any]]) -> str:
    if not groups:
        return ""
    rows = "".join(_row(group) for group in groups)
    return (
        '<div class="t2-table-wrap"><table class="t2-table t2-harm-table"><thead><tr>'
        '<th scope="col">Questions</th><th scope="col">Answers that stay the base’s</th>'
        '<th scope="col"><abbr title="Kullback-Leibler divergence of the expert from the base, in '
        'nats for each token of the base’s answers">Distance</abbr></th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def share_bar(share: float, low: float, high: float, style: str) -> str:
    """A share with its 95 % interval, all 0 to 1, as a bar and in words."""
    return (
        f'<span class="t2-range t2-{style}"><i style="width:{100 * share:.1f}%"></i>'
        f'<u style="left:{100 * low:.1f}%;width:{100 * (high - low):.1f}%"></u></span>'
        f"<small>95 % interval {100 * low:.0f} to {100 * high:.0f} %</small>"
    )


def _row(group: Mapping[str, Any]) -> str:
    low, high = (min(1.0, max(0.0, share)) for share in group["same_ci95"])
    same = min(1.0, max(0.0, group["same"]))
    nearest, farthest = group["kl_ci95"]
    verdict = str(group.get("verdict"))
    style = STYLES.get(verdict, "even")
    word = {"leaves alone": "left alone", "harms": "harmed"}.get(verdict, "not clear")
    return (
        f'<tr><th scope="row">{html.escape(str(group.get("name", "")))}'
        f" <small>n = {group['n']:,.0f}</small>"
        f'<span class="t2-tag t2-{style}">{word}</span></th>'
        f"<td><b>{percent(same)}</b> {share_bar(same, low, high, 'expert')}{_theirs(group)}</td>"
        f"<td>{group['kl']:.3f}<small>{nearest:.3f} to {farthest:.3f}</small></td></tr>"
    )


def _theirs(group: Mapping[str, Any]) -> str:
    """How many of the answers are those of the expert whose questions these are."""
    count = group.get("theirs")
    if not isinstance(count, int) or count <= 0:
        return ""
    return f"<small>{count:,} of them as {html.escape(str(group.get('name', '')))} answers</small>"


def _changed(groups: Sequence[Mapping[str, Any]]) -> str:
    """Answers that changed most, folded away."""
    found = [
        row
        for group in groups
        if isinstance(group.get("changed"), list)
        for row in group["changed"]
        if isinstance(row, dict)
    ]
    if not found:
        return ""
    rows = "".join(
        "<tr>"
        + "".join(
            f'<td><div dir="auto">{html.escape(str(row.get(key) or "")) or "<i>nothing</i>"}</div>'
            "</td>"
            for key in ("question", "base", "expert")
        )
        + "</tr>"
        for row in found
    )
    return (
        '<details class="t2-changed"><summary>Answers that changed most</summary>'
        '<div class="t2-table-wrap t2-tall"><table class="t2-table t2-answers"><thead><tr>'
        '<th scope="col">Question</th><th scope="col">Base model</th>'
        '<th scope="col">With the expert always on</th></tr></thead>'
        f"<tbody>{rows}</tbody></table></div></details>"
    )
