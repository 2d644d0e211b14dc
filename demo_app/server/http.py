"""HTTP manners: the middleware of the app, its headers, /health, and what odd requests are told."""

import asyncio
import contextlib
import json
import os
import re
import secrets
import time
from collections.abc import Callable, MutableMapping, Sequence
from typing import Any

from anyio.to_thread import run_sync
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.middleware.gzip import GZipMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from uvicorn.middleware.proxy_headers import ProxyHeadersMiddleware

from demo_app.server import limits
from demo_app.server.described import Described
from demo_app.server.line import line_of
from demo_app.server.log import log_request, log_unforeseen
from demo_app.texts import language_of, say

os.environ["FORWARDED_ALLOW_IPS"] = ""  # uvicorn believes a proxy on this computer; we believe those that are named
INSTANCE = secrets.token_hex(8)  # a page that was made by another process knows it by this
FORWARDED = (b"x-forwarded-host", b"x-forwarded-for", b"x-forwarded-proto", b"x-forwarded-port", b"x-forwarded-prefix",
             b"forwarded", b"x-real-ip", b"x-gradio-server")
HOST = re.compile(r"[A-Za-z0-9.\-_~%:\[\]]{1,255}")
API = "/gradio_api/"
DIRECT = re.compile(API + r"(?:run|api)(?:/|$)")  # gradio's way past the queue
STREAM = re.compile(API + r"(?:queue/data|call(?:/v2)?/[^/]+/(?P<event>[^/]+))/?$")
LOGINS_FREE, LOGIN_WAIT, LOGINS_WAITING, LOGIN_MEMORY = 5, 2.0, 3, 300  # wrong ones; seconds; at a time; seconds


def headers(space: bool) -> dict[str, str]:
    """The headers of every answer. space: Hugging Face shows a Space inside a page, which brings a script."""
    frames = " https://huggingface.co https://*.hf.space" if space else ""
    scripts = " https://cdnjs.cloudflare.com" if space else ""
    policy = ("default-src 'self'", f"script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:{scripts}",
              "style-src 'self' 'unsafe-inline'", "img-src 'self' data: blob:", "media-src 'self' data: blob:",
              "font-src 'self' data:", "worker-src 'self' blob:", "connect-src 'self' data: blob:", "object-src 'none'",
              "base-uri 'self'", f"frame-ancestors 'self'{frames}")
    found = {"x-content-type-options": "nosniff", "referrer-policy": "same-origin",
             "content-security-policy": "; ".join(policy)}
    return found if space else found | {"x-frame-options": "SAMEORIGIN"}


def refusal(status: int, words: str) -> JSONResponse:
    """An error as the page and programs read it: the page shows `detail`."""
    return JSONResponse({"detail": words, "error": words}, status)


class Manners:
    """The middleware. proxies: addresses or networks whose X-Forwarded headers are obeyed."""

    def __init__(self, app, proxies: Sequence[str] = (), space: bool = False):
        self.app, self.headers = app, headers(space)
        self.proxied = ProxyHeadersMiddleware(self._inside, list(proxies))
        self.logins = Logins()

    async def __call__(self, scope, receive, send) -> None:
        """Answer one request, whatever it is."""
        if scope["type"] != "http":
            return await self.app(scope, receive, send)
        client = scope.get("client")
        if client and client[0] in self.proxied.trusted_hosts:
            return await self.proxied(scope, receive, send)
        scope["headers"] = [(k, v) for k, v in scope["headers"] if k not in FORWARDED]
        await self._inside(scope, receive, send)

    async def _inside(self, scope, receive, send) -> None:
        talk = Talk(scope, receive, send, self.headers)
        try:
            await self._answer(scope, talk)
        except (Exception, asyncio.CancelledError) as error:
            await self._mend(scope, talk, error)
        finally:
            log_request(scope, talk.status, talk.came, talk.went, time.monotonic() - talk.began)

    async def _answer(self, scope, talk: "Talk") -> None:
        """Let the app answer, unless the request is refused here."""
        given, lang = Headers(scope=scope), _language(scope)
        if not HOST.fullmatch(given.get("host", "")):
            return await talk.refuse(400, say(lang, "server_host"))
        length = given.get("content-length", "0")
        if length.isdigit() and len(length) < 20 and int(length) > talk.limit:
            return await talk.refuse(413, talk.too_large())
        if DIRECT.match(scope["path"]):
            return await talk.refuse(404, say(lang, "server_direct"))
        if scope["path"].rstrip("/") == "/login" and scope["method"] == "POST":
            return await self.logins.pass_on(self.app, scope, talk)
        line, stream = line_of(scope.get("app")), STREAM.search(scope["path"])
        if line is None or stream is None or scope["method"] != "GET":
            return await self.app(scope, talk.receive, talk.send)
        event = stream["event"]
        session = line.session_of(event) if event else Request(scope).query_params.get("session_hash", "")
        if session not in line.pending_messages_per_session:
            words = say(lang, "server_no_job")
            return await (talk.refuse(404, words) if event else talk.unknown_session(words))
        with line.reader(session):
            await self.app(scope, talk.receive, talk.send)

    async def _mend(self, scope, talk: "Talk", error: BaseException) -> None:
        """An exception that nobody caught: words, if the answer has not begun; its number and place in the log."""
        if isinstance(error, asyncio.CancelledError):
            raise error
        lang, begun = _language(scope), talk.status
        if isinstance(error, HTTPException):
            status, words = error.status_code, str(error.detail)
        elif scope["path"].startswith(API + "call/"):
            status, words = 404, say(lang, "server_no_endpoint", name=limits.shortened(scope["path"].split("/")[-1]))
        else:
            status = 400 if scope["method"] == "POST" or scope["query_string"] or "{" in _route(scope) else 500
            words = say(lang, "server_odd", number=log_unforeseen(error, _route(scope)))
        if not begun:
            await talk.refuse(status, words)
        elif not talk.ended:
            with contextlib.suppress(OSError, RuntimeError):
                await talk.send({"type": "http.response.body", "body": b"", "more_body": False})


