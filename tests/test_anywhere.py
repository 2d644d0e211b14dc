"""Other people's computers: a terminal with few letters, a container without a home, a proxy's path."""

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from PIL import Image

from helpers_app import tiny_checkpoint

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def twelve():
    """A folder of twelve pictures in two folders, and a tiny model; anybody may read it (pytest's own are private)."""
    with TemporaryDirectory() as folder:
        root = Path(folder)
        for i in range(12):
            file = root / "pictures" / ("火箭", "_drafts")[i % 2] / f"披萨 {i}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (20, 20), (20 * i, 255 - 20 * i, 90)).save(file)
        tiny_checkpoint(root / "tiny")
        (root / "out").mkdir()
        (root / "out").chmod(0o777)
        root.chmod(0o755)
        yield root


COMMANDS = """if True:
    import sys
    from clipmini.commands import main
    picture, missing, model, out = sys.argv[1:]
    assert main(["classify", picture, "--labels", "火箭,披萨,café", "--model", model, "--templates", "{}"]) == 0
    assert main(["heatmap", picture, "--phrases", "火箭", "--model", model, "--out", out]) == 0
    assert main(["classify", missing, "--labels", "a,b", "--model", model]) == 1
    try:
        main(["--help"])
    except SystemExit as end:
        assert not end.code
    """


@pytest.mark.parametrize("encoding", ["cp1252", "ascii", "latin-1", "cp437:replace", "utf-8"])
def test_every_terminal_prints(encoding, twelve, tmp_path):
    here = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONIOENCODING": encoding}
    picture = twelve / "pictures" / "火箭" / "披萨 0.png"
    done = subprocess.run([sys.executable, "-c", COMMANDS, picture, "火箭.png", twelve / "tiny", tmp_path / "火.png"],
                          capture_output=True, timeout=300, cwd=ROOT, env=here)
    assert done.returncode == 0 and b"charmap" not in done.stderr and b"Traceback" not in done.stderr, done.stderr
    rocket = {"utf-8": "火箭".encode(), "cp437:replace": b"??"}.get(encoding, rb"\u706b\u7bad")
    assert b"  " + rocket in done.stdout and rocket + b": " in done.stdout and b"usage: " in done.stdout
    cafe = {"ascii": rb"caf\xe9"}.get(encoding, "café".encode(encoding.split(":")[0], "replace"))
    assert cafe in done.stdout and b"left out" in done.stderr


@pytest.mark.skipif(sys.platform == "win32" or not hasattr(os, "geteuid") or os.geteuid() != 0 or not shutil.which("setpriv"),
                    reason="only the superuser can become somebody without a home")
