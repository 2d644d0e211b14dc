"""The Space: built whole, and running with nothing but its own requirements."""

import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

pytest.importorskip("gradio", reason="the Space needs gradio: pip install 'clipmini[app]'")

from demo_app import space  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent


def test_the_layout(tmp_path):
    folder = space.build(tmp_path / "space")
    header = re.match(r"---\n(.*?)---", (folder / "README.md").read_text(encoding="utf-8"), re.S)[1]
    assert {"sdk: gradio", 'python_version: "3.12"', "app_file: demo_app/app.py"} <= set(header.splitlines())
    pinned = re.search(r"sdk_version: (\S+)", header)[1]
    # the version that is tested here
    assert f"gradio=={pinned}\n" in (ROOT / "constraints.txt").read_text(encoding="utf-8")
    for name in ("demo_app/map/js/draw.js", "demo_app/page.js", "demo_app/texts/zh.json", "demo_app/tabs/map.py",
                 "assets/emoji/model.safetensors"):
        assert (folder / name).is_file(), name
    told = (folder / "README.md").read_text(encoding="utf-8")
    assert "CLIPMINI_MODEL" in told and "CLIPMINI_HUB=1" in told
    assert not list(folder.rglob("__pycache__"))
    sizes = [p.stat().st_size for p in folder.rglob("*") if p.is_file()]
    assert sum(sizes) < 60e6 and max(sizes) < 10e6  # larger files want git-lfs


def test_a_folder_that_is_not_empty_is_left_alone(tmp_path, capsys):
    (tmp_path / "mine.txt").write_text("mine")
    assert space.main([str(tmp_path)]) == 1
    assert "not an empty folder" in capsys.readouterr().err and [p.name for p in tmp_path.iterdir()] == ["mine.txt"]


def test_it_starts_with_its_own_requirements_alone(tmp_path):
    """In a fresh virtual environment, as a Space starts it: python demo_app/app.py; then a picture is classified."""
    from test_browser import free_port, wait_until_open

    folder, python = space.build(tmp_path / "space"), tmp_path / "venv" / "bin" / "python"
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "venv")], check=True)
    done = subprocess.run([str(python), "-m", "pip", "install", "-q", "-c", str(ROOT / "constraints.txt"), "-r",
                           str(folder / "requirements.txt"), f"gradio=={space.SDK}"], capture_output=True, text=True)
    if done.returncode:
        pytest.skip("pip could not install the Space's requirements; install them by hand to test it: "
                    + done.stderr[-300:])
    port = free_port()
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "CLIPMINI", "VIRTUAL"))}
    shutil.copytree(folder / "assets" / "emoji", tmp_path / "mine")
    environment["CLIPMINI_MODEL"] = str(tmp_path / "mine")
    environment |= {"GRADIO_SERVER_NAME": "127.0.0.1", "GRADIO_SERVER_PORT": str(port), "SPACE_ID": "you/clipmini"}
    start = time.monotonic()
    process = subprocess.Popen([str(python), "demo_app/app.py"], cwd=folder, env=environment, stdout=subprocess.PIPE,
                               stderr=subprocess.STDOUT, text=True)
    try:
        wait_until_open(port, process, 120)
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/config", timeout=30) as answer:
            assert b"look inside" in answer.read().lower()
        print(f"first page after {time.monotonic() - start:.1f} s")
        code = f"""
from gradio_client import Client, handle_file
picture = handle_file({str(folder / 'assets' / 'samples' / 'rocket.png')!r})
client = Client('http://127.0.0.1:{port}', verbose=False)
print(client.predict(picture, 'rocket, cat', '{{}}', False, 'automatic', 40.0, api_name='/classify'))
print(len(client.predict(picture, 'rocket, flame', 'automatic', '', api_name='/find_phrases')))"""
        said = subprocess.run([str(python), "-c", code], capture_output=True, text=True, timeout=120)
        assert "'model': 'mine'" in said.stdout, said.stderr[-2000:]
        assert "rocket" in said.stdout and said.stdout.rstrip().endswith("4"), said.stderr[-2000:]
    finally:
        process.terminate()
        process.wait(20)
