"""Entry point of the command line: runs a verb, and turns bad input into one line and status 2."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import select
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from lit_landmarks.cli.allocator import keep_freed_memory
from lit_landmarks.cli.signals import interrupt_on_signals
from lit_landmarks.cli.verbs import run_verb
from lit_landmarks.errors import SharedError, UserError

BAD_INPUT, INTERRUPTED = 2, 130
#: As a shell calls the end by SIGPIPE, which Python turns into an error.
CLOSED_PIPE = 128 + 13
#: Errors of the file system that a user can correct, with the cure; any other `OSError` is a bug.
_CORRECTABLE = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some space",
    errno.EACCES: "check the permissions",
    errno.EROFS: "choose another folder",
    errno.EEXIST: "a file is in the way, choose another name",
    errno.ENOTDIR: "a file is where a folder must be, correct the path",
    errno.EISDIR: "a folder is where a file must be, correct the path",
    errno.ENOENT: "correct the path",
}


def main(args: Sequence[str] | None = None) -> int:
    """Runs one verb; may be called repeatedly, since it leaves the state of the process unchanged.

    Args:
        args: verb and arguments; None takes them from `sys.argv`.

    Returns:
        The exit status: 0 done, 2 bad input (one line on stderr), 130 interrupted by Ctrl-C, 143
        by SIGTERM and 129 by SIGHUP, 141 if nobody reads what is printed any more (`| head`).
    """
    here = str(Path.cwd())
    if args is None:  # a process of its own
        keep_freed_memory()
        if not sys.flags.safe_path and here not in sys.path:
            # As `python -m` does: classes of one's own lie beside the files that name them.
            sys.path.insert(0, here)
    verb, *arguments = list(sys.argv[1:] if args is None else args) or ["--help"]
    with _print_any_name(), interrupt_on_signals() as ending:
        status = _run(verb, arguments)
        return ending.status or status if status == INTERRUPTED else status


@contextlib.contextmanager
def _print_any_name() -> Iterator[None]:
    """Prints names of files that are no UTF-8 with escapes instead of failing at them."""
    stream = sys.stdout
    strict = isinstance(stream, io.TextIOWrapper) and stream.errors == "strict"
    if strict:
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        yield
    finally:
        if strict:
            stream.reconfigure(errors="strict")  # type: ignore[union-attr]


def _run(verb: str, arguments: list[str]) -> int:
    try:
        status = run_verb(verb, arguments)
        sys.stdout.flush()  # what a pipe refuses is an error here, and not after the end
        return status
    except BrokenPipeError:
        if not _is_output_closed():  # another pipe of ours, such as that to a video encoder
            raise
        return _drop_output()
    except SharedError as error:
        # A process that ends with another status than 0 has the first one killed.
        return 0 if _is_follower() else _complain(str(error))
    except UserError as error:
        return _complain(str(error))
    except KeyboardInterrupt as error:
        if not _is_follower():
            print(f"\n{error}" if str(error) else "\ninterrupted", file=sys.stderr)
        return INTERRUPTED
    except OSError as error:
        if error.errno not in _CORRECTABLE:
            raise
        where = f", {error.filename}" if error.filename else ""
        return _complain(f"{error.strerror}{where}; {_CORRECTABLE[error.errno]}")


def _is_output_closed() -> bool:
    """Whether the reader of what this process prints is gone."""
    try:
        poll = select.poll()
        poll.register(sys.stdout.fileno(), 0)
    except (OSError, ValueError):  # a stream that is no file
        return False
    return any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0))


def _drop_output() -> int:
    """Sends what is still to be printed nowhere, so that the end of Python does not complain."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
    return CLOSED_PIPE


def _is_follower() -> bool:
    # Whatever starts several processes has imported it; this module must not import torch.
    ranks = sys.modules.get("lit_landmarks.training.ranks")
    return ranks is not None and bool(ranks.is_follower())


def _complain(message: str) -> int:
    # A loader's worker sends its whole traceback as text; the last line is the error itself.
    own = message.rpartition("UserError: ")[2]
    print("error: " + " ".join(own.split()), file=sys.stderr)
    return BAD_INPUT
