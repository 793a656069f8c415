"""Training runs as HTML: the list, how far one is, and what came out of it. Pure functions.

Everything that a file or a model said is escaped. Not covered: charts (``train_charts``).
"""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from t2app.tasks.rewards import REWARDS
from t2app.training.jobs import Comparison, Job
from t2app.training.outcome import HeldOut
from t2app.training.settings import MODULES, OBJECTIVES
from t2app.ui import harm_view, train_look
from t2app.ui.conversation import percent
from t2app.ui.train_form import LABELS

# state: (word on the page, style)
STATES = {
    "waiting": ("waiting", "wait"),
    "running": ("training", "run"),
    "finished": ("done", "done"),
    "stopped": ("stopped", "stop"),
    "failed": ("failed", "fail"),
    "interrupted": ("interrupted", "stop"),
}
# verdict: (headline, style)
VERDICTS = {
    "helps": ("It helps", "good"),
    "makes no difference": ("It makes no difference", "even"),
    "hurts": ("It hurts", "poor"),
}
# What a job goes through: name on the page, and how the words of its phase begin.
STAGES = (
    ("Plan", ("planning", "choosing")),
    ("Measure the base", ("measuring the base",)),
    ("Train", ("training",)),
    ("Measure the expert", ("measuring the expert",)),
    ("Check other questions", ("checking other questions",)),
)
CHANGES = {
    "gained": ("now right", "good"),
    "lost": ("now wrong", "poor"),
    "same": ("same", "even"),
}
SETTING_WORDS = {**LABELS, "reward": "Reward", "file": "File"}
NO_RUNS = "None yet. What you train shows up here, also after a restart."
CHAT_GOES_ON = (
    "Chat goes on meanwhile, on the same model. You can also close this page: "
    "training continues, and you find it here again."
)


def active(job: Job) -> bool:
    """Whether it still changes by itself."""
    return job.state in ("waiting", "running")


def run_list(jobs: Sequence[Job], chosen: str | None) -> str:
    """The runs, newest first; a click on one carries its id."""
    if not jobs:
        return (
            '<p class="t2-quiet">None yet. What you train shows up here, also after a restart.</p>'
        )
    return f'<ul class="t2-runs">{"".join(_run(job, job.id == chosen) for job in jobs)}</ul>'


def _run(job: Job, chosen: bool) -> str:
    said = [html.escape(job.file), _when(job.created)]
    if job.report:
        before, after = (job.report[k]["accuracy"] for k in ("before", "after"))
        said.insert(0, f"{percent(before)} → {percent(after)}")
    elif active(job):
        said = [html.escape(_capital(job.phase))]
    bar = _progress(job) if job.state == "running" else ""
    return (
        f'<li><button type="button" data-run="{html.escape(job.id)}" '
        f'aria-current="{str(chosen).lower()}">'
        f'<span class="t2-run-name"><b>{html.escape(job.name)}</b>{_pill(job)}</span>'
        f'<span class="t2-run-more">{" · ".join(said)}</span>{bar}</button></li>'
    )


def _pill(job: Job) -> str:
    word, style = STATES[job.state]
    if job.report and not active(job):
        verdict = job.report["verdict"]
        word, style = verdict, VERDICTS[verdict][1]
    elif job.stopping:
        word = "stopping"
    return f'<span class="t2-pill t2-{style}">{html.escape(word)}</span>'


def head(job: Job) -> str:
    """Name, state and origin of a run."""
    return (
        f'<div class="t2-run-head"><h2>{html.escape(job.name)}</h2>{_pill(job)}</div>'
        f'<p class="t2-quiet">{html.escape(job.file)}, {_when(job.created)}</p>'
    )


def progress(job: Job) -> str:
    """Phases, how far the current one is, the time left; or why it stands still."""
    if job.state == "waiting":
        return (
            f'<p class="t2-say">{html.escape(_capital(job.phase))}.</p>'
            f'<p class="t2-quiet">It starts by itself. {CHAT_GOES_ON}</p>'
        )
    if job.state == "running":
        now = f"{_stages(job)}{_now(job)}{train_look.alarm_cards(job.alarms)}"
        return f"{now}<p class='t2-quiet'>{CHAT_GOES_ON}</p>"
    return f"{_ended(job)}{train_look.alarm_cards([] if job.report else job.alarms)}"


def _ended(job: Job) -> str:
    """Why it stands still; nothing where it got to its end."""
    if job.state == "failed":
        return _notice("It failed", job.error or "no reason is known", "poor")
    if job.state == "interrupted":
        again = "Resume goes on from the last checkpoint." if job.can_resume else ""
        return _notice("It was interrupted", f"The app ended while it trained. {again}", "even")
    if job.state == "stopped" and job.report is None:
        return _notice("Stopped", job.error or "it was stopped before there was a result", "even")
    return ""


