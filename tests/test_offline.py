"""A model that is whole in the cache answers without a network, at once, and says which revision it is.

The hub's library reads its address when it is imported, so each test asks a fresh Python.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

import clipmini
from clipmini.families import hub_stall
from clipmini.hub_cache import within
from foreign import hugging_face_folder
from loopback_hub import COMMIT, loopback_hub

ASK = """
import json, sys, time, clipmini
import huggingface_hub
from clipmini.families import hub_download as hub
clipmini.load("emoji").embed_texts(["imports", "cost", "seconds"]), huggingface_hub.HfApi()
for name in sys.argv[1:] or map(str.strip, sys.stdin):
    start = time.monotonic()
    try:
        found = {"vector": clipmini.load(name).embed_texts(["a red cat"])[0].tolist()}
    except clipmini.CheckpointError as error:
        found = {"error": str(error)}
    found |= {"seconds": time.monotonic() - start, "cached": str(hub.cached(name))}
    print("FOUND" + json.dumps(found), flush=True)
"""
NOBODY = "http://127.0.0.1:9"  # connections are refused
OLD = "f" * 40  # a commit


def environment(url: str, home: Path) -> dict[str, str]:
    """This process's, with the hub at another address, its cache elsewhere, no proxy and no offline switch."""
    return {**os.environ, "HF_ENDPOINT": url, "HF_HUB_OFFLINE": "0", "NO_PROXY": "127.0.0.1", "no_proxy": "127.0.0.1",
            "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_XET": "1"}


def ask(url: str, home: Path, *names: str, **more: str) -> tuple[list[dict], str]:
    """What clipmini.load makes of hub names in a fresh Python -> (one dict for each, what it said on stderr)."""
    done = subprocess.run([sys.executable, "-c", ASK, *names], env=environment(url, home) | more, capture_output=True,
                          text=True, timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line[5:]) for line in done.stdout.splitlines() if line.startswith("FOUND")], done.stderr


@pytest.fixture(scope="module")
def models(tmp_path_factory, tokenizer):
    """A folder with the models "hf" and "sharded" -> (folder, what each answers to "a red cat")."""
    root = tmp_path_factory.mktemp("models")
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    for name, options in (("hf", {}), ("sharded", {"max_shard_size": "60KB"})):
        (root / name).mkdir()
        hugging_face_folder(root / name, tokenizer, {**small, "patch_size": 8, "image_size": 16}, small, **options)
    return root, {n: clipmini.load(root / n).embed_texts(["a red cat"])[0].tolist() for n in ("hf", "sharded")}


@pytest.fixture(scope="module")
def home(models, tmp_path_factory):
    """A cache with both models whole; read only, copy it before you damage it."""
    root, _ = models
    home = tmp_path_factory.mktemp("home")
    with loopback_hub({"good/hf": root / "hf", "good/sharded": root / "sharded"}) as server:
        found, said = ask(server.url, home, "good/hf", "good/sharded", "good/hf@main")
    assert all(COMMIT in f["cached"] for f in found) and "from the cache" not in said, (found, said)
    return home


class Portal(BaseHTTPRequestHandler):
    """Answers everything in the same wrong way: the server's .way, which is (status, where to, content), or "silence",
    or "drips" (a letter now and then, which no time limit of a connection ends), or "hangs up"."""

    def log_message(self, *_):
        pass

    def do_GET(self):
        way = self.server.way
        for byte in b"HTTP/1.1 200 OK\r\nX-Slow: " + b"z" * 99 if way == "drips" else b"":
            self.wfile.write(bytes([byte]))
            time.sleep(0.2)
        if isinstance(way, str):
            self.server.over.wait(0 if way == "hangs up" else 30)
            return
        status, target, body = way
        self.send_response(status)
        if target and self.path != target:
            self.send_header("Location", target)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body if self.command == "GET" else b"")

    do_HEAD = do_GET

    def handle(self):
        with suppress(OSError):  # the other side lost its patience
            super().handle()


@contextmanager
def portal(way):
    server = ThreadingHTTPServer(("127.0.0.1", 0), Portal)
    server.way, server.over, server.daemon_threads = way, threading.Event(), True
    server.url = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.over.set()
        server.shutdown()
        server.socket.close()


PAGE = b"<html>Log in to the school's network</html>"
WAYS = {
    "silence": "silence", "one letter at a time": "drips", "hangs up": "hangs up", "a page in HTML": (200, "", PAGE),
    "a redirect": (302, "/login", PAGE), "a circle of redirects": (307, "x", PAGE), "500": (500, "", PAGE),
    "503": (503, "", PAGE), "proxy login": (407, "", PAGE), "network login": (511, "", PAGE),
    "forbidden": (403, "", PAGE), "gone": (404, "", PAGE), "JSON of another kind": (200, "", b"[1]"),
    "empty JSON": (200, "", b"{}"), "other files": (200, "", b'{"id": "x", "sha": "%s", "siblings": []}' % (b"e" * 40)),
}


