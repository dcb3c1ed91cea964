"""A request's body: read within its limits, as JSON of the expected shape, or refused with the right status."""

import asyncio
from collections.abc import Sequence
from typing import TypeVar

from fastapi import HTTPException, Request
from pydantic import BaseModel, ValidationError
from starlette.requests import ClientDisconnect

from .settings import Limits
from .shapes import describe_faults, is_no_json

Shape = TypeVar("Shape", bound=BaseModel)
_CLOSE = {"Connection": "close"}  # what still comes on this connection is not worth reading


async def read_request(request: Request, shape: type[Shape], limits: Limits) -> Shape:
    """Return a request's body.

    Raises:
        HTTPException: 415 if it is not sent as JSON; 413 if it is too large; 408 if it takes too long; 400 if it is
            cut off or no JSON; 422 if it has another shape.
    """
    _check_headers(request, limits)
    body = await _read(request, limits)
    try:
        return shape.model_validate_json(body)
    except ValidationError as error:
        raise HTTPException(400 if is_no_json(error) else 422, describe_faults(error)) from None


def _check_headers(request: Request, limits: Limits) -> None:
    kind, _, parameters = request.headers.get("content-type", "").lower().partition(";")
    if kind.strip() != "application/json" or ("charset" in parameters and "utf-8" not in parameters):
        raise HTTPException(
            415,
            f"Content-Type: expected application/json, found {kind.strip()[:100] or 'none'}. "
            f"Send that header with JSON in UTF-8.",
        )
    if (coding := request.headers.get("content-encoding", "identity").lower()) != "identity":
        raise HTTPException(415, f"Content-Encoding: expected none, found {coding[:100]}. Send the JSON as it is.")
    length = request.headers.get("content-length", "")
    if length.isdecimal() and int(length) > limits.max_body:
        raise _too_large(limits, f"{int(length):,}")


async def _read(request: Request, limits: Limits) -> bytes:
    pieces: list[bytes] = []
    size = 0
    try:
        async with asyncio.timeout(limits.read_timeout):
            async for piece in request.stream():
                size += len(piece)
                if size > limits.max_body:
                    raise _too_large(limits, "more")
                pieces.append(piece)
    except TimeoutError:
        raise HTTPException(
            408, f"expected the body within {limits.read_timeout:g} s, found {size:,} bytes by then.", _CLOSE
        ) from None
    except ClientDisconnect:
        raise HTTPException(400, "expected the whole body, found it cut off.") from None
    return b"".join(pieces)


def _too_large(limits: Limits, found: str) -> HTTPException:
    return HTTPException(413, f"expected a body of at most {limits.max_body:,} bytes, found {found}. Send less.")


def check_texts(texts: Sequence[str], limits: Limits) -> None:
    """Check how many texts a request has, and how long they are.

    Raises:
        HTTPException: 413 if it is too much.
    """
    if len(texts) > limits.max_texts:
        raise HTTPException(
            413, f"expected at most {limits.max_texts:,} texts, found {len(texts):,}. Send several requests."
        )
    for number, text in enumerate(texts):
        if len(text) > limits.max_chars:
            raise HTTPException(
                413,
                f"expected texts of at most {limits.max_chars:,} characters, found {len(text):,} at {number}.",
            )
