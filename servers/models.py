"""The model server: `/v1/models`, `/v1/embeddings` and `/v1/classify` over the backbone and its adapters.

The first two speak OpenAI's protocol, so that its clients work with them; classify is alike. Requests that come
together are embedded together.
"""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..core.errors import BottegaError, ModelError
from ..models.adapters import Adapter, Array
from ..models.backbone import HIDDEN, NAME
from ..models.classifier import Classifier
from ..models.encoder import Encoder
from ..models.registry import Entry, find_model, list_models, read_adapter
from .listener import listen

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

MAX_BODY = 8_000_000
"""Bytes of a request."""
MAX_INPUTS = 2048
"""Texts in a request."""
MAX_BATCH = 64
"""Texts that are embedded at once; those after them wait no longer than for these."""
LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Refusal(Exception):
    """A request that is answered with an error object of OpenAI's form."""

    def __init__(self, status: int, message: str, code: str | None = None, param: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        kind = "invalid_request_error" if status < 500 else "server_error"
        self.body = {"error": {"message": message, "type": kind, "param": param, "code": code}}


@dataclass
class _Job:
    texts: list[str]
    adapter: Adapter | None
    done: asyncio.Future[Array]


@dataclass
class Batcher:
    """Embeds texts in a thread. While that works on one batch the next one gathers: no request waits for company."""

    encoder: Encoder
    _jobs: asyncio.Queue[_Job] = field(default_factory=asyncio.Queue)

    async def embed(self, texts: list[str], adapter: Adapter | None = None) -> Array:
        """Unit vectors (texts, 384). An adapter without LoRA shares its batches with the backbone."""
        job = _Job(texts, adapter if adapter and adapter.lora else None, asyncio.get_running_loop().create_future())
        self._jobs.put_nowait(job)
        return await job.done

    async def work(self) -> None:
        """Serves jobs until it is cancelled."""
        left: list[_Job] = []
        while True:
            left = left or [await self._jobs.get()]
            while not self._jobs.empty():
                left.append(self._jobs.get_nowait())
            left = [job for job in left if not job.done.cancelled()]
            if left:
                batch, left = _batch(left)
                await self._run(batch)

    async def _run(self, batch: list[_Job]) -> None:
        texts = [text for job in batch for text in job.texts]
        try:
            vectors = await asyncio.to_thread(self.encoder.embed, texts, batch[0].adapter)
        except Exception as error:  # whatever it is, it belongs to those who wait
            for job in batch:
                if not job.done.done():
                    job.done.set_exception(ModelError(f"the texts could not be embedded: {error}"))
            return
        at = 0
        for job in batch:
            if not job.done.done():
                job.done.set_result(vectors[at : at + len(job.texts)])
            at += len(job.texts)


def _batch(jobs: list[_Job]) -> tuple[list[_Job], list[_Job]]:
    """The first job with others of the same adapter, while there is room; and the rest, in their order."""
    taken, size = [jobs[0]], len(jobs[0].texts)
    rest = []
    for job in jobs[1:]:
        if job.adapter is jobs[0].adapter and size + len(job.texts) <= MAX_BATCH:
            taken.append(job)
            size += len(job.texts)
        else:
            rest.append(job)
    return taken, rest


class Models:
    """The models of a folder by name; `NAME@VERSION` is an older one. What is trained meanwhile is there at once."""

    def __init__(self, encoder: Encoder, folder: Path | None) -> None:
        self.encoder = encoder
        self.folder = folder
        self._open: dict[tuple[Path, int], Adapter] = {}

    def listing(self) -> list[dict[str, Any]]:
        """What `/v1/models` tells, the newest version of each."""
        newest = {e.name: e for e in list_models(self.folder) if not e.problem}.values()
        own = [_told(e.name, e.version, e.task, _time(e.weights)) for e in newest]
        return [_told(NAME, 0, "embed", 0), *own]

    def adapter(self, name: str) -> tuple[Entry | None, Adapter | None]:
        """A model's entry and adapter, opened once; neither for the backbone. Refuses unknown and damaged ones."""
        if name in (NAME, f"sentence-transformers/{NAME}"):
            return None, None
        plain, _, version = name.partition("@")
        try:
            entry = find_model(plain, int(version) if version.isdigit() else None, self.folder)
            key = (entry.weights, entry.weights.stat().st_mtime_ns)
            if key not in self._open:
                self._open[key] = read_adapter(entry)
        except OSError as error:
            raise Refusal(
                500, f"the model {name!r} cannot be read: {error.strerror}", "model_damaged", "model"
            ) from None
        except ModelError as error:
            there = any(e.name == plain for e in list_models(self.folder)) and not version
            code = "model_damaged" if there else "model_not_found"
            raise Refusal(500 if there else 404, str(error), code, "model") from None
        return entry, self._open[key]

    def classifier(self, name: str) -> Classifier:
        """A classifier by name. Refuses models of other tasks."""
        entry, adapter = self.adapter(name)
        if entry is None or adapter is None or entry.task != "classify":
            raise Refusal(400, f"the model {name!r} does not classify", "wrong_task", "model")
        try:
            return Classifier(adapter, self.encoder)
        except ModelError as error:
            raise Refusal(500, str(error), "model_damaged", "model") from None


def _told(name: str, version: int, task: str, created: int) -> dict[str, Any]:
    return {"id": name, "object": "model", "created": created, "owned_by": "bottega", "task": task, "version": version}


def _time(path: Path) -> int:
    try:
        return int(path.stat().st_mtime)
    except OSError:
        return 0


def model_app(encoder: Encoder, folder: Path | None = None, hosts: Sequence[str] = LOOPBACK) -> Starlette:
    """The ASGI application. Requests for others than `hosts` are refused: no web page reaches it by its own name."""
    from starlette.applications import Starlette
    from starlette.exceptions import HTTPException
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware
    from starlette.responses import JSONResponse
    from starlette.routing import Route

    batcher, models = Batcher(encoder), Models(encoder, folder)

    @asynccontextmanager
    async def life(app: Starlette) -> AsyncIterator[None]:
        worker = asyncio.create_task(batcher.work())
        try:
            yield
        finally:
            worker.cancel()
            with suppress(asyncio.CancelledError):
                await worker

    async def listed(request: Request) -> Response:
        return JSONResponse({"object": "list", "data": await asyncio.to_thread(models.listing)})

    async def one(request: Request) -> Response:
        name = request.path_params["name"]
        entry, _ = await asyncio.to_thread(models.adapter, name)
        if entry is None:
            return JSONResponse(_told(NAME, 0, "embed", 0))
        return JSONResponse(_told(entry.name, entry.version, entry.task, _time(entry.weights)))

    async def embeddings(request: Request) -> Response:
        body = await _body(request)
        name, texts = _asked(body)
        form = body.get("encoding_format", "float")
        if form not in ("float", "base64"):
            raise Refusal(400, f"encoding_format is {form!r}: use 'float' or 'base64'", param="encoding_format")
        if body.get("dimensions", HIDDEN) != HIDDEN:
            raise Refusal(400, f"dimensions is {body['dimensions']!r}: vectors have {HIDDEN}", param="dimensions")
        _, adapter = await asyncio.to_thread(models.adapter, name)
        vectors = await batcher.embed(texts, adapter)
        shown = [_base64(v) if form == "base64" else v.tolist() for v in vectors]
        data = [{"object": "embedding", "index": i, "embedding": v} for i, v in enumerate(shown)]
        return JSONResponse({"object": "list", "data": data, "model": name, "usage": _usage(encoder, texts)})

    async def classify(request: Request) -> Response:
        name, texts = _asked(await _body(request))
        model = await asyncio.to_thread(models.classifier, name)
        ranked = model.rank(await batcher.embed(texts, model.adapter))
        data = [
            {
                "object": "classification",
                "index": i,
                "label": scores[0][0],
                "score": scores[0][1],
                "scores": [{"label": label, "score": score} for label, score in scores],
            }
            for i, scores in enumerate(ranked)
        ]
        return JSONResponse({"object": "list", "data": data, "model": name, "usage": _usage(encoder, texts)})

    def refused(request: Request, error: Exception) -> Response:
        assert isinstance(error, Refusal)
        return JSONResponse(error.body, error.status)

    def failed(request: Request, error: Exception) -> Response:
        return JSONResponse(Refusal(500, str(error)).body, 500)

    def unknown(request: Request, error: Exception) -> Response:
        assert isinstance(error, HTTPException)
        message = f"{request.method} {request.url.path}: {error.detail}"
        return JSONResponse(Refusal(error.status_code, message).body, error.status_code, headers=error.headers)

    return Starlette(
        routes=[
            Route("/v1/models", listed),
            Route("/v1/models/{name:path}", one),
            Route("/v1/embeddings", embeddings, methods=["POST"]),
            Route("/v1/classify", classify, methods=["POST"]),
        ],
        middleware=[Middleware(TrustedHostMiddleware, allowed_hosts=list(hosts), www_redirect=False)],
        exception_handlers={Refusal: refused, BottegaError: failed, HTTPException: unknown},
        lifespan=life,
    )


async def _body(request: Request) -> dict[str, Any]:
    """The JSON object that was sent. Refuses what is too large while it comes in."""
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > MAX_BODY:
            raise Refusal(413, f"the request is larger than {MAX_BODY // 1_000_000} MB", "request_too_large")
    try:
        body = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"the request is not JSON: {error}", "invalid_json") from None
    if not isinstance(body, dict):
        raise Refusal(400, "the request is no JSON object", "invalid_json")
    return body


