"""Which model ``--model auto`` means: the best one that is on this computer already.

That is SmolLM2, once somebody has got it (``t2app get smollm2``, the button on the page) and while
it fits into memory; otherwise the built-in one. A larger model of Ollama or LM Studio is never
taken unasked: nobody expects a chat to fill the memory. It is listed (``shelf``), one click away.
"""

from __future__ import annotations

import torch

from t2app.config import SMOLLM2, TINY
from t2app.models import memory, smollm2
from t2app.models.catalogue import listed


def best(place: torch.device) -> str:
    """``"smollm2"`` or ``"tiny"``; nobody is asked, nothing is read but names."""
    if not smollm2.is_here():
        return TINY
    need = listed(smollm2.HUB).need("bfloat16", "auto", place)
    return SMOLLM2 if need.total <= memory.free(place) else TINY
