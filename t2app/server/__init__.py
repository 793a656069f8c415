"""The endpoint that programs ask: OpenAI's protocol, with a mix of experts as the model's name."""

from t2app.server.app import Endpoint, Limits

__all__ = ["Endpoint", "Limits"]
