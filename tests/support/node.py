"""Functions of our JavaScript, called in one Node.js: each call is a line of JSON, and so is its answer."""

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

_LOOP = """
const functions = { ...require(process.argv[1]) };
const made = {};
functions.make = (name, argument) => { made.it = new functions[name](argument); return null; };
functions.call = (name, lists) => lists.map((list) => made.it[name](...list));
functions.bytes = (name, bytes) => functions[name](Uint8Array.from(bytes));
require("node:readline").createInterface({ input: process.stdin }).on("line", (line) => {
  const [name, ...given] = JSON.parse(line);
  let answer;
  try { answer = { result: functions[name](...given) }; } catch (error) { answer = { error: String(error) }; }
  console.log(JSON.stringify(answer));
});
"""


class Node:
    """A Node.js that has loaded one of our scripts.

    Args:
        script: The script, which exports functions or classes where there is a `module`.
    """

    def __init__(self, script: Path) -> None:
        node = shutil.which("node")
        if node is None:
            pytest.skip("Node.js: install node, and these tests run our JavaScript")
        pipe = subprocess.PIPE
        self._process = subprocess.Popen([node, "-e", _LOOP, str(script)], stdin=pipe, stdout=pipe, encoding="utf-8")

    def call(self, name: str, *given: object) -> Any:
        """Return what a function returns.

        Raises:
            RuntimeError: With its message, if it fails.
        """
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([name, *given]) + "\n")
        self._process.stdin.flush()
        answer = json.loads(self._process.stdout.readline())
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer.get("result")

    def close(self) -> None:
        """End it."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()