def test_a_whole_copy_answers_at_once_whatever_the_network_does(models, home):
    names = ["good/hf", "good/sharded@main", f"good/sharded@{COMMIT}"]  # a commit needs no hub
    with portal("silence") as server, subprocess.Popen(
            [sys.executable, "-c", ASK], env=environment(server.url, home), stdin=subprocess.PIPE,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        for way, server.way in WAYS.items():
            for name in names:
                process.stdin.write(name + "\n")
                process.stdin.flush()
                answer = json.loads(process.stdout.readline().removeprefix("FOUND"))
                assert answer.get("vector") == models[1]["hf" if "hf" in name else "sharded"], (way, name, answer)
                # huggingface-hub's five retries take 23 seconds
                assert answer["seconds"] < (9 if way in ("silence", "one letter at a time") else 6), (way, answer)
        process.stdin.close()
        said = process.stderr.read()
    told = [line for line in said.splitlines() if "comes from the cache" in line]
    assert len(told) == 2 * len(WAYS) and all(f"revision {COMMIT}" in line for line in told), said


@pytest.mark.parametrize("way", ["a page in HTML", "500"])
def test_a_copy_that_is_not_whole_says_what_it_lacks(way, home, tmp_path):
    for kind, name, lost in (("hf", "hf", "model.safetensors"), ("sharded", "sharded", "model-00002*.safetensors"),
                             ("hf", "words", "preprocessor_config.json")):
        copy = tmp_path / f"hub/models--cut--{name}"
        shutil.copytree(home / f"hub/models--good--{kind}", copy, symlinks=True)
        next((copy / "snapshots").rglob(lost)).unlink()
    lacking = {"cut/hf": "lacks its weights", "cut/sharded": "lacks model-00002",
               "cut/words": "lacks preprocessor_config.json"}
    with portal(WAYS[way]) as server:
        found, said = ask(server.url, tmp_path, *lacking)
    for (name, what), answer in zip(lacking.items(), found, strict=True):
        assert what in answer["error"] and COMMIT in answer["error"] and name in answer["error"], answer
        assert answer["cached"] == "None"
        assert ("what answered is not the hub" if way == "a page in HTML" else "answered 500") in answer["error"]


def test_the_offline_switch_and_a_commit_ask_nobody(models, home, tmp_path):
    found, said = ask(NOBODY, home, "good/hf", "good/none", HF_HUB_OFFLINE="1")
    assert found[0]["vector"] == models[1]["hf"] and f"comes from the cache, revision {COMMIT}" in said
    assert "not in the cache" in found[1]["error"] and "part of it" not in found[1]["error"]
    root, _ = models
    with loopback_hub({"good/hf": root / "hf"}) as server:
        found, said = ask(server.url, home, "good/hf", f"good/hf@{COMMIT}")
        assert [path for _, path, _ in server.requests] == ["/api/models/good/hf"] and "from the cache" not in said


def older_copy(root: Path, home: Path, *kinds: str) -> None:
    """Let an older commit of "KIND/hf" be whole in a cache."""
    for kind in kinds:
        folder = home / f"hub/models--{kind}--hf"
        shutil.copytree(root / "hf", folder / "snapshots" / OLD)
        (folder / "refs").mkdir()
        (folder / "refs/main").write_text(OLD)


def test_a_newer_revision_that_is_cut_short_leaves_the_older_one_whole(models, tmp_path):
    root, expected = models
    older_copy(root, tmp_path, "cut")
    with loopback_hub({"cut/hf": root / "hf"}, dead=True) as server:
        found, said = ask(server.url, tmp_path, "cut/hf")
        assert found[0]["vector"] == expected["hf"] and f"revision {OLD}" in said
        found, said = ask(NOBODY, tmp_path, "cut/hf")  # the half of the new one is not taken for main
        assert found[0]["vector"] == expected["hf"] and f"revision {OLD}" in said
        server.dead = False
        found, said = ask(server.url, tmp_path, "cut/hf")
        assert COMMIT in found[0]["cached"] and "from the cache" not in said


def test_a_newer_revision_that_does_not_come_is_given_up(models, tmp_path):
    root, expected = models
    kinds = ["silent", "failing", "html", "stalled"]
    older_copy(root, tmp_path, *kinds)
    code = ASK + ("import threading\nsys.stdin.readline()\n"
                  "for thread in threading.enumerate():\n    thread.join(20) if '(run)' in thread.name else None\n"
                  "print('FOUND', [thread.name for thread in threading.enumerate() if '(run)' in thread.name])")
    with loopback_hub({f"{kind}/hf": root / "hf" for kind in kinds}) as server, subprocess.Popen(
            [sys.executable, "-c", code, *(f"{kind}/hf" for kind in kinds)], stdin=subprocess.PIPE, text=True,
            env=environment(server.url, tmp_path) | {"TQDM_POSITION": "-1"},  # with progress bars
            stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        found = [json.loads(process.stdout.readline().removeprefix("FOUND")) for _ in kinds]
        server.awake.set()  # and what was given up may go on, if it wants
        left, said = process.communicate("\n", timeout=60)
    assert left == "FOUND []\n"
    for kind, answer in zip(kinds, found, strict=True):
        assert answer["vector"] == expected["hf"] and OLD in answer["cached"] and answer["seconds"] < 6, (kind, answer)
        assert (tmp_path / f"hub/models--{kind}--hf/refs/main").read_text() == OLD
    told = [line for line in said.splitlines() if line and "B/s]" not in line]  # but for progress bars
    assert len(told) == 4 and all(f"comes from the cache, revision {OLD}" in line for line in told), said
    assert "nothing more of 'model.safetensors' came in 3 seconds" in said.splitlines()[-1], said
    assert not [*tmp_path.rglob(f"{COMMIT}/model.safetensors"), *tmp_path.rglob("*.incomplete")]


def test_a_slow_download_is_not_given_up(models, tmp_path):
    root, expected = models
    older_copy(root, tmp_path, "slow")
    with loopback_hub({"slow/hf": root / "hf"}) as server:
        found, said = ask(server.url, tmp_path, "slow/hf")
    assert found[0]["vector"] == expected["hf"] and COMMIT in found[0]["cached"] and "from the cache" not in said
    assert found[0]["seconds"] > 3.5


@pytest.mark.parametrize("by", ["a stall", "Ctrl-C"])
def test_a_program_that_ends_leaves_no_half_file(by, models, tmp_path):
    root, _ = models
    older_copy(root, tmp_path, "stalled")
    code = "import signal; signal.signal(signal.SIGINT, signal.default_int_handler)\n" + ASK  # background jobs ignore it
    with loopback_hub({"stalled/hf": root / "hf"}) as server, subprocess.Popen(
            [sys.executable, "-c", code, "stalled/hf"], env=environment(server.url, tmp_path), stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, text=True) as process:
        while not any(path.stat().st_size for path in tmp_path.rglob("*.incomplete")):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.05)
        if by == "Ctrl-C":
            process.send_signal(signal.SIGINT)
        out, said = process.communicate(timeout=60)
    assert ("KeyboardInterrupt" in said) if by == "Ctrl-C" else (OLD in said and "FOUND" in out), said
    assert not list(tmp_path.rglob("*.incomplete"))


@pytest.mark.parametrize("others", [0, 1])
def test_what_another_program_is_downloading_stays(others, tmp_path, monkeypatch):
    import huggingface_hub

    over, blobs = threading.Event(), tmp_path / "models--a--b/blobs"

    def download(*_, tqdm_class, **__):
        for i in range(1 + others):  # another one begins at the same time
            (blobs / f"{i}.incomplete").write_bytes(b"half")
        tqdm_class(disable=True).update(4)
        over.wait(60)

    blobs.mkdir(parents=True)
    (blobs / "earlier.incomplete").touch()
    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(hub_stall, "HURRY", 0.3)
    with pytest.raises(TimeoutError, match="nothing more of 'weights' came in 0.3 seconds"):
        hub_stall.download("a/b", "weights", COMMIT)
    over.set()
    assert {path.stem for path in blobs.iterdir()} == ({"earlier"} if not others else {"earlier", "0", "1"})


def test_the_thread_of_a_question_knows_who_asked():
    visitor = ContextVar("visitor", default="nobody")
    visitor.set("the page that shows the progress")
    assert within(5, visitor.get) == "the page that shows the progress"


def test_files_that_nobody_here_wants_may_be_missing(home, tmp_path):
    """A listing of the whole repository lies in the cache after `hf download --include`; we need a part."""
    shutil.copytree(home / "hub/models--good--hf", tmp_path / "hub/models--good--hf", symlinks=True)
    (tmp_path / "hub/models--good--hf/trees").mkdir()
    (tmp_path / f"hub/models--good--hf/trees/{COMMIT}.json").write_text(json.dumps(
        {"tf_model.h5": {"size": 5, "blob_id": "a"}}))
    found, _ = ask(NOBODY, tmp_path, "good/hf")
    assert "vector" in found[0], found


def test_the_shelf_of_the_app_answers_from_the_cache(models, home, tmp_path):
    shutil.copytree(home / "hub/models--good--hf", tmp_path / "hub/models--openai--clip-vit-base-patch32", symlinks=True)
    code = ("from demo_app import fetching, shelf; import json\n"
            "fetching.PERMISSION.refused = ''\n"
            "names = ['openai/clip-vit-base-patch32', 'openai/clip-vit-large-patch14']\n"
            "states = [shelf.state(name) for name in names]\n"
            "model = shelf.Model(names[0])\n"
            "print('FOUND' + json.dumps([states, model.get().embed_texts(['a red cat'])[0].tolist()]))")
    with portal("silence") as server:
        done = subprocess.run([sys.executable, "-c", code], env=environment(server.url, tmp_path), capture_output=True,
                              text=True, timeout=120)
    states, vector = json.loads(done.stdout.partition("FOUND")[2])
    assert states == ["ready", "download"] and f"revision {COMMIT}" in done.stderr
    assert vector == pytest.approx(models[1]["hf"], abs=1e-5)  # matrices packed