def test_somebody_without_a_home_maps_twelve_pictures(twelve):
    """As `docker run -u 54321` does: neither a home, nor a name, nor leave to write into the packages."""
    stranger = ["setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", sys.executable]
    asked = {"capture_output": True, "text": True, "timeout": 300, "cwd": ROOT,
             "env": {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": "/nonexistent"}}
    look = f"import os, torch; os.listdir({str(twelve)!r}); os.listdir({str(ROOT / 'clipmini')!r})"
    if subprocess.run([*stranger, "-c", look], **asked).returncode:
        pytest.skip("Python, the checkout or the folder for temporary files is private, so nobody else can run it")
    done = subprocess.run([*stranger, "-m", "clipmini", "map", twelve / "pictures", "--model", twelve / "tiny", "--out",
                           twelve / "out" / "map"], **asked)
    assert done.returncode == 0 and "12 pictures and" in done.stdout, done.stderr
    assert (twelve / "out" / "map" / "map.png").stat().st_size > 5000
    assert not [word for word in ("Matplotlib", "MPLCONFIGDIR", "PCA", "Traceback") if word in done.stderr], done.stderr


def test_numba_without_a_place_gets_a_temporary_one(tmp_path):
    """As umap's import fails where nothing can be written, and goes on where numba is told where to write; a stand-in
    that asks numba for the same spares a minute of compiling."""
    (tmp_path / "umap.py").write_text("from numba import njit\n\n@njit(cache=True)\ndef one():\n    return 1\n\n"
                                      "class UMAP:\n    kept = one()\n")
    code = """if True:
        import numba.core.caching as caching
        from pathlib import Path
        for locator in caching.CacheImpl._locator_classes:
            if locator is not caching.UserProvidedCacheLocator:
                locator.from_function = classmethod(lambda cls, *a: None)
        from clipmini.tasks.maps import projection
        folder = lambda: [p for p in Path(__import__("tempfile").gettempdir()).glob("clipmini-numba-*")]
        before = folder()
        assert projection._umap_class().kept == 1 and list(folder()[-1].rglob("*.nbi"))
        print(projection._umap_class().__name__, len(folder()) - len(before), projection._numba_folder().name)
        """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=300, cwd=ROOT,
                          env={**os.environ, "PYTHONPATH": f"{tmp_path}{os.pathsep}{ROOT}", "NUMBA_CACHE_DIR": ""})
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("UMAP 1 ") and done.stderr == ""
    assert not Path(done.stdout.split()[-1]).exists()  # gone with the process


@pytest.mark.parametrize("error, told", [
    (RuntimeError("cannot cache function 'rdist': no locator"), "no locator"),
    (OSError("No usable temporary directory"), "No usable"), (ImportError("libllvm.so: cannot open"), "libllvm")])
def test_where_umap_cannot_run_the_map_is_by_pca_and_says_so(error, told, monkeypatch, caplog):
    import torch

    from clipmini.tasks.maps import projection

    def broken():
        raise error
    monkeypatch.setattr(projection, "_umap_class", broken)
    vectors = torch.nn.functional.normalize(torch.randn(24, 8), dim=1)
    assert torch.equal(projection.umap(vectors), projection.pca(vectors))
    assert told in caplog.text and "by PCA" in caplog.text
    monkeypatch.setattr(projection, "_umap_class", lambda: __import__("no_such_umap"))
    with pytest.raises(ModuleNotFoundError):
        projection.umap(vectors)


def test_a_map_by_pca_is_titled_so():
    import torch

    from clipmini.plots import map_of
    from clipmini.tasks.maps.folder import MAPS, EmbeddingMap

    flat = torch.rand(4, 2)
    few = EmbeddingMap(["a"] * 4, [""] * 4, 2, dict.fromkeys(MAPS, flat), torch.rand(4, 3), None, "m")
    assert map_of(few).get_suptitle().startswith("PCA of m")


@pytest.mark.parametrize("given, path", [
    ("clip", "/clip"), ("/clip", "/clip"), ("/clip/", "/clip"), ("//clip", "/clip"), ("clip/a//b/", "/clip/a/b"), ("/", ""),
    ("", ""), (" /clip ", "/clip"), ("http://example.org", "http://example.org"),
    ("https://example.org:8443/clip/", "https://example.org:8443/clip"), ("https://example.org//clip", "https://example.org/clip"),
    ("/~user/c%20d", "/~user/c%20d")])
def test_root_paths_are_mended(given, path):
    app = pytest.importorskip("demo_app.app")
    assert app.root_path(given) == path and app.root_path(path) == path


@pytest.mark.parametrize("given", ["C:/Program Files/Git/clip", "a b", "/a\\b", "/clip?x=1", "/clip#x", "ftp://example.org/clip", "http://",
                                   "http:/clip", "/../clip", "javascript:alert(1)", "/<x>", "/火"])
def test_root_paths_that_mean_nothing_are_refused_in_words(given, capsys):
    app = pytest.importorskip("demo_app.app")
    with pytest.raises(argparse.ArgumentTypeError, match="no place for the app; give a path, such as /clipmini"):
        app.root_path(given)
    with pytest.raises(SystemExit):
        app.main(["--root-path", given])
    assert "is no place for the app" in capsys.readouterr().err
