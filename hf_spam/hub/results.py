"""The figures of a model's report, for `.eval_results` in its repository on the Hub."""

from pathlib import Path

from ..checkpoint.files import hash_model
from ..errors import UserError
from ..reporting.publishing import RESULTS_FILE
from ..system.reading import read_json, read_regular

_LARGEST = 2**20  # bytes


def results_of(report: Path, folder: Path) -> bytes:
    """Return the content of a report's file for `.eval_results`.

    Args:
        report: Written by `hf-spam evaluate --report` or `hf-spam train --report`.
        folder: The model that is pushed.

    Raises:
        UserError: If there is no report, it is of another model, or it has no such file.
    """
    record = report / "report.json"
    if not record.is_file():
        raise UserError(
            f"--report {report}: expected a folder with a report.json, found none. Write one: "
            f"hf-spam evaluate {folder} --report FOLDER"
        )
    if read_json(record).get("model_sha256") != hash_model(folder):
        raise UserError(
            f"--report {report}: expected a report of {folder}, found one of other files. Write a new one: "
            f"hf-spam evaluate {folder} --report FOLDER"
        )
    if not (report / RESULTS_FILE).is_file():
        raise UserError(
            f"--report {report}: expected figures for the Hub in {RESULTS_FILE}, found none: only those on a "
            f"model's own test split of the SMS Spam Collection have a place there. Leave out --report."
        )
    return read_regular(report / RESULTS_FILE, _LARGEST)
