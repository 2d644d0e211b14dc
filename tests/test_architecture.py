"""The house keeps its plan: files import only from above themselves, and importing costs nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "clipmini"

# Reading order. A file may import from files above it; data/ and tasks/ from the core, and from earlier files of their
# own.
ORDER = ["files", "config", "tokenizer", "wordpieces", "image", "transformer", "vision", "text", "model", "loss",
         "checkpoint", "train", "weights", "pretrained", "siglip", "onnx", "hub", "fast", "data.emoji", "devise",
         "embedder", "data.shapes", "data.fashion", "data.scenes", "tasks.names", "data.hub", "tasks.prompts",
         "tasks.zeroshot", "tasks.wordorder", "tasks.retrieval", "tasks.calibration", "tasks.benchmark",
         "tasks.workbench", "tasks.heatmap", "tasks.similarity", "tasks.atlas", "tasks.mapfolder", "tasks.probe",
         "plots", "checks", "recipes", "cli", "__main__"]
HEAVY = {"gradio", "transformers", "datasets", "matplotlib", "umap", "sklearn", "emoji", "resvg_py", "ftfy"}
MAY_LOAD_AT_TOP = {"plots": {"matplotlib"}}  # figures are all it does
SMALL_CORE = ["config", "image", "transformer", "vision", "text", "model", "loss"]


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts)


def files() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*.py") if p.name != "__init__.py")


def imports(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def test_every_file_has_its_place():
    assert {module_name(p) for p in files()} == set(ORDER)


@pytest.mark.parametrize("path", files(), ids=module_name)
def test_imports_point_upwards(path):
    name = module_name(path)
    allowed = set(ORDER[:ORDER.index(name)])
    found = imports(ast.parse(path.read_text(encoding="utf-8")))
    wanted = {i.removeprefix("clipmini.") for i in found if i.startswith("clipmini.")}
    wrong = {i for i in wanted if i in ORDER and i not in allowed}
    assert not wrong, f"{name} imports {sorted(wrong)}, which come after it"


@pytest.mark.parametrize("path", files(), ids=module_name)
def test_heavy_libraries_are_imported_late(path):
    name = module_name(path)
    body = ast.parse(path.read_text(encoding="utf-8")).body
    top = ast.Module([node for node in body if isinstance(node, (ast.Import, ast.ImportFrom))], [])
    heavy = {i.split(".")[0] for i in imports(top) if i} & HEAVY - MAY_LOAD_AT_TOP.get(name, set())
    assert not heavy, f"{name} imports {sorted(heavy)} at the top; import it inside the function that needs it"


def test_import_clipmini_loads_nothing_heavy():
    code = "import sys, clipmini; print(sorted(set(sys.modules) & {'torch', 'numpy', 'PIL', 'gradio', 'datasets'}))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=True)
    assert out.stdout.strip() == "[]"


def test_public_names_exist():
    import clipmini

    for name in clipmini.__all__:
        assert getattr(clipmini, name) is not None
    with pytest.raises(AttributeError, match="its public names are"):
        _ = clipmini.no_such_name


def test_the_package_stays_readable():
    lines = {module_name(p): len(p.read_text(encoding="utf-8").splitlines()) for p in files()}
    assert sum(lines[name] for name in SMALL_CORE) <= 1_200
    assert sum(lines.values()) <= 10_500


def functions(path: Path):
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node


def test_functions_are_short_and_public_ones_explained():
    for path in files():
        for node in functions(path):
            assert node.end_lineno - node.lineno < 70, f"{module_name(path)}.{node.name} is too long to read at once"
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
                assert ast.get_docstring(node), f"{module_name(path)}.{node.name} has no docstring"
