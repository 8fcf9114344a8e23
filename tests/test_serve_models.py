"""`bottega serve models`, as clients see it: a real process on loopback, the openai client, httpx."""

from __future__ import annotations

import asyncio
import base64
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import openai
import pytest
from test_classifier import EXAMPLES, NEW

from bottega.models.adapters import Adapter
from bottega.models.cards import Card
from bottega.models.classifier import Classifier
from bottega.models.encoder import Encoder, open_encoder
from bottega.models.registry import register
from bottega.servers.models import Batcher

BACKBONE = "all-MiniLM-L6-v2"


def trained(folder: Path, name: str = "tickets") -> Classifier:
    texts = [text for group in EXAMPLES.values() for text in group]
    model = Classifier.fit(texts, [label for label, group in EXAMPLES.items() for _ in group])
    register(model.adapter, Card(name=name, task="classify", metric="accuracy", figure=1, command="none"), folder)
    return model


def start(folder: Path, *more: str) -> tuple[subprocess.Popen[str], str]:
    """A server process and its base URL, which is the only line on its stdout."""
    command = [sys.executable, "-m", "bottega", "serve", "models", "--port", "0", "--models", str(folder), *more]
    environment = os.environ | {"HF_HUB_OFFLINE": "1"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stdout
    return process, process.stdout.readline().strip()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("models")
    trained(found)
    return found


@pytest.fixture(scope="module")
def address(folder: Path) -> Iterator[str]:
    process, url = start(folder)
    yield url
    process.terminate()
    process.communicate(timeout=30)


@pytest.fixture(scope="module")
def client(address: str) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(base_url=address, api_key="none", max_retries=0) as made:
        yield made


def test_the_openai_client_lists_the_backbone_and_the_trained_models(client: openai.OpenAI) -> None:
    names = [model.id for model in client.models.list()]
    assert names[0] == BACKBONE
    assert {"tickets", "router"} <= set(names)
    assert client.models.retrieve("tickets").owned_by == "bottega"


def test_embeddings_are_those_of_the_encoder_in_both_encodings(client: openai.OpenAI) -> None:
    texts = ["Where is my parcel?", "The bill is wrong"]
    expected = open_encoder().embed(texts)
    for options in ({}, {"encoding_format": "float"}, {"encoding_format": "base64"}):
        reply = client.embeddings.create(model=BACKBONE, input=texts, **options)  # type: ignore[call-overload]
        got = [item.embedding for item in reply.data]
        if options.get("encoding_format") == "base64":
            got = [np.frombuffer(base64.b64decode(x), "<f4") if isinstance(x, str) else x for x in got]
        np.testing.assert_allclose(np.array(got), expected, atol=1e-5)
        assert [item.index for item in reply.data] == [0, 1]
        assert reply.usage.prompt_tokens == reply.usage.total_tokens > 8


def test_classify_answers_through_the_openai_client(client: openai.OpenAI, folder: Path) -> None:
    reply: Any = client.post("/classify", cast_to=object, body={"model": "tickets", "input": list(NEW)})
    assert [item["label"] for item in reply["data"]] == list(NEW.values())
    for item in reply["data"]:
        assert item["score"] == item["scores"][0]["score"]
        assert sum(score["score"] for score in item["scores"]) == pytest.approx(1, abs=1e-4)


def test_one_text_need_not_be_a_list(address: str) -> None:
    body = {"model": "tickets", "input": "Where is my parcel?"}
    reply = httpx.post(f"{address}/classify", json=body)
    assert reply.status_code == 200
    assert [item["label"] for item in reply.json()["data"]] == ["delivery"]


def test_an_unknown_model_is_a_404_as_openai_words_it(client: openai.OpenAI) -> None:
    with pytest.raises(openai.NotFoundError) as caught:
        client.embeddings.create(model="nonesuch", input="x")
    assert caught.value.code == "model_not_found"
    assert "nonesuch" in caught.value.message
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nonesuch")
    with pytest.raises(openai.NotFoundError):
        client.post("/classify", cast_to=object, body={"model": "tickets@9", "input": "x"})


@pytest.mark.parametrize(
    ("path", "body", "says"),
    [
        ("classify", b"{", "not JSON"),
        ("classify", b"\xff\xfe", "not JSON"),
        ("classify", b"[]", "no JSON object"),
        ("classify", b'{"input": "x"}', "name a model"),
        ("classify", b'{"model": "tickets"}', "neither a text nor a list"),
        ("classify", b'{"model": "tickets", "input": []}', "input is empty"),
        ("classify", b'{"model": "tickets", "input": ["a", " "]}', "a text of input is empty"),
        ("classify", b'{"model": "tickets", "input": [1]}', "neither a text nor a list"),
        ("classify", b'{"model": "tickets", "input": "\\ud800"}', "half a character"),
        ("classify", b'{"model": "all-MiniLM-L6-v2", "input": "x"}', "does not classify"),
        ("embeddings", b'{"model": "tickets", "input": "x", "encoding_format": "hex"}', "encoding_format"),
        ("embeddings", b'{"model": "tickets", "input": "x", "dimensions": 12}', "vectors have 384"),
    ],
)
def test_a_bad_body_is_a_400_that_says_what_is_wrong(address: str, path: str, body: bytes, says: str) -> None:
    reply = httpx.post(f"{address}/{path}", content=body)
    assert reply.status_code == 400
    error = reply.json()["error"]
    assert says in error["message"]
    assert error["type"] == "invalid_request_error"


def test_limits_hold_and_the_server_goes_on(address: str) -> None:
    many = httpx.post(f"{address}/classify", json={"model": "tickets", "input": ["x"] * 2049})
    assert (many.status_code, "2049" in many.json()["error"]["message"]) == (400, True)
    big = httpx.post(f"{address}/embeddings", content=b" " * 8_000_001)
    assert (big.status_code, big.json()["error"]["code"]) == (413, "request_too_large")
    assert httpx.get(f"{address}/models").status_code == 200


def test_unknown_paths_and_methods_are_error_objects_too(address: str) -> None:
    assert httpx.get(f"{address}/nothing").json()["error"]["message"].startswith("GET /v1/nothing")
    assert httpx.get(f"{address}/classify").status_code == 405


def test_a_page_that_points_its_own_name_here_is_refused(address: str) -> None:
    assert httpx.get(f"{address}/models", headers={"host": "evil.example"}).status_code == 400


def test_requests_that_come_together_are_all_answered_rightly(address: str) -> None:
    def ask(item: tuple[str, str]) -> bool:
        reply = httpx.post(f"{address}/classify", json={"model": "tickets", "input": item[0]}, timeout=60)
        return bool(reply.json()["data"][0]["label"] == item[1])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, list(NEW.items()) * 8))


