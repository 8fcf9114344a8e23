"""`bottega serve models`: offers the backbone and the task models over HTTP, as OpenAI's clients know it."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from .options import run_async


@click.command()
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8766, show_default=True, help="0 takes any free one.")
@click.option(
    "--models", "folder", envvar="BOTTEGA_MODELS", type=click.Path(path_type=Path), help="Where models are kept."
)
def models(host: str, port: int, folder: Path | None) -> int:
    """Serve task models over HTTP: /v1/models, /v1/embeddings and /v1/classify.

    The base URL is printed once it can be used; give it to any client of OpenAI's protocol. Ctrl-C or SIGTERM ends it.
    """
    from ..models.encoder import open_encoder
    from ..servers.models import LOOPBACK, serve_models

    if host not in LOOPBACK:
        print(f"warning: whoever can reach {host} can use these models", file=sys.stderr)
    encoder = open_encoder()
    try:
        run_async(serve_models(encoder, folder, host=host, port=port, started=lambda url: print(url, flush=True)))
    except KeyboardInterrupt:
        print("ended", file=sys.stderr)
    return 0
