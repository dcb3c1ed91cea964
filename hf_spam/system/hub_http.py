"""The HTTP library that the installed huggingface_hub uses, for the errors that it lets through."""

from importlib import import_module
from typing import Any

import huggingface_hub

httpx: Any = import_module("httpx" if huggingface_hub.__version__.startswith("1.") else "httpx2")
