"""A package of npm, fetched by npm itself, so that the user's registry and proxy are used, and checked by its hash."""

import base64
import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from ..errors import UserError

_SECONDS = 600


def fetch_npm_package(name: str, version: str, integrity: str, remedy: str) -> bytes:
    """Return the tarball of a package.

    Args:
        name: The package.
        version: Its exact version.
        integrity: What npm's lock files call so: `sha512-` and the hash in base64.
        remedy: What to do without npm, for messages.

    Raises:
        UserError: If npm is not installed or fails, or if the package is not the one of this hash.
    """
    npm = shutil.which("npm")
    if npm is None:
        raise UserError(f"{name} {version}: expected npm on the PATH, found none. {remedy}")
    with tempfile.TemporaryDirectory() as folder:
        command = [npm, "pack", f"{name}@{version}", "--ignore-scripts", "--prefer-offline", "--pack-destination", "."]
        try:
            done = subprocess.run(command, cwd=folder, capture_output=True, timeout=_SECONDS, check=False)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise UserError(f"{name} {version}: npm failed: {type(error).__name__}. {remedy}") from None
        tarballs = list(Path(folder).glob("*.tgz"))
        if done.returncode or len(tarballs) != 1:
            lines = done.stderr.decode("utf-8", "replace").split("\n")
            said = next((line for line in lines if "code" in line.lower()), "it gave no reason").strip()
            raise UserError(f"{name} {version}: npm pack failed ({said}). {remedy}")
        data = tarballs[0].read_bytes()
    found = f"sha512-{base64.b64encode(hashlib.sha512(data).digest()).decode('ascii')}"
    if found != integrity:
        raise UserError(f"{name} {version}: expected the package {integrity}, found {found}. {remedy}")
    return data
