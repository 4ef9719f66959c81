"""The one exception that users see.

Everything that is the user's to mend (a missing folder, a bad row, an unknown key) is raised as a
`UserError`; the command line prints its single line and exits with status 2. Anything else that
escapes is a bug of ours and keeps its traceback.
"""

from __future__ import annotations


class UserError(ValueError):
    """Bad input, told in one line: what, where (file and row), and the cure."""


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
