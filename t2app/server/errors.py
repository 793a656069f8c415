"""Refusals in the shape that OpenAI's clients read: ``{"error": {message, type, param, code}}``."""

from __future__ import annotations

import logging
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from starlette.exceptions import HTTPException

from t2app.errors import T2Error
from t2app.models import memory

TYPES = {401: "authentication_error", 403: "permission_error", 429: "rate_limit_error"}
# Where the reading of a request says which part of it is meant: it has one part only.
PARTS = ("body", "query", "path")
log = logging.getLogger(__name__)


class Refused(T2Error):
    """A request that is not answered: ``status`` of HTTP, and ``param``, the field it is about.

    ``retry_after`` is in seconds.
    """

    def __init__(
        self,
        message: str,
        status: int = 400,
        *,
        param: str | None = None,
        code: str | None = None,
        retry_after: int | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.param, self.code, self.retry_after = status, param, code, retry_after

    @property
    def headers(self) -> dict[str, str]:
        """What HTTP wants beside the status."""
        found = {} if self.retry_after is None else {"Retry-After": str(self.retry_after)}
        return {**found, "WWW-Authenticate": "Bearer"} if self.status == 401 else found

    @property
    def body(self) -> dict[str, Any]:
        """The answer."""
        kind = TYPES.get(
            self.status, "invalid_request_error" if self.status < 500 else "server_error"
        )
        error = {"message": str(self), "type": kind, "param": self.param, "code": self.code}
        return {"error": error}

    def response(self) -> JSONResponse:
        """The answer over HTTP."""
        return JSONResponse(self.body, self.status, self.headers)


def refusal(error: Exception) -> Refused:
    """Any exception as a refusal; what is nobody's mistake is logged, and said to be a defect."""
    if isinstance(error, Refused):
        return error
    if isinstance(error, T2Error):
        return Refused(str(error))
    if memory.ran_out(error):
        return Refused(
            "the model's memory is used up: ask for less at a time, or later", 503, retry_after=5
        )
    log.error("while answering", exc_info=error)
    return Refused(f"a defect of this program: {type(error).__name__}. The log says more.", 500)


def install(app: FastAPI) -> None:
    """Every error of ``app`` in this one shape."""

    @app.exception_handler(RequestValidationError)
    async def _(_: Request, error: RequestValidationError) -> JSONResponse:
        return _misread(error).response()

    @app.exception_handler(HTTPException)
    async def _(_: Request, error: HTTPException) -> JSONResponse:
        return Refused(_words(error), error.status_code).response()

    for kind in (T2Error, Exception):

        @app.exception_handler(kind)
        async def _(_: Request, error: Exception) -> JSONResponse:
            return refusal(error).response()


def _misread(error: RequestValidationError) -> Refused:
    """The first thing that is wrong with a request, by the name of its field."""
    first = error.errors()[0]
    if first["type"] == "json_invalid":
        return Refused(f"the body is no JSON: {first.get('ctx', {}).get('error', first['msg'])}")
    place = [str(part) for part in first["loc"] if part not in PARTS]
    param = ".".join(place) or None
    said = first["msg"].removeprefix("Value error, ")
    said = said[:1].lower() + said[1:]
    return Refused(f"{param}: {said}" if param else f"the body: {said}", param=param)


def _words(error: HTTPException) -> str:
    if error.status_code == 404:
        return "there is nothing at this address: GET /openapi.json says what there is"
    if error.status_code == 405:
        return "this address does not take this method: GET /openapi.json says what there is"
    return str(error.detail)
