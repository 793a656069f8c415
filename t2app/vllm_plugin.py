"""Mixes in vLLM: the model's name in a request is a mix, and becomes an adapter on the fly.

vLLM finds ``register`` by its entry point and asks the resolver for every model name that it does
not know. An expert of the base that it serves, or ``math=0.7,code=0.3``, is written as a LoRA into
the cache, once. vLLM batches different adapters, so this is a mix for each request on any number of
GPUs; what the rank leaves out is logged. Not covered: ``auto`` (a first pass needs this program).

``T2APP_LORA_RANK`` is the rank (64); vLLM's ``--max-lora-rank`` must not be below it. The base is
read once more, on the CPU, to make adapters.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
from pathlib import Path

from t2app.config import cache_dir
from t2app.engine import Engine
from t2app.errors import T2Error
from t2app.export import lora
from t2app.svf.low_rank import cut, share_kept
from t2app.svf.mixing import parse_weights

VARIABLE = "T2APP_LORA_RANK"
RANK = 64
NAME = "t2app mixes"
CARD = "# {name}, for {base}\n\nWritten for vLLM by t2app; rank {rank}, {kept:.2%} of the change.\n"
log = logging.getLogger(__name__)


class Adapters:
    """Adapters by the name of a mix, for any base; each is made once.

    ``load(base)`` gives an engine with the original weights.
    """

    def __init__(self, rank: int, load=lambda base: Engine.load(base, "none", "cpu")) -> None:
        self._rank, self._load = rank, load
        self._engines: dict[str, Engine] = {}
        self._making = asyncio.Lock()

    async def folder(self, base: str, name: str) -> Path | None:
        """The folder of the adapter; None where the name is no mix for this base, with the reason
        in the log.
        """
        async with self._making:
            try:
                return await asyncio.to_thread(self._folder, base, name)
            except T2Error as error:
                log.warning("%s is no mix of t2app: %s", name, error)
                return None

    def _folder(self, base: str, name: str) -> Path:
        weights = parse_weights(name) if "=" in name else {name: 1.0}
        if base not in self._engines:
            self._engines[base] = self._load(base)
        engine = self._engines[base]
        delta = engine.delta(weights)
        if delta is None:
            raise T2Error("it mixes nothing in: ask for the base by its own name")
        layout, sigma = engine.svf.layout, engine.sigma
        rank = min(self._rank, max(layout.sizes.values()))
        part = cut(layout, sigma, delta, rank)
        made = hashlib.sha256(part.cpu().numpy().tobytes()).hexdigest()[:16]
        folder = cache_dir() / "adapters" / engine.base.base.replace("/", "--") / f"{made}-r{rank}"
        if not folder.is_dir():
            kept = share_kept(layout, sigma, delta, part)
            log.warning("%s at rank %d: %.2f %% of its change", name, rank, 100 * kept)
            card = CARD.format(name=name, base=engine.base.base, rank=rank, kept=kept)
            lora.save(engine, part, rank, folder, card)
        return folder


def number(folder: Path) -> int:
    """What vLLM tells adapters apart by: the same in every process, and never 0."""
    return int(hashlib.sha256(folder.name.encode()).hexdigest()[:15], 16) % (2**31 - 1) + 1


def rank() -> int:
    """The rank that the environment asks for; T2Error for what is none."""
    given = os.environ.get(VARIABLE) or str(RANK)
    if not given.isdecimal() or not 1 <= int(given) <= lora.MOST_IN_VLLM:
        raise T2Error(f"{VARIABLE} is {given!r}: give a rank from 1 to {lora.MOST_IN_VLLM}")
    return int(given)


def register() -> None:
    """Called by vLLM when it starts, in each of its processes."""
    from vllm.lora.request import LoRARequest
    from vllm.lora.resolver import LoRAResolver, LoRAResolverRegistry

    adapters = Adapters(rank())

    class Resolver(LoRAResolver):
        """Resolves the names of mixes."""

        async def resolve_lora(self, base_model_name: str, lora_name: str) -> LoRARequest | None:
            folder = await adapters.folder(base_model_name, lora_name)
            if folder is None:
                return None
            return LoRARequest(
                lora_name=lora_name, lora_int_id=number(folder), lora_path=str(folder)
            )

    LoRAResolverRegistry.register_resolver(NAME, Resolver())
