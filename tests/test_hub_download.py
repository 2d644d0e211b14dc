"""Downloads against a hub on this computer: each ends in a loaded model or a clear message, never in half a file.

The hub's library reads its address and its offline switch when it is imported, so each test asks a fresh Python.
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from clipmini.families.hub_download import _wanted, is_name
from foreign import hugging_face_folder, open_clip_folder
from loopback_hub import COMMIT, loopback_hub
from test_offline import portal

ASK = """
import json, sys, clipmini
from clipmini.families import hub_download as hub
for name in sys.argv[1:]:
    try:
        model = clipmini.load(name)
        vector = model.embed_texts(["a red cat"])[0].tolist()
        found = {"name": model.name, "vector": vector, "cached": str(hub.cached(name))}
    except clipmini.CheckpointError as error:
        found = {"error": str(error), "cached": str(hub.cached(name))}
    print("FOUND" + json.dumps(found), flush=True)
"""


def environment(url: str, offline: bool, **more: str) -> dict[str, str]:
    """This process's, with the hub at another address and no proxy before it."""
    return {**os.environ, "HF_ENDPOINT": url, "HF_HUB_OFFLINE": str(int(offline)), "NO_PROXY": "127.0.0.1",
            "no_proxy": "127.0.0.1", **more}


def ask(url: str, home: Path, *names: str, offline: bool = False) -> list[dict]:
    """What clipmini.load makes of hub names in a fresh Python: one dict for each."""
    env = environment(url, offline, HF_HOME=str(home), HF_HUB_DISABLE_TELEMETRY="1", HF_HUB_DISABLE_XET="1",
                      HF_HUB_ETAG_TIMEOUT="5", HF_HUB_DOWNLOAD_TIMEOUT="5")
    done = subprocess.run([sys.executable, "-c", ASK, *names], env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line[5:]) for line in done.stdout.splitlines() if line.startswith("FOUND")]


@pytest.fixture(scope="module")
def models(tmp_path_factory, tokenizer, make_clip):
    """{name: folder} of two small models, and what the first answers to "a red cat"."""
    root = tmp_path_factory.mktemp("models")
    (root / "hf").mkdir()
    small = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    hugging_face_folder(root / "hf", tokenizer, {**small, "patch_size": 8, "image_size": 16}, small)
    open_clip_folder(root / "oc", make_clip("vit-transformer"), tokenizer)
    (root / "sharded").mkdir()
    hugging_face_folder(root / "sharded", tokenizer, {**small, "patch_size": 8, "image_size": 16}, small,
                        max_shard_size="60KB")
    (root / "large").mkdir()  # 60% of it are more than 10 MB, the block in which huggingface-hub writes
    large = {"hidden_size": 512, "intermediate_size": 2048, "num_hidden_layers": 2, "num_attention_heads": 8}
    hugging_face_folder(root / "large", tokenizer, {**large, "patch_size": 8, "image_size": 16}, small)
    import clipmini

    expected = {kind: clipmini.load(root / kind).embed_texts(["a red cat"])[0].tolist()
                for kind in ("hf", "oc", "sharded", "large")}
    return root, expected


def leftovers(home: Path) -> list[str]:
    """Files of the cache that are linked under a real name but are not whole."""
    return [str(p) for p in home.rglob("snapshots/*/*") if not p.exists()]


def test_good_models_load_once_over_the_net_and_then_from_the_cache(models, tmp_path):
    root, expected = models
    folders = {"good/hf": root / "hf", "good/oc": root / "oc", "good/sharded": root / "sharded"}
    with loopback_hub(folders) as server:
        found = ask(server.url, tmp_path, "good/hf", "good/oc", "good/sharded", f"good/hf@{COMMIT}")
        assert [f.get("vector") for f in found] == [expected["hf"], expected["oc"], expected["sharded"],
                                                    expected["hf"]], found
        assert found[0]["name"] == "good/hf" and found[0]["cached"].endswith(COMMIT)
        bodies = [path for method, path, _ in server.requests if method == "GET" and path.endswith(".safetensors")]
        assert len(bodies) == len(set(bodies)) == 2 + len(list((root / "sharded").glob("*.safetensors")))
    # No hub at all.
    found = ask("http://127.0.0.1:9", tmp_path, "good/hf", "good/oc", "good/sharded", "good/other", offline=True)
    assert [f.get("vector") for f in found[:3]] == [expected["hf"], expected["oc"], expected["sharded"]], found
    assert "not in the cache" in found[3]["error"] and "clipmini.load('emoji')" in found[3]["error"]


