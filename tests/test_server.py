"""The server's manners: who is refused and how, what nobody gets to see, and how it begins and ends."""

import asyncio
import os
import re
import subprocess
import sys
import threading
import time

import pytest

gradio_client = pytest.importorskip("gradio_client", reason="the app's tests need gradio: pip install 'clipmini[app]'")
import httpx  # noqa: E402

import bad_requests  # noqa: E402
from demo_app.server import checks, folder, http, limits  # noqa: E402
from helpers_app import encoded, running, tiny_checkpoint, two_colours  # noqa: E402
from test_browser import ROOT, free_port, wait_until_open  # noqa: E402


@pytest.fixture(scope="module")
def tiny(tmp_path_factory):
    return tiny_checkpoint(tmp_path_factory.mktemp("server") / "tiny")


@pytest.fixture(scope="module")
def url(tiny):
    with running(tiny) as url:
        yield url


@pytest.fixture
def client(url):
    with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
        yield client


def call(client, name: str, data: list, **headers) -> str:
    """What a job answers, as the stream says it."""
    answer = client.post(f"/gradio_api/call/{name}", json={"data": data}, headers=headers)
    if answer.status_code != 200:
        return answer.text
    return client.get(f"/gradio_api/call/{name}/{answer.json()['event_id']}").text


def test_health_and_headers(client):
    answer = client.get("/health")
    said = answer.json()
    assert answer.status_code == 200 and said["ok"] and said["model_loaded"] and said["instance"] == http.INSTANCE
    page = client.get("/")
    assert page.headers["x-content-type-options"] == "nosniff" and page.headers["x-frame-options"] == "SAMEORIGIN"
    assert "frame-ancestors 'self'" in page.headers["content-security-policy"]
    assert "huggingface.co" not in page.headers["content-security-policy"]
    assert "frame-ancestors 'self' https://huggingface.co" in http.headers(True)["content-security-policy"]


def test_the_page_comes_compressed(client):
    with client.stream("GET", "/", headers={"accept-encoding": "gzip"}) as page:
        length = sum(len(part) for part in page.iter_raw())
        assert page.headers["content-encoding"] == "gzip" and length < 200_000, length
    plain = client.get("/", headers={"accept-encoding": "identity"})
    assert "content-encoding" not in plain.headers and len(plain.content) > 2 * length
    assert client.get("/gradio_api/info").json()["named_endpoints"]


def test_a_body_that_is_too_large_is_refused_before_it_is_read(client):
    answer = client.post("/gradio_api/queue/join", content=b"x" * (limits.BODY_BYTES + 1))
    assert answer.status_code == 413 and "1 MB" in answer.json()["detail"]

    def pieces():  # without a Content-Length
        for _ in range(30):
            yield b"x" * 100_000
    assert client.post("/gradio_api/queue/join", content=pieces()).status_code in (400, 413)


def test_the_way_past_the_queue_is_closed(client):
    for path in ("/gradio_api/run/classify", "/gradio_api/api/classify"):
        answer = client.post(path, json={"data": [None, "cat", "{}", False, "automatic", 0]})
        assert answer.status_code == 404 and "passes the queue" in answer.json()["detail"]


@pytest.mark.parametrize("data, words", [
    ([], "this endpoint takes 6: picture, labels"), ([None, 5, "{}", False, "automatic", 0], "labels"),
    ([{"path": "/etc/passwd", "meta": {"_type": "gradio.FileData"}}, "cat", "{}", False, "automatic", 0], "file"),
    ([None, "cat", "{}", False, "x" * 500_000, None], "characters"),
])
def test_what_is_asked_wrongly_is_told_in_words(client, data, words):
    said = call(client, "classify", data)
    assert words in said and "Traceback" not in said and len(said) < 2000 and "root:" not in said


def test_a_programs_session_ends_with_its_job(tiny):
    """gradio keeps 0.3 MB for each of 10,000 sessions: 3 GB."""
    from demo_app import app

    demo = app.build_demo(str(tiny), "en")
    _, address, _ = demo.launch(prevent_thread_lock=True, quiet=True, inbrowser=False, **app.launch_kwargs())
    try:
        with httpx.Client(base_url=address, trust_env=False, timeout=30) as client:
            for _ in range(5):
                assert "no picture yet" in call(client, "what_it_saw", [None, "cat", "automatic"])
            kept = demo._queue.server_app.state_holder
            assert kept.capacity == limits.SESSIONS_KEPT
            until = time.monotonic() + 10
            while kept.session_data and time.monotonic() < until:
                time.sleep(0.2)
            assert not kept.session_data and not kept.time_last_used
            with pytest.raises(gradio_client.exceptions.AppError, match="no picture"):
                gradio_client.Client(address, verbose=False).predict(None, "cat", "automatic", api_name="/what_it_saw")
            time.sleep(2)
            assert len(kept.session_data) == 1  # a client's own session stays
    finally:
        demo.close(verbose=False)


