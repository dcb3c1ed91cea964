"""The page at `/docs`: what can be asked, from the app's own OpenAPI description, without a script or a network."""

import json
from collections.abc import Mapping
from html import escape
from typing import Any

_STYLE = (
    "body{font:1rem/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem;color-scheme:light dark}"
    "pre{overflow:auto;padding:.5rem;border:1px solid;border-radius:.3rem}"
)


def docs_page(openapi: Mapping[str, Any]) -> str:
    """Return the page as HTML. Names in it, such as the model's, are shown as text."""
    parts = [
        _describe(path, method, what) for path, methods in openapi["paths"].items() for method, what in methods.items()
    ]
    title = escape(openapi["info"]["title"])
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body><h1>{title}</h1>'
        f'<p>The same for programs: <a href="openapi.json">openapi.json</a>.</p>{"".join(parts)}</body></html>'
    )


def _describe(path: str, method: str, what: Mapping[str, Any]) -> str:
    body = what.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema")
    shown = f"<p>Body:</p><pre>{escape(json.dumps(body, indent=2))}</pre>" if body else ""
    statuses = "; ".join(
        f"{status} {said.get('description', '')}" for status, said in sorted(what.get("responses", {}).items())
    )
    return (
        f"<h2>{escape(method.upper())} {escape(path)}</h2><p>{escape(what.get('description', ''))}</p>{shown}"
        f"<p>{escape(statuses)}</p>"
    )
