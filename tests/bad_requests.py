"""Hundreds of bad requests to the app: as raw HTTP (`requests(info)` makes them, `send` sends one and says what was wrong
with the answer), by gradio_client (`by_client`) and as an agent sends them (`by_agent`).

python tests/bad_requests.py URL sends those of HTTP and of gradio_client to a running app.
"""

import json
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import httpx

SECONDS = 10  # none may take longer
ODD = (None, 7, -1.5, 1e308, True, "", "x" * 5_000, "\u0000\u001b[31m", "$\\bad$", "{}{}", [], [[[]]], {}, {"path": 1},
       {"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}},
       {"path": "http://127.0.0.1:1/x.png", "meta": {"_type": "gradio.FileData"}},
       {"path": "../../../../etc/passwd", "url": "file:///etc/passwd", "meta": {"_type": "gradio.FileData"}},
       {"path": "gone.png", "meta": {"_type": "gradio.FileData"}}, {"__type__": "update", "value": 3}, "\ud800")
UNFORESEEN = ("verbose error reporting", "in its log)")
WRITTEN = ODD[:-1]  # no client can write a lone surrogate


@dataclass(frozen=True)
class Bad:
    """One request. stream: it starts a job, whose answer is read too."""

    name: str
    method: str
    path: str
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=lambda: {"content-type": "application/json"})
    stream: bool = False


def _json(value) -> bytes:
    return json.dumps(value).encode()  # NaN and lone surrogates as Python writes them


def requests(info: dict) -> Iterator[Bad]:
    """info: of /gradio_api/info."""
    for name, endpoint in info["named_endpoints"].items():
        fine = [parameter.get("parameter_default") for parameter in endpoint["parameters"]]
        path = f"/gradio_api/call{name}"
        for count in (0, 1, len(fine) + 1, 50):
            yield Bad(f"{name}: {count} values", "POST", path, _json({"data": [None] * count}), stream=True)
        for k in range(len(fine)):
            for odd in ODD:
                data = [*fine[:k], odd, *fine[k + 1:]]
                yield Bad(f"{name}: value {k} is {str(odd)[:30]!r}", "POST", path, _json({"data": data}), stream=True)
        for body in (b"", b"{", b"[]", b"null", b'{"data": null}', b'{"data": {}}', b'{"data": [NaN, Infinity]}', b"\xff\xfe"):
            yield Bad(f"{name}: body {body[:20]!r}", "POST", path, body, stream=True)
    yield from _routes()


def _routes() -> Iterator[Bad]:
    join = "/gradio_api/queue/join"
    for body in (b"", b"[]", b"{}", b'{"data": []}', b'{"fn_index": "a", "data": []}', b'{"fn_index": -1, "data": []}',
                 b'{"fn_index": 10000, "data": [], "session_hash": "a"}', b'{"fn_index": 1, "data": [], "session_hash": 5}',
                 b'{"fn_index": 1, "data": [1,2,3], "session_hash": "a", "event_data": 5}', b"[" * 10_000 + b"]" * 10_000,
                 b'{"data": ' + b"[" * 10_000 + b"]" * 10_000 + b"}", b'{"session_hash": "' + b"x" * 900_000 + b'"}'):
        for path in (join, "/gradio_api/run/classify", "/gradio_api/api/classify", "/gradio_api/cancel", "/gradio_api/reset",
                     "/gradio_api/component_server"):
            yield Bad(f"{path}: {body[:30]!r}", "POST", path, body)
    for path in ("/gradio_api/call/nobody", "/gradio_api/call/", "/gradio_api/call/%00", "/gradio_api/call/" + "x" * 3_000):
        yield Bad(path[:60], "POST", path, b'{"data": []}')
    for path in ("/gradio_api/call/classify/none", "/gradio_api/queue/data", "/gradio_api/queue/data?session_hash=nobody",
                 "/gradio_api/file=/etc/passwd", "/gradio_api/file=../../etc/passwd", "/gradio_api/file=%00",
                 "/gradio_api/file=C:\\Windows", "/gradio_api/upload_progress", "/gradio_api/upload_progress?upload_id=x",
                 "/static/../../etc/passwd", "/assets/%2e%2e/%2e%2e/etc/passwd", "/theme.css?v=%ff", "/?__theme=%00",
                 "/?view=%00&words=" + "x" * 5_000, "/gradio_api/heartbeat/%00", "/login", "/logout", "/monitoring",
                 "/gradio_api/info?all_endpoints=maybe", "/custom_component/x/y/z/w", "/proxy=http://127.0.0.1:1/"):
        for method in ("GET", "POST", "PUT", "DELETE", "PATCH"):
            if not (method == "GET" and path.startswith("/gradio_api/heartbeat")):  # that stream ends with the page
                yield Bad(f"{method} {path[:60]}", method, path)
    for kind in ("text/plain", "multipart/form-data", "multipart/form-data; boundary=x", "application/xml", ""):
        for path in (join, "/gradio_api/upload", "/gradio_api/call/classify"):
            yield Bad(f"{path} as {kind}", "POST", path, b"--x\r\nbroken", {"content-type": kind})
    for name, value in (("host", ""), ("host", "a b"), ("host", "x" * 300), ("x-forwarded-host", "evil.example"),
                        ("accept-language", "\u00ff" * 500), ("cookie", "x" * 8_000),
                        ("origin", "http://evil.example"), ("range", "bytes=9-1"), ("x-gradio-user", "\u00ff")):
        yield Bad(f"{name}: {value[:20]}", "GET", "/config", b"", {name: value.encode("latin-1")})
    yield Bad("a body that is too large", "POST", join, b'{"data": ["' + b"x" * 2_000_000 + b'"]}')