def test_one_page_and_one_address_have_a_share_of_the_queue(tiny, monkeypatch):
    from demo_app import app
    from demo_app.page import QUICK

    hold = threading.Event()
    monkeypatch.setattr(limits, "SESSION_MOST", 2)
    monkeypatch.setattr(limits, "ADDRESS_MOST", 4)
    demo = app.build_demo(str(tiny), "en")
    with demo:
        app.gr.Button(visible=False).click(lambda: hold.wait(20), None, None, api_name="hold", **QUICK)
    _, address, _ = demo.launch(prevent_thread_lock=True, quiet=True, inbrowser=False, **app.launch_kwargs())
    try:
        with httpx.Client(base_url=address, trust_env=False, timeout=30) as client:
            number = next(i for i, f in demo.fns.items() if f.api_name == "hold")

            def join(session: str):
                body = {"fn_index": number, "data": [], "session_hash": session}
                return client.post("/gradio_api/queue/join", json=body)
            first = [join("a").status_code for _ in range(3)]
            assert first[:2] == [200, 200] and first[2] == 429
            refused = join("a")
            assert "2" in refused.json()["detail"] and "wait" in refused.json()["detail"]
            assert [join(s).status_code for s in ("b", "c", "d")] == [200, 200, 429]
            assert "4 jobs of your network wait already" in join("e").json()["detail"]
            assert client.get("/health").json()["waiting"] == 4
    finally:
        hold.set()
        demo.close(verbose=False)


def test_a_job_that_nobody_waits_for_never_runs(client, url, monkeypatch, tmp_path):
    monkeypatch.setattr(limits, "READER_SECONDS", 1)
    data = [None, "cat", "{}", False, "automatic", 0]
    answer = client.post("/gradio_api/call/classify", json={"data": data})
    time.sleep(2.5)
    assert client.get("/health").json() | {"waiting": 0, "running": 0} == client.get("/health").json()
    said = client.get(f"/gradio_api/call/classify/{answer.json()['event_id']}").text
    assert "nobody" in said.lower() or "waited" in said.lower(), said


def test_a_request_has_a_budget(monkeypatch):
    assert checks.budget([10**6] * 200, ["cat, dog"], "en") is None
    assert "200 pictures" in checks.budget([10**7] * 200, ["cat"], "en")
    assert "200 pictures and 250 texts make 50,000 pairs" in checks.budget([10] * 200, [", ".join(map(str, range(250)))], "en")
    assert "张图片" in checks.budget([10**7] * 200, ["cat"], "zh")


def test_what_nobody_foresaw_is_a_number_in_the_log_and_no_traceback(client, monkeypatch, tmp_path):
    from demo_app.tabs import zero_shot

    def breaks(*args, **options):
        raise RuntimeError("a secret of the machine")
    monkeypatch.setattr(zero_shot, "classify", breaks)
    picture = tmp_path / "p.png"
    picture.write_bytes(encoded(two_colours()))
    path = client.post("/gradio_api/upload", files={"files": picture.open("rb")}).json()[0]
    said = call(client, "classify", [{"path": path, "meta": {"_type": "gradio.FileData"}}, "cat", "{}", False, "automatic", 0])
    assert "RuntimeError, number" in said and "secret" not in said


def test_forwarded_hosts_are_obeyed_from_a_named_proxy_alone(client, tiny):
    config = client.get("/config", headers={"x-forwarded-host": "evil.example", "x-forwarded-proto": "https"}).text
    assert "evil.example" not in config
    with pytest.raises(SystemExit):
        __import__("demo_app.app").app.main(["--proxy", "not an address"])


def test_folders_of_dead_processes_are_swept_and_those_of_others_stay(tmp_path):
    code = ("import os, sys; from demo_app.server import folder; print(folder.settle(), flush=True); "
            "sys.stdin.readline(); os._exit(9) if 'die' in sys.argv else None")
    alive, dead = (subprocess.Popen([sys.executable, "-c", code, *how], cwd=ROOT, text=True, stdin=subprocess.PIPE,
                                    stdout=subprocess.PIPE, env={**os.environ, "GRADIO_TEMP_DIR": str(tmp_path)})
                   for how in ([], ["die"]))
    folders = [process.stdout.readline().strip() for process in (alive, dead)]
    dead.communicate("\n")
    assert all(map(os.path.isdir, folders))  # one was killed and left its own
    assert [str(path) for path in folder.sweep_dead(tmp_path)] == [folders[1]] and os.path.isdir(folders[0])
    alive.communicate("\n")
    assert not os.path.exists(folders[0])  # it ended by itself


