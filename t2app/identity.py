"""Which weights a text like ``NAME@HASH`` stands for.

The hash of the weights decides; the name is for people. A folder that was renamed and a model of
the hub that was downloaded into a folder are the same model.
"""

from __future__ import annotations

import re
from pathlib import Path

# How names of models end that tell how their weights are packed: ``-Q4_K_M``, ``.q8_0``, ``-bf16``.
QUANTISATION = re.compile(
    r"[-._](?:UD-)?((?:I?Q\d|TQ\d)(?:_\w+)?|BF16|FP?16|FP?32|MXFP4(?:_MOE)?|NVFP4)$", re.IGNORECASE
)
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


def family(base: str) -> str:
    """What models are called alike that differ in their weights' numbers only, in small letters.

    Of ``NAME@HASH`` or NAME: without the owner, and without what tells how weights are packed.
    """
    name = (base.rpartition("@")[0] or base).rpartition("/")[2].lower()
    name = QUANTISATION.sub("", name)
    return QUANTISATION.sub("", re.sub(r"[-._]gguf$", "", name))


def folders_for(parent: Path, base: str) -> list[Path]:
    """The folders in ``parent`` that are named by these weights, under whatever name.

    The first is the one to write to, which need not be there yet.
    """
    named = parent / base.replace("/", "--")
    there = parent.iterdir() if parent.is_dir() else ()
    others = [path for path in there if path != named and same_weights(path.name, base)]
    return sorted(others) if others and not named.exists() else [named, *sorted(others)]