def _language(scope) -> str:
    return language_of(Request(scope))


def _route(scope) -> str:
    """The route as it is written in the program: no word of a visitor is in it."""
    return getattr(scope.get("route"), "path", "")


class Talk:
    """receive and send of one request: they count, limit, and add headers."""

    def __init__(self, scope, receive, send, added: dict[str, str]):
        self.scope, self._receive, self._send, self.added = scope, receive, send, added
        self.began, self.status, self.came, self.went, self.ended = time.monotonic(), 0, 0, 0, False
        upload = scope["path"].rstrip("/").endswith("/upload")
        self.limit = limits.UPLOAD_BODY_BYTES if upload else limits.BODY_BYTES

    def too_large(self) -> str:
        """What is said of a body that is."""
        return say(_language(self.scope), "server_body", limit=self.limit // 1_000_000)

    async def receive(self) -> MutableMapping[str, Any]:
        """The next piece. Raises HTTPException once there are too many."""
        message = await self._receive()
        self.came += len(message.get("body", b""))
        if self.came > self.limit:
            raise HTTPException(413, self.too_large())
        return message

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """The next piece of the answer."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            into = MutableHeaders(raw=message.setdefault("headers", []))
            for name, value in self.added.items():
                into.setdefault(name, value)
        elif message["type"] == "http.response.body":
            self.went += len(message.get("body", b""))
            self.ended = not message.get("more_body", False)
        await self._send(message)

    async def refuse(self, status: int, words: str) -> None:
        """Answer with words."""
        await refusal(status, words)(self.scope, self._receive, self.send)

    async def unknown_session(self, words: str) -> None:
        """What the page's stream says of a session that is not here, as gradio says it."""
        message = {"msg": "unexpected_error", "message": words, "success": False, "session_not_found": True}
        answer = Response(f"data: {json.dumps(message)}\n\n", media_type="text/event-stream")
        await answer(self.scope, self._receive, self.send)


class Logins:
    """Wrong passwords are slowed down: after some, each try of that address waits, and they wait for each other."""

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self.clock, self.wrong, self.waiting, self.locks = clock, {}, {}, {}  # type: ignore[var-annotated]

    async def pass_on(self, app, scope, talk: Talk) -> None:
        """Let the app look at a password."""
        address = scope["client"][0] if scope.get("client") else ""
        if self._count(address) < LOGINS_FREE:
            return await self._try(app, scope, talk, address)
        if self.waiting.get(address, 0) >= LOGINS_WAITING:
            return await talk.refuse(429, say(_language(scope), "server_logins", n=LOGINS_FREE))
        self.waiting[address] = self.waiting.get(address, 0) + 1
        try:
            async with self.locks.setdefault(address, asyncio.Lock()):
                await asyncio.sleep(LOGIN_WAIT)
                await self._try(app, scope, talk, address)
        finally:
            self.waiting[address] -= 1

    def _count(self, address: str) -> int:
        then = self.clock() - LOGIN_MEMORY
        self.wrong = {a: recent for a, times in self.wrong.items() if (recent := [t for t in times if t > then])}
        return len(self.wrong.get(address, ()))

    async def _try(self, app, scope, talk: Talk, address: str) -> None:
        await app(scope, talk.receive, talk.send)
        if talk.status == 400:
            self.wrong.setdefault(address, []).append(self.clock())


async def health(request: Request) -> JSONResponse:
    """GET /health; stays open where the page wants a password."""
    line = line_of(request.app)
    loaded = line is not None and await run_sync(line.ready)
    fine = line is not None and loaded and not line.draining
    return JSONResponse({"ok": fine, "instance": INSTANCE, "model_loaded": loaded,
                         "waiting": len(line.waiting()) if line else 0, "running": len(line.running()) if line else 0,
                         "draining": line is not None and line.draining},
                        200 if fine else 503, {"cache-control": "no-store"})


async def invalid(request: Request, error: Exception) -> JSONResponse:
    """A body of the wrong shape: where, and what is wanted, but not what came."""
    assert isinstance(error, RequestValidationError)
    found = [f"{'.'.join(str(part)[:40] for part in one['loc'])[:120]}: {one['msg'][:120]}"
             for one in error.errors()[:5]]
    return refusal(400, say(language_of(request), "server_shape", what="; ".join(found)))


class Compressed:
    """The page and its description come as gzip, 0.1 MB in place of 0.5: gradio compresses its scripts alone."""

    def __init__(self, app):
        self.app, self.zipped = app, GZipMiddleware(app, minimum_size=2000, compresslevel=6)

    async def __call__(self, scope, receive, send) -> None:
        """Answer one request."""
        whole = scope["type"] == "http" and scope["path"].endswith(("/", "/config", "/info"))
        await (self.zipped if whole else self.app)(scope, receive, send)


def app_kwargs(proxies: Sequence[str] = ()) -> dict[str, Any]:
    """What gradio passes on to FastAPI."""
    space = "SPACE_ID" in os.environ  # there everything comes through Hugging Face's proxies
    trusted = ["0.0.0.0/0", "::/0"] if space and not proxies else list(proxies)
    return {"middleware": [Middleware(Manners, proxies=trusted, space=space), Middleware(Compressed),
                           Middleware(Described)],
            "routes": [Route("/health", health, methods=["GET"])],
            "exception_handlers": {RequestValidationError: invalid}}
