"""naust serve."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from common import console
from common.cli import Store


def serve(
    folder: Annotated[str, typer.Argument(help="The store: a folder, or the name of one in naust.hcl.")] = "",
    store: Store = None,
    listen: Annotated[str, typer.Option(help="HOST:PORT; port 0 is any free one.")] = "127.0.0.1:8440",
    cert: Annotated[Path | None, typer.Option(help="PEM file with the chain of certificates.")] = None,
    key: Annotated[Path | None, typer.Option(help="PEM file with the certificate's key.")] = None,
    plain: Annotated[
        bool, typer.Option("--plain", help="Without TLS, though others than this machine listen.")
    ] = False,
    tokens: Annotated[Path | None, typer.Option(help="File that `naust token` writes.")] = None,
    anonymous: Annotated[str, typer.Option(help="What may be done without a token: read, write or admin.")] = "",
    audit: Annotated[Path | None, typer.Option(help="File for a line of JSON on each change and denial.")] = None,
    max_upload: Annotated[str, typer.Option(help="Largest blob, such as 20GiB; without it no limit.")] = "",
    rate: Annotated[int, typer.Option(help="Requests a second of one token or address; 0 is no limit.", min=0)] = 0,
    workers: Annotated[int, typer.Option(help="Requests that are served at once.", min=1, max=512)] = 32,
    grace: Annotated[str, typer.Option(help="How long requests may go on after the first signal.")] = "30s",
    sparse: Annotated[bool, typer.Option("--sparse", help="Take manifests whose blobs are elsewhere.")] = False,
    sources: Annotated[
        Path | None, typer.Option("--sources", help="A sources.hcl, whose sources of mode proxy are served.")
    ] = None,
    refresh: Annotated[str, typer.Option(help="How old what upstream says of these may be.")] = "15m",
    verbose: Annotated[bool, typer.Option("--verbose", help="Log every request to stderr.")] = False,
) -> None:
    """Serve a store over HTTPS: distribution API, snapshots, pages for people, metrics.

    Sources of mode proxy are at /sources/NAME/, for apt, pip and curl: what they ask for is fetched once, and kept.

    SIGTERM and Ctrl-C let requests in flight finish; a second one ends at once. SIGHUP reads certificates and tokens
    anew and opens the audit log anew.

    Exit codes: 0 stopped; 1 a file may not be read or written; 2 bad input; 4 stopped, but requests were cut off.
    """
    from naust.serve.server import run
    from naust.serve.settings import Settings, prepared

    settings = Settings(folder, store, listen, cert, key, plain, tokens, anonymous, audit, max_upload, rate, workers,
                        grace, sparse, verbose, sources, refresh)  # fmt: skip
    server, url, store_url = prepared(settings)
    run(server, lambda: console.note(f"naust: {url} serves {store_url}"))
