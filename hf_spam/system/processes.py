"""Coordinate the processes that a launcher started: join them, order them, share work, gather results.

Of a single process nothing here starts `torch.distributed`, constructs accelerate's state or imports either.
"""

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from ..errors import UserError

if TYPE_CHECKING:
    from torch import Tensor

T = TypeVar("T")

# Environment variables by which MPI launchers announce several processes.
_MPI_VARIABLES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")


def world_size() -> int:
    """Return how many processes the launcher started, this one included."""
    return _launched("WORLD_SIZE", 1, at_least=1)


def local_world_size() -> int:
    """Return how many of the processes run on this machine."""
    return _launched("LOCAL_WORLD_SIZE", world_size(), at_least=1)


def rank() -> int:
    """Return this process's number; 0 is the main process."""
    return _launched("RANK", 0)


def local_rank() -> int:
    """Return this process's number on its machine; 0 is the machine's first process."""
    return _launched("LOCAL_RANK", rank() if world_size() == local_world_size() else 0)


def on_several_machines() -> bool:
    """Tell whether the processes run on more than one machine."""
    return world_size() != local_world_size()


def _launched(name: str, default: int, at_least: int = 0, environment: Mapping[str, str] | None = None) -> int:
    """Return a number that the launcher announced in the environment.

    Raises:
        UserError: If it is none, or out of range.
    """
    text = (os.environ if environment is None else environment).get(name, str(default))
    number = int(text) if re.fullmatch(r"[0-9]{1,6}", text) else -1
    if number < at_least:
        raise UserError(
            f"${name}: expected a whole number from {at_least} to 999,999, as a launcher sets it, found {text!r}. "
            f"For a single process unset it."
        )
    return number


def on_cpu() -> bool:
    """Tell whether several processes run on CPUs. accelerate must be told so, or each would train on its own."""
    if world_size() == 1:
        return False
    import torch

    return not torch.accelerator.is_available()


def join() -> None:
    """Join the other processes, if there are any.

    Raises:
        UserError: If the launcher was asked for several processes and this one cannot find the others.
    """
    check_launch(os.environ)
    if world_size() > 1:
        from accelerate import PartialState

        try:
            state = PartialState(cpu=on_cpu())
        except (ValueError, RuntimeError) as error:  # RuntimeError: those of torch.distributed
            raise UserError(f"expected {world_size()} processes that can connect: {error}") from None
        if state.num_processes != world_size():
            raise UserError(f"expected {world_size()} connected processes, found {state.num_processes}.")


def check_launch(environment: Mapping[str, str]) -> None:
    """Check what a launcher announced; detect an `accelerate launch` for several processes that started one.

    With `--cpu`, or a MULTI_CPU configuration, it starts one process whatever `--num_processes` says. It then sets
    `MASTER_PORT`, which it does not set for a single process, but no `WORLD_SIZE`.

    Raises:
        UserError: If that has happened, or the numbers of the processes are none, or contradict each other.
    """
    many = _launched("WORLD_SIZE", 1, at_least=1, environment=environment)
    local = _launched("LOCAL_WORLD_SIZE", many, at_least=1, environment=environment)
    for name, default, below in (
        ("LOCAL_WORLD_SIZE", local, many + 1),
        ("RANK", 0, many),
        ("LOCAL_RANK", 0, local),
        ("MASTER_PORT", 0, 65536),
    ):
        if (found := _launched(name, default, environment=environment)) >= below:
            raise UserError(
                f"${name}: expected a whole number below {below:,}, as a launcher sets it, found {found:,}."
            )
    launched = "ACCELERATE_MIXED_PRECISION" in environment and "MASTER_PORT" in environment
    if launched and not any(name in environment for name in ("WORLD_SIZE", *_MPI_VARIABLES)):
        raise UserError(
            "expected several processes, found one: accelerate launch --cpu was asked for several processes and "
            "started one. For two processes on a CPU use torchrun --nproc_per_node 2, or: "
            'accelerate launch --config_file "$(hf-spam launch-configs two_cpu_processes)" -m hf_spam train ...'
        )


