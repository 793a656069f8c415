"""Which of its choices a model finds likeliest, without letting it say anything else.

A small model may know the right option and not manage to say it, so an expert has to beat the base
that is scored in this way as well.
"""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from t2app.engine import Engine, Prompt
from t2app.evaluation.measure import prompts_for
from t2app.tasks import Problem, Task


def likeliest(
    engine: Engine, task: Task, problems: Sequence[Problem], delta: Tensor | None = None
) -> list[str]:
    """For each problem the choice of the highest probability, given that it is one of them.

    The probability of a choice is the product over its tokens, each among the tokens that some
    choice allows there. The task's answers must be closed.
    """
    assert task.closed is not None, "only for answers that are chosen among a few"
    prompts = prompts_for(engine, task, problems)
    choices = [task.closed.choices(p) for p in problems]
    searches = [_Search([engine.answer_ids(text) for text in row]) for row in choices]
    while open_ones := [i for i, search in enumerate(searches) if not search.done]:
        found = engine.among(
            [prompts[i] + searches[i].path for i in open_ones],
            [searches[i].following for i in open_ones],
            delta,
        )
        for i, logprobs in zip(open_ones, found, strict=True):
            searches[i].go_on(logprobs)
    return [row[search.best] for row, search in zip(choices, searches, strict=True)]


class _Search:
    """Best-first search for the likeliest of some choices, given as their tokens.

    A longer path is never likelier than its beginning, so the search is over when the likeliest
    path is a whole choice. Of like ones the first counts.
    """

    def __init__(self, spelled: Sequence[Prompt]) -> None:
        self._spelled = spelled
        self.path: Prompt = []
        self._paths = [(0.0, self._beyond([]))]
        self._take()

    @property
    def done(self) -> bool:
        """Whether the likeliest path is a whole choice."""
        return self.path in self._spelled

    @property
    def best(self) -> int:
        """The choice that was found."""
        return self._spelled.index(self.path)

    @property
    def following(self) -> list[int]:
        """The tokens that some choice goes on with behind the path."""
        at = len(self.path)
        return sorted({ids[at] for ids in self._spelled if ids[:at] == self.path and len(ids) > at})

    def go_on(self, logprobs: Sequence[float]) -> None:
        """Extend the path by each following token, and take the likeliest path there is now."""
        for token, logprob in zip(self.following, logprobs, strict=True):
            self._paths.append((self._total + logprob, self._beyond([*self.path, token])))
        self._take()

    def _take(self) -> None:
        at = max(range(len(self._paths)), key=lambda i: self._paths[i][0])
        self._total, self.path = self._paths.pop(at)

    def _beyond(self, path: Prompt) -> Prompt:
        """The path with the tokens that must follow, where there is only one way to go on."""
        at = len(path)
        ways = [ids for ids in self._spelled if ids[:at] == path]
        while path not in self._spelled and len({ids[at] for ids in ways}) == 1:
            path = ways[0][: at + 1]
            at += 1
        return path
