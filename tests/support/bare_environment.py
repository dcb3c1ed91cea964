"""A second virtual environment that holds transformers, torch and what those two need, and nothing of ours.

It is made of links to what is installed here: nothing is downloaded, and it takes a second.
"""

import importlib.metadata
import venv
from collections.abc import Iterator
from pathlib import Path

from packaging.requirements import Requirement


def make_bare_environment(folder: Path, *packages: str) -> Path:
    """Make the environment and return its interpreter.

    Args:
        folder: Where it goes.
        packages: What it holds, with all that they require.
    """
    venv.create(folder, symlinks=True, with_pip=False)
    (packages_folder,) = folder.glob("lib/python*/site-packages")
    for package in _closure(packages):
        distribution = importlib.metadata.distribution(package)
        names = {file.parts[0] for file in distribution.files or [] if file.parts[0] not in ("..", "__pycache__")}
        for name in names:
            link = packages_folder / name
            if not link.exists():
                link.symlink_to(Path(str(distribution.locate_file(name))))
    return folder / "bin" / "python"


def _closure(packages: tuple[str, ...]) -> Iterator[str]:
    """The packages and all that they need without extras, each once."""
    waiting, known = list(packages), set()
    while waiting:
        package = waiting.pop()
        if package in known:
            continue
        known.add(package)
        yield package
        for text in importlib.metadata.requires(package) or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name.lower().replace("_", "-"))