def send(client: httpx.Client, bad: Bad) -> list[str]:
    """What is wrong with the answer; [] where it is as it should be."""
    start, said = time.perf_counter(), ""
    try:
        answer = client.request(bad.method, bad.path, content=bad.body, headers=bad.headers, timeout=3 * SECONDS)
        status, said = answer.status_code, answer.text
        if bad.stream and status == 200 and "event_id" in said:
            with client.stream("GET", f"{bad.path}/{answer.json()['event_id']}", timeout=3 * SECONDS) as stream:
                said += "".join(stream.iter_text())
    except (httpx.LocalProtocolError, httpx.InvalidURL):
        return []  # httpx itself refuses to send it
    except httpx.HTTPError as error:
        return [f"{bad.name}: {type(error).__name__}: {error}"]
    wrong = [what for what, found in (
        ("status 500", status == 500), ("a traceback", "Traceback" in said),
        ("an error that nobody foresaw", bad.stream and any(words in said for words in UNFORESEEN)),
        ("an error of null", '"error": null' in said
         or "event: error\ndata: null" in said), ("a file of this computer", "root:x:0" in said),
        ("it took too long", time.perf_counter() - start > SECONDS),
        ("the answer repeats what was sent at length", "x" * 3_000 in said and bad.method != "GET")) if found]
    return [f"{bad.name}: {what}: {said[-200:]}" for what in wrong]


def odd_values(info: dict) -> Iterator[tuple[str, str, object]]:
    """Endpoint, parameter and value: each odd one in the place of each parameter."""
    for name, endpoint in info["named_endpoints"].items():
        for parameter in endpoint["parameters"]:
            for odd in WRITTEN:
                yield name, parameter["parameter_name"], odd


def what_is_wrong(name: str, said: str, seconds: float, long_ones: bool = True) -> list[str]:
    """What is wrong with the words of an error, or of an answer. long_ones: they may not repeat what was sent at length,
    which the server of MCP does when a value does not fit its schema."""
    return [f"{name}: {what}: {said[:300]}" for what, found in (
        ("a traceback", "Traceback" in said), ("no words", not said.strip() or said.strip() in ("None", "null")),
        ("an error that nobody foresaw", any(words in said for words in UNFORESEEN)),
        ("a file of this computer", "root:x:0" in said), ("it took too long", seconds > SECONDS),
        ("it repeats what was sent at length", long_ones and "x" * 3_000 in said)) if found]


def by_client(url: str, step: int = 1) -> tuple[int, list[str]]:
    """Calls of gradio_client, and what was wrong. It refuses some by itself, in words. step: make one of so many."""
    import gradio_client

    client, wrong = gradio_client.Client(url, verbose=False), []
    with httpx.Client(base_url=url, trust_env=False) as asked:
        odd = list(odd_values(asked.get("/gradio_api/info").json()))[::step]
    for name, parameter, value in odd:
        start = time.perf_counter()
        try:
            said = str(client.submit(api_name=name, **{parameter: value}).result(timeout=3 * SECONDS))
        except Exception as error:  # whatever comes, its words are what a programmer sees
            said = f"{type(error).__name__}: {error}" if str(error) else ""
        wrong += what_is_wrong(f"{name}: {parameter} is {str(value)[:30]!r}", said, time.perf_counter() - start)
    client.close()
    return len(odd), wrong


async def by_agent(session, step: int = 1) -> tuple[int, list[str]]:
    """Calls of a client of the Model Context Protocol, and what was wrong. session: one that was begun."""
    tools = (await session.list_tools()).tools
    odd = [(tool.name, parameter, value) for tool in tools for parameter in tool.inputSchema["properties"] for value in WRITTEN]
    wrong = []
    for name, parameter, value in odd[::step]:
        start = time.perf_counter()
        answer = await session.call_tool(name, {parameter: value})
        said = " ".join(getattr(part, "text", type(part).__name__) for part in answer.content) or "nothing found"
        wrong += what_is_wrong(f"{name}: {parameter} is {str(value)[:30]!r}", said, time.perf_counter() - start, False)
    return len(odd[::step]), wrong


def main(url: str) -> int:
    with httpx.Client(base_url=url, trust_env=False) as client:
        all_ = list(requests(client.get("/gradio_api/info").json()))
        wrong = [line for bad in all_ for line in send(client, bad)]
    count, others = by_client(url)
    print(*wrong, *others, f"{len(all_)} requests, {len(wrong)} wrong; {count} calls, {len(others)} wrong", sep="\n")
    return bool(wrong or others)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
