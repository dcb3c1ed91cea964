"""Classify the rows of Parquet files on a Ray cluster: more rows than one machine has time for. Needs the extra `ray`.

Ray Data streams blocks of rows to processes that hold the model each, and gives a block again if one of them dies. The
output is renamed to its name when it has as many rows as the input: it is complete or absent.
"""

import importlib.util
import json
import logging
import math
import os
import re
import shutil
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from ..data.labels import Task, task_of_config
from ..engines.loading import Precision
from ..errors import UserError, install_hint, one_line
from ..system.locking import locked
from ..system.place import check_new_folder
from ..system.reading import is_folder
from ..tables.columnar import PARQUET
from ..tables.columns import list_names
from ..tables.table import Paths, Place, Table, expand
from .answers import Answer, Wish, answers, flat_fields, flatten, rounded
from .batch_prediction import free_name, open_texts
from .classifier import SpamClassifier
from .parts import disk_errors
from .repeats import Repeats

BLOCK = 32768  # rows that a process scores at once, and of a file of the output, at most
_FEWEST = 1024  # rows of a block, unless there are no more
_OUTPUT = re.compile(r"[\w-]+\.parquet", re.ASCII)


@dataclass(frozen=True)
class Request:
    """What each process must know to score rows.

    Attributes:
        model: A folder that every machine sees, or a repository on the Hub.
        precision: Of the computation.
        token_budget: See `SpamClassifier`.
        wish: What is asked for.
        positive_label: The label that a threshold is about.
        texts: The columns of the texts.
        names: Under which name each field of an answer stands.
    """

    model: str
    precision: Precision
    token_budget: int | None
    wish: Wish
    positive_label: str | None
    texts: Sequence[str]
    names: dict[str, str]


class RowScorer:
    """A process of the cluster: holds the model, and adds label and score to rows."""

    def __init__(self, request: Request) -> None:
        self.request = request
        self.classifier = SpamClassifier.from_pretrained(request.model, request.token_budget, request.precision)
        self.classifier.repeats = Repeats(0)  # a block that is scored again after a loss gets the same scores
        self.task = task_of_config(self.classifier.config, request.positive_label)

    def __call__(self, rows: pa.Table) -> pa.Table:
        """Return rows with the columns of their answers.

        Raises:
            UserError: If a text is none, or a score is not finite.
        """
        classifier, wish = self.classifier, self.request.wish
        scores = classifier.score(self._texts(rows))
        found = answers(scores, self.task, wish, classifier.operating_point)
        flat = [flatten(rounded(answer), wish) for answer in found]
        for field, name in self.request.names.items():
            rows = rows.append_column(name, _column(field, flat, self.task, wish))
        return rows

    def _texts(self, rows: pa.Table) -> list[str]:
        table = Table("the input", list(rows.column_names), list(self.request.texts), [], [], None, [])
        try:
            return [table.text(Place("the input", 0), row) for row in rows.select(table.text_columns).to_pylist()]
        except UserError as error:
            reason = str(error).removeprefix("the input, row 0: ")
            raise UserError(f"the input: {reason} Without --engine ray its number is said.") from None


def _column(field: str, found: Sequence[Answer], task: Task, wish: Wish) -> pa.Array:
    values = [answer[field] for answer in found]
    if field == "label" and wish.threshold is not None and not task.is_binary:
        return pa.array(values, pa.list_(pa.string()))
    if field == "scores":
        return pa.array([json.dumps(value, ensure_ascii=False) for value in values], pa.string())
    return pa.array(values, pa.string() if field in ("label", "decision") else pa.float64())


def require_ray() -> None:
    """Refuse to go on without Ray.

    Raises:
        UserError: With the command that installs it.
    """
    if importlib.util.find_spec("ray") is None:
        raise UserError(f"--engine ray needs Ray. Install it: {install_hint('ray')}")


def list_parquet(paths: Paths) -> list[str]:
    """Return the Parquet files that names, folders and patterns stand for.

    Raises:
        UserError: If there are none, or one of them is something else.
    """
    files: list[str] = []
    for path in [paths] if isinstance(paths, str | os.PathLike) else paths:
        inside = sorted(map(str, Path(path).rglob("*.parquet"))) if is_folder(path) else expand(path)
        if not inside:
            raise UserError(f"{path}: expected a folder of Parquet files, found none in it.")
        files += inside
    for file in files:
        try:
            with Path(file).open("rb") as opened:
                is_parquet = opened.read(len(PARQUET)) == PARQUET
        except OSError as error:
            raise UserError(f"{file}: cannot be read: {error.strerror}.") from None
        if not is_parquet:
            raise UserError(f"{file}: expected a Parquet file, found another. Leave out --engine ray.")
    return files


