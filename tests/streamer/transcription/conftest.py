"""A hub of models on this machine, for the real client to talk to."""

import hashlib
import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import huggingface_hub.constants
import pytest

from streamer.transcription import whisper_hub, whisper_packages

if TYPE_CHECKING:
    from pathlib import Path

REVISION = "0" * 40


class Hub:
    """What is on the hub, by repository, and what was asked of it."""

    def __init__(self, url):
        self.url = url
        self.repositories: dict[str, Path] = {}
        self.requests: list[str] = []
        self.breaks_off = False


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_GET(self):
        self.answer(body=True)

    def do_HEAD(self):
        self.answer(body=False)

    def answer(self, *, body):
        self.hub.requests.append(self.path)
        for repository, directory in self.hub.repositories.items():
            if self.path.startswith(f"/api/models/{repository}"):
                self.send_json(self.listing(repository, directory), body)
            elif self.path.startswith(f"/{repository}/resolve/"):
                self.send_file(directory / self.path.rpartition("/")[2], body)
            else:
                continue
            return
        self.send("application/json", b"{}", body, status=404, **{"X-Error-Code": "RepoNotFound"})

    def listing(self, repository, directory):
        files = sorted(directory.iterdir())
        if "/tree/" in self.path:
            return [
                {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": file.name}
                for file in files
            ]
        siblings = [{"rfilename": file.name} for file in files]
        return {"id": repository, "sha": REVISION, "siblings": siblings}

    def send_json(self, content, body):
        self.send("application/json", json.dumps(content).encode(), body)

    def send_file(self, file, body):
        data = file.read_bytes()
        if body and self.hub.breaks_off:
            self.send("text/plain", b"", body=False, status=403)
        else:
            etag = f'"{hashlib.sha256(data).hexdigest()}"'
            headers = {"ETag": etag, "X-Repo-Commit": REVISION}
            self.send("application/octet-stream", data, body, **headers)

    def send(self, kind, data, body, status=200, **headers):
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": len(data), **headers}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if body:
            self.wfile.write(data)

    def log_message(self, *args):
        pass


@pytest.fixture(autouse=True)
def empty_cache(tmp_path, monkeypatch):
    """Whatever is cached on this machine, the tests begin with nothing and with a hub not yet asked."""
    directory = tmp_path / "cache"
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(directory))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", False)
    whisper_hub.problem.cache_clear()
    yield directory
    whisper_hub.problem.cache_clear()


@pytest.fixture
def no_packages(monkeypatch):
    """No model comes with an installed package."""
    monkeypatch.setattr(whisper_packages, "PACKAGES", {})


@pytest.fixture
def hub(monkeypatch) -> Iterator[Hub]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Handler.hub = Hub(f"http://127.0.0.1:{server.server_port}")
    set_endpoint(monkeypatch, Handler.hub.url)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield Handler.hub
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def no_network(monkeypatch):
    """A hub at an address where nobody listens."""
    set_endpoint(monkeypatch, "http://127.0.0.1:9")


def set_endpoint(monkeypatch, url):
    monkeypatch.setattr(huggingface_hub.constants, "ENDPOINT", url)
    monkeypatch.setattr(
        huggingface_hub.constants,
        "HUGGINGFACE_CO_URL_TEMPLATE",
        url + "/{repo_id}/resolve/{revision}/{filename}",
    )