def test_a_download_cut_at_60_percent_goes_on_there(models, tmp_path):
    root, expected = models
    with loopback_hub({"cut/large": root / "large"}) as server:
        found = ask(server.url, tmp_path, "cut/large")
        ranges = [r for method, path, r in server.requests if method == "GET" and path.endswith(".safetensors")]
    assert found[0].get("vector") == expected["large"], found
    assert ranges == [None, f"bytes={10 * 2**20}-"]  # huggingface-hub writes blocks of 10 MB


def test_a_connection_that_stays_broken_leaves_no_half_file(models, tmp_path):
    root, expected = models
    with loopback_hub({"cut/hf": root / "hf"}, dead=True) as server:
        found = ask(server.url, tmp_path, "cut/hf")
        assert "could not be downloaded" in found[0]["error"] and "try again" in found[0]["error"]
        assert found[0]["cached"] == "None" and not leftovers(tmp_path)
        assert not [p for p in tmp_path.rglob("*") if p.is_file() and p.stat().st_size > 50_000]
        server.dead = False
        assert ask(server.url, tmp_path, "cut/hf")[0]["vector"] == expected["hf"]


def test_damaged_bytes_are_noticed_deleted_and_fetched_anew(models, tmp_path):
    root, expected = models
    with loopback_hub({"damaged/hf": root / "hf"}) as server:
        found = ask(server.url, tmp_path, "damaged/hf", "damaged/hf")
        assert all("arrived damaged: its checksum is" in f["error"] and f["cached"] == "None" for f in found), found
    assert not [p for p in tmp_path.rglob("*") if p.is_file() and p.stat().st_size > 50_000] and not leftovers(tmp_path)


@pytest.mark.parametrize("offline", [False, True])
def test_refusals_say_what_to_do(models, tmp_path, offline):
    root, _ = models
    (tmp_path / "empty").mkdir()
    names = ["gone/x", "private/x", "broken/x", "gated/x", "good/hf@nope", "good/empty"]
    with loopback_hub({"good/hf": root / "hf", "good/empty": tmp_path / "empty"}) as server:
        found = ask(server.url, tmp_path / "home", *names, offline=offline)
    said = [f["error"] for f in found]
    if offline:
        assert all("not in the cache" in e for e in said), said
        return
    assert "knows no public model 'gone/x'" in said[0] and "there is no folder 'gone/x' here" in said[0]
    assert "private/x" in said[1] and "hf auth login" in said[1]
    assert "the hub answered 500 for 'broken/x'; try again later" in said[2]
    assert "accept its licence" in said[3]
    assert "'good/hf@nope' has no such revision" in said[4]
    assert "has no weights that clipmini reads" in said[5]
    assert all(f["cached"] == "None" for f in found) and not leftovers(tmp_path)


def test_no_hub_at_all(tmp_path):
    found = ask("http://127.0.0.1:9", tmp_path, "openai/clip-vit-base-patch32")
    assert "could not be downloaded" in found[0]["error"] or "cannot be reached" in found[0]["error"]
    assert "clipmini.load('emoji')" in found[0]["error"]


def test_which_files_are_wanted():
    configs = ["config.json", "open_clip_config.json", "preprocessor_config.json", "merges.txt"]
    laion = [*configs, "model.safetensors", "open_clip_model.safetensors", "open_clip_pytorch_model.bin", "README.md"]
    assert _wanted("x", laion) == [*configs, "model.safetensors"]
    # timm's model.safetensors is in a layout of its own
    timm = ["config.json", "open_clip_config.json", "model.safetensors", "open_clip_pytorch_model.bin"]
    assert _wanted("x", timm)[-1] == "open_clip_pytorch_model.bin"
    assert is_name("a/b@v1.0") and not is_name("/tmp/x") and not is_name("runs")


def is_reachable(url: str, offline: bool = False) -> str:
    code = "from clipmini.families import hub_download; print(hub_download.reachable(2))"
    done = subprocess.run([sys.executable, "-c", code], env=environment(url, offline), capture_output=True, text=True,
                          timeout=60)
    return done.stdout.strip() or done.stderr


def test_whether_the_hub_answers_is_known_at_once():
    with loopback_hub({}) as server:
        assert is_reachable(server.url) == "True"
        assert is_reachable(server.url, offline=True) == "False"
        url = server.url
    assert is_reachable(url) == "False"  # nobody listens there any more
    assert is_reachable("not an address") == "False"
    with portal("drips") as server:  # an answer that never ends
        start = time.monotonic()
        assert is_reachable(server.url) == "False" and time.monotonic() - start < 12
