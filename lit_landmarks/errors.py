"""The one exception that users see.

Everything that is the user's to mend (a missing folder, a bad row, an unknown key) is raised as a
`UserError`; the command line prints its single line and exits with status 2. Anything else that
escapes is a bug of ours and keeps its traceback.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal, get_args, get_origin, get_type_hints


class UserError(ValueError):
    """Bad input, in one line: what, where (file and row), and the cure."""


class SharedError(UserError):
    """A `UserError` that all processes of one training raise together; the first one prints it."""


def first_line(error: BaseException, named: bool = False) -> str:
    """The first line of an exception's text, or the name of its class if it has none.

    Args:
        error: the exception.
        named: put the name of the class before the text.
    """
    name, text = type(error).__name__, str(error).strip()
    if not text:
        return name
    line = text.splitlines()[0]
    return f"{name}: {line}" if named else line


@contextmanager
def needs_extra(what: str, extra: str, otherwise: str = "") -> Iterator[None]:
    """Around an import: says which extra of this package brings what is missing.

    Args:
        what: the thing that needs it, as the subject of a sentence.
        extra: name of the extra.
        otherwise: what the user can do instead.

    Raises:
        UserError: the import failed.

    Example:
        >>> with needs_extra("LiteRT", "tf"):
        ...     raise ImportError("no tf")
        Traceback (most recent call last):
        ...
        lit_landmarks.errors.UserError: LiteRT needs more packages (no tf); pip install \
"lit-landmarks[tf]"
    """
    try:
        yield
    except ImportError as error:
        cure = f'pip install "lit-landmarks[{extra}]"' + (f", or {otherwise}" if otherwise else "")
        raise UserError(f"{what} needs more packages ({first_line(error)}); {cure}") from error


def check_literals(options: object, name: str) -> None:
    """Refuse options of which a field holds none of the values of its `Literal`.

    Args:
        options: an object whose class has type hints.
        name: of the options in a configuration.

    Raises:
        UserError: with the name of the field, and the values that it can have.

    Example:
        >>> class Options:
        ...     unit: Literal["px", "mm"] = "px"
        >>> options = Options()
        >>> check_literals(options, "loss")
        >>> options.unit = "m"
        >>> check_literals(options, "loss")
        Traceback (most recent call last):
        ...
        lit_landmarks.errors.UserError: loss.unit is 'm'; choose one of ['px', 'mm']
    """
    for field, hint in get_type_hints(type(options)).items():
        value = getattr(options, field)
        if get_origin(hint) is Literal and value not in get_args(hint):
            raise UserError(f"{name}.{field} is '{value}'; choose one of {list(get_args(hint))}")
