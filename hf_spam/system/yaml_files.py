"""Read YAML that says one thing: plain mappings, lists, texts and numbers."""

from typing import Any

import yaml
from yaml.constructor import SafeConstructor

from ..errors import UserError

_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)  # the same language, from C where it was built
_DEEPEST = 10  # mappings and lists inside each other
_TEXT = "tag:yaml.org,2002:str"


def parse_yaml(data: bytes) -> dict[str, Any]:
    """Return the mapping that a YAML document holds.

    Raises:
        UserError: If it is no YAML in UTF-8, no mapping of texts to values, or nested too deeply; if it has anchors,
            aliases, tags, several documents or a key twice. The message does not name the file.
    """
    try:
        text = data.decode("utf-8-sig")
        _check_events(text)
        root = yaml.compose(text, Loader=_LOADER)
    except (UnicodeDecodeError, yaml.YAMLError, RecursionError) as error:
        raise UserError(" ".join(str(error).split())) from None
    if not isinstance(root, yaml.MappingNode):
        found = {yaml.SequenceNode: "list", yaml.ScalarNode: "str", type(None): "nothing"}[type(root)]
        raise UserError(f"expected a mapping of options to values, found {found}.")
    _check_keys(root)
    return {key.value: _construct(key.value, value) for key, value in root.value}


def _check_events(text: str) -> None:
    depth = documents = 0
    for event in yaml.parse(text, Loader=_LOADER):
        line = event.start_mark.line + 1 if event.start_mark else 0
        documents += isinstance(event, yaml.DocumentStartEvent)
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise UserError(f"line {line}: expected plain values, found an anchor or alias. Write the value out.")
        if (tag := getattr(event, "tag", None)) is not None:
            raise UserError(f"line {line}: expected plain values, found the tag {tag[:40]!r}. Leave it out.")
        if depth > _DEEPEST:
            raise UserError(f"line {line}: expected at most {_DEEPEST} levels of values, found more.")
        if documents > 1:
            raise UserError(f"line {line}: expected one document, found several.")


def _check_keys(node: yaml.Node) -> None:
    """Refuse keys that are no texts, or that stand there twice, at any depth."""
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _check_keys(item)
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            line = key.start_mark.line + 1
            if key.tag != _TEXT:
                raise UserError(
                    f"line {line}: expected a text as a key, found {str(key.value)[:40]!r}. Put it in quotes."
                )
            if key.value in seen:
                raise UserError(f"line {line}: the key {key.value[:80]!r} stands there twice.")
            seen.add(key.value)
            _check_keys(value)


def _construct(name: str, node: yaml.Node) -> Any:
    try:
        return SafeConstructor().construct_document(node)
    except (ValueError, OverflowError, yaml.YAMLError) as error:  # a number of 5,000 digits, a day that is none
        reason = str(error).split(";", 1)[0]
        raise UserError(f"--{name[:80]}: expected a value, found one that cannot be read ({reason}).") from None
