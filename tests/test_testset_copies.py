"""A test set that is whole in a cache is read without a network, at once, and says which revision it is."""

import io
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from test_offline import NOBODY, WAYS, environment, portal

ASK = """
import json, sys, time
import datasets, huggingface_hub
from clipmini.data.testsets import DatasetError, find
for name in sys.argv[1:]:
    start = time.monotonic()
    try:
        rows = find(name).open_rows()
        found = {"truths": [truth for _, truth in find(name).examples(rows)], "names": find(name).class_names(rows)[:2]}
    except DatasetError as error:
        found = {"error": str(error)}
    print("FOUND" + json.dumps(found | {"seconds": time.monotonic() - start}), flush=True)
"""
COMMIT = "c" * 40


def ask(url: str, home: Path, *names: str, **more: str) -> tuple[list[dict], str]:
    done = subprocess.run([sys.executable, "-c", ASK, *names], env=environment(url, home) | more, capture_output=True,
                          text=True, timeout=200)
    assert done.returncode == 0, done.stderr[-2000:]
    return [json.loads(line[5:]) for line in done.stdout.splitlines() if line.startswith("FOUND")], done.stderr


def picture() -> bytes:
    written = io.BytesIO()
    Image.new("RGB", (9, 9), "red").save(written, "PNG")
    return written.getvalue()


def parquet(path: Path, label: str, image: str, numbers: list[int]) -> None:
    import datasets

    path.parent.mkdir(parents=True, exist_ok=True)
    rows = datasets.Dataset.from_dict({image: [{"bytes": picture(), "path": None}] * len(numbers), label: numbers},
                                      features=datasets.Features({image: datasets.Image(), label: datasets.Value("int64")}))
    rows.to_parquet(path)


@pytest.fixture(scope="module")
def home(tmp_path_factory) -> Path:
    """A cache: imagenette as `hf download` leaves it, cifar10 as load_dataset does, fashion_mnist without one part."""
    from datasets import load_dataset

    home = tmp_path_factory.mktemp("home")

    def snapshot(repo: str) -> Path:
        root = home / f"hub/datasets--{repo.replace('/', '--')}"
        (root / "refs").mkdir(parents=True)
        (root / "refs/main").write_text(COMMIT)
        return root / "snapshots" / COMMIT

    folder = snapshot("frgfm/imagenette")
    for part in range(2):
        parquet(folder / f"320px/validation-0000{part}-of-00002.parquet", "label", "image", [part, 5])
    (folder / "README.md").write_text("---\nconfigs:\n- config_name: 320px\n  data_files:\n  - split: validation\n"
                                      "    path: 320px/validation-*\n---\n")
    parquet(snapshot("zalando-datasets/fashion_mnist") / "data/test-00000-of-00002.parquet", "label", "image", [1])
    parquet(home / "plain/test.parquet", "fine_label", "img", [7, 3, 3])
    made = Path(load_dataset("parquet", data_files={"test": str(home / "plain/test.parquet")}, split="test",
                             cache_dir=str(home / "made")).cache_files[0]["filename"]).parent
    there = home / f"datasets/uoft-cs___cifar100/default/0.0.0/{COMMIT}"
    shutil.copytree(made, there)
    (there / "parquet-test.arrow").rename(there / "cifar100-test.arrow")
    info = json.loads((there / "dataset_info.json").read_text())
    info |= {"config_name": "default", "dataset_name": "cifar100"}
    info["splits"]["test"]["dataset_name"] = "cifar100"
    (there / "dataset_info.json").write_text(json.dumps(info))
    return home


@pytest.mark.parametrize("way", ["nobody", "silence", "a page in HTML", "500", "offline"])
def test_a_whole_copy_is_read_at_once_whatever_the_network_does(way, home):
    more = {"HF_HUB_OFFLINE": "1"} if way == "offline" else {}
    with portal(WAYS.get(way, "silence")) as server:
        found, said = ask(server.url if way in WAYS else NOBODY, home, "imagenette", "cifar100", **more)
    assert found[0].get("truths") == [0, 5, 1, 5] and found[0]["names"][0] == "tench", found
    assert found[1].get("truths") == [7, 3, 3], found
    assert all(answer["seconds"] < 12 for answer in found), found
    told = [line for line in said.splitlines() if "comes from the cache" in line]
    assert len(told) == 2 and all(COMMIT in line for line in told), said


def test_a_copy_that_lacks_a_part_is_none(home):
    found, said = ask(NOBODY, home, "fashion_mnist", HF_HUB_OFFLINE="1")
    assert "give a copy with --folder" in found[0]["error"] and "comes from the cache" not in said
