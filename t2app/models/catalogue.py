"""Open chat models to pick from, small enough for one GPU or a good laptop.

A selection of what is current and loads as it stands; any other id or folder does too. The counts
were taken from each model's configuration, so what a model needs is known without asking anybody.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from t2app.models import memory
from t2app.models.memory import Need, factor_bytes
from t2app.models.precision import choose, compute_dtype, weight_bytes


@dataclass(frozen=True)
class Listed:
    """A model on the list. Counts in millions: all ``parameters`` of its text part, those in
    ``linear`` layers (which are quantised), and the ``numbers`` in its factors. ``download`` in
    gigabytes. ``gated``: its licence has to be accepted on the hub first.
    """

    name: str
    title: str
    parameters: float
    linear: float
    numbers: float
    download: float
    gated: bool = False

    def need(self, precision: str, storage: str, place: torch.device) -> Need:
        """Bytes it takes in ``precision`` on ``place``, factors kept as ``storage`` says."""
        own = compute_dtype(precision).itemsize
        packed = self.linear * weight_bytes(precision) + (self.parameters - self.linear) * own
        factors = self.numbers * factor_bytes(precision, storage, place)
        return Need(int(packed * 1e6), int(factors * 1e6))

    def precision(self, quant: str, storage: str, place: torch.device) -> str:
        """The precision that ``quant`` comes to on ``place`` as it is now; T2Error for none."""
        room = memory.free(place)
        return choose(
            self.name, quant, place, lambda kind: self.need(kind, storage, place).total <= room
        )


CATALOGUE = (
    Listed("HuggingFaceTB/SmolLM2-135M-Instruct", "SmolLM2 135M", 135, 106, 52, 0.3),
    Listed("google/gemma-3-270m-it", "Gemma 3 270M", 268, 100, 39, 0.5, gated=True),
    Listed("HuggingFaceTB/SmolLM2-360M-Instruct", "SmolLM2 360M", 362, 315, 154, 0.7),
    Listed("Qwen/Qwen3-0.6B", "Qwen3 0.6B", 596, 440, 206, 1.5),
    Listed("Qwen/Qwen3.5-0.8B", "Qwen3.5 0.8B", 752, 498, 148, 1.7),
    Listed("google/gemma-3-1b-it", "Gemma 3 1B", 1000, 698, 161, 2.0, gated=True),
    Listed("LiquidAI/LFM2-1.2B", "LFM2 1.2B", 1170, 1036, 339, 2.3),
    Listed("meta-llama/Llama-3.2-1B-Instruct", "Llama 3.2 1B", 1236, 973, 344, 2.5, gated=True),
    Listed("allenai/OLMo-2-0425-1B-Instruct", "OLMo 2 1B", 1485, 1074, 470, 3.0),
    Listed("Qwen/Qwen3.5-2B", "Qwen3.5 2B", 1882, 1373, 582, 4.5),
    Listed("HuggingFaceTB/SmolLM3-3B", "SmolLM3 3B", 3075, 2812, 774, 6.2),
    Listed("meta-llama/Llama-3.2-3B-Instruct", "Llama 3.2 3B", 3213, 2819, 1380, 6.4, gated=True),
    Listed("ibm-granite/granite-4.0-micro", "Granite 4.0 Micro 3B", 3403, 3146, 1332, 6.8),
    Listed("microsoft/Phi-4-mini-instruct", "Phi-4-mini 3.8B", 3836, 3221, 1208, 7.7),
    Listed("Qwen/Qwen3-4B-Instruct-2507", "Qwen3 4B", 4022, 3633, 1255, 8.0),
    Listed("mistralai/Mistral-7B-Instruct-v0.3", "Mistral 7B", 7248, 6979, 2751, 14.5),
    Listed("allenai/Olmo-3-7B-Instruct", "OLMo 3 7B", 7298, 6476, 3758, 14.6),
    Listed("meta-llama/Llama-3.1-8B-Instruct", "Llama 3.1 8B", 8030, 6979, 2751, 16.1, gated=True),
)


def listed(name: str) -> Listed | None:
    """The entry for a hub id, if it is on the list."""
    return next((entry for entry in CATALOGUE if entry.name == name), None)
