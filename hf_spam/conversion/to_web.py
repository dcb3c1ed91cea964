"""Write an int8 ONNX model as a page that classifies in the browser, from a disk as well as from any web server.

A page that is opened from a disk may load scripts beside it and nothing else. So the model, the tokenizer and the
runtime's WebAssembly are text in scripts: gzip in base64. The page's own files are in `web/`, and are copied as they
are; its Content-Security-Policy forbids every connection.
"""

import base64
import gzip
import io
import json
import re
import shutil
import tarfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from ..errors import UserError
from ..network.npm import fetch_npm_package
from ..system.reading import is_folder

RUNTIME = "onnxruntime-web"
RUNTIME_VERSION = "1.30.0"
# As npm publishes it.
_INTEGRITY = "sha512-q0y+JrrtukXSzsBWEMccVfqX25LRmosXHF+CaRJmg8pZClzcV7svNc4rKY3jL02Vb7QmRMDs1SigqR4CXAfKYQ=="
# Its smallest build: WebAssembly alone, on the CPU. The library, what starts the WebAssembly, and that itself.
_LIBRARY, _STARTER, _BINARY = "ort.wasm.min.js", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm"
_REMEDY = f"Fetch the package {RUNTIME}@{RUNTIME_VERSION} elsewhere, unpack it, and name its folder with --runtime."
_VERSION = re.compile(rb"ONNX Runtime Web v(\d+\.\d+\.\d+[\w.+-]*)")
_LICENSES = ("LICENSE", "ThirdPartyNotices.txt")  # the npm package has none; Python's, from the same sources, has both

INDEX = "index.html"
OWN_FILES = ("page.css", "page-bpe.js", "page-table.js", "page.js", INDEX)  # the page last: then it is complete
MODEL_FILE, RUNTIME_FILE = "page-model.js", "page-runtime.js"
LARGEST_MODEL = 256 * 2**20  # bytes; a browser holds a string of at most 2**29 characters


class Runtime(NamedTuple):
    """ONNX Runtime for browsers, and its version."""

    library: bytes
    starter: bytes
    binary: bytes
    version: str


@dataclass(frozen=True)
class Settings:
    """What `page.js` must know of a model.

    Attributes:
        name: The model's, for people.
        labels: In the order of their ids.
        problem_type: As in a configuration.
        max_length: The most tokens that are read of a message.
        pad_token_id: What a message without tokens is to the model.
        point: Where the model decides, if `hf-spam calibrate` made it: see `OperatingPoint`.
    """

    name: str
    labels: list[str]
    problem_type: str
    max_length: int
    pad_token_id: int
    point: Mapping[str, Any] | None


@dataclass(frozen=True)
class Page:
    """All that a page needs but its model: `tokenizer` is what `describe_for_browser` returns."""

    settings: Settings
    tokenizer: Mapping[str, Any]
    runtime: Runtime


def read_runtime(folder: str | None) -> Runtime:
    """Return the runtime from a folder, or from npm.

    Args:
        folder: The unpacked package, or its `dist`; `None` for npm.

    Raises:
        UserError: If the folder does not hold it, or npm cannot fetch it.
    """
    if folder is None:
        tarball = fetch_npm_package(RUNTIME, RUNTIME_VERSION, _INTEGRITY, _REMEDY)
        with tarfile.open(fileobj=io.BytesIO(tarball)) as archive:
            return _read(lambda name: _extract(archive, name))
    if not is_folder(folder):
        raise UserError(f"--runtime {folder}: expected a folder with the package {RUNTIME}, found none.")
    places = [Path(folder, "dist"), Path(folder, "package", "dist"), Path(folder)]
    place = next((it for it in places if (it / _LIBRARY).is_file()), None)
    if place is None or not all((place / name).is_file() for name in (_STARTER, _BINARY)):
        raise UserError(
            f"--runtime {folder}: expected {_LIBRARY}, {_STARTER} and {_BINARY} of {RUNTIME}, found not all."
        )
    return _read(lambda name: (place / name).read_bytes())


def _extract(archive: tarfile.TarFile, name: str) -> bytes:
    file = archive.extractfile(f"package/dist/{name}")
    assert file is not None  # the package is the one whose hash we know
    return file.read()


def _read(get: Callable[[str], bytes]) -> Runtime:
    library = get(_LIBRARY)
    version = _VERSION.search(library[:1000])
    if version is None:
        raise UserError(f"{_LIBRARY}: expected {RUNTIME}, which gives its version at the start, found another file.")
    return Runtime(library, get(_STARTER), get(_BINARY), version[1].decode("ascii"))


def require_page_size(size: int) -> None:
    """Check that a model is not too large for a page.

    Args:
        size: Bytes of the int8 model.

    Raises:
        UserError: If it is.
    """
    if size > LARGEST_MODEL:
        raise UserError(
            f"expected a model of at most {LARGEST_MODEL // 2**20} MiB in int8 for a page, found "
            f"{size / 2**20:,.0f} MiB. Train a smaller --model_size, or export to ONNX."
        )


def to_web(onnx: Path, folder: Path, page: Page) -> None:
    """Write the page and all that it needs.

    Args:
        onnx: The int8 model that `to_onnx` wrote.
        folder: An existing folder.
        page: What else the page needs.

    Raises:
        UserError: If the model is too large for a page.
    """
    import onnxruntime  # an export to the page has needed it already

    require_page_size(onnx.stat().st_size)
    for name in _LICENSES:
        shutil.copyfile(Path(onnxruntime.__file__).parent / name, folder / f"onnxruntime-{Path(name).stem}.txt")
    (folder / _LIBRARY).write_bytes(page.runtime.library)
    _write_script(folder / RUNTIME_FILE, starter=_packed(page.runtime.starter), binary=_packed(page.runtime.binary))
    _write_script(
        folder / MODEL_FILE,
        settings={**asdict(page.settings), "runtime": page.runtime.version},
        tokenizer=_packed(json.dumps(page.tokenizer).encode("ascii")),
        model=_packed(onnx.read_bytes()),
    )
    for name in OWN_FILES:
        (folder / name).write_bytes(resources.files(__package__).joinpath("web", name).read_bytes())


def _packed(data: bytes) -> str:
    return base64.b64encode(gzip.compress(data, mtime=0)).decode("ascii")


def _write_script(path: Path, **values: object) -> None:
    lines = [f"hfSpam.{name} = {json.dumps(value)};\n" for name, value in values.items()]
    path.write_text("".join(["globalThis.hfSpam ??= {};\n", *lines]), encoding="ascii")
