"""A W&B server of one process: what wandb 0.31 asks for a run, its files, artifacts and sweeps.

It stores what is sent as W&B does: a line of history stands at its offset, and a later one at that
offset replaces it.
"""

from __future__ import annotations

import contextlib
import json
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

_HISTORY = "wandb-history.jsonl"


@dataclass
class ServedRun:
    """A run as the server has it.

    Attributes:
        sent: variables of `UpsertBucket`, such as groupName, jobType, displayName, tags.
        config: the config, without what wandb adds.
        lines: rows of history by their line.
        summary: the summary.
        exit_code: of a run that has ended.
    """

    sent: dict[str, Any] = field(default_factory=dict)
    config: dict[str, Any] = field(default_factory=dict)
    lines: dict[int, dict[str, Any]] = field(default_factory=dict)
    summary: dict[str, Any] = field(default_factory=dict)
    exit_code: int | None = None

    @property
    def history(self) -> list[dict[str, Any]]:
        """Rows in the order of their lines."""
        return [self.lines[line] for line in sorted(self.lines)]


@dataclass
class WandbServer:
    """The server's address and what it has received.

    Attributes:
        url: address, for `WANDB_BASE_URL`.
        runs: runs by their id.
        status: HTTP status of every answer; 200 unless the server is to fail.
        artifacts: type and name of each artifact that was created.
        jobs: commands for the next agent that asks.
        sweep: YAML of the sweep that agents ask for.
    """

    url: str = ""
    runs: dict[str, ServedRun] = field(default_factory=dict)
    status: int = 200
    artifacts: list[tuple[str, str]] = field(default_factory=list)
    jobs: list[dict[str, Any]] = field(default_factory=list)
    sweep: str = ""

    @property
    def environment(self) -> dict[str, str]:
        """Variables with which wandb sends to this server."""
        return {"WANDB_BASE_URL": self.url, "WANDB_API_KEY": "k" * 40, "WANDB_MODE": "online"}

    def answer(self, operation: str, sent: dict[str, Any]) -> dict[str, Any]:
        """The data of a GraphQL answer; fields that wandb can do without are left out."""
        project = {"id": "p", "name": "faces", "entity": {"id": "e", "name": "me"}}
        if operation == "RunResumeStatus":
            run = self.runs.get(sent["name"])
            return {"model": project | {"bucket": run and self._bucket(sent["name"], run)}}
        if operation == "UpsertBucket":
            name = sent["name"] or sent["id"]
            inserted = name not in self.runs
            run = self.runs.setdefault(name, ServedRun())
            run.sent |= {key: value for key, value in sent.items() if value is not None}
            if sent["config"]:
                config = json.loads(sent["config"]).items()
                run.config |= {k: v["value"] for k, v in config if k != "_wandb"}
            bucket = self._bucket(name, run) | {"project": project}
            return {"upsertBucket": {"bucket": bucket, "inserted": inserted}}
        if operation == "CreateRunFiles":
            files = [{"name": name, "uploadUrl": f"{self.url}/storage"} for name in sent["files"]]
            return {"createRunFiles": {"runID": "r", "uploadHeaders": [], "files": files}}
        if operation == "Viewer":
            teams = {"edges": [{"node": {"id": "e", "name": "me"}}]}
            return {"viewer": {"id": "u", "username": "me", "entity": "me", "teams": teams}}
        if operation == "SweepWithRuns":
            sweep = {"id": "s", "name": sent["sweep"], "config": self.sweep, "runs": {"edges": []}}
            return {"project": {"sweep": sweep}}
        if operation == "CreateAgent":
            return {"createAgent": {"agent": {"id": "g"}}}
        if operation == "Heartbeat":
            jobs, self.jobs = self.jobs, []
            return {"agentHeartbeat": {"agent": {"id": "g"}, "commands": json.dumps(jobs)}}
        if operation == "ArtifactType":
            return {"project": None}
        if operation == "CreateArtifact":
            made = sent["input"]
            self.artifacts.append((made["artifactTypeName"], made["artifactCollectionName"]))
            # One that is there already is not uploaded.
            artifact = {"id": "a", "state": "COMMITTED", "artifactSequence": {"id": "s"}}
            return {"createArtifact": {"artifact": artifact}}
        return {}

    def _bucket(self, name: str, run: ServedRun) -> dict[str, Any]:
        last = [json.dumps(row) for row in run.history[-1:]]
        return {
            "id": name,
            "name": name,
            "displayName": run.sent.get("displayName"),
            "config": run.sent.get("config"),
            "summaryMetrics": json.dumps(run.summary),
            "historyLineCount": max(run.lines, default=-1) + 1,
            "eventsLineCount": 0,
            "logLineCount": 0,
            "historyTail": json.dumps(last),
            "eventsTail": "[]",
            "tags": run.sent.get("tags"),
            "wandbConfig": json.dumps({"t": 1} if run.sent.get("config") else {}),
        }

    def receive(self, name: str, sent: Mapping[str, Any]) -> None:
        """Stores what the file stream brings for a run."""
        run = self.runs[name]
        for file, part in (sent.get("files") or {}).items():
            rows = [json.loads(text) for text in part["content"]]
            if file == _HISTORY:
                run.lines |= dict(enumerate(rows, part["offset"]))
            elif file == "wandb-summary.json":
                run.summary = rows[-1]
        if sent.get("complete"):
            run.exit_code = sent["exitcode"]


def _find_operation(call: Mapping[str, Any]) -> str:
    """Name of a GraphQL call, which is in its text where it is not given."""
    return str(call.get("operationName") or call["query"].split("(")[0].split("{")[0].split()[-1])


@contextlib.contextmanager
def serve_wandb() -> Iterator[WandbServer]:
    """Serves W&B on a free port of this machine."""
    server = WandbServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def handle_any(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            answer: dict[str, Any] = {}
            if server.status == 200 and self.path == "/graphql":
                call = json.loads(body)
                answer = {"data": server.answer(_find_operation(call), call.get("variables") or {})}
            elif server.status == 200 and self.path.endswith("/file_stream"):
                server.receive(self.path.split("/")[-2], json.loads(body))
            content = json.dumps(answer).encode()
            self.send_response(server.status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_GET = do_POST = do_PUT = handle_any

        def log_message(self, *_: object) -> None:
            """Prints nothing."""

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, *_: object) -> None:
            """Says nothing of a client that ends while its connection is open."""

    with Quiet(("127.0.0.1", 0), Handler) as http:
        server.url = f"http://127.0.0.1:{http.server_port}"
        thread = threading.Thread(target=http.serve_forever, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()
