"""A lock file: one process at a time writes a folder. A dead process's lock is taken over, a live one's refused."""

import json
import os
import socket
import sys
import uuid
from contextlib import contextmanager, suppress
from pathlib import Path

from clipmini.files import CheckpointError


def _began(pid: int) -> str | None:
    """When a process began, as its system counts: numbers are given out again. "" where that cannot be told, None where
    no such process lives."""
    if sys.platform == "win32":  # os.kill(pid, 0), the question elsewhere, would end it there
        import ctypes
        from ctypes import wintypes

        kernel = ctypes.WinDLL("kernel32", use_last_error=True)
        kernel.OpenProcess.restype = wintypes.HANDLE
        found = kernel.OpenProcess(0x1000, False, pid)  # PROCESS_QUERY_LIMITED_INFORMATION
        if not found:
            return "" if ctypes.get_last_error() == 5 else None  # 5: access denied, so it is there
        handle, code, times = wintypes.HANDLE(found), wintypes.DWORD(), [wintypes.FILETIME() for _ in range(4)]
        kernel.GetExitCodeProcess(handle, ctypes.byref(code))
        kernel.GetProcessTimes(handle, *map(ctypes.byref, times))
        kernel.CloseHandle(handle)
        return f"{times[0].dwHighDateTime} {times[0].dwLowDateTime}" if code.value == 259 else None  # STILL_ACTIVE
    with suppress(OSError, IndexError):  # Linux; the name before the last bracket may hold anything
        fields = Path(f"/proc/{pid}/stat").read_text(errors="replace").rpartition(")")[2].split()
        return None if fields[0] in "ZX" else fields[19]  # a zombie writes nothing any more
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return None
    except PermissionError:
        pass  # somebody else's, so it is there
    return ""


def _holder(text: str) -> dict | None:
    """What a lock says of the process that holds it; None where it says nothing."""
    with suppress(ValueError, KeyError, TypeError):
        found = json.loads(text)
        if type(found["pid"]) is int and 0 < found["pid"] < 2**31 and found["host"] and "began" in found:
            return found
    return None


def _alive(holder: dict, text: str) -> bool:
    """Whether the process that a lock names may be at work: one of another computer always may."""
    if holder["host"] != socket.gethostname():
        return True
    if holder["pid"] == os.getpid() and text not in _locks:
        return False  # in a container each process may get the number that the killed one had
    began = _began(holder["pid"])
    return began is not None and (not began or not holder["began"] or began == holder["began"])


_locks: set[str] = set()  # what stands in the locks that this process holds


@contextmanager
def locked(path: Path, refused: type[Exception]):
    """Hold a lock file, which names this process and this computer, while the body runs; two bodies never run at once.

    The lock of a dead process of this computer is taken over, with a line on stderr. Raises `refused` where its process
    may live, CheckpointError when the disk says no.
    """
    path, pid = Path(path), os.getpid()
    text = json.dumps({"pid": pid, "host": socket.gethostname(), "began": _began(pid), "token": uuid.uuid4().hex})
    _locks.add(text)
    try:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _take_lock(path, text, refused)
        except OSError as error:
            raise CheckpointError(f"could not write the lock {str(path)!r}: {error}. Free some space or choose another "
                                  "place; what was there before is unchanged.") from error
        yield
    finally:
        if pid == os.getpid():  # a forked child leaves its parent's alone
            with suppress(OSError):
                _drop_lock(path, text)
        _locks.discard(text)


def _take_lock(path: Path, text: str, refused: type[Exception]) -> None:
    while True:
        try:
            file, made = os.open(path, os.O_CREAT | os.O_EXCL | os.O_RDWR, 0o644), True
        except FileExistsError:
            try:
                file, made = os.open(path, os.O_RDWR), False
            except FileNotFoundError:  # released meanwhile
                continue
        with os.fdopen(file, "r+", encoding="utf-8", errors="replace") as opened:
            alone = _alone(file)  # all who write it do so alone: what is empty or half-written then is a dead one's
            if not _same(file, path):
                continue
            found = opened.read()
            holder = _holder(found)
            if holder is not None and _alive(holder, found):
                where = "" if holder["host"] == socket.gethostname() else f" on the computer {holder['host']!r}"
                raise refused(f"process {holder['pid']}{where} is at work in {str(path.parent)!r}; wait for it, end "
                              f"it, or choose another folder (--out). If it is no such process, delete {str(path)!r}")
            who = f"process {holder['pid']}, which was at work there, is" if holder else "who was at work there is"
            if not (alone or made):
                raise refused(f"{who} gone, and this disk has no file locks by which one of many could take over "
                              f"{str(path.parent)!r}: delete {str(path)!r}")
            opened.seek(0)
            opened.truncate()
            opened.write(text)
            opened.flush()
            if found:
                print(f"taking over {str(path.parent)!r}: {who} gone", file=sys.stderr)
            return


def _drop_lock(path: Path, text: str) -> None:
    with open(path, "r+", encoding="utf-8", errors="replace") as opened:
        _alone(opened.fileno())
        if opened.read() == text and _same(opened.fileno(), path):
            if sys.platform == "win32":  # no open file can be deleted there: an empty one is nobody's
                opened.seek(0)
                opened.truncate()
            else:
                path.unlink()


def _same(file: int, path: Path) -> bool:
    """Whether an open file still stands under its name: not released, and no other one put there."""
    try:
        return os.path.samestat(os.fstat(file), os.stat(path))
    except FileNotFoundError:
        return False


def _alone(file: int) -> bool:
    """Wait until nobody else has the open file locked, and lock it until it is closed. False: this disk cannot."""
    try:
        if sys.platform == "win32":
            import msvcrt

            os.lseek(file, 1 << 30, os.SEEK_SET)  # a byte far behind the text, which others may go on reading
            msvcrt.locking(file, msvcrt.LK_LOCK, 1)
            os.lseek(file, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(file, fcntl.LOCK_EX)
    except OSError:
        return False
    return True
