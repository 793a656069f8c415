"""A few-shot search in words and small tables: what it searches on, how far it is, what it found.

Pure functions that give HTML; everything from files is escaped. Not covered: charts
(``few_shot_charts``).
"""

from __future__ import annotations

import html
from collections.abc import Mapping
from textwrap import dedent
from typing import Any

from t2app.adapt.few_shot import Found, Generation
from t2app.adapt.shots import Shots
from t2app.ui.conversation import percent

BASE = "Base model"


def shots_words(shots: Shots) -> str:
    """How many examples there are, and what people have to know of them."""
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in shots.notes)
    head, *turns = shots.preview().lines()
    return (
        f'<p class="t2-say"><b>{len(shots.shots)} examples</b> to search on.</p>'
        f'<ul class="t2-notes">{notes}</ul>'
        f'<p class="t2-say t2-apart">{html.escape(head[:1].upper() + head[1:])}</p>'
        f'<pre class="t2-pre" dir="auto">{html.escape(dedent(chr(10).join(turns)))}</pre>'
    )


def waiting(line: str) -> str:
    """Before there is a generation to tell of."""
    return _status(html.escape(line))


def progress(record: Generation, shots: Shots, fitness: str, phase: str) -> str:
    """Which generation it is, how good the best mix is, and why the search has ended.

    ``phase`` is "searching", "measuring", "done" or "stopped".
    """
    worth = _worth(record, len(shots.shots), fitness)
    if phase == "searching":
        share = 100 * record.number / record.limit
        head = f"Generation {record.number} of at most {record.limit}"
        return _status(f"<b>{head}.</b> {worth} {record.seconds:.0f} s so far.") + (
            f'<span class="t2-track" role="progressbar" aria-valuenow="{share:.0f}" '
            f'aria-label="generations"><i style="width:{share:.1f}%"></i></span>'
        )
    number = "1 generation" if record.number == 1 else f"{record.number} generations"
    head = f"{'Stopped' if phase == 'stopped' else 'Done'} after {number}"
    why = f": {html.escape(record.why)}" if record.why else ""
    more = f"It took {record.seconds:.0f} s."
    if phase == "measuring":
        n = len(shots.shots) + len(shots.rest)
        more = f"Now base and mix answer all {n} examples, to see what it gains …"
    return _status(f"<b>{head}{why}.</b> {worth} {more}")


def _status(line: str) -> str:
    return f'<p class="t2-say" role="status">{line}</p>'


def _worth(record: Generation, n: int, fitness: str) -> str:
    if fitness != "accuracy":
        likely = f"{record.best_fitness:.3f} a token"
        return f"The best mix gives the right answers a log-likelihood of {likely}."
    right, most = (round(share * n) for share in (record.best_fitness, record.fittest))
    line = f"The best mix answers {right} of {n} examples right."
    if most > right:
        line += (
            f" Another answers {most}, but is not what a first pass makes of the questions; "
            "Advanced says how much that counts."
        )
    return line


def mix(found: Found) -> str:
    """The mix in words."""
    line = f"Mix: {found.parts}."
    total = sum(found.weights.values())
    if total > 1 + 1e-6:
        line += (
            f" Together the weights are {total:.2f}: more than one whole expert is at work, and "
            "the base counts negatively."
        )
    if len(found.alpha) > 1:
        line += " Every layer has weights of its own; the bars are their means."
    return f'<p class="t2-quiet">{html.escape(line)}</p>'


def scores(report: Mapping[str, Any] | None) -> str:
    """Right answers of the base and of the mix: on the examples, and on rows that it never saw."""
    if not report:
        return ""
    lines = [_scores_row("On the examples", report.get("examples"), seen=True)]
    lines.append(_scores_row("On the rest", report.get("rest"), seen=False))
    body = "".join(line for line in lines if line)
    rest = "" if report.get("rest") else (
        '<p class="t2-quiet">There are no more rows, so how well the mix does on new questions is '
        "not known. A file with more rows measures that.</p>"
    )  # fmt: skip
    return (
        '<div class="t2-scroll"><table class="t2-experts t2-scores-table"><thead><tr><th></th>'
        f'<th scope="col">{BASE}</th><th scope="col">With the mix</th><th scope="col">Gain</th>'
        f"</tr></thead><tbody>{body}</tbody></table></div>{rest}"
    )


def _scores_row(name: str, part: Mapping[str, Any] | None, seen: bool) -> str:
    if not part:
        return ""
    before, after, gain = part["before"], part["after"], part.get("gain")
    points = "searched on, so no measure" if seen else ""
    if gain and not seen:
        low, high = gain["ci95"]
        points = f"{gain['mean'] * 100:+.0f} points ({low * 100:+.0f} to {high * 100:+.0f})"
    cells = f"<td>{_score(before)}</td><td><b>{_score(after)}</b></td><td>{points}</td>"
    return f'<tr><th scope="row">{name}</th>{cells}</tr>'


def _score(figure: Mapping[str, Any]) -> str:
    right = round(figure["accuracy"] * figure["n"])
    return f"{percent(figure['accuracy'])} <small>{right} of {figure['n']}</small>"
