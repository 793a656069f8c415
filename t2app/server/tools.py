"""What agents may do, as plain functions: the docstrings are what an agent reads.

Eight tools; each gives a JSON object, and raises T2Error in one line that says what to do instead.
Not covered: how they are called (``agents``), and files, which stay on the side of the agent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, Field

from t2app import adapt, data
from t2app.adapt import few_shot, mixes, shots, two_pass
from t2app.adapt.two_pass import Answer
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.evaluation.few_shot import measuring
from t2app.svf.expert import Expert
from t2app.svf.library import check_name
from t2app.svf.mixing import parse_weights
from t2app.training.jobs import Job, Jobs
from t2app.training.settings import Settings

SHOWN_RUNS = 20
# What of an expert's header an agent can use; the rest is vectors and curves.
TOLD = (
    *("description", "base", "task", "objective", "reward", "rows", "before", "after"),
    *("verdict", "verdict_words", "harm", "told", "created", "mix"),
)
Length = Annotated[int, Field(ge=1, le=4096, description="the most tokens of the answer")]


class Example(BaseModel):
    """A question with its right answer."""

    question: str
    answer: str


class Tools:
    """The tools over one engine, and the line of training runs behind them."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.jobs = Jobs(engine)

    @property
    def all(self) -> list[Callable[..., dict[str, Any]]]:
        """In the order in which an agent is likely to need them."""
        return [
            *(self.ask, self.ask_with_mix, self.list_experts, self.show_expert),
            *(self.train_expert, self.training_status, self.stop_training, self.adapt_to_examples),
        ]

    def ask(self, question: str, max_tokens: Length = 256) -> dict[str, Any]:
        """Ask the local model a question; it adapts itself to it first.

        Use this by default. A first pass finds what kind of question it is and mixes the experts
        for it; where none fits, the plain model answers. Gives the answer, the label, the weights
        of the experts, and why.
        """
        return _told(two_pass.ask(self._engine, question, max_new_tokens=max_tokens))

    def ask_with_mix(
        self, question: str, mix: str = "", max_tokens: Length = 256
    ) -> dict[str, Any]:
        """Ask the local model with a mix of experts that you choose.

        ``mix`` is the name of one expert, or weights that sum to at most 1, such as
        ``math=0.7,code=0.3``; empty for the plain model. Use it to compare experts, or where you
        know better than the first pass. ``list_experts`` gives the names.
        """
        weights = {mix: 1.0} if mix and "=" not in mix else parse_weights(mix) if mix else {}
        options = {"strategy": "manual", "weights": weights, "max_new_tokens": max_tokens}
        return _told(two_pass.ask(self._engine, question, **options))

    def list_experts(self) -> dict[str, Any]:
        """List the experts of the local model: names, what they are for, how much they help.

        ``before`` and ``after`` are accuracies on rows that were held out. Saved mixes are listed
        as experts with ``mix``.
        """
        experts = self._engine.library.experts()
        return {
            "model": self._engine.base.name,
            "strategies": list(adapt.STRATEGIES),
            "experts": [
                {"name": name, **_header(e, ("description", "before", "after", "mix"))}
                for name, e in experts.items()
            ],
        }

    def show_expert(self, name: str) -> dict[str, Any]:
        """Everything that is known about one expert.

        What it was trained on, how well it does with intervals, the verdict, and what it does to
        questions that are not its own.
        """
        expert = self._engine.library.get(name)
        questions = expert.header.get("examples") or []
        return {"name": name, **_header(expert, TOLD), "examples": questions[:8]}

    def train_expert(
        self, name: str, rows: list[Example], description: str = "", minutes: float | None = None
    ) -> dict[str, Any]:
        """Train a new expert from solved questions, in the background.

        ``rows`` are questions with right answers: 50 at least for a result that means something,
        all of one kind, answers in one form. ``name``: a-z, 0-9, - and _. ``description``: one line
        that the first pass reads. Gives the run's id at once; ``training_status`` tells how it
        goes. Once it has ended well, the expert is in ``list_experts``.
        """
        table = data.table_from_cells(
            ["question", "answer"], [(row.question, row.answer) for row in rows], name
        )
        check_name(name)
        report = data.check(
            table,
            count_tokens=self._engine.count_tokens,
            max_tokens=self._engine.longest_prompt,
        )
        settings = Settings() if minutes is None else Settings(minutes=minutes)
        job = self.jobs.submit(
            report, name=name, settings=settings, description=description or None
        )
        return {**_job(job), "notes": [*report.notes, report.why, report.summary()]}

    def training_status(self, run: str = "") -> dict[str, Any]:
        """How a training run goes: its phase, the steps done, the seconds left, the verdict.

        ``run`` is the id that ``train_expert`` gave; empty for the newest runs. Ask again after
        some seconds, not at once: training takes minutes.
        """
        if run:
            return _job(self.jobs.get(run), report=True)
        return {"runs": [_job(job) for job in self.jobs.jobs()[:SHOWN_RUNS]]}

    def stop_training(self, run: str) -> dict[str, Any]:
        """Stop a training run after the step it is at; the best expert so far is kept.

        A run that has not begun is taken out of the line.
        """
        return _job(self.jobs.stop(run))

    def adapt_to_examples(self, examples: list[Example], name: str = "") -> dict[str, Any]:
        """Find the mix of existing experts that does best on three to ten solved examples.

        Much quicker than training: no expert is made, those there are get weights. With a ``name``
        the mix is kept under it, and ``ask_with_mix`` takes it. Gives the weights, and the share of
        the examples that is right before and after.
        """
        if name:
            check_name(name)
            if self._engine.library.has_file(name):
                raise T2Error(f"expert {name!r} exists already: choose another name")
        table = data.table_from_cells(
            ["question", "answer"], [(e.question, e.answer) for e in examples], "the examples"
        )
        found = shots.read(table, engine=self._engine)
        settings = few_shot.Settings()
        *_, last = few_shot.search(self._engine, found, settings)
        *_, measured = measuring(self._engine, found, last.found)
        if name:
            mixes.save(self._engine, name, found, last.found, settings, report=measured.report)
        figures = measured.report.get("examples") or {}
        return {
            "weights": {k: round(w, 4) for k, w in last.found.weights.items()},
            "before": figures.get("before"),
            "after": figures.get("after"),
            "kept_as": name or None,
            "notes": list(found.notes),
        }


def _told(answer: Answer) -> dict[str, Any]:
    found = answer.adaptation
    return {
        "answer": answer.text,
        "label": found.label,
        "probabilities": {k: round(p, 4) for k, p in found.probabilities.items()},
        "weights": {k: round(w, 4) for k, w in found.weights.items()},
        "why": found.why,
        "tokens": answer.tokens,
    }


def _header(expert: Expert, keys: tuple[str, ...]) -> dict[str, Any]:
    return {key: expert.header[key] for key in keys if expert.header.get(key) is not None}


def _job(job: Job, report: bool = False) -> dict[str, Any]:
    found = {
        "run": job.id,
        "expert": job.name,
        "state": job.state,
        "phase": job.phase,
        "done": job.done,
        "total": job.total,
        "seconds": round(job.seconds, 1),
        "seconds_left": job.seconds_left,
        "error": job.error,
    }
    if report and job.report is not None:
        keys = ("verdict", "verdict_words", "before", "after", "harm")
        found["report"] = {key: job.report[key] for key in keys if key in job.report}
    return found