def predict_on_ray(
    request: Request, files: Sequence[str], target: Path, task: Task, processes: int | None = None
) -> int:
    """Score every row of Parquet files, and write a folder of Parquet files in the same order.

    The cluster is the one of `$RAY_ADDRESS`, whose machines must see model, input and output under the same names, or
    else one on this machine.

    Args:
        request: What each process must know.
        files: From `list_parquet`.
        target: The folder to write.
        task: The model's labels.
        processes: How many hold the model; by default one for each GPU, or for each CPU but one.

    Returns:
        The number of rows.

    Raises:
        UserError: If the output exists or cannot be written, a row has no text, or the cluster fails.
    """
    check_new_folder("output", target)
    partial = target.with_name(f"{target.name}.partial")
    busy = f"{target}: another process writes it. Wait for that one, or choose another --output."
    with disk_errors(target), locked(target.with_name(f"{partial.name}.lock"), busy):
        _remove(partial)
        partial.mkdir(parents=True)
        try:
            expected = sum(pq.read_metadata(file).num_rows for file in files)
            if expected:
                with _cluster(processes) as cluster:
                    _run(request, files, partial, expected, cluster)
            else:  # there would be no file, and no columns
                empty = RowScorer(request)(pq.read_schema(files[0]).empty_table())
                pq.write_table(empty, partial / "0.parquet")
            written = sorted(partial.iterdir())
            count = sum(pq.read_metadata(file).num_rows for file in written)
            if count != expected:
                raise UserError(
                    f"{target}: expected {expected:,} rows as in the input, found {count:,}. It was not written; "
                    f"run the same command again."
                )
            for number, file in enumerate(written):
                file.rename(partial / f"part-{number:06}.parquet")
            os.replace(partial, target)
        finally:
            _remove(partial)
    return count


def _remove(partial: Path) -> None:
    """Remove what an earlier prediction left, and nothing else."""
    if not os.path.lexists(partial):
        return
    if not partial.is_dir() or any(not _OUTPUT.fullmatch(path.name) for path in partial.iterdir()):
        raise UserError(f"{partial}: is in the way and not ours. Rename it, or choose another --output.")
    shutil.rmtree(partial)


@dataclass(frozen=True)
class _Cluster:
    processes: int
    gpus: int  # of each process


@contextmanager
def _silent() -> Iterator[None]:
    """Discard what a library writes to the standard error of the process, past Python."""
    sys.stderr.flush()
    kept, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)
        os.close(nowhere)


@contextmanager
def _cluster(processes: int | None) -> Iterator[_Cluster]:
    """Connect to the cluster of `$RAY_ADDRESS`, or start one; leave it, or stop it, in the end."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # nothing is sent anywhere
    os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # what fails is told in a line
    import ray

    address = os.environ.get("RAY_ADDRESS", "local")
    # One CPU more than there are processes: reading and writing must go on beside them.
    cpus = (processes or max(1, (os.cpu_count() or 1) - 1)) + 1
    own: dict[str, Any] = {"num_cpus": cpus, "include_dashboard": False} if address == "local" else {}
    try:
        with _silent():  # where it says that it says no more
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, **own)
    except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
        raise UserError(f"--engine ray: no cluster at {address}: {one_line(error)}") from None
    try:
        found = ray.cluster_resources()
        gpus = int(found.get("GPU", 0))
        most = gpus or max(1, int(found.get("CPU", 2)) - 1)
        if processes is not None and processes > most:
            raise UserError(f"--num_processes: expected at most {most} on this cluster, found {processes}.")
        yield _Cluster(processes or most, 1 if gpus else 0)
    finally:
        ray.shutdown()


def _run(request: Request, files: Sequence[str], folder: Path, count: int, cluster: _Cluster) -> None:
    from ray.data import DataContext, read_parquet
    from ray.exceptions import RayError

    context = DataContext.get_current()
    context.execution_options.preserve_order = True
    context.enable_progress_bars = sys.stderr.isatty()
    logging.getLogger("ray.data").setLevel(logging.CRITICAL)
    # So many that all are busy to the end; and whole blocks, as Ray may put the batches of one in another order.
    size = min(BLOCK, max(_FEWEST, math.ceil(count / (4 * cluster.processes))))
    try:
        rows = read_parquet([str(Path(file).absolute()) for file in files], partitioning=None, file_extensions=None)
        scored = rows.repartition(target_num_rows_per_block=size).map_batches(
            RowScorer,
            fn_constructor_args=(request,),
            batch_size=None,
            batch_format="pyarrow",
            concurrency=min(cluster.processes, math.ceil(count / size)),
            num_cpus=1,
            num_gpus=cluster.gpus,
        )
        scored.write_parquet(str(folder.absolute()))
    except (RayError, OSError, ValueError, pa.ArrowException) as error:
        raise _told(error) from None


def _told(error: BaseException) -> UserError:
    """Return what a process of ours refused, which Ray passes on as text, or else what Ray says."""
    refused = re.search(rf"^{re.escape(UserError.__module__)}\.UserError: (.+)$", str(error), re.MULTILINE)
    if refused is not None:
        return UserError(refused[1])
    return UserError(f"--engine ray: the cluster failed: {type(error).__name__}: {one_line(error)[:500]}")


def name_fields(table: Table, task: Task, wish: Wish) -> dict[str, str]:
    """Return under which name each field of an answer stands; one that the input has is called `predicted_...`."""
    return {field: free_name(field, table.columns) for field in flat_fields(task, wish)}


def read_columns(files: Sequence[str], text_column: str | None) -> Table:
    """Return which columns the files have, and which hold the texts.

    Raises:
        UserError: If they are not recognised, or differ between files.
    """
    table = open_texts(files, text_column)
    first = table.parts[0]
    for part in table.parts:
        if part.columns != first.columns:
            raise UserError(
                f"{part.name}: expected the columns {list_names(first.columns)} as in {first.name}, found "
                f"{list_names(part.columns)}. Give files of the same columns."
            )
    return table
