"""`export_space`: a folder that is ready to become a Space on the Hub, or to run anywhere with Python.

`hf_spam` is on no package index, and a Space installs its requirements before its own files are there. So the package
lies in the folder as source, with its metadata, and the requirements are what it depends on.
"""

import importlib.metadata
import json
import re
import shutil
from collections.abc import Iterable
from pathlib import Path

from ..checkpoint.opening import Kind
from ..errors import UserError, one_line, shorten
from ..hub.contents import model_contents
from ..system.files import apply_umask, atomic_folder
from ..system.reading import is_folder, read_json
from ..system.run_folder import ARGUMENTS_FILE

MARKER = "hf_spam_space.json"  # in a folder that may be overwritten
_EXTRAS: dict[Kind, tuple[str, ...]] = {"onnx": ("onnx",), "adapter": ("peft",)}
_EXTRA = re.compile(r"""\s*(?:;|\band\b)\s*extra\s*==\s*["']([\w-]+)["']\s*$""")
_APP = '''"""The Space: a page for people at /, and an API for programs on the same port; see README.md."""

import os
import sys
from pathlib import Path

from hf_spam.cli import main

if __name__ == "__main__":
    place = Path(__file__).parent / "model"
    port = os.environ.get("GRADIO_SERVER_PORT", "7860")
    host = os.environ.get("GRADIO_SERVER_NAME", "0.0.0.0")
    sys.exit(main(["serve", str(place), "--host", host, "--port", port, "--name", {name!r}]))
'''


def export_space(model: str, place: Path, kind: Kind, name: str, target: Path, overwrite: bool = False) -> None:
    """Write the folder: under a temporary name, then renamed.

    Args:
        model: The model as the user named it; a repository on the Hub is linked.
        place: Its folder.
        kind: What that holds.
        name: What the page calls it.
        target: The folder to write.
        overwrite: Whether a Space that is there may be replaced.

    Raises:
        UserError: If something is there, the model is damaged or its texts hold secrets, or the folder cannot be
            written.
    """
    check_place(target, overwrite)
    repository = (
        model if not is_folder(model) else f"you/{re.sub(r'[^A-Za-z0-9._-]+', '-', name).strip('-.') or 'model'}"
    )
    contents = model_contents(place, repository)
    written = {
        "README.md": _readme(name, None if is_folder(model) else model),
        "requirements.txt": "".join(f"{line}\n" for line in requirements(_extras(place, kind))),
        "app.py": _APP.replace("{name!r}", json.dumps(name)),
        MARKER: f"{json.dumps({'written by': 'hf-spam serve --export_space'})}\n",
    }
    replaced = target.with_name(f"{target.name}.replaced")
    try:
        if overwrite and target.exists():
            target.rename(replaced)
        with atomic_folder(target) as folder:
            for file, text in written.items():
                (folder / file).write_text(text, encoding="utf-8")
            (folder / "model").mkdir()
            for file, source in contents.items():
                copy = folder / "model" / file
                copy.parent.mkdir(exist_ok=True)
                if isinstance(source, bytes):
                    copy.write_bytes(source)
                else:
                    shutil.copyfile(source, copy, follow_symlinks=False)
            _copy_package(folder)
            apply_umask(folder)
    except OSError as error:
        raise UserError(f"--export_space {target}: cannot be written: {error.strerror}. Choose another.") from None
    finally:
        if replaced.exists():
            if target.exists():
                shutil.rmtree(replaced)
            else:
                replaced.rename(target)


def check_place(target: Path, overwrite: bool) -> None:
    """Check that a Space may be written there.

    Raises:
        UserError: If something is there that may not be replaced, or is no Space of ours.
    """
    is_taken = target.is_symlink() or (target.exists() and not (target.is_dir() and not any(target.iterdir())))
    if is_taken and not overwrite:
        raise UserError(f"--export_space {target}: exists already. Choose another folder, or add --overwrite.")
    if is_taken and (target.is_symlink() or not (target / MARKER).is_file()):
        raise UserError(f"--export_space {target}: expected a Space to overwrite, found something else. Move it away.")
    if target.with_name(f"{target.name}.replaced").exists():
        raise UserError(f"{target}.replaced: is in the way of writing {target}. Move it away.")


def requirements(extras: Iterable[str]) -> list[str]:
    """Return what the package needs with these extras, as lines of a requirements file."""
    wanted = set(extras)
    lines = [f"gradio=={importlib.metadata.version('gradio')}"]  # as the README's header says
    for line in importlib.metadata.requires("hf-spam") or []:
        found = _EXTRA.search(line)
        if line.startswith("gradio"):
            continue
        if found is None:
            lines.append(line)
        elif found[1] in wanted:
            lines.append(line[: found.start()])
    return lines


def _extras(place: Path, kind: Kind) -> list[str]:
    """Return the extras that a model needs, and its messages, where they come from one."""
    try:
        source = read_json(place / ARGUMENTS_FILE).get("data_source")
    except UserError:
        source = None
    return ["serve", *_EXTRAS.get(kind, ()), *(["sample"] if source == "sample" else [])]


def _copy_package(folder: Path) -> None:
    source = Path(__file__).parents[1]
    shutil.copytree(source, folder / source.name, ignore=shutil.ignore_patterns("__pycache__", "*.pyc"))
    found = importlib.metadata.distribution("hf-spam")
    place = folder / f"hf_spam-{found.version}.dist-info"  # by which Python knows the version
    place.mkdir()
    (place / "METADATA").write_text(f"Metadata-Version: 2.1\nName: hf-spam\nVersion: {found.version}\n")
    (folder / "LICENSE").write_text(found.read_text("licenses/LICENSE") or "hf_spam: Apache-2.0\n", encoding="utf-8")


def _readme(name: str, repository: str | None) -> str:
    title = json.dumps(shorten(one_line(name), 60), ensure_ascii=False)  # JSON is YAML
    models = f"models:\n  - {repository}\n" if repository else "models: []\n"
    return (
        f"---\ntitle: {title}\nemoji: ✉️\ncolorFrom: indigo\ncolorTo: yellow\nsdk: gradio\n"
        f"sdk_version: {importlib.metadata.version('gradio')}\napp_file: app.py\n{models}"
        f"---\n\n"
        f"A text classifier with a page and an API, written by `hf-spam serve --export_space`. `model/README.md`\n"
        f"says what the model is. To run it elsewhere: `pip install -r requirements.txt`, then `python app.py`, and\n"
        f"open http://127.0.0.1:7860. A secret `HF_SPAM_API_KEY` becomes the password.\n"
    )
