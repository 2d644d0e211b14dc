"""From a notebook only what its answers need: the statements that make the names which its checks are given.

Nothing else of a notebook runs when it is graded: no training, no figure, and no print("pass").
"""

import ast
import json
import re
import symtable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


class NotebookError(ValueError):
    """A file that cannot be graded: what it is, and what to do."""


@dataclass(frozen=True)
class Exercise:
    """checker: its name; answer: the name of the student's function; source: all that it needs, "" where it is missing;
    problem: why there is no source.
    """

    checker: str
    answer: str
    source: str
    problem: str = ""


def read(path: Path) -> dict[str, Any]:
    """A notebook, each cell's source one string. Raises NotebookError."""
    try:
        book = json.loads(path.read_text(encoding="utf-8"))
        book["cells"] = [{**cell, "cell_type": cell["cell_type"], "source": "".join(cell["source"])}  # both are needed
                         for cell in book["cells"]]
        return book
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise NotebookError(f"{str(path)!r} is no notebook of format 4 ({type(error).__name__}: {str(error)[:80]}). "
                            "Give the .ipynb file that a student handed in") from None


def lesson_of(book: dict[str, Any]) -> str:
    """The number of a lesson by its title, "# 05 · The loss"; "" for another notebook."""
    title = re.match(r"# (\d\d) · ", book["cells"][0]["source"]) if book["cells"] else None
    return title[1] if title else ""


def exercises(book: dict[str, Any], known: set[str]) -> list[Exercise]:
    """The exercises that a notebook checks, in its order; lines of magic count for nothing. known: all checkers."""
    statements: list[ast.stmt] = []
    found: dict[str, Exercise] = {}
    broken = 0
    for cell in book["cells"]:
        if cell["cell_type"] != "code":
            continue
        try:
            body = ast.parse(re.sub(r"^(\s*)[%!].*", r"\1pass", cell["source"], flags=re.MULTILINE)).body
        except SyntaxError:
            broken += 1
            continue
        for statement in body:
            if call := _check(statement, known):
                found[call[0]] = _exercise(*call, statements, broken)
        statements += body
    return list(found.values())


def _check(statement: ast.stmt, known: set[str]) -> tuple[str, str] | None:
    """(checker, answer) of a line such as checks.clip_loss(mine)."""
    call = statement.value if isinstance(statement, ast.Expr) else None
    if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in known \
            and getattr(call.func.value, "id", "") == "checks" and len(call.args) == 1:
        return call.func.attr, ast.unparse(call.args[0])
    return None


def _exercise(checker: str, answer: str, statements: list[ast.stmt], broken: int) -> Exercise:
    wanted, kept = names_read(ast.parse(answer)), set[int]()
    while True:
        more = [i for i, s in enumerate(statements) if i not in kept and names_made(s) & wanted]
        if not more:
            break
        kept |= set(more)
        wanted |= set().union(*(names_read(statements[i]) for i in more))
    source = "\n".join(ast.unparse(statements[i]) for i in sorted(kept))
    if any(names_made(s) & names_read(ast.parse(answer)) for s in statements):
        return Exercise(checker, answer, source)
    about = f"; {broken} cells hold a SyntaxError" if broken else ""
    return Exercise(checker, answer, "", f"no cell above its check defines {answer}{about}")


def names_made(statement: ast.stmt) -> set[str]:
    """What an import, a definition or an assignment at the top of a cell names; other statements name nothing."""
    if isinstance(statement, (ast.Import, ast.ImportFrom)):
        return {(alias.asname or alias.name).split(".")[0] for alias in statement.names}
    if isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return {statement.name}
    if isinstance(statement, (ast.Assign, ast.AnnAssign)):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        return {node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name)}
    return set()


def names_read(node: ast.AST) -> set[str]:
    """The names that a statement reads from the notebook: not those of its arguments and local variables.

    >>> sorted(names_read(ast.parse("def f(x, k=K):\\n    y = g(x)\\n    return y + z")))
    ['K', 'g', 'z']
    """
    return _global(symtable.symtable(ast.unparse(node), "notebook", "exec"))


def _global(scope: symtable.SymbolTable) -> set[str]:
    inside = scope.get_type() != "module"
    own = {s.get_name() for s in scope.get_symbols() if s.is_referenced() and (not inside or s.is_global())}
    return own.union(*map(_global, scope.get_children()))