def _notice(title: str, text: str, style: str) -> str:
    return (
        f'<div class="t2-verdict t2-{style}" role="status"><h3>{title}</h3>'
        f"<p>{html.escape(_sentence(text))}</p></div>"
    )


def _stages(job: Job) -> str:
    at = stage(job)
    items = "".join(
        f'<li class="{"t2-past" if i < at else "t2-here" if i == at else ""}"'
        f"{' aria-current=step' if i == at else ''}>{name}</li>"
        for i, (name, _) in enumerate(STAGES)
    )
    return f'<ol class="t2-stages">{items}</ol>'


def stage(job: Job) -> int:
    """Which of ``STAGES`` the job is in; -1 before the first."""
    for number, (_, starts) in enumerate(STAGES):
        if job.phase.startswith(starts):
            return number
    return len(STAGES) if job.phase == "done" else -1


def _now(job: Job) -> str:
    left = ""
    if job.stopping:
        left = "stopping after this step"
    elif job.seconds_left is not None:
        left = f"{duration(job.seconds_left)} left"
    return (
        f'<div class="t2-now"><b>{html.escape(_capital(job.phase))}</b><span>{left}</span></div>'
        f"{_progress(job)}{_best(job)}"
    )


def _best(job: Job) -> str:
    """What a stop would keep now."""
    base = job.curve[0].get("validation") if job.curve else None
    if base is None:
        return ""
    best = job.curve[-1]["best"]
    found = f"{percent(best)}, base {percent(base)}" if best > base else "still the base"
    return f'<p class="t2-say">Best so far on the rows to choose by: <b>{found}</b></p>'


def _progress(job: Job) -> str:
    share = job.done / job.total if job.total else 0
    kind = "" if job.total else " t2-unknown"
    return (
        f'<span class="t2-bar{kind}" role="progressbar" aria-label="{html.escape(job.phase)}" '
        f'aria-valuenow="{share * 100:.0f}"><i style="width:{share * 100:.1f}%"></i></span>'
    )


def result(job: Job) -> str:
    """The verdict with accuracy before and after on the held-out rows, and the paired test."""
    report = job.report
    if report is None:
        return ""
    title, style = VERDICTS[report["verdict"]]
    # The words begin with the verdict, which is the headline here.
    said = report["verdict_words"].partition(": ")[2] or report["verdict_words"]
    note = " It was stopped early; this is the best step so far." if report["stopped"] else ""
    return (
        f'<div class="t2-verdict t2-{style}" role="status"><h3>{title}</h3>'
        f"<p>{html.escape(_sentence(said))}{note}</p></div>"
        f'<div class="t2-scores">{_score("Base model", report["before"], "base")}'
        f"{_score('With the expert', report['after'], 'expert')}{_baselines(report)}</div>"
        f'<p class="t2-quiet">{_test(report)}</p>'
        f"{train_look.alarm_cards(report.get('alarms') or [])}{harm_view.card(report.get('harm'))}"
    )


def _score(name: str, measured: Mapping[str, Any], style: str) -> str:
    share = measured["accuracy"]
    bar = harm_view.share_bar(share, *measured["ci95"], style)
    return f'<div class="t2-score"><span>{name}</span><b>{percent(share)}</b>{bar}</div>'


def _baselines(report: Mapping[str, Any]) -> str:
    """What else an expert has to beat, the best of it; runs from before have none."""
    best = report.get("best_baseline")
    measured = (report.get("baselines") or {}).get(best)
    return _score(html.escape(_capital(best)), measured, "base") if measured else ""


def _test(report: Mapping[str, Any]) -> str:
    p = report["p_value"]
    shown = "p < 0.001" if p < 0.001 else f"p = {p:.3f}"
    return (
        "Both answered the same rows, none of which it was trained on or chosen by. Paired test: "
        f"{shown}, the chance of a difference at least this large if there were none."
    )


def held_out(rows: Sequence[HeldOut]) -> str:
    """Held-out rows with both answers; the ones that changed come first."""
    if not rows:
        return ""
    body = "".join(_held_out(row) for row in rows)
    return (
        '<h3>Held-out rows, changed ones first</h3><div class="t2-table-wrap t2-tall">'
        '<table class="t2-table t2-answers"><thead><tr><th>Question</th><th>Right answer</th>'
        f"<th>Base model</th><th>With the expert</th><th></th></tr></thead><tbody>{body}</tbody>"
        "</table></div>"
    )


