"""What is asked of the engine, and the tokens that come back."""

from __future__ import annotations

from collections import deque
from collections.abc import Collection
from dataclasses import dataclass

from torch import Tensor

from t2app.engine.sampling import draws
from t2app.errors import T2Error
from t2app.models.chat import ChatFormat

Prompt = list[int]


@dataclass(frozen=True)
class Completion:
    """What the model said to one prompt: the sampled ids (the end token too) and their text.

    ``likelihood`` is the mean log-probability of these tokens; None unless it was asked for.
    """

    token_ids: list[int]
    text: str
    finished: bool
    likelihood: float | None = None


@dataclass(frozen=True, eq=False)
class Request:
    """One prompt to go on from.

    ``delta`` (R,) is its mix, None the base. ``limit`` is the most tokens, 1 or more; ``ends`` are
    the tokens that end an answer. Greedy at ``temperature`` 0; what is drawn, among the likeliest
    tokens that have ``top_p`` of the probability, depends on ``seed`` alone. ``likelihood`` asks
    for log-probabilities, at temperature 1.
    """

    prompt: Prompt
    delta: Tensor | None
    limit: int
    ends: Collection[int]
    temperature: float = 0.0
    top_p: float = 1.0
    seed: int | None = None
    likelihood: bool = False


class Stream:
    """The tokens of one request, as they come: one thread adds to it, any may look."""

    def __init__(self, request: Request, chat: ChatFormat) -> None:
        self.request = request
        self.tokens: list[int] = []
        self.logprobs: list[float] = []  # of the tokens, where they were asked for
        self.closed = False
        self.done = False
        self.error: BaseException | None = None
        self.draws = draws(request.seed, request.limit) if request.temperature > 0 else None
        self.held: object = None  # what must stay in memory meanwhile
        self.mix: bytes | None = None  # stands for the mix where the row is to be remembered
        self._chat = chat
        self._last: deque[int] = deque(maxlen=chat.longest_end or 1)

    # -- for whoever asked -------------------------------------------------------------------

    def has(self, number: int) -> bool:
        """Whether the token of this number is there, or none will come."""
        return len(self.tokens) > number or self.done

    def token(self, number: int) -> int | None:
        """The token of this number, which ``has`` knows of; None behind the last one.

        Raises what ended the request.
        """
        if len(self.tokens) > number:
            return self.tokens[number]
        self.check()
        return None

    def check(self) -> None:
        """Raise what ended the request, if it was not its own end."""
        if self.error is not None:
            raise self.error

    def close(self) -> None:
        """No further token is wanted: its row is given up before the next step."""
        self.closed = True

    # -- for whoever runs the model ----------------------------------------------------------

    @property
    def ids(self) -> Prompt:
        """Prompt and answer so far."""
        return [*self.request.prompt, *self.tokens]

    def put(self, token: int, logprob: float) -> bool:
        """One token more; whether it was the last."""
        self._last.append(token)
        said_end = self._chat.longest_end > 0 and self._chat.says_end(list(self._last))
        # Before the token, which others wait for.
        self.logprobs.append(logprob)
        self.tokens.append(token)
        full = len(self.tokens) >= self.request.limit
        self.done = said_end or full or token in self.request.ends
        return self.done

    def end(self, error: BaseException | None = None) -> None:
        """Nothing follows."""
        if not self.done:
            self.error, self.done = error, True


def not_finite(name: str) -> T2Error:
    """What ends an answer whose logits are NaN or infinite."""
    return T2Error(
        f"{name} gave numbers that are not finite: the answer ends here; load the model in another "
        "precision, or leave out the expert that is in effect"
    )
