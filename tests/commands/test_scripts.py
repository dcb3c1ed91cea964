"""The header of scripts/train.py for uv.   pytest tests/commands/test_scripts.py"""

import re
import tomllib

from support.places import ROOT


def test_uv_finds_what_train_needs() -> None:
    """PEP 723: the header names this checkout and the extra that the quickstart needs."""
    text = (ROOT / "scripts" / "train.py").read_text()
    block = re.search(r"(?m)^# /// script$\s(?P<content>(^#(| .*)$\s)+)^# ///$", text)
    assert block is not None
    header = tomllib.loads("".join(line[2:] or "\n" for line in block["content"].splitlines(keepends=True)))
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert header["requires-python"] == project["requires-python"]
    assert header["dependencies"] == [f"{project['name']}[sample]"]
    source = header["tool"]["uv"]["sources"][project["name"]]["path"]
    assert (ROOT / "scripts" / source / "pyproject.toml").is_file()
