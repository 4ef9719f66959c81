"""The one exception that users see.

Everything that is the user's to mend (a missing folder, a bad row, an unknown key) is raised as a
`UserError`; the command line prints its single line and exits with status 2. Anything else that
escapes is a bug of ours and keeps its traceback.
"""

from __future__ import annotations


class UserError(ValueError):
    """Bad input, told in one line: what, where (file and row), and the cure."""
