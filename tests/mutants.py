"""Wrong answers made by a program: the solutions of the lessons with one thing changed, as a slip of the hand would.

    python tests/mutants.py             # each checker, how many mutants it rejects, and those that it passes
    python tests/mutants.py clip_loss   # one of them, each mutant with what the checker says
    python tests/mutants.py --write     # keep what passes as right too; read the difference it makes

What is changed: an operator, a sign, a comparison, a number by one, a dim, an argument's place, a call that is left out
(.t(), F.normalize), a method for its neighbour (mean for sum), a statement that is left out, the answer wrapped or
cut, an input changed in place.
"""

import ast
import copy
import json
import re
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

LESSONS = Path(__file__).resolve().parent.parent / "lessons"
SWAPS = {ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult, ast.Pow: ast.Mult, ast.FloorDiv: ast.Div,
         ast.Mod: ast.Mult, ast.BitAnd: ast.BitOr, ast.BitOr: ast.BitAnd, ast.Gt: ast.GtE, ast.GtE: ast.Gt, ast.Lt: ast.LtE,
         ast.LtE: ast.Lt, ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.And: ast.Or, ast.Or: ast.And, ast.In: ast.NotIn,
         ast.Is: ast.IsNot, ast.NotIn: ast.In, ast.IsNot: ast.Is}
NAMES = {"mean": "sum", "sum": "mean", "argmax": "argmin", "argmin": "argmax", "max": "min", "min": "max", "exp": "square",
         "softmax": "log_softmax", "sigmoid": "tanh", "cat": "stack", "triu": "tril", "tril": "triu", "log": "exp",
         "sqrt": "square", "sin": "cos", "cos": "sin", "norm": "sum", "append": "extend", "topk": "sort", "abs": "neg"}
LEFT_OUT = {"t", "normalize", "exp", "softmax", "sqrt", "abs", "mean", "sum", "transpose", "sorted", "clamp", "clone",
            "unsqueeze", "float", "sigmoid", "round", "norm", "flip", "log"}

SECONDS = 2  # of the processor, for one mutant: some never come back


def solutions() -> dict[str, str]:
    """Checker -> the source of the solution that its notebook folds away."""
    found = {}
    for path in sorted(LESSONS.glob("*.ipynb")):
        cells = ["".join(cell["source"]) for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]]
        for check, folds in zip(cells, cells[1:], strict=False):
            if call := re.fullmatch(r"checks\.(\w+)\((\w+)\)", check):
                found[call[1]] = re.search(r"```python\n(.*?)```", folds, re.DOTALL)[1]
    return found


def _variants(node: ast.AST) -> Iterator[ast.AST]:
    """What a slip makes of one node."""
    if isinstance(node, ast.BinOp):
        yield ast.UnaryOp(ast.USub(), node)
        if type(node.op) in SWAPS:
            yield ast.BinOp(node.left, SWAPS[type(node.op)](), node.right)
        yield ast.BinOp(node.right, node.op, node.left)
        yield node.left
    elif isinstance(node, ast.Compare) and type(node.ops[0]) in SWAPS:
        yield ast.Compare(node.left, [SWAPS[type(node.ops[0])]()], node.comparators)
    elif isinstance(node, ast.BoolOp):
        yield ast.BoolOp(SWAPS[type(node.op)](), node.values)
    elif isinstance(node, ast.UnaryOp):
        yield node.operand
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield ast.Constant(node.value + 1)
        yield ast.Constant(node.value - 1)
    elif isinstance(node, ast.Constant) and type(node.value) is bool:
        yield ast.Constant(not node.value)
    elif isinstance(node, ast.Call):
        yield from _calls(node)
    elif isinstance(node, ast.IfExp):
        yield ast.IfExp(node.test, node.orelse, node.body)
    elif isinstance(node, ast.Return) and node.value is not None:
        value = node.value
        yield ast.Return(ast.Tuple([value, value], ast.Load()))
        yield ast.Return(ast.List([value], ast.Load()))
        yield ast.Return(ast.Call(ast.Name("str", ast.Load()), [value], []))
        yield ast.Return(ast.Subscript(value, ast.Slice(ast.Constant(1)), ast.Load()))
        yield ast.Return(ast.BinOp(ast.Constant(1.01), ast.Mult(), value))
        yield ast.Return(ast.BinOp(ast.Constant(0), ast.Mult(), value))
        yield ast.Return(ast.Subscript(value, ast.Slice(None, None, ast.Constant(-1)), ast.Load()))
        yield ast.Return(ast.Call(ast.Name("float", ast.Load()), [value], []))
        yield ast.Return(ast.Constant(None))
    elif isinstance(node, (ast.Tuple, ast.List)) and len(node.elts) == 2 and isinstance(node.ctx, ast.Load):
        yield type(node)(node.elts[::-1], node.ctx)
    elif isinstance(node, ast.Slice) and node.lower is not None:
        yield ast.Slice(None, node.upper, node.step)