def _held_out(row: HeldOut) -> str:
    word, style = CHANGES[row.change]
    if row.change == "same":
        word = {0.0: "both wrong", 1.0: "both right"}.get(row.after, "same")
    cells = "".join(
        f'<td><div dir="auto">{html.escape(text) or "<i>nothing</i>"}</div></td>'
        for text in (row.question, row.gold, row.base, row.expert)
    )
    return f'<tr>{cells}<td><span class="t2-tag t2-{style}">{word}</span></td></tr>'


def facts(job: Job) -> str:
    """Everything that is needed to repeat it."""
    values = {
        "Reward": f"{job.reward}: {REWARDS[job.reward].summary}"
        if job.reward in REWARDS
        else job.reward,
        "Rows": _row_words(job.rows),
        **setting_facts({**job.settings.to_dict(), "objective": _objective(job)}),
    }
    if job.seconds:
        values["Time"] = duration(job.seconds)
        if job.expected and not active(job):
            values["Time"] += f", expected {duration(job.expected)}"
    why = f'<p class="t2-quiet">{html.escape(_sentence(job.why))}</p>' if job.why else ""
    return f"{why}{_list(values)}"


def _objective(job: Job) -> str:
    return job.objective or job.settings.objective


def setting_facts(settings: Mapping[str, Any]) -> dict[str, str]:
    """Settings in words, by what they are called on the page."""
    return {
        SETTING_WORDS.get(name, name): setting_words(name, value)
        for name, value in settings.items()
    }


def setting_words(name: str, value: Any) -> str:
    """The value of a setting in words."""
    if name == "objective":
        return OBJECTIVES.get(value, str(value))
    if name == "modules":
        return MODULES.get(value, str(value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _row_words(rows: Mapping[str, int]) -> str:
    words = {"train": "to train on", "validation": "to choose by", "test": "held out"}
    return ", ".join(f"{rows[k]:,} {word}" for k, word in words.items() if k in rows)


def _list(values: Mapping[str, str]) -> str:
    pairs = "".join(
        f"<div><dt>{html.escape(k)}</dt><dd>{html.escape(v)}</dd></div>" for k, v in values.items()
    )
    return f'<dl class="t2-facts-list">{pairs}</dl>'


def comparison(found: Comparison, jobs: Mapping[str, Job]) -> str:
    """Results side by side, and the settings that differ."""
    heads = "".join(f"<th>{html.escape(name)}</th>" for name in found.names.values())
    body = "".join(
        f"<tr><th>{html.escape(SETTING_WORDS.get(name, name))}</th>"
        + "".join(
            f"<td>{html.escape(setting_words(name, values.get(run, '')))}</td>"
            for run in found.names
        )
        + "</tr>"
        for name, values in found.differ.items()
    )
    results = "".join(f"<td>{_outcome(jobs.get(run))}</td>" for run in found.names)
    same = (
        "<p class='t2-quiet'>All other settings are the same.</p>"
        if found.differ
        else "<p class='t2-quiet'>Their settings are the same.</p>"
    )
    return (
        f'<div class="t2-table-wrap"><table class="t2-table t2-compare"><thead><tr><th></th>{heads}'
        f"</tr></thead><tbody><tr><th>Held-out rows</th>{results}</tr>{body}</tbody></table></div>"
        f"{same}"
    )


def _outcome(job: Job | None) -> str:
    if job is None or job.report is None:
        return STATES[job.state][0] if job else "gone"
    before, after = (percent(job.report[k]["accuracy"]) for k in ("before", "after"))
    return f"{before} → {after} {_pill(job)}"


def replace_question(name: str, free: str) -> str:
    """What to ask before an expert is replaced."""
    return (
        f"<p class='t2-say'>There is an expert called <b>{html.escape(name)}</b> already. Replace "
        f"it when this training is done, or keep both and call the new one "
        f"<b>{html.escape(free)}</b>?</p>"
    )


def duration(seconds: float) -> str:
    """``100`` -> ``1 min 40 s``."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest and minutes < 10 else f"{minutes} min"
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if minutes else f"{hours} h"


def _when(created: str) -> str:
    """The time in UTC as people write it, in an element that the browser can put into words."""
    try:
        when = datetime.fromisoformat(created).astimezone(UTC)
    except ValueError:
        return html.escape(created)
    date = f"{when.day} {when:%b %Y}"
    return (
        f'<time datetime="{when.isoformat()}" title="{date}">{when.day} {when:%b, %H:%M} UTC</time>'
    )


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]


def _sentence(text: str) -> str:
    text = _capital(text)
    return text if text.endswith((".", "?", "!")) else f"{text}."
