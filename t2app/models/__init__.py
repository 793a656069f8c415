"""Base models: finding, checking, loading and quantising them, and their original weights.

``load`` gives a ``BaseModel``, ``factors`` the factors of its original weights.
"""

from t2app.models.loading import BaseModel, factors, load
from t2app.models.precision import QUANTS
from t2app.models.words import Report

__all__ = ["QUANTS", "BaseModel", "Report", "factors", "load"]
