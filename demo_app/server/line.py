"""The queue: lanes for quick and slow work, a share for each visitor, and no work for who has gone."""

import asyncio
import random
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import gradio as gr
from fastapi import HTTPException
from gradio.queueing import Event, Queue
from gradio.server_messages import ProcessCompletedMessage
from gradio.utils import run_coro_in_background

from demo_app.server import checks, limits
from demo_app.server.limits import shortened
from demo_app.texts import language_of, say

CLIENT = "gradio_client"  # it shows no words of an HTTP error, but those of a failed job


class TooSlow(ValueError):
    """A job that has taken all its time, or whose visitor has gone."""


class Refused(Exception):
    """A job that is not taken; status: of HTTP."""

    def __init__(self, status: int, words: str):
        super().__init__(words)
        self.status, self.words = status, words


class Line(Queue):
    """gradio's queue. A job starts when somebody waits for its answer, and is dropped when nobody does for a while;
    those of one visitor that wait are counted; after `draining` none starts. ready: whether the model can answer."""

    def __init__(self, demo: gr.Blocks, ready: Callable[[], bool], lang: str | None = None):
        super().__init__(True, demo.max_threads, 1, limits.QUEUE_MOST, demo, default_concurrency_limit=4)
        self.ready, self.lang, self.draining = ready, lang, False
        self._readers: dict[str, int] = {}
        self._began: dict[str, float] = {}  # job -> when it started
        self._left: dict[str, float] = {}  # session -> since when nobody reads
        self._single: set[str] = set()  # sessions of one job: of programs that named none

    def start(self) -> None:
        """Begin to take jobs, and to sweep."""
        super().start()
        run_coro_in_background(self._sweeping)

    def compute_analytics_summary(self, records) -> dict:
        """Nothing: gradio makes a table of the last 10,000 jobs after each job, for a page that is switched off."""
        return self.cached_event_analytics_summary

    # Who waits for an answer.

    @contextmanager
    def reader(self, session: str) -> Iterator[None]:
        """While the stream of a session's answers is being read."""
        self._readers[session] = self._readers.get(session, 0) + 1
        self._left.pop(session, None)
        try:
            yield
        finally:
            self._readers[session] -= 1
            if not self._readers[session]:
                del self._readers[session]
                if session in self.pending_messages_per_session:
                    self._left[session] = time.monotonic()

    def session_of(self, event_id: str) -> str:
        """Whose job that is; a job without a session has its own."""
        event = self.event_ids_to_events.get(event_id)
        return event.session_hash if event else next(
            (s for s, ids in self.pending_event_ids_session.items() if event_id in ids), event_id)

    # What is taken.

    async def push(self, body, request, username):
        """Take a job, or say in words why not."""
        lang = self.lang or language_of(request)
        try:
            self._check(body, request, lang)
        except Refused as refused:
            if request.headers.get("user-agent", "").startswith(CLIENT) and not self.draining:
                return True, self._told(body, refused.words, lang), "success"
            raise HTTPException(refused.status, refused.words) from None
        single = body.session_hash is None
        found = await super().push(body, request, username)
        if single:
            self._single.add(body.session_hash)
        self._left.setdefault(body.session_hash, time.monotonic())
        if body.session_hash in self._readers:
            self._left.pop(body.session_hash, None)
        return found

    def _check(self, body, request, lang: str) -> None:
        """Raises Refused."""
        if self.draining:
            raise Refused(503, say(lang, "server_draining"))
        function = self.blocks.fns.get(body.fn_index)
        if function is None or not function.queue or function.fn is None:
            raise Refused(404, say(lang, "server_no_endpoint", name=shortened(body.fn_index)))
        wrong = checks.problem(function, body.data, lang)
        if wrong:
            raise Refused(400, wrong)
        self._check_share(function, body.session_hash, request.client.host if request.client else "", lang)

    def _check_share(self, function, session: str | None, address: str, lang: str) -> None:
        """Raises Refused."""
        if len(self) >= limits.QUEUE_MOST:
            raise Refused(429, say(lang, "server_full", n=len(self), limit=limits.QUEUE_MOST))
        lane = self.event_queue_per_concurrency_id.get(function.concurrency_id)
        waiting = lane.queue if lane else []
        own = sum(event.session_hash == session for event in waiting) if session else 0
        if own >= limits.SESSION_MOST:
            raise Refused(429, say(lang, "server_session", n=own, limit=limits.SESSION_MOST))
        beside = sum(event.request.client is not None and event.request.client.host == address for event in waiting)
        if beside >= limits.ADDRESS_MOST:
            raise Refused(429, say(lang, "server_address", n=beside, limit=limits.ADDRESS_MOST))

    def _told(self, body, words: str, lang: str) -> str:
        """Have the words come as the answer of a job -> its id."""
        event_id = uuid.uuid4().hex
        session = body.session_hash or event_id
        self._announce(session, event_id, words, lang)
        return event_id

    def _announce(self, session: str, event_id: str, words: str, lang: str) -> None:
        if session not in self.pending_messages_per_session:
            self.pending_messages_per_session[session] = asyncio.Queue()
        self.pending_event_ids_session.setdefault(session, set()).add(event_id)
        self.pending_messages_per_session[session].put_nowait(ProcessCompletedMessage(
            event_id=event_id, success=False, title=say(lang, "error"),
            output={"error": words, "visible": True, "duration": 10, "title": say(lang, "error")}))
        if session not in self._readers:
            self._left.setdefault(session, time.monotonic())

    # What runs.

    def get_events(self):
        """The next job, of a lane that has room, whose answer somebody waits for."""
        if self.draining:
            for event in self.waiting():
                self.drop(event, "server_draining")
            return None
        lanes = list(self.event_queue_per_concurrency_id.values())
        random.shuffle(lanes)
        for lane in lanes:
            if lane.concurrency_limit is not None and lane.current_concurrency >= lane.concurrency_limit:
                continue
            read = next((e for e in lane.queue if e.session_hash in self._readers), None)
            if read is not None:
                lane.queue.remove(read)
                self._began[read._id] = time.monotonic()
                return [read], False, lane.concurrency_id
        return None

    def set_progress(self, event_id: str, iterables) -> None:
        """A job tells how far it is: the moment to stop it. Raises TooSlow."""
        super().set_progress(event_id, iterables)
        event = self.event_ids_to_events.get(event_id)
        if event is None:
            return
        if time.monotonic() - self._began.get(event_id, time.monotonic()) > limits.JOB_SECONDS:
            raise TooSlow(say(self._tongue(event), "server_slow", limit=limits.JOB_SECONDS))
        if not event.alive:
            raise TooSlow("the visitor has gone")

    def _tongue(self, event: Event) -> str:
        return self.lang or language_of(event.request)

    def drop(self, event: Event, key: str, **values) -> None:
        """Take a job that waits out of the line, and say why, should somebody ask."""
        lane = self.event_queue_per_concurrency_id[event.concurrency_id]
        if event in lane.queue:
            lane.queue.remove(event)
        self.event_ids_to_events.pop(event._id, None)
        lang = self._tongue(event)
        self._announce(event.session_hash, event._id, say(lang, key, **values), lang)

    def waiting(self) -> list[Event]:
        """All jobs that wait."""
        return [event for lane in self.event_queue_per_concurrency_id.values() for event in lane.queue]

    def running(self) -> list[Event]:
        """All jobs that run."""
        return [event for job in self.active_jobs if job for event in job]

    async def _sweeping(self) -> None:
        while not self.stopped:
            self._sweep()
            await asyncio.sleep(1)

    def _sweep(self) -> None:
        """Drop jobs and forget answers that nobody waits for."""
        now = time.monotonic()
        for event in self.waiting():
            gone = self._left.get(event.session_hash)
            if event.session_hash not in self._readers and gone is not None and now - gone > limits.READER_SECONDS:
                self.drop(event, "server_unread", limit=limits.READER_SECONDS)
        busy = {event.session_hash for event in [*self.waiting(), *self.running()]}
        self._forget_states(self._single - busy)
        at_work = {event._id for event in self.running()}
        self._began = {job: then for job, then in self._began.items() if job in at_work or now - then < 1}
        for session, since in list(self._left.items()):
            if session not in busy and now - since > limits.KEPT_SECONDS:
                del self._left[session]
                self.pending_event_ids_session.pop(session, None)
                if session in self.pending_messages_per_session:
                    del self.pending_messages_per_session[session]

    def _forget_states(self, sessions: set[str]) -> None:
        """gradio keeps a copy of the page for each session, a third of a megabyte; a program's ends with its job."""
        states = getattr(self.server_app, "state_holder", None)
        for session in sessions:
            self._single.discard(session)
            if states is not None:
                states.session_data.pop(session, None)
                states.time_last_used.pop(session, None)


def line_of(app) -> Line | None:
    """The queue of a running app."""
    blocks = getattr(app, "blocks", None)
    return blocks._queue if blocks is not None and isinstance(blocks._queue, Line) else None