def _calls(node: ast.Call) -> Iterator[ast.AST]:
    name = getattr(node.func, "attr", getattr(node.func, "id", ""))
    yield ast.BinOp(ast.Constant(2), ast.Mult(), node)
    yield ast.BinOp(node, ast.Add(), ast.Constant(1))
    yield ast.UnaryOp(ast.USub(), node)
    if name in LEFT_OUT:
        if isinstance(node.func, ast.Attribute) and getattr(node.func.value, "id", "") not in ("F", "torch", "math"):
            yield node.func.value
        elif node.args:
            yield node.args[0]
    if name in NAMES:
        func = copy.copy(node.func)
        setattr(func, "attr" if isinstance(func, ast.Attribute) else "id", NAMES[name])
        yield ast.Call(func, node.args, node.keywords)
    if len(node.args) >= 2:
        yield ast.Call(node.func, [node.args[1], node.args[0], *node.args[2:]], node.keywords)
    for k in node.keywords:
        yield ast.Call(node.func, node.args, [other for other in node.keywords if other is not k])


class _Swap(ast.NodeTransformer):
    """Put one variant in the place of the node that is visited as number `place`."""

    def __init__(self, place: int, variant: int):
        self.place, self.variant, self.seen, self.done = place, variant, -1, False

    def visit(self, node):
        self.seen += 1
        if self.seen == self.place and not self.done:
            options = list(_variants(node))
            if self.variant < len(options):
                self.done = True
                return ast.copy_location(options[self.variant], node)
        return self.generic_visit(node)


def _shorter(tree: ast.Module) -> Iterator[ast.Module]:
    """The solution without one of its statements."""
    bodies = [body for node in ast.walk(tree) for body in [getattr(node, "body", None)] if isinstance(body, list)]
    for b, body in enumerate(bodies):
        for i, statement in enumerate(body):
            if b and len(body) > 1 and not isinstance(statement, ast.FunctionDef):
                other = copy.deepcopy(tree)
                [x for n in ast.walk(other) for x in [getattr(n, "body", None)] if isinstance(x, list)][b].pop(i)
                yield other


def _names(tree: ast.Module) -> Iterator[ast.Module]:
    """The solution with one name that it reads in the place of another."""
    function = tree.body[-1]
    known = [a.arg for f in ast.walk(function) if isinstance(f, ast.FunctionDef) for a in f.args.args if a.arg != "self"]
    places = [i for i, node in enumerate(ast.walk(tree)) if isinstance(node, ast.Name) and node.id in known
              and isinstance(node.ctx, ast.Load)]
    for place in places:
        for new in [*known, *("{0} + 1", "2 * {0}", "-{0}")]:
            other = copy.deepcopy(tree)
            node = list(ast.walk(other))[place]
            node.id = new.format(node.id)  # unparsed as it stands; brackets would be a node of their own
            if new not in known:
                node.id = f"({node.id})"
            yield other


SPOIL = {"Tensor": "{n}_given.detach().add_(1)", "list": "{n}_given.append({n}_given[0])", "dict": "{n}_given.clear()",
         "set": "{n}_given.clear()"}


def _in_place(tree: ast.Module, kinds: list[str]) -> Iterator[ast.Module]:
    """The solution that spoils an input after it has copied it: the right answer, when it is asked once.

    kinds: the type of each argument.
    """
    for number, kind in enumerate(kinds):
        if kind in SPOIL and isinstance(tree.body[-1], ast.FunctionDef):
            other = copy.deepcopy(tree)
            name = other.body[-1].args.args[number].arg
            other.body[-1].body[:0] = ast.parse(f"{name}_given = {name}\n{name} = __import__('copy').deepcopy({name})\n"
                                                + SPOIL[kind].format(n=name)).body
            yield other


