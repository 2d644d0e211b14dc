"""Who may fetch a published CLIP from the hub, and the fetching. The page's own process never asks the network."""

import threading
from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit

from clipmini.families.hub_fetch import Progress, fetch
from clipmini.files import CheckpointError
from demo_app.published import BY_NAME
from demo_app.texts import Told

HERE = {"127.0.0.1", "localhost", "::1"}


class Permission:
    """Whether visitors of this process's page may fetch. refused: the key of the sentence that says why not, or
    nothing; anyone: also those who do not sit at this computer."""

    refused, anyone = "models_public", False

    def decide(self, host: str, hub: bool, offline: bool, public: bool) -> None:
        """hub, offline: what was asked for; public: behind a proxy, a public link, or on a Space."""
        self.anyone = hub and not offline
        self.refused = "models_offline" if offline else "" if hub or host in HERE and not public else "models_public"

    def refusal(self, headers: Mapping[str, str] | None) -> str:
        """Why a visitor may not fetch: the key of a sentence, or nothing. Whoever comes by another name than this
        computer's, or through a proxy, does not sit at it. headers: of the request; None for nobody's."""
        if self.refused or self.anyone or headers is None:
            return self.refused
        host = urlsplit(f"//{headers.get('host', '')}").hostname
        proxied = any(name in headers for name in ("x-forwarded-for", "x-forwarded-host", "forwarded"))
        return "" if host in HERE and not proxied else "models_public"


PERMISSION = Permission()
_under_way: set[str] = set()
_lock = threading.Lock()


def fetched(name: str) -> Iterator[Progress]:
    """Fetch a published CLIP. Closing the iterator stops it; the next one goes on from there.

    Raises Told where it is forbidden or under way, CheckpointError with the reason when it fails.
    """
    if name not in BY_NAME:
        raise CheckpointError(f"{name[:80]!r} is not among the published models that this page offers")
    if PERMISSION.refused:
        raise Told(PERMISSION.refused)
    with _lock:
        if name in _under_way:
            raise Told("models_under_way", title=BY_NAME[name].title)
        _under_way.add(name)
    try:
        yield from fetch(name)
    finally:
        with _lock:
            _under_way.discard(name)