def launch_configs() -> dict[str, Path]:
    """Return the configuration files for `accelerate launch` by name: those of the wheel, or else the checkout's."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "launch_configs"
    folder = installed if installed.is_dir() else package.parent / "scripts" / "accelerate"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


@contextmanager
def main_first() -> Iterator[None]:
    """Run the block in the main process first, then in the others: it downloads, they find the files.

    The first process of each other machine comes between them: that machine may have a disk of its own.

    If the main process fails, the launcher ends the waiting ones. (`PartialState.main_process_first` does the same,
    but a process that waits for a failed one would show its traceback.)
    """
    turns = 3 if on_several_machines() else 2
    turn = 0 if rank() == 0 else 1 if local_rank() == 0 else turns - 1
    for _ in range(turn):
        wait_for_all()
    yield
    for _ in range(turns - 1 - turn):
        wait_for_all()


@contextmanager
def locked_on_each_machine(path: Path) -> Iterator[None]:
    """Hold the lock of a file in the first process of each machine, waiting for other runs, as long as the block runs.

    They take it one after the other in the order of their ranks: two runs on the same machines could otherwise each
    hold one lock and wait for the other's.
    """
    from filelock import FileLock

    lock = FileLock(path)
    for number in range(world_size()):
        if number == rank() and local_rank() == 0:
            lock.acquire()
        if on_several_machines():
            wait_for_all()
    try:
        yield
    finally:
        lock.release()


def wait_for_all() -> None:
    """Wait until every process has reached this call.

    Raises:
        UserError: If another process has failed.
    """
    if world_size() > 1:
        from accelerate import PartialState

        try:
            PartialState().wait_for_everyone()
        except RuntimeError as error:
            raise UserError(f"another process has failed: {error}") from None


def broadcast(value: int) -> int:
    """Return the main process's value in every process."""
    if world_size() == 1:
        return value
    from accelerate.utils import broadcast_object_list

    values = [value]
    broadcast_object_list(values)
    return values[0]


def broadcast_on_machine(value: int) -> int:
    """Return the value of its machine's first process in every process."""
    return _values(value)[rank() - local_rank()]


def any_of(condition: bool) -> bool:
    """Tell in every process whether a condition holds in one of them."""
    return any(_values(int(condition)))


def _values(value: int) -> list[int]:
    if world_size() == 1:
        return [value]
    from accelerate.utils import gather_object

    found: list[int] = gather_object([value])
    return found


def shard(rows: Sequence[T]) -> Sequence[T]:
    """Return every `world_size()`-th row, starting at this process's rank.

    `PartialState.split_between_processes` would give each process one consecutive piece. Texts that are sorted by
    length would then be shared unevenly: one process would get all the long ones.
    """
    return rows[rank() :: world_size()]


def gather_shards(own: "Tensor", rows: int) -> "Tensor":
    """Gather the results for the rows of `shard` from all processes, in the order of the rows.

    Args:
        own: The results of this process. *Shape:* `[len(shard(rows)), ...]`.
        rows: The number of rows of all processes together.

    Returns:
        The results for all rows, in every process. *Shape:* `[rows, ...]`.
    """
    if world_size() == 1:
        return own
    from accelerate.utils import gather_object

    gathered: list[Any] = gather_object([own])
    whole = own.new_empty(rows, *own.shape[1:])
    for process, part in enumerate(gathered):
        whole[process :: world_size()] = part
    return whole


@contextmanager
def only_main_prints() -> Iterator[None]:
    """Discard the standard output of every process but the main one."""
    if rank() == 0:
        yield
    else:
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
            yield


def describe_launch(
    device: str, precision: str, per_process: int, accumulated: int, global_batch: int, steps: int
) -> str:
    """Return the line printed at the start of training: processes, device, precision and batch size."""
    many = world_size()
    share = f"{per_process} × {accumulated} accumulated" if accumulated > 1 else f"{per_process}"
    return (
        f"run    {many} process{'es' if many > 1 else ''} on {device}, {precision}; batch {share}"
        f"{f' × {many} processes' if many > 1 else ''} = {global_batch} messages a step, {steps} steps an epoch"
    )


# --- memory ----------------------------------------------------------------------------------------------------------
