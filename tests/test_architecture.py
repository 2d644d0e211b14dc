"""The house keeps its plan: who may import whom, how long things may be, and that importing costs nothing."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "clipmini"

# What a student reads, in this order; a file imports only from those before it.
SPINE = ["config", "meta_device", "files", "hub_cache", "lock", "bpe", "repair", "tokenizer", "picture_mending",
         "picture_file", "image", "augment", "transformer", "vision", "text", "model", "loss", "checkpoint", "embedder",
         "training.config", "training.pictures", "training.pairs", "training.doctor", "training.lora", "training.rates",
         "training.distil", "training.step", "training.mixing", "training.budget", "training.together", "training.state",
         "training.loop", "training"]
# Room -> the rooms it may import from, besides itself and the spine below training.
FLOORS = {
    "families": set(),
    "data": set(),
    "segmenter": {"data", "training"},
    "tasks": {"data.classnames", "segmenter"},
    "matplotlib_text": set(),
    "plots": {"matplotlib_text"},
    "mask_plots": {"matplotlib_text", "plots"},
    "card": set(),
    "report": {"data", "tasks", "plots", "matplotlib_text", "card"},
    "recipes": {"training", "data", "tasks", "plots", "card"},
    "course": {"training", "data", "tasks", "families", "matplotlib_text"},
    "commands": {"course", "training", "families", "data", "segmenter", "tasks", "plots", "mask_plots", "card", "report",
                 "recipes"},
    "__main__": {"commands"},
}
# The one arrow down: clipmini.load asks the table of families, when it is called.
EXCEPTIONS = {("embedder", "families"), ("embedder", "families.devise"), ("embedder", "families.hub_download"),
              ("embedder", "families.packed"), ("embedder", "families.quick")}
HEAVY = {"gradio", "transformers", "datasets", "matplotlib", "umap", "sklearn", "emoji", "resvg_py", "ftfy"}
MAY_LOAD_AT_TOP = dict.fromkeys(("plots", "matplotlib_text", "mask_plots"), {"matplotlib"})  # figures are all they do
SPINE_LINES, FILE_LINES, FUNCTION_LINES, COLUMNS = 2_700, 400, 50, 120
# Of the spine, but not what a student must read to understand CLIP: they don't count.
TOOLS = {"meta_device", "files", "hub_cache", "lock", "repair", "augment", "picture_mending", "picture_file",
         "training.budget", "training.lora", "training.rates", "training.mixing", "training.distil", "training.pictures",
         "training.together", "training.state"}


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(PACKAGE).with_suffix("").parts).removesuffix(".__init__") or "__init__"


def files() -> list[Path]:
    return sorted(p for p in PACKAGE.rglob("*.py") if p != PACKAGE / "__init__.py")


MODULES = {module_name(p): p for p in files()}


def imports(tree: ast.AST) -> set[str]:
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return found


def imported(name: str) -> set[str]:
    """The modules of ours that a module imports, at the top or later; importing from a package's file is not importing the
    package's own __init__."""
    found = {i.removeprefix("clipmini.") for i in imports(ast.parse(MODULES[name].read_text(encoding="utf-8")))}
    ours = {i for i in found if i in MODULES and i != name}
    return {i for i in ours if not any(other.startswith(i + ".") for other in ours)}


def room(name: str) -> str:
    return name.split(".")[0]


def test_every_room_is_on_the_plan():
    assert {room(name) for name in MODULES} == {room(name) for name in SPINE} | set(FLOORS)
    assert set(SPINE) <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_imports_point_upwards(name):
    if name in SPINE:
        allowed = set(SPINE[:SPINE.index(name)])
    else:
        own = room(name)
        allowed = {m for m in SPINE if room(m) != "training" or "training" in FLOORS[own]}
        allowed |= {m for m in MODULES if room(m) == own or room(m) in FLOORS[own] or m in FLOORS[own]}
    wrong = {i for i in imported(name) - allowed if (name, i) not in EXCEPTIONS}
    assert not wrong, f"{name} imports {sorted(wrong)}, which its floor may not"


def test_nobody_imports_the_commands_and_only_they_the_course():
    for name in MODULES:
        for ours in imported(name):
            assert room(ours) != "commands" or room(name) in ("commands", "__main__"), (name, ours)
            assert room(ours) != "course" or room(name) in ("course", "commands"), (name, ours)


def test_there_is_no_circle():
    edges = {name: {i for i in imported(name) if (name, i) not in EXCEPTIONS} for name in MODULES}
    done: set[str] = set()

    def visit(name: str, way: list[str]) -> None:
        assert name not in way, " -> ".join([*way[way.index(name):], name])
        if name not in done:
            for after in sorted(edges[name]):
                visit(after, [*way, name])
            done.add(name)

    for name in edges:
        visit(name, [])


@pytest.mark.parametrize("name", MODULES)
def test_heavy_libraries_are_imported_late(name):
    body = ast.parse(MODULES[name].read_text(encoding="utf-8")).body
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


def length(path: Path) -> int:
    return len(path.read_text(encoding="utf-8").splitlines())


def test_the_spine_is_read_in_an_afternoon():
    lines = {name: length(MODULES[name]) for name in SPINE if name not in TOOLS}
    assert sum(lines.values()) <= SPINE_LINES, lines


@pytest.mark.parametrize("name", MODULES)
def test_files_and_functions_are_short(name):
    text = MODULES[name].read_text(encoding="utf-8")
    assert length(MODULES[name]) <= FILE_LINES
    for number, line in enumerate(text.splitlines(), 1):
        assert len(line) <= COLUMNS, f"{name}:{number} has {len(line)} columns"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            assert node.end_lineno - node.lineno < FUNCTION_LINES, f"{name}.{node.name} is too long to read at once"


@pytest.mark.parametrize("name", MODULES)
def test_public_things_are_explained(name):
    for node in ast.parse(MODULES[name].read_text(encoding="utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            assert ast.get_docstring(node), f"{name}.{node.name} has no docstring"


def test_protocols_are_small():
    def lines(name: str, *classes: str) -> int:
        body = ast.parse(MODULES[name].read_text(encoding="utf-8")).body
        return sum(n.end_lineno - n.lineno + 1 for n in body if isinstance(n, ast.ClassDef) and n.name in classes)

    assert 0 < lines("embedder", "Model", "TextTokenizer") <= 40
    assert 0 < lines("data.base", "Source") <= 62
    commands = [name for name in MODULES if name.startswith("commands.")]
    assert all(length(MODULES[name]) <= 60 for name in commands), {n: length(MODULES[n]) for n in commands}
