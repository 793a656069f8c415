"""Which weights a text like ``NAME@HASH`` stands for.

The hash of the weights decides; the name is for people. A folder that was renamed and a model of
the hub that was downloaded into a folder are the same model.
"""

from __future__ import annotations

from pathlib import Path

# Digits of the SHA-256 that stand for it.
DIGITS = 12


def identity(name: str, sha256: str) -> str:
    """``NAME@HASH``, as expert files, runs and results carry it."""
    return f"{name}@{sha256[:DIGITS]}"


def weights_of(base: str) -> str:
    """The part of ``NAME@HASH`` that stands for the weights."""
    return base.rpartition("@")[2]


def same_weights(left: str, right: str) -> bool:
    """Whether two such texts stand for the same weights."""
    return weights_of(left) == weights_of(right)


def folders_for(parent: Path, base: str) -> list[Path]:
    """The folders in ``parent`` that are named by these weights, under whatever name.

    The first is the one to write to, which need not be there yet.
    """
    named = parent / base.replace("/", "--")
    there = parent.iterdir() if parent.is_dir() else ()
    others = [path for path in there if path != named and same_weights(path.name, base)]
    return sorted(others) if others and not named.exists() else [named, *sorted(others)]
