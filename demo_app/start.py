"""How the page begins: with which model, and whether models may be fetched."""

import argparse
import os
import sys
from typing import NamedTuple

from clipmini.families import hub_download
from clipmini.families.hub_fetch import fetch
from clipmini.files import CheckpointError
from demo_app.fetching import PERMISSION
from demo_app.shelf import OWN, Model


class Instead(NamedTuple):
    """The model that the page should have started with, and why it could not."""

    name: str
    why: str


def add_options(parser: argparse.ArgumentParser) -> None:
    """--model, --hub and --offline."""
    parser.add_argument("--model", default=None,
                        help="embedded name, checkpoint folder, or hub name (default: emoji, or what the variable "
                        "CLIPMINI_MODEL names; where that cannot be loaded, emoji answers and the page says so)")
    either = parser.add_mutually_exclusive_group()
    either.add_argument("--hub", action="store_true", default=os.environ.get("CLIPMINI_HUB") == "1",
                        help="let all visitors, and --model, fetch published CLIPs from the Hugging Face hub (94 MB to "
                        "10 GB each); without it only whoever sits at this computer can, by a click")
    either.add_argument("--offline", action="store_true", help="let nobody fetch anything")


def own_model(args: argparse.Namespace, told_offline: bool) -> tuple[Model, Instead | None]:
    """Decide who may fetch models, and load the page's own. Raises CheckpointError where it was named by --model."""
    offline = args.offline or told_offline and not args.hub
    public = bool(args.share or args.root_path or "SPACE_ID" in os.environ)
    PERMISSION.decide(args.host, args.hub, offline, public)
    name = args.model or os.environ.get("CLIPMINI_MODEL") or OWN
    try:
        return _loaded(name, args.hub and not offline), None
    except CheckpointError as error:
        if args.model is not None or name == OWN:
            hint = " Or start with --hub, which lets the app fetch it." if "/" in name and not args.hub else ""
            raise CheckpointError(f"{error}.{hint}") from error
        print(f"{name!r}, which CLIPMINI_MODEL names, could not be loaded, so {OWN!r} answers: {error}",
              file=sys.stderr)
        return Model(OWN), Instead(name, str(error))


def _loaded(name: str, may_fetch: bool) -> Model:
    if may_fetch and hub_download.is_name(name) and not os.path.exists(name) and not hub_download.cached(name):
        _fetch_in_the_terminal(name)
    model = Model(name)
    model.get()
    return model


def _fetch_in_the_terminal(name: str) -> None:
    from tqdm import tqdm

    with tqdm(desc=f"fetching {name}", unit="B", unit_scale=True) as bar:
        for progress in fetch(name):
            bar.total = progress.total_bytes or None
            bar.update(progress.done_bytes - bar.n)