def start(tiny, tmp_path, *options) -> tuple[subprocess.Popen, str, object]:
    port, log = free_port(), (tmp_path / "log.txt").open("w+")
    process = subprocess.Popen([sys.executable, "-m", "demo_app.app", "--model", str(tiny), "--port", str(port),
                                "--no-browser", *options], cwd=ROOT, stdout=log, stderr=log,
                               env={**os.environ, "GRADIO_TEMP_DIR": str(tmp_path / "files")})
    process.stdout = log
    wait_until_open(port, process)
    return process, f"http://127.0.0.1:{port}", log


def test_the_corpus_of_bad_requests(tiny, tmp_path):
    """No traceback, no 500, none over ten seconds, bounded memory, short lines in the log; then it ends and leaves
    nothing."""
    process, url, log = start(tiny, tmp_path)
    with httpx.Client(base_url=url, trust_env=False) as client:
        bad = list(bad_requests.requests(client.get("/gradio_api/info").json()))
        assert len(bad) >= 350
        wrong = [line for one in bad for line in bad_requests.send(client, one)]
        assert not wrong, "\n".join(wrong[:20])
        assert client.get("/health").json()["ok"]
    count, wrong = bad_requests.by_client(url, 5)  # python tests/bad_requests.py URL makes all of them
    assert count >= 100 and not wrong, "\n".join(wrong[:20])
    peak = int(re.search(r"VmHWM:\s+(\d+)", open(f"/proc/{process.pid}/status").read())[1])
    assert peak < 2e6, f"{peak / 1e6:.2f} GB"
    process.terminate()
    assert process.wait(30) == 0
    log.seek(0)
    lines = log.read().splitlines()
    assert not any("Traceback" in line for line in lines) and max(map(len, lines)) < 1000
    assert any("POST /gradio_api/call/{api_name}" in line for line in lines)
    assert not list((tmp_path / "files").rglob("*"))


def test_a_password_and_a_drain(tiny, tmp_path):
    process, url, log = start(tiny, tmp_path, "--password", "sesame", "--quiet")
    try:
        with httpx.Client(base_url=url, trust_env=False, timeout=30) as client:
            assert client.get("/health").status_code == 200 and client.get("/config").status_code == 401
            assert client.post("/gradio_api/call/classify", json={"data": []}).status_code == 401
            assert client.post("/login", data={"username": "class", "password": "wrong"}).status_code == 400
            assert client.post("/login", data={"username": "class", "password": "sesame"}).status_code == 200
            assert client.get("/config").status_code == 200
    finally:
        process.terminate()
        assert process.wait(30) == 0



def test_agents_get_the_endpoints_as_tools(tiny, tmp_path):
    mcp = pytest.importorskip("mcp", reason="the tools need mcp: pip install 'clipmini[mcp]'")
    from mcp.client.streamable_http import streamablehttp_client

    process, url, _ = start(tiny, tmp_path, "--mcp", "--quiet")
    (tmp_path / "two.png").write_bytes(encoded(two_colours()))
    with httpx.Client(base_url=url, trust_env=False) as client:
        path = client.post("/gradio_api/upload", files={"files": (tmp_path / "two.png").open("rb")}).json()[0]

    async def ask():
        async with streamablehttp_client(f"{url}/gradio_api/mcp/") as (read, write, _):
            async with mcp.ClientSession(read, write) as session:
                await session.initialize()
                tools = {tool.name: tool for tool in (await session.list_tools()).tools}
                answer = await session.call_tool("classify_picture", {
                    "picture": f"{url}/gradio_api/file={path}", "labels": "red, cat", "templates": "{}",
                    "none_of_these": False, "model": "automatic", "scale": 20})
                other = await session.call_tool("what_it_saw", {"picture": f"{url}/gradio_api/file=/etc/passwd",
                                                                "text": "red", "model": "automatic"})
                return tools, answer, other, await bad_requests.by_agent(session, 3)
    try:
        tools, answer, other, (count, wrong) = asyncio.run(ask())
        assert count >= 150 and not wrong, "\n".join(wrong[:20])
        assert other.isError and "root:" not in str(other.content)
        assert {"classify_picture", "find_phrases", "similarity_matrix", "search_map"} <= set(tools)
        assert "separated by commas" in str(tools["classify_picture"].inputSchema["properties"]["labels"])
        assert not answer.isError and "'label': 'red'" in answer.content[0].text
    finally:
        process.terminate()
        process.wait(30)
