"""The names of repositories, branches and licenses, as the Hub accepts them."""

import re

from huggingface_hub.errors import HFValidationError
from huggingface_hub.utils import validate_repo_id

from ..errors import UserError

# git's rules for a branch, in the characters that an address needs no quotes for.
_BRANCH = re.compile(r"(?![-/.])(?!.*(?:\.\.|//|/\.|\.lock(?:/|$)|[/.]$))[A-Za-z0-9._/+-]{1,250}")
_LICENSE = re.compile(r"[a-z0-9][a-z0-9.+-]{0,63}")


def check_repository(name: str, value: str) -> None:
    """Check the name of a repository, OWNER/NAME or NAME.

    Args:
        name: The option that it is given by.
        value: The name.

    Raises:
        UserError: If the Hub does not accept it.
    """
    try:
        validate_repo_id(value)
    except HFValidationError as error:
        raise UserError(f"--{name}: expected a repository as OWNER/NAME: {' '.join(str(error).split())}") from None


def check_branch(name: str, value: str) -> None:
    """Check the name of a branch.

    Raises:
        UserError: If git, or the Hub, does not accept it.
    """
    if not _BRANCH.fullmatch(value):
        raise UserError(f"--{name}: expected the name of a branch, like main or my-branch, found {value!r}.")


def check_license(name: str, value: str) -> None:
    """Check that a license looks as the Hub abbreviates it.

    Raises:
        UserError: If it does not.
    """
    if not _LICENSE.fullmatch(value):
        raise UserError(
            f"--{name}: expected a license as the Hub abbreviates it, like mit or cc-by-4.0, found {value!r}."
        )
