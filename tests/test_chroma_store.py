"""An index whose vectors are in Chroma: in a folder, and on a server that several share."""

from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
from test_index_files import Letters, same, tools

from bottega.core.errors import ServerError, ToolIndexError
from bottega.retrieval import ToolIndex

SERVE = "import sys; sys.argv = ['chroma', *sys.argv[1:]]; from chromadb.cli.cli import app; app()"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a Chroma server in a process of its own."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = ["run", "--path", str(tmp_path_factory.mktemp("chroma")), "--host", "127.0.0.1", "--port", str(port)]
    command = [sys.executable, "-c", SERVE, *where]
    listening = threading.Event()

    def read(lines: Iterable[str]) -> None:
        for line in lines:
            if re.search(r"listening on", line, re.I):
                listening.set()

    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        assert process.stdout is not None
        reader = threading.Thread(target=read, args=(process.stdout,))
        reader.start()
        assert listening.wait(60)
        yield f"http://127.0.0.1:{port}"
        process.kill()
        reader.join()


def index_of(place: Path | str, count: int, encoding: Letters) -> ToolIndex:
    return ToolIndex.build(tools(count), place, encoding, store="chroma")


@pytest.fixture(params=["folder", "server"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Path | str:
    if request.param == "folder":
        return tmp_path / "index"
    return f"{request.getfixturevalue('server')}/index-{tmp_path.name.replace('_', '-')}"


def test_what_is_found_is_what_the_exact_matrix_finds(place: Path | str) -> None:
    exact = ToolIndex.build(tools(60), model=Letters())
    built = index_of(place, 60, Letters())
    opened = ToolIndex.open(place, Letters())
    some = {tool.id for tool in tools(60)[::4]}
    for query in ("send mail", "fetch the weather", "zebra"):
        for index in (built, opened):
            assert same(index.search(query, 5), exact.search(query, 5))
            assert same(index.search(query, 5, some), exact.search(query, 5, some))
    cosines = [index.explain("rain", "s1/t1").cosines for index in (opened, exact)]
    assert np.allclose(*(list(one.values()) for one in cosines), atol=1e-5)


def test_a_sync_encodes_only_what_is_new_and_others_see_it(place: Path | str) -> None:
    index_of(place, 30, Letters())
    encoding = Letters()
    index = ToolIndex.open(place, encoding)
    assert index.sync(tools(30)) is index
    changed = index.sync(tools(32)[2:])
    assert len(encoding.encoded) == 2
    exact = ToolIndex.build(tools(32)[2:], model=Letters())
    for one in (changed, ToolIndex.open(place, Letters())):
        assert len(one) == 30
        assert same(one.search("send mail", 30), exact.search("send mail", 30))


def test_one_of_another_retriever_is_refused_and_can_be_made_anew(place: Path | str) -> None:
    index_of(place, 5, Letters())
    with pytest.raises(ToolIndexError, match="another retriever"):
        ToolIndex.open(place, Letters("newer"))
    newer = Letters("newer")
    assert len(index_of(place, 5, newer)) == len(newer.encoded) == 5
    assert len(ToolIndex.open(place, newer)) == 5


def test_where_there_is_none_the_error_says_so(place: Path | str) -> None:
    with pytest.raises(ToolIndexError, match="there is no tool index"):
        ToolIndex.open(place, Letters())


def test_a_server_that_does_not_answer_is_a_plain_error() -> None:
    with pytest.raises(ServerError, match="no Chroma server answers"):
        ToolIndex.open("http://127.0.0.1:9/tools", Letters())
