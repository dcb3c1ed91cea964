"""How the cost of `hf-spam predict --input` grows: rows and workers, as a table in Markdown.

    python scripts/growth.py outputs/quickstart
    python scripts/growth.py outputs/quickstart --rows 100000 1000000 --engine ray

The rows are the messages of the extra `[sample]`, each with its number, so that no two are alike; Parquet in, Parquet
out. A worker is a process with one thread. The seconds are those of the whole command, from the shell to the renamed
output. What a billion rows cost follows from the rate between the two largest numbers of rows, which leaves out the
start.
"""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from hf_spam.data.sources import read_sample

_GROUP = 100_000  # rows of a row group


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the script's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", metavar="MODEL", help="A folder that hf-spam train or export saved.")
    parser.add_argument("--rows", type=int, nargs="+", default=[10**3, 10**4, 10**5, 10**6], help="How many rows.")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="How many processes.")
    parser.add_argument("--engine", choices=["own", "ray"], default="own", help="As hf-spam predict takes it.")
    return parser


def write_rows(count: int, target: Path) -> None:
    """Write so many messages, no two of which are alike."""
    texts = read_sample()["Text"].tolist()
    schema = pa.schema({"id": pa.int64(), "text": pa.string()})
    with pq.ParquetWriter(target, schema) as writer:
        for start in range(0, count, _GROUP):
            numbers = range(start, min(start + _GROUP, count))
            rows = {"id": [*numbers], "text": [f"{texts[number % len(texts)]} {number}" for number in numbers]}
            writer.write_table(pa.table(rows, schema=schema))


def measure(model: str, source: Path, target: Path, workers: int, engine: str) -> tuple[float, float]:
    """Return the seconds of a prediction, and the most memory that one of its processes took, in MiB.

    Raises:
        SystemExit: If it fails.
    """
    start = [sys.executable]
    if engine == "own" and workers > 1:
        start += ["-m", "torch.distributed.run", "--nproc_per_node", str(workers)]
    command = [*start, "-m", "hf_spam", "predict", model, "--input", str(source), "--output", str(target)]
    if engine == "ray":
        command += ["--engine", "ray", "--num_processes", str(workers)]
    began = time.perf_counter()
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    assert process.stderr is not None
    told = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)  # of the process and of those that it has waited for
    if status:
        sys.exit(told.decode(errors="replace"))
    return time.perf_counter() - began, usage.ru_maxrss / 1024


def main(args: argparse.Namespace) -> None:
    """Measure, and print a line of the table as soon as it is known."""
    print("| rows | workers | seconds | rows/s | MiB of the largest process |\n| --- | --- | --- | --- | --- |")
    seconds: dict[tuple[int, int], float] = {}
    with tempfile.TemporaryDirectory() as name:
        for rows in sorted(args.rows):
            source = Path(name) / "in.parquet"
            write_rows(rows, source)
            for workers in args.workers:
                target = Path(name) / (f"{rows}-{workers}" + (".parquet" if args.engine == "own" else ""))
                took, memory = measure(args.model, source, target, workers, args.engine)
                seconds[rows, workers] = took
                shown = f"{memory:,.0f}" if args.engine == "own" else "–"  # of Ray's processes nobody waits for
                print(f"| {rows:,} | {workers} | {took:.1f} | {rows / took:,.0f} | {shown} |", flush=True)
    if len(args.rows) > 1:
        *_, fewer, most = sorted(args.rows)
        for workers in args.workers:
            rate = (most - fewer) / (seconds[most, workers] - seconds[fewer, workers])
            hours = 10**9 / rate / 3600
            print(f"10^9 rows at {rate:,.0f} rows/s of {workers} workers: {hours:,.1f} hours")


if __name__ == "__main__":
    main(make_parser().parse_args())