def _asked(body: dict[str, Any]) -> tuple[str, list[str]]:
    """The model's name and the texts of a request."""
    name, given = body.get("model"), body.get("input")
    if not isinstance(name, str) or not name:
        raise Refusal(400, "name a model: see /v1/models", param="model")
    texts = [given] if isinstance(given, str) else given
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise Refusal(400, "input is neither a text nor a list of texts", param="input")
    if not texts or not all(text.strip() for text in texts):
        raise Refusal(400, "input is empty" if not texts else "a text of input is empty", param="input")
    if len(texts) > MAX_INPUTS:
        raise Refusal(400, f"input has {len(texts)} texts: at most {MAX_INPUTS} at once", param="input")
    if any("\ud800" <= c <= "\udfff" for text in texts for c in text):
        raise Refusal(400, "input has half a character (a lone surrogate)", param="input")
    return name, texts


def _usage(encoder: Encoder, texts: list[str]) -> dict[str, int]:
    count = sum(len(encoder.tokenize(text).ids) + 2 for text in texts)
    return {"prompt_tokens": count, "total_tokens": count}


def _base64(vector: Array) -> str:
    return base64.b64encode(np.ascontiguousarray(vector, "<f4").tobytes()).decode()


async def serve_models(
    encoder: Encoder,
    folder: Path | None = None,
    *,
    host: str = "127.0.0.1",
    port: int = 8766,
    started: Callable[[str], None] = lambda address: None,
) -> None:
    """Serves at `http://host:port/v1` until it is cancelled; port 0 takes any that is free. What is under way is
    answered.

    `started` is given the base URL once it can be used. Raises `UsageError` where the address cannot be had.
    """
    import socket

    import uvicorn

    listener = listen(host, port)
    shown = f"[{host}]" if ":" in host else host
    address = f"http://{shown}:{listener.getsockname()[1]}/v1"

    class Server(uvicorn.Server):
        @contextmanager
        def capture_signals(self) -> Iterator[None]:
            yield  # signals belong to the caller, who cancels

        async def startup(self, sockets: list[socket.socket] | None = None) -> None:
            await super().startup(sockets)
            if self.started:
                started(address)

    app = model_app(encoder, folder, hosts=LOOPBACK if host in LOOPBACK else ("*",))
    server = Server(uvicorn.Config(app, log_config=None, access_log=False, lifespan="on", timeout_graceful_shutdown=10))
    serving = asyncio.create_task(server.serve([listener]))
    try:
        await asyncio.shield(serving)
    finally:
        server.should_exit = True
        await serving
        listener.close()
