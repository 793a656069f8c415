"""The first decoder block, which stands for all of them: its layers and their original weights.

On a quantised base these are the weights from before it was quantised: what is measured against
them shows what that costs. Not covered: blocks that differ in shape.
"""

from __future__ import annotations

from torch import Tensor

from t2app import models
from t2app.engine import Engine
from t2app.evaluation.bench.shapes import RandomBase
from t2app.models import BaseModel, checkpoint, memory, precision
from t2app.models.originals import Originals
from t2app.svd.cache import dense_weight
from t2app.svf.hooks import Layer


def layers(engine: Engine) -> list[Layer]:
    """The adapted layers of the first block."""
    found = list(engine.svf.layers.values())
    return found[: len(found) // engine.model.config.get_text_config().num_hidden_layers]


def originals(engine: Engine) -> dict[str, Tensor]:
    """The weights (m, n) of these layers, never quantised, by name and where the model is."""
    base, found = engine.base, layers(engine)
    if isinstance(base, RandomBase):
        return dict(base.originals)
    if base.precision not in precision.QUANTISED:
        return {layer.name: dense_weight(layer.module).detach() for layer in found}
    read = _checkpoint(base)
    return {layer.name: read(layer.name).to(layer.place) for layer in found}


def _checkpoint(base: BaseModel) -> Originals:
    """Reads the matrices that the factors of ``base`` were computed from."""
    return Originals(
        memory.skeleton(checkpoint.read_config(base.folder)),
        checkpoint.read_headers(checkpoint.weight_files(base.folder)),
        lambda: models.load(str(base.folder), "none", "cpu").model,
    )
