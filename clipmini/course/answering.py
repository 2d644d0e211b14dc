"""A process of its own for a student's answers: `python -m clipmini.course.answering` reads questions, writes answers.

The verdict is made by the process that asks. What comes back is tensors, numbers, words, lists and dicts, read without
any code of the student's; what a student prints goes nowhere.
"""

import io
import os
import struct
import subprocess
import sys
import threading
from collections.abc import Sequence
from typing import Any, BinaryIO

import torch
from torch import Tensor

from clipmini.course.asking import Asked, Mistake, Todo
from clipmini.course.words import say

SECONDS = 60  # for one answer


def send(stream: BinaryIO, message: Any) -> None:
    """Write a message, its length first."""
    buffer = io.BytesIO()
    torch.save(message, buffer)
    stream.write(struct.pack("<Q", buffer.tell()) + buffer.getvalue())
    stream.flush()


def receive(stream: BinaryIO, trusted: bool) -> Any:
    """The next message. Raises EOFError at the end. trusted: it may hold objects of any class."""
    head = stream.read(8)
    if len(head) < 8:
        raise EOFError
    data = stream.read(struct.unpack("<Q", head)[0])
    return torch.load(io.BytesIO(data), weights_only=not trusted)


def sendable(x: Any) -> Any:
    """An answer as something that weights_only reads; of what it cannot, the name of its type."""
    if isinstance(x, Tensor):
        return x.detach().clone()
    if isinstance(x, dict):
        return {sendable(k): sendable(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return type(x)(map(sendable, x)) if type(x) in (list, tuple) else [*map(sendable, x)]
    if isinstance(x, (str, int, float, bool, type(None))):
        return x
    return {"type": type(x).__name__}


class Process:
    """A process that answers; one that died, or took too long and was ended, is started again."""

    def __init__(self) -> None:
        self.child: subprocess.Popen | None = None

    def __enter__(self) -> "Process":
        return self

    def __exit__(self, *_: Any) -> None:
        self._end()

    def _end(self) -> None:
        if self.child:
            self.child.kill()
            self.child.wait()
            for stream in (self.child.stdin, self.child.stdout):
                stream.close()  # type: ignore[union-attr]
        self.child = None

    def start(self) -> None:
        """Start it, unless it runs."""
        if self.child is None or self.child.poll() is not None:
            self._end()
            code = [sys.executable, "-m", "clipmini.course.answering"]
            environment = {**os.environ, "MPLBACKEND": "Agg", "CLIPMINI_FAST": "1", "OMP_NUM_THREADS": "1"}
            self.child = subprocess.Popen(code, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                          stderr=subprocess.DEVNULL, env=environment)

    def ask(self, question: tuple) -> tuple[str, Any, bool]:
        """(kind, value, whether an argument was changed). Raises Mistake where the process ends or cannot be read."""
        if self.child is None:
            raise Mistake(say("its process ended, or took longer than {seconds} seconds", seconds=SECONDS))
        watch = threading.Timer(SECONDS, self.child.kill)
        watch.start()
        try:
            send(self.child.stdin, question)  # type: ignore[arg-type]
            kind, value, changed = receive(self.child.stdout, trusted=False)  # type: ignore[arg-type]
        except (EOFError, OSError):
            self._end()
            raise Mistake(say("its process ended, or took longer than {seconds} seconds", seconds=SECONDS)) from None
        except Exception:  # a student's code that writes to the pipe itself
            self._end()
            raise Mistake(say("what came back cannot be read")) from None
        finally:
            watch.cancel()
        return str(kind), value, bool(changed)


class Elsewhere(Asked):
    """A student's answer in another process: it is asked as one in this process."""

    def __init__(self, process: Process, source: str, answer: str):
        self.process, self.__name__, self.changed = process, answer, False
        process.start()
        self.borrowed = bool(self._ask(("define", source, answer)))

    def __call__(self, *arguments: Any) -> Any:
        return self._ask(("call", arguments))

    def gradient(self, *arguments: Any) -> tuple[Any, list[Tensor | None]]:
        return self._ask(("gradient", arguments))

    def module(self, init: Sequence[Any], state: dict[str, Tensor], *inputs: Any) -> Any:
        return self._ask(("module", init, state, inputs))

    def learning(self, init: Sequence[Any], state: dict[str, Tensor], *inputs: Any) -> list[str]:
        return self._ask(("learning", init, state, inputs))

    def _ask(self, question: tuple) -> Any:
        kind, value, changed = self.process.ask(question)
        self.changed |= changed
        if kind == "todo":
            raise Todo
        if kind == "mistake":
            raise Mistake(str(value))
        return value


def _answer(question: tuple, asked: list[Asked]) -> Any:
    """What one question gives. Raises Todo and Mistake. asked: the answer, once it is defined."""
    kind, *rest = question
    if kind == "define":
        place: dict[str, Any] = {"__name__": "notebook"}
        try:
            exec(compile(rest[0], "notebook", "exec"), place)
            asked[:] = [Asked(eval(rest[1], place))]
        except Exception as error:
            raise Mistake(say("its cell cannot be run: {error}", error=f"{type(error).__name__}: {error}")) from None
        return asked[0].borrowed
    if kind == "call":
        return sendable(asked[0](*rest[0]))
    if kind == "gradient":
        return sendable(asked[0].gradient(*rest[0]))
    return sendable(getattr(asked[0], kind)(rest[0], rest[1], *rest[2]))


def main() -> None:
    """Answer until the asking process closes the pipe."""
    questions, answers = sys.stdin.buffer, os.fdopen(os.dup(sys.stdout.fileno()), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    sys.stdin = open(os.devnull, encoding="utf-8")
    asked: list[Asked] = []
    while True:
        try:
            question = receive(questions, trusted=True)
        except EOFError:
            return
        try:
            reply = ("value", _answer(question, asked))
        except Todo:
            reply = ("todo", "")
        except Mistake as mistake:
            reply = ("mistake", str(mistake))
        send(answers, (*reply, bool(asked and asked[0].changed)))


if __name__ == "__main__":
    main()
