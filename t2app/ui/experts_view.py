"""Experts as HTML and as lines of words: the table, one expert's facts, what the charts show.

Pure functions. A header comes from a file that anybody may have written: every value is checked for
its form and escaped. Not covered: charts (``experts_charts``).
"""

from __future__ import annotations

import html
import math
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from t2app.svf import compare
from t2app.svf.compare import place
from t2app.svf.expert import Expert
from t2app.ui import harm_view
from t2app.ui.conversation import mix_words, percent

NOTHING = "–"
# Values longer than this are shortened where the whole header is shown.
LONGEST_SHOWN = 200
OBJECTIVES = {
    "rl": "reinforcement learning",
    "sft": "next-token training",
    "sft+rl": "next-token training, then reinforcement learning",
    "cem": "few-shot search",
}
COLUMNS = (
    "Expert", "What it is for", "Task", "Rows", "Before → after", "Numbers", "Size", "Made",
    "How", "Base model",
)  # fmt: skip
NO_EXPERTS = (
    "No experts fit this model yet. Train one in the Train tab, or import a file below. Until then "
    "the base model answers everything."
)


def table(experts: Mapping[str, Expert], sizes: Mapping[str, int], chosen: str | None) -> str:
    """All experts in a table; a click on a row carries its name."""
    if not experts:
        return f'<p class="t2-quiet t2-empty">{NO_EXPERTS}</p>'
    head = "".join(f'<th scope="col">{name}</th>' for name in COLUMNS)
    rows = "".join(_row(e, sizes.get(name, 0), name == chosen) for name, e in experts.items())
    return (
        '<div class="t2-scroll"><table class="t2-experts"><thead><tr>'
        f"{head}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def _row(expert: Expert, size: int, chosen: bool) -> str:
    header = expert.header
    name = html.escape(expert.name)
    cells = (
        _text(expert.description),
        _text(expert.task),
        rows_words(header.get("rows")),
        gain_bar(header),
        f"{compare.numbers(expert):,}",
        size_words(size),
        date_words(header.get("created")),
        how_words(header),
        f"<code>{_text(expert.base)}</code>",
    )
    return (
        f'<tr data-expert="{name}" class="{"t2-chosen" if chosen else ""}">'
        f'<th scope="row"><button type="button" aria-pressed="{str(chosen).lower()}">{name}'
        f"</button></th>{''.join(f'<td>{cell}</td>' for cell in cells)}</tr>"
    )


def problems(found: Mapping[str, str]) -> str:
    """Files of the folder that are no experts of this model, each with the reason."""
    if not found:
        return ""
    items = "".join(
        f"<li><b>{_text(file)}</b> {_text(reason)}</li>" for file, reason in found.items()
    )
    files = "1 file does" if len(found) == 1 else f"{len(found)} files do"
    return (
        f'<details class="t2-problems" open><summary>{files} not fit this model</summary>'
        f"<ul>{items}</ul></details>"
    )


def title(expert: Expert) -> str:
    """Name and description above everything about one expert."""
    line = _text(expert.description) or "It has no description yet."
    return f'<h2>{html.escape(expert.name)}</h2><p class="t2-quiet">{line}</p>'


def facts(expert: Expert, size: int, note: str | None = None) -> str:
    """What an expert's header says, as far as people ask for it; ``note`` is the library's."""
    header = expert.header
    values = {
        "Right before → after": gain_bar(header),
        "Gain": _gain_words(header.get("gain")),
        "Other questions": harm_view.line(header.get("harm")),
        "Mixed from": _mix(header.get("mix")),
        "Task": _text(expert.task),
        "Learned by": how_words(header),
        "Rows": _rows_long(header.get("rows")),
        "Numbers": f"{compare.numbers(expert):,} in {len(expert.z)} matrices, {size_words(size)}",
        "Made": f"{date_words(header.get('created'))}{_duration(header.get('seconds'))}",
        "Base model": f"<code>{_text(expert.base)}</code>",
        "Here": _text((note or "")[:1].upper() + (note or "")[1:]),
    }
    items = "".join(
        f"<dt>{name}</dt><dd>{value}</dd>"
        for name, value in values.items()
        if value not in ("", NOTHING)
    )
    return f'<dl class="t2-about">{items}</dl>{harm_view.details(header.get("harm"))}'


def examples(expert: Expert) -> str:
    """Questions that the expert keeps; a click on one carries its number."""
    questions = example_questions(expert)
    if not questions:
        return '<p class="t2-quiet">It keeps no example questions.</p>'
    items = "".join(
        f'<li><button type="button" data-question="{i}" title="Put it into the chat">'
        f"{html.escape(question)}</button></li>"
        for i, question in enumerate(questions)
    )
    return f'<ul class="t2-questions">{items}</ul>'


def example_questions(expert: Expert, most: int = 4) -> list[str]:
    """The first questions in the header that are text."""
    found = expert.header.get("examples")
    questions = found if isinstance(found, list) else []
    return [q for q in questions if isinstance(q, str) and q.strip()][:most]


def shown_header(expert: Expert) -> dict[str, Any]:
    """Everything in the file but the vectors; what is long is cut."""
    return {key: _cut(value) for key, value in sorted(expert.header.items())}


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > LONGEST_SHOWN:
        return f"{value[:LONGEST_SHOWN]}… ({len(value):,} characters)"
    if isinstance(value, list):
        more = [f"… {len(value) - 3} more"] if len(value) > 4 else []
        return [_cut(item) for item in (value[:3] if more else value)] + more
    if isinstance(value, dict):
        return {str(key): _cut(item) for key, item in value.items()}
    return value


# -- what the charts show, in words ------------------------------------------------------------


def strength_words(strength: Mapping[str, float]) -> str:
    """Where an expert changes the model most, and least."""
    if not any(strength.values()):
        return _quiet("It changes nothing: every z is 1.")
    most = max(strength, key=strength.__getitem__)
    untouched = sum(value == 0 for value in strength.values())
    rest = f" {untouched} of {len(strength)} matrices are left as they are." if untouched else ""
    return _quiet(
        f"Mean distance of z from 1. Most in {_place_words(most)} ({strength[most]:.3f}).{rest}"
    )


def vector_words(name: str, z: Sequence[float]) -> str:
    """How far the singular values of one matrix are turned up and down."""
    up, down = sum(value > 1 for value in z), sum(value < 1 for value in z)
    return _quiet(
        f"In {_place_words(name)}, {up} of {len(z)} singular values are turned up (at most "
        f"×{max(z):.2f}) and {down} down (at least ×{min(z):.2f})."
    )


def similarity_words(names: Sequence[str], cells: Sequence[Sequence[float]]) -> str:
    """The two experts that are most alike."""
    pairs = [(cells[i][j], names[i], names[j]) for i in range(len(names)) for j in range(i)]
    if not pairs:
        return _quiet("It takes two experts to compare.")
    value, one, other = max(pairs)
    return _quiet(
        f"1 is the same direction, 0 has nothing in common. Closest: {html.escape(other)} and "
        f"{html.escape(one)} ({value:.2f})."
    )


def pair_words(one: Expert, other: Expert, cosine: float) -> str:
    """Two experts side by side, as a small table."""
    rows = {
        "What it is for": [_text(e.description) or NOTHING for e in (one, other)],
        "Right before → after": [gain_bar(e.header) for e in (one, other)],
        "Learned by": [how_words(e.header) for e in (one, other)],
        "Mean |z − 1|": [f"{_mean_strength(e):.4f}" for e in (one, other)],
    }
    body = "".join(
        f'<tr><th scope="row">{name}</th>{"".join(f"<td>{v}</td>" for v in values)}</tr>'
        for name, values in rows.items()
    )
    return (
        '<div class="t2-scroll"><table class="t2-experts t2-pair"><thead><tr><th></th>'
        f'<th scope="col">{html.escape(one.name)}</th>'
        f'<th scope="col">{html.escape(other.name)}</th></tr></thead><tbody>{body}</tbody>'
        f"</table></div>{_quiet(f'Cosine similarity over all matrices: {cosine:.3f}.')}"
    )


def effects_words(found: Mapping[str, Any]) -> str:
    """How to read the figures, how many questions stand behind them, and from when they are."""
    figures = [f for f in found["base"].values() if isinstance(f, dict)]
    n = min((f["n"] for f in figures if _is_number(f.get("n"))), default=0)
    behind = f" {n:,} fresh questions a task." if n else ""
    date = f" Measured {_text(found.get('date'))[:10]}." if found.get("date") else ""
    return _quiet(
        "Share of right answers with one expert at full weight. Green is better than the base "
        f"model, red is worse.{behind}{date}"
    )


def confusion_words(found: Mapping[str, Any]) -> str:
    """How many questions were sorted to their own kind."""
    kinds, labels, counts = found["kinds"], found["labels"], found["counts"]
    total = sum(map(sum, counts))
    right = sum(
        row[labels.index(kind)] for kind, row in zip(kinds, counts, strict=True) if kind in labels
    )
    return _quiet(
        f"Questions of each kind (rows) by what they were taken for (columns). {right:,} of "
        f"{total:,} were taken for their own kind."
    )


def mixed_words(task: str | None, count: int) -> str:
    """What one bar stands for: a question of a task, or a task."""
    if not task:
        return _quiet("One bar for each task: the mean over all of its questions.")
    return _quiet(f"One bar for each question: the first {count} of “{html.escape(task)}”.")


def _mean_strength(expert: Expert) -> float:
    total = sum((z - 1).abs().sum().item() for z in expert.z.values())
    return total / max(1, compare.numbers(expert))


# -- values of a header ------------------------------------------------------------------------


def gain_bar(header: Mapping[str, Any]) -> str:
    """Accuracy before and after in words, above a bar that shows the step."""
    before, after = (accuracy(header.get(key)) for key in ("before", "after"))
    if before is None or after is None:
        return NOTHING
    low, high = sorted((before, after))
    style = "t2-up" if after >= before else "t2-down"
    return (
        f'<span class="t2-gain"><span>{percent(before)} → <b>{percent(after)}</b></span>'
        f'<span class="t2-step" aria-hidden="true"><i style="width:{low * 100:.1f}%"></i>'
        f'<u class="{style}" style="width:{(high - low) * 100:.1f}%"></u></span></span>'
    )


def accuracy(figure: Any) -> float | None:
    """The accuracy in a header's ``before`` or ``after``, if it is one."""
    value = figure.get("accuracy") if isinstance(figure, dict) else None
    return float(value) if _is_number(value) and 0 <= value <= 1 else None


def how_words(header: Mapping[str, Any]) -> str:
    """Objective, reward and number of steps."""
    settings = header.get("settings") if isinstance(header.get("settings"), dict) else {}
    objective = str(header.get("objective") or "")
    steps, reward = settings.get("steps"), header.get("reward")
    parts = [
        OBJECTIVES.get(objective, objective),
        f"{steps} steps" if _is_number(steps) else "",
        f"reward {reward}" if isinstance(reward, str) and reward else "",
    ]
    return _text(", ".join(filter(None, parts))) or NOTHING


def rows_words(rows: Any) -> str:
    """How many rows an expert was made from."""
    if not isinstance(rows, dict):
        return NOTHING
    used = [rows[key] for key in ("train", "examples") if _is_number(rows.get(key))]
    return f"{used[0]:,}" if used else NOTHING


ROW_WORDS = {
    "train": "to train on",
    "validation": "to choose by",
    "test": "to measure",
    "examples": "searched on",
    "rest": "to measure",
    "rejected": "rejected",
}


def _rows_long(rows: Any) -> str:
    if not isinstance(rows, dict):
        return NOTHING
    parts = [
        f"{rows[key]:,} {words}"
        for key, words in ROW_WORDS.items()
        if _is_number(rows.get(key)) and rows[key]
    ]
    return ", ".join(parts) or NOTHING


def _gain_words(gain: Any) -> str:
    if not isinstance(gain, dict):
        return ""
    mean = gain.get("mean")
    low, high = gain.get("ci95") or (gain.get("low"), gain.get("high"))
    if not all(map(_is_number, (mean, low, high))):
        return ""
    return f"{mean * 100:+.1f} points (95 % interval {low * 100:+.1f} to {high * 100:+.1f})"


def _mix(mix: Any) -> str:
    weights = mix.get("weights") if isinstance(mix, dict) else None
    if not isinstance(weights, dict) or not all(map(_is_number, weights.values())):
        return ""
    return _text(mix_words({str(k): float(v) for k, v in weights.items()}))


def date_words(created: Any) -> str:
    """``2026-11-21T09:39:39+00:00`` -> ``21 Nov 2026``."""
    try:
        when = datetime.fromisoformat(created).astimezone(UTC)
    except (TypeError, ValueError):
        return NOTHING
    return f'<time datetime="{when.isoformat()}">{when.day} {when:%b %Y}</time>'


def _duration(seconds: Any) -> str:
    if not _is_number(seconds) or seconds <= 0:
        return ""
    minutes = f"{seconds / 60:.0f} min" if seconds >= 90 else f"{seconds:.0f} s"
    return f", in {minutes}"


def size_words(size: int) -> str:
    """Bytes in a unit that reads well."""
    for unit, name in ((2**20, "MB"), (2**10, "kB")):
        if size >= unit:
            return f"{size / unit:.{0 if size >= 10 * unit else 1}f} {name}"
    return f"{size} bytes"


def _place_words(name: str) -> str:
    layer, module = place(name)
    return html.escape(f"layer {layer}, {module}" if layer else module)


def _quiet(line: str) -> str:
    return f'<p class="t2-quiet">{line}</p>'


def _text(value: Any) -> str:
    return html.escape(str(value)) if value else ""


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
