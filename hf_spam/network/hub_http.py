"""The HTTP library that the installed huggingface_hub uses, what it lets through of errors, and its token."""

from importlib import import_module
from typing import Any

import huggingface_hub

httpx: Any = import_module("httpx" if huggingface_hub.__version__.startswith("1.") else "httpx2")

# What the client raises where the Hub, or whoever answers in its place, sends something else than was agreed:
# no JSON, JSON of another form, a name that it refuses.
ODD_ANSWERS = (ValueError, TypeError, LookupError, AttributeError, AssertionError, RuntimeError)


def without_tokens(text: str, *tokens: str | None) -> str:
    """Return a message of the Hub or its client without the client's own token and without `tokens`."""
    for token in {huggingface_hub.get_token(), *tokens} - {None, ""}:
        text = text.replace(str(token), "[token]")
    return text
