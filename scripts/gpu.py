"""Measure fine-tuning and classification on a GPU, and take steps with each launch configuration: about ten minutes.

    python scripts/gpu.py --output outputs/gpu
    python scripts/gpu.py --output outputs/gpu --parts training --only "ours fp32" "ours bf16"

Each system runs in a process of its own. A line is printed and NAME.json written when one is done, so that a run that
is stopped keeps what it has. Without a GPU everything runs on the CPU, which --model_size tiny makes short.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pandas as pd

# Python puts this folder first on the import path, where evaluate.py would hide the library `evaluate`.
sys.path[:] = [entry for entry in sys.path if Path(entry).resolve() != Path(__file__).resolve().parent]

from hf_spam.benchmarks import inference, on_gpu, training  # noqa: E402
from hf_spam.benchmarks.processes import in_own_process  # noqa: E402
from hf_spam.data.sources import read_at_hand  # noqa: E402
from hf_spam.system.files import write_atomically  # noqa: E402

CONFIGURATIONS = Path(__file__).parent / "accelerate"
PARTS = ("training", "inference", "launch")
# A configuration, and what is changed: one GPU instead of eight, another precision, compiled code.
LAUNCHES: list[tuple[str, list[str]]] = [
    ("one_gpu_bf16", []),
    ("one_gpu_bf16", ["--mixed_precision", "fp16"]),
    ("one_gpu_bf16", ["--dynamo_backend", "inductor"]),
    ("fsdp2", ["--num_processes", "1"]),
]


def make_parser() -> argparse.ArgumentParser:
    """Return the parser of the script's options."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--output", default="gpu", metavar="NAME", help="Write the figures to NAME.json.")
    parser.add_argument("--model_size", default="small", help="Width and depth (default: small).")
    parser.add_argument("--steps", type=int, default=12, help="Steps to time of what is scaled (default: 12).")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS, help="What to measure.")
    parser.add_argument("--only", nargs="+", help="Measure only these: 'ours fp32', 'classification bf16', ...")
    return parser


def launch(name: str, more: list[str], model_size: str, messages: pd.DataFrame) -> dict[str, Any]:
    """Train for some steps under `accelerate launch`; return the lines that tell how it went."""
    with tempfile.TemporaryDirectory() as folder:
        table = Path(folder, "messages.csv")
        messages.to_csv(table, index=False)
        command = [sys.executable, "-m", "accelerate.commands.launch", "--config_file"]
        command += [str(CONFIGURATIONS / f"{name}.yaml"), *more, "-m", "hf_spam", "train", "--weights", "random"]
        command += ["--model_size", model_size, "--max_steps", "20", "--eval_freq", "10", "--balance", "true"]
        command += ["--data_file", str(table), "--output_dir", f"{folder}/run"]
        start = time.perf_counter()
        done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
        lines = (done.stdout + done.stderr).strip().splitlines()
        said = [line for line in lines if line.startswith(("run ", "cache", "Ep ", "test "))]
        failed = [] if done.returncode == 0 else lines[-60:]
        return {"seconds": time.perf_counter() - start, "rc": done.returncode, "said": said, "failed": failed}


def main(options: argparse.Namespace) -> None:
    """Measure one after the other."""
    messages = read_at_hand(None)
    found: list[dict[str, Any]] = []

    def keep(part: str, name: str, precision: str, figures: dict[str, Any]) -> None:
        found.append({"part": part, "system": name, "precision": precision, **figures})
        write_atomically(Path(f"{options.output}.json"), json.dumps(found, indent=1).encode())
        print(json.dumps(found[-1]), flush=True)

    def measure(part: str, name: str, precision: str, work: Any, *arguments: Any, **keywords: Any) -> None:
        if options.only is None or f"{name} {precision}" in options.only:
            try:
                figures = in_own_process(work, *arguments, **keywords)
            except Exception as error:  # the others are worth having
                figures = {"failed": f"{type(error).__name__}: {error}"[:2000]}
            keep(part, name, precision, figures)

    if "training" in options.parts:
        job = training.Job(messages, options.model_size, options.steps)
        for name, precision, work, arguments, keywords in on_gpu.fine_tuning_systems(job):
            measure("training", name, precision, work, *arguments, **keywords)
    if "inference" in options.parts:
        task = inference.Task(messages["Text"].tolist(), options.model_size, 200)
        for precision in on_gpu.PRECISIONS:
            measure("inference", "classification", precision, on_gpu.classification, task, precision)
        measure("inference", "without cuDNN", "bf16", on_gpu.classification, task, "bf16", plans=False)
    if "launch" in options.parts:
        with ThreadPoolExecutor() as pool:
            runs = [pool.submit(launch, name, more, options.model_size, messages) for name, more in LAUNCHES]
            for (name, more), run in zip(LAUNCHES, runs, strict=True):
                keep("launch", " ".join([name, *more]), "", run.result())


if __name__ == "__main__":
    main(make_parser().parse_args())
