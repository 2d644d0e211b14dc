"""A Hugging Face hub on this computer, for tests: the few routes that a download uses, and the ways they fail.

What a model is called decides how it behaves: "good/..." is served well; "cut/..." drops the first download of the
weights at 60%, and with server.dead all later ones at once; "damaged/..." sends other bytes than its checksum promises;
"broken/..." answers 500; "private/..." 401; "gone/..." 404; "gated/..." 403. These list their files well, but then:
"silent/..." does not answer; "stalled/..." sends half of the weights and no more, until server.awake is set; "slow/..."
takes four seconds for them; "failing/..." answers 500; "html/..." answers a page in HTML.
"""

import hashlib
import json
import re
import threading
import time
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

COMMIT = "0123456789abcdef0123456789abcdef01234567"
REFUSALS = {"broken": (500, ""), "private": (401, "RepoNotFound"), "gone": (404, "RepoNotFound"),
            "gated": (403, "GatedRepo")}


class Hub(BaseHTTPRequestHandler):
    """Serves server.folders: {model name: folder}."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.answer(body=False)

    def do_GET(self):
        self.answer(body=True)

    def answer(self, body: bool) -> None:
        path = self.path.partition("?")[0]
        self.server.requests.append((self.command, path, self.headers.get("Range")))
        if path in ("", "/"):  # is anybody there?
            return self.send(200, b"a hub", {}, body)
        model = re.search(r"(?:/api/models)?/([\w.-]+/[\w.-]+)", path)[1]
        kind = self.server.kinds.get(model, model.split("/")[0])
        if kind in REFUSALS:
            status, code = REFUSALS[kind]
            return self.send(status, b"{}", {"X-Error-Code": code} if code else {}, body)
        if path.startswith("/api/models/"):
            if "/revision/" in path and path.rpartition("/")[2] not in ("main", COMMIT):
                return self.send(404, b"{}", {"X-Error-Code": "RevisionNotFound"}, body)
            folder = self.server.folders[model]
            names = sorted(p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file())
            info = {"id": model, "sha": COMMIT, "siblings": [{"rfilename": name} for name in names], "tags": [],
                    "downloads": 0}
            return self.send(200, json.dumps(info).encode(), {"Content-Type": "application/json"}, body)
        if kind == "failing":
            return self.send(500, b"", {}, body)
        if kind == "html":
            return self.send(200, b"<html>Log in</html>", {"Content-Type": "text/html"}, body)
        if kind == "silent":
            self.server.awake.wait(60)
        file = self.server.folders[model] / path.partition("/resolve/")[2].partition("/")[2]
        if not file.is_file():
            return self.send(404, b"", {"X-Error-Code": "EntryNotFound"}, body)
        self.send_file(kind, file, body)

    def send_file(self, kind: str, file: Path, body: bool) -> None:
        content = file.read_bytes()
        digest = hashlib.sha256(content).hexdigest()
        large = file.suffix in (".safetensors", ".bin")
        headers = {"X-Repo-Commit": COMMIT, "ETag": f'"{digest if large else digest[:40]}"', "Accept-Ranges": "bytes"}
        if large:
            headers |= {"X-Linked-Etag": f'"{digest}"', "X-Linked-Size": str(len(content))}
        if kind == "damaged" and large:
            content = content[:-4] + b"evil"
        start = re.match(r"bytes=(\d+)-", self.headers.get("Range") or "")
        first = int(start[1]) if start else 0
        if start:
            headers["Content-Range"] = f"bytes {first}-{len(content) - 1}/{len(content)}"
        part = content[first:]
        if kind == "cut" and large and body and (self.server.dead or not self.server.was_cut):
            stop = 0 if self.server.was_cut else int(0.6 * len(part))
            self.server.was_cut = True
            return self.send(206 if start else 200, part, headers, body, stop)
        waits = {"stalled": [lambda: self.server.awake.wait(60)], "slow": [lambda: time.sleep(0.5)] * 8}
        self.send(206 if start else 200, part, headers, body, waits=waits.get(kind, []) if large else [])

    def send(self, status: int, content: bytes, headers: dict, body: bool, stop: int | None = None, waits=()) -> None:
        """stop: bytes after which the connection is cut; waits: what to call between parts of equal size."""
        self.send_response(status)
        for name, value in {**headers, "Content-Length": str(len(content))}.items():
            self.send_header(name, value)
        self.end_headers()
        size = len(content) // (len(waits) + 1)
        for i, wait in enumerate(waits if body else []):
            self.wfile.write(content[i * size:(i + 1) * size])
            wait()
        if body:
            self.wfile.write(content[len(waits) * size:stop])
        if stop is not None:
            self.wfile.flush()
            self.close_connection = True


@contextmanager
def loopback_hub(folders: dict[str, Path], dead: bool = False):
    """A running hub -> its server, with .url, .requests and .awake. dead: what was cut once never comes; .kinds: of models
    that are called otherwise than they behave."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Hub)
    server.folders, server.requests, server.dead, server.was_cut = folders, [], dead, False
    server.awake, server.kinds = threading.Event(), {}
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.awake.set()
        server.shutdown()
        server.server_close()
        thread.join()