def test_a_model_trained_meanwhile_is_there_at_once_and_a_damaged_one_harms_no_other(
    address: str, folder: Path
) -> None:
    trained(folder, "later")
    assert httpx.get(f"{address}/models/later").status_code == 200
    weights = folder / "later" / "1" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    reply = httpx.post(f"{address}/classify", json={"model": "later", "input": "x"})
    assert (reply.status_code, reply.json()["error"]["code"]) == (500, "model_damaged")
    assert httpx.post(f"{address}/classify", json={"model": "tickets", "input": "x"}).status_code == 200


def test_sigterm_ends_it_cleanly(folder: Path) -> None:
    process, url = start(folder)
    assert httpx.get(f"{url}/models").status_code == 200
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert "Traceback" not in err


def test_a_port_that_is_taken_is_one_line(address: str, folder: Path) -> None:
    port = address.split(":")[-1].split("/")[0]
    process, line = start(folder, "--port", port)
    _, err = process.communicate(timeout=30)
    assert (process.returncode, line) == (2, "")
    assert err.splitlines()[0].startswith(f"error: cannot listen at 127.0.0.1:{port}")


def test_texts_that_wait_while_others_are_embedded_share_a_batch() -> None:
    batches: list[int] = []

    class Counting:
        def embed(self, texts: list[str], adapter: Adapter | None = None) -> Any:
            batches.append(len(texts))
            return np.array([[float(text)] for text in texts])

    async def work() -> list[float]:
        from typing import cast

        batcher = Batcher(cast(Encoder, Counting()))
        worker = asyncio.create_task(batcher.work())
        try:
            return [float(v[0, 0]) for v in await asyncio.gather(*(batcher.embed([str(i)]) for i in range(100)))]
        finally:
            worker.cancel()

    assert asyncio.run(work()) == list(range(100))
    assert sum(batches) == 100
    assert len(batches) <= 4


def test_a_batch_that_fails_fails_those_in_it_and_no_other() -> None:
    class Moody:
        def embed(self, texts: list[str], adapter: Adapter | None = None) -> Any:
            if "bad" in texts:
                raise RuntimeError("no")
            return np.zeros((len(texts), 1))

    async def work() -> Any:
        from typing import cast

        batcher = Batcher(cast(Encoder, Moody()))
        worker = asyncio.create_task(batcher.work())
        try:
            with pytest.raises(Exception, match="could not be embedded"):
                await batcher.embed(["bad"])
            return await batcher.embed(["good"])
        finally:
            worker.cancel()

    assert asyncio.run(work()).shape == (1, 1)
