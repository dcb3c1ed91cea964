"""One process or many: joining those that a launcher started, who goes first, and who speaks."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import TypeVar

import torch
from accelerate import PartialState
from accelerate.utils import broadcast_object_list, gather_object
from torch import Tensor

from ..errors import UserError

T = TypeVar("T")

# What MPI launchers tell a process about the others.
_MPI_VARIABLES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE")


def world_size() -> int:
    """How many processes the launcher started, this one included."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def local_world_size() -> int:
    """How many of them are on this machine; launchers say so, and accelerate where MPI does."""
    return int(os.environ.get("LOCAL_WORLD_SIZE", world_size()))


def rank() -> int:
    """This process's number; 0 is the main process."""
    return int(os.environ.get("RANK", "0"))


def on_cpu() -> bool:
    """Whether several processes have to share CPUs. accelerate would let each run for itself if not told."""
    return world_size() > 1 and not torch.accelerator.is_available()


def join() -> None:
    """Join the other processes, if there are any.

    Raises:
        UserError: If several processes were asked for and are not there.
    """
    check_launch(os.environ)
    if world_size() > 1:
        state = PartialState(cpu=on_cpu())
        if state.num_processes != world_size():
            raise UserError(f"expected {world_size()} processes that know each other, found {state.num_processes}.")


def check_launch(environment: Mapping[str, str]) -> None:
    """Refuse to run alone where `accelerate launch` was asked for several processes.

    With `--cpu`, and with a configuration of MULTI_CPU, it starts one process whatever `--num_processes` says. It then
    sets an address to meet at, which it does not for a single process, but no rank.

    Raises:
        UserError: If that is so.
    """
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
    """Let the main process go through the block before the others: it downloads, they find the files.

    If it fails it ends, and the launcher ends those that wait.
    """
    if rank() > 0:
        wait_for_all()
    yield
    if rank() == 0:
        wait_for_all()


def wait_for_all() -> None:
    """Wait until every process is here.

    Raises:
        UserError: If another one has failed.
    """
    if world_size() > 1:
        try:
            PartialState().wait_for_everyone()
        except RuntimeError as error:
            raise UserError(f"another process has failed: {error}") from None


def broadcast(value: int) -> int:
    """The main process's value, in every process."""
    if world_size() == 1:
        return value
    values = [value]
    broadcast_object_list(values)
    return values[0]


def shard(rows: Sequence[T]) -> Sequence[T]:
    """This process's share of work that all know: every so manieth row."""
    return rows[rank() :: world_size()]


def gather_shards(own: Tensor, rows: int) -> Tensor:
    """Results of `shard`, from all processes, in the order of the rows.

    Args:
        own: This process's. *Shape:* `[its rows, ...]`.
        rows: How many there are in all.

    Returns:
        *Shape:* `[rows, ...]`.
    """
    if world_size() == 1:
        return own
    gathered: list[Tensor] = gather_object([own])
    whole = own.new_empty(rows, *own.shape[1:])
    for process, part in enumerate(gathered):
        whole[process :: world_size()] = part
    return whole


@contextmanager
def only_main_prints() -> Iterator[None]:
    """Let the main process alone write to standard output."""
    if rank() == 0:
        yield
    else:
        with Path(os.devnull).open("w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
            yield


def describe_launch(
    device: str, precision: str, per_process: int, accumulated: int, global_batch: int, steps: int
) -> str:
    """The start-up line: who works on what, and how much at a time."""
    many = world_size()
    share = f"{per_process} × {accumulated} accumulated" if accumulated > 1 else f"{per_process}"
    return (
        f"run    {many} process{'es' if many > 1 else ''} on {device}, {precision}; batch {share}"
        f"{f' × {many} processes' if many > 1 else ''} = {global_batch} messages a step, {steps} steps an epoch"
    )
