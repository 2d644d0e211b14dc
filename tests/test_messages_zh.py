"""What a model may do wrong is said in Chinese on a Chinese page: every message of the package that its loading raises."""

import ast
import re
from pathlib import Path

import pytest

pytest.importorskip("gradio", reason="the app needs gradio: pip install 'clipmini[app]'")

import clipmini
from clipmini.families import hub_download
from clipmini.files import CheckpointError
from clipmini.segmenter.prompt import Prompt, checked
from clipmini.segmenter.prompt import PromptError as SegmenterPromptError
from clipmini.tasks.heatmap import HeatmapError
from demo_app import style
from demo_app.map.made import Step
from demo_app.shelf import Model, Shelf
from demo_app.tabs.map import progress
from demo_app.texts import ERRORS_ZH, say_error, say_problem
from demo_app.workbench import load_choice
from test_published_page import B32

PACKAGE = Path(clipmini.__file__).parent
LOADING = [*(PACKAGE / "families").glob("*.py"), *(PACKAGE / name for name in ("files.py", "embedder.py", "checkpoint.py"))]
# No page asks for these: they are of `clipmini export` and of options that the app does not use.
ELSEWHERE = ("export", "image_size is", "there is no device", "pictures of X pixels", "omit int8", "give a side in pixels")


def text(node) -> str:
    """A message as it stands in the source, X for what is filled in."""
    if isinstance(node, ast.JoinedStr):
        parts = [(p.value if isinstance(p, ast.Constant) else "'X'" if p.conversion == ord("r") else "X") for p in node.values]
        return "".join(parts)
    if isinstance(node, ast.BinOp):
        return text(node.left) + text(node.right)
    return str(node.value) if isinstance(node, ast.Constant) else "X"


def messages() -> list[str]:
    calls = (node for path in LOADING for node in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(node, ast.Call)
             and getattr(node.func, "id", "") == "CheckpointError" and node.args)
    found = {text(call.args[0]) for call in calls}
    return sorted(m for m in found if re.search("[a-z]", m) and not any(part in m for part in ELSEWHERE))


def explained() -> list[str]:
    """What hub_download says of errors that come from elsewhere."""
    tree = ast.parse((PACKAGE / "families" / "hub_download.py").read_text("utf-8"))
    function = next(n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "_explained")
    return [text(node.value) for node in ast.walk(function) if isinstance(node, ast.Return)]


def test_there_is_something_to_say():
    assert len(messages()) > 80 and len(explained()) == 9


NAMES = ("clipmini", "Hugging Face", "huggingface-hub", "hub", "Python", "HF_HUB_OFFLINE", "NaN", "UMAP", "pip install",
         "hf auth login", "openai/clip-vit-base-patch32", "X", "[]", "MB")


def test_every_message_of_loading_has_its_kind_in_chinese():
    for message in [*messages(), *explained()]:
        assert any(pattern.fullmatch(message) for kind in ERRORS_ZH.values() for pattern, _ in kind), message
        ours = say_problem("zh", message).partition("（原文：")[0]
        for name in NAMES:
            ours = ours.replace(name, "")
        assert len(ours) > 6 and not re.search("[A-Za-z]", ours), (message, ours)
        assert say_problem("en", message) == message


def test_names_and_numbers_are_told():
    assert "状态 404" in say_problem("zh", "the hub knows no public model 'a/b' (status 404); check the spelling")
    assert say_problem("zh", hub_download._explained("a/b", OSError(28, "full"))).startswith("磁盘满了：a/b ")
    part = "'a/b' is not in the cache, and the hub cannot be reached. " \
           "The cache holds a part of it (revision 12), which lacks x.bin"
    assert say_problem("zh", part).endswith("缓存中有它的一部分（版本 12），缺少 x.bin。")
    whole = say_problem("zh", f"there is no folder 'a/b' here, and from the hub: {part}")
    assert whole.startswith("这里没有文件夹 a/b；") and not re.search("cache|revision", whole)
    assert "（原文：nobody foresaw this）" in say_problem("zh", "nobody foresaw this")


def test_every_place_of_the_page_says_it_in_chinese(tmp_path, monkeypatch):
    (tmp_path / "config.json").write_text("{")
    broken = Model(str(tmp_path))
    problem = broken.try_get()[1]
    monkeypatch.setattr("demo_app.workbench.not_ready", lambda name: None)
    shelf = Shelf(Model("emoji"), lambda name: broken)
    _, note = load_choice(shelf, B32, "emoji", "zh")
    for said in (style.model_line("zh", None, problem), style.fallback("zh", "a/b", problem), note,
                 say_error("zh", CheckpointError(problem))):
        assert "文件已损坏，或不是它应有的样子。" in said, said
    stopped = progress(Step("stopped", why=ValueError("UMAP of 1,442 points was stopped after 40 seconds; x")), "zh", "m")
    assert "1,442 个点的 UMAP 在 40 秒后被停止" in stopped
    assert "整张图片的向量" in say_error("zh", HeatmapError("'m' gives vectors of whole pictures only; choose one of the "
                                                     "methods windows, occlusion"))


WRONG = ({"points": [(5, 5), (6, 6)], "labels": [0, 0]}, {"points": [(5, 5)], "labels": [0]}, {"points": [(91, 5)]},
         {"points": [(5.5, -60.25)]}, {"points": [(1, 1)] * 60}, {"points": [(5, 5)], "labels": [1, 0]},
         {"points": [(5, 5)], "labels": [7]}, {"box": (10, 10, 10, 20)}, {"box": (100, 70, 120, 80)},
         {"box": (-5, -5, float("inf"), 5)}, {"points": [(float("nan"), 3)]})


@pytest.mark.parametrize("prompt", WRONG, ids=str)
def test_what_is_wrong_with_a_prompt_is_said_in_chinese(prompt):
    with pytest.raises(SegmenterPromptError) as error:
        checked(Prompt(**prompt), (90, 60))
    said, english = say_error("zh", error.value), str(error.value)
    assert not re.search("[A-Za-z]{3}", said.replace("NaN", "")) and said != english == say_error("en", error.value)
    told = re.findall(r"[\d.]+", said)
    assert all(number.rstrip(".") in english for number in told if number not in ("0", "1"))
