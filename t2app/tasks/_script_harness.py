"""What runs a script of tests in the sandbox, apart from the program that it tests.

``scripts`` adds values for ``NAMES``, ``PLAIN`` and ``WRAPPED`` to this text. The functions that
the program has to define are stand-ins here: they give the values that the program gave to the same
arguments. A call that has not been made yet is noted, to be made for the next round.
"""

import contextlib
import copy

MOST_CALLS, MOST_SKIPPED = 500, 2000
NAMES = ()  # the functions that the program has to define
PLAIN = ""  # the script
WRAPPED = ""  # the same, going on behind statements that fail


class _NotMade(BaseException):
    """A call whose value is not known yet; no ``except Exception`` in the tests hides it."""


class _TooMany(BaseException):
    """More calls than can be made."""


class _Enough(BaseException):
    """A loop that only a value could end."""


def _patience():
    """Raises _Enough after so many statements that could not be carried out."""
    left = [MOST_SKIPPED]

    def skip():
        left[0] -= 1
        if left[0] < 0:
            raise _Enough

    return skip


def _key(name, arguments, named):
    return repr((name, arguments, sorted(named.items())))


def _stand_in(name, known, new):
    def call(*arguments, **named):
        key = _key(name, arguments, named)
        if key in known:
            gave, value = known[key]
            if gave:
                return copy.deepcopy(value)
            raise _error(value)
        if key not in new:
            if len(known) + len(new) >= MOST_CALLS:
                raise _TooMany
            new[key] = [key, name, copy.deepcopy(list(arguments)), copy.deepcopy(named)]
        raise _NotMade

    return call


def _error(message):
    """The program's exception again, where it is one of Python's own."""
    import builtins

    name, _, text = message.partition(": ")
    kind = getattr(builtins, name, None)
    known = isinstance(kind, type) and issubclass(kind, Exception)
    return kind(text) if known else Exception(message)


def _run(script, known, new):
    import random

    random.seed(0)  # the same numbers in every round
    scope = {"__name__": "tests", "_NotMade": _NotMade, "_skip": _patience()}
    scope.update({name: _stand_in(name, known, new) for name in NAMES})
    exec(script, scope)


def calls(known):
    """The calls that the tests make beyond the ones whose values are known."""
    new = {}
    with contextlib.suppress(Exception, _NotMade, _Enough):
        _run(WRAPPED, known, new)
    return list(new.values())


def judge(known):
    """``passed``, ``failed`` with a reason, or ``more`` with the calls still to be made."""
    try:
        _run(PLAIN, known, {})
    except _NotMade:
        return ["more", calls(known)]
    except Exception as error:
        return ["failed", f"{type(error).__name__}: {error}"[:200]]
    return ["passed", ""]
