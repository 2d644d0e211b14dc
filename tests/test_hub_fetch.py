"""A model fetched by a click, against a hub on this computer: progress, a stop that leaves no half model, going on.

The hub's library reads its address and its offline switch when it is imported, so each test asks a fresh Python, whose
own process is offline as the page's is.
"""

import json
import shutil
import subprocess
import sys

import pytest

from foreign import hugging_face_folder
from loopback_hub import loopback_hub
from test_hub_download import environment

ASK = """
import json, sys, clipmini
from clipmini.families import hub_download as hub
from demo_app import fetching, published
for name, stop_at, refused in json.loads(sys.argv[1]):
    published.BY_NAME[name] = published.PUBLISHED[0]
    fetching.PERMISSION.refused = refused
    steps, error, vector = [], "", None
    try:
        fetch = fetching.fetched(name)
        for p in fetch:
            steps.append([p.done_bytes, p.total_bytes])
            if p.total_bytes and p.done_bytes >= stop_at * p.total_bytes:
                break
        fetch.close()
    except (clipmini.CheckpointError, ValueError) as found:
        error = str(found)
    part = [path.stat().st_size for path in hub.hub_cache.home("model", name).rglob("*.clipmini-part")]
    folder = hub.cached(name)
    if folder:
        vector = clipmini.load(name).embed_texts(["a red cat"])[0].tolist()
    print("FOUND" + json.dumps({"steps": steps, "error": error, "cached": bool(folder), "vector": vector, "parts": part,
                                "online": hub.may_download(), "busy": sorted(fetching._under_way)}))
"""


@pytest.fixture(scope="module")
def model(tmp_path_factory, tokenizer):
    """(folder of a model of 25 MB, what it answers)"""
    import clipmini

    root = tmp_path_factory.mktemp("large")
    large = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 2, "num_attention_heads": 8}
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    hugging_face_folder(root, tokenizer, {**large, "patch_size": 8, "image_size": 16}, small)
    return root, clipmini.load(root).embed_texts(["a red cat"])[0].tolist()


def ask(url, home, *calls):
    """What each fetch of (name, the share at which it is stopped, why it is refused) came to, one after the other."""
    env = environment(url, True, HF_HOME=str(home), HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_ETAG_TIMEOUT="5",
                      HF_HUB_DOWNLOAD_TIMEOUT="5")
    done = subprocess.run([sys.executable, "-c", ASK, json.dumps(calls)], env=env, capture_output=True, text=True,
                          timeout=120)
    assert done.returncode == 0, done.stderr[-2000:]
    found = [json.loads(line[5:]) for line in done.stdout.splitlines() if line.startswith("FOUND")]
    assert not any(f["online"] or f["busy"] for f in found)  # the page's own process never asks, and nothing hangs
    return found


def weights(server):
    return [r for method, path, r in server.requests if method == "GET" and path.endswith(".safetensors")]


def test_a_stop_leaves_no_half_model_and_the_next_fetch_goes_on_there(model, tmp_path):
    root, vector = model
    size = (root / "model.safetensors").stat().st_size
    with loopback_hub({"slow/large": root}) as server:
        stopped, again = ask(server.url, tmp_path, ("slow/large", 0.3, ""), ("slow/large", 2, ""))
        ranges = weights(server)
    done, total = stopped["steps"][-1]
    assert not stopped["cached"] and not stopped["error"] and 0.3 * size < done < 0.9 * size < size < total < 1.1 * size
    assert ranges == [None, f"bytes={stopped['parts'][0]}-"] and len(stopped["parts"]) == 1
    assert again["vector"] == vector and again["steps"][-1] == [total, total]
    known = [done for done, total in again["steps"] if total]
    assert known == sorted(known) and known[0] >= stopped["parts"][0] and len(set(known)) > 2  # it moves, never back
    assert not again["parts"] and not list(tmp_path.rglob("*.incomplete"))


def test_what_is_here_is_not_fetched_again_and_what_is_damaged_is_deleted(model, tmp_path):
    root, vector = model
    with loopback_hub({"good/large": root, "damaged/large": root}) as server:
        first, second, damaged = ask(server.url, tmp_path, *((name, 2, "") for name in (
            "good/large", "good/large", "damaged/large")))
        assert first["vector"] == second["vector"] == vector and len(weights(server)) == 2
    assert "arrived damaged: its checksum is" in damaged["error"] and not damaged["cached"] and not damaged["parts"]


def test_what_is_forbidden_asks_nobody_and_refusals_are_told(model, tmp_path):
    with loopback_hub({"good/large": model[0]}) as server:
        offline, public, gone = ask(server.url, tmp_path, ("good/large", 2, "models_offline"),
                                    ("good/large", 2, "models_public"), ("gone/x", 2, ""))
        assert not [path for _, path, _ in server.requests if "good" in path]
        url = server.url
    assert "--offline" in offline["error"] and "--hub" in public["error"]
    assert "knows no public model 'gone/x'" in gone["error"]
    assert not any(f["cached"] or f["parts"] for f in (offline, public, gone))
    assert "cannot be reached" in ask(url, tmp_path, ("gone/x", 2, ""))[0]["error"]


def test_a_full_disk_is_told_before_the_download(model, tmp_path, monkeypatch):
    from clipmini.families import hub_fetch

    monkeypatch.setattr(hub_fetch.shutil, "disk_usage", lambda _: shutil._ntuple_diskusage(10**9, 10**9, 10**6))
    with pytest.raises(hub_fetch.CheckpointError, match="605 MB are still to come and the disk has 1 MB left"):
        hub_fetch._check_room(tmp_path, 605_000_000)