def mutants(source: str, kinds: list[str]) -> list[str]:
    """All sources that differ from a solution in one thing, each once. kinds: the types of the arguments."""
    tree = ast.parse(source)
    made = []
    for place in range(sum(1 for _ in ast.walk(tree)) + 1):
        for variant in range(12):
            swap = _Swap(place, variant)
            other = swap.visit(copy.deepcopy(tree))
            if not swap.done:
                break
            made.append(other)
    made += [*_shorter(tree), *_names(tree), *_in_place(tree, kinds)]
    texts = dict.fromkeys(ast.unparse(ast.fix_missing_locations(other)) for other in made)
    return [text for text in texts if text != ast.unparse(tree)]


def built(source: str):
    """The function or class that a source defines last; None where it cannot even be defined."""
    place: dict = {}
    try:
        exec("import math\nimport torch\nimport torch.nn.functional as F\nfrom torch import nn\n" + source, place)
    except Exception:
        return None
    return place[[n for n in ast.parse(source).body if isinstance(n, (ast.FunctionDef, ast.ClassDef))][-1].name]


def verdicts(name: str, source: str) -> dict[str, str]:
    """Mutant -> what the checker says of it."""
    from clipmini.course import checks
    from clipmini.course.asking import Asked

    def judged(answer) -> str:
        signal.setitimer(signal.ITIMER_VIRTUAL, SECONDS)
        try:
            return str(checks.ALL[name].verdict(Asked(answer)))
        except _Endless:
            return "wrong: never comes back"
        finally:
            signal.setitimer(signal.ITIMER_VIRTUAL, 0)

    signal.signal(signal.SIGVTALRM, _stop)
    how = checks.ALL[name].how
    kinds = [] if how.module else [type(argument).__name__ for argument in how.cases(0)]
    return {text: judged(answer) for text in mutants(source, kinds) if (answer := built(text)) is not None}


class _Endless(BaseException):
    """Not an Exception, which a checker would tell as a student's own."""


def _stop(*_) -> None:
    raise _Endless


def equivalent() -> dict[str, list[str]]:
    """Checker -> the mutants that are right answers too, or that only rounding tells apart; each read by a person."""
    return json.loads((Path(__file__).parent / "answers" / "equivalent.json").read_text(encoding="utf-8"))


def lines(source: str, mutant: str) -> str:
    """The lines of a mutant that the solution has not, or what it lacks."""
    own, theirs = ast.unparse(ast.parse(source)).splitlines(), mutant.splitlines()
    new = [line.strip() for line in theirs if line not in own]
    return " / ".join(new) or "without " + " / ".join(line.strip() for line in own if line not in theirs)


def sentences() -> list[str]:
    """Every sentence that a checker can say, as it stands in the source: what say, expect and judge are given."""
    found: list[str] = []
    for path in sorted((LESSONS.parent / "clipmini" / "course").glob("*.py")):
        if path.stem in ("base", "asking", "answering", "capstone") or path.stem.startswith("lesson_"):
            nodes = list(ast.walk(ast.parse(path.read_text(encoding="utf-8"))))
            docs = {ast.get_docstring(n, clean=False) for n in nodes
                    if isinstance(n, (ast.Module, ast.ClassDef, ast.FunctionDef))}
            parts = {id(part) for n in nodes if isinstance(n, ast.JoinedStr) for part in n.values}
            found += [n.value for n in nodes if isinstance(n, ast.Constant) and isinstance(n.value, str)
                      and _is_sentence(n.value) and n.value not in docs and id(n) not in parts]
    return list(dict.fromkeys(found))


def _is_sentence(text: str) -> bool:
    return len(text) > 12 and " " in text and bool(re.search("[a-z]{3}", text))


def main(names: list[str]) -> None:
    known = equivalent()
    for name, source in solutions().items():
        if names and name not in names:
            continue
        said = verdicts(name, source)
        passed = [text for text, verdict in said.items() if verdict.startswith("pass")]
        new = [text for text in passed if lines(source, text) not in known.get(name, [])]
        print(f"{name}: {len(said) - len(passed)} of {len(said)} mutants rejected, {len(passed) - len(new)} are equivalent, "
              f"{len(new)} pass")
        for text in said if names else new:
            print("   ", lines(source, text), f"-> {said[text][:150]}" if names else "")


def write_equivalent() -> None:
    """Take every mutant that passes now as a right answer; read the difference before it is kept."""
    found = {name: [lines(source, text) for text, verdict in verdicts(name, source).items() if verdict.startswith("pass")]
             for name, source in solutions().items()}
    (Path(__file__).parent / "answers" / "equivalent.json").write_text(
        json.dumps({name: sorted(set(rows)) for name, rows in found.items() if rows}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    write_equivalent() if sys.argv[1:] == ["--write"] else main(sys.argv[1:])
