"""All house models can be made again with one command."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from bottega.models.training.__main__ import CORPUS_ONLY, MODELS, main


def called_with(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> list[list[str]]:
    """The trainings that the command starts, each as the words after `-m`."""
    started: list[list[str]] = []

    def run(words: list[str], check: bool) -> subprocess.CompletedProcess[bytes]:
        started.append(words[2:])
        return subprocess.CompletedProcess(words, int("bad" in arguments[-1]))

    monkeypatch.setattr(subprocess, "run", run)
    monkeypatch.setattr(sys, "argv", ["training", *arguments])
    main()
    return started


def test_every_model_is_trained_with_the_public_sets_where_it_learns_from_them(monkeypatch: pytest.MonkeyPatch) -> None:
    started = called_with(monkeypatch, "--data", "sets")
    assert [words[0].rpartition(".")[2] for words in started] == list(MODELS)
    assert all(
        words[1:] == ([] if name in CORPUS_ONLY else ["--data", "sets"])
        for name, words in zip(MODELS, started, strict=True)
    )


def test_options_of_one_training_are_handed_to_it(monkeypatch: pytest.MonkeyPatch) -> None:
    ((module, *words),) = called_with(monkeypatch, "--only", "slots", "--steps", "3", "--half")
    assert module == "bottega.models.training.slots"
    assert words == ["--steps", "3", "--half"]


def test_options_of_one_training_are_refused_for_all(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as end:
        called_with(monkeypatch, "--steps", "3")
    assert end.value.code == 2
    assert "say with --only" in capsys.readouterr().err


def test_a_training_that_fails_ends_the_others_with_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="training retriever failed with exit code 1"):
        called_with(monkeypatch, "--data", "bad")


@pytest.mark.train
@pytest.mark.parametrize("name", MODELS)
def test_no_training_needs_an_option(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", f"bottega.models.training.{name}", "--help"], capture_output=True, text=True, check=True
    )
    usage = done.stdout.split("\n\n")[0]
    assert ("--data" in usage) == (name not in CORPUS_ONLY)
    assert "--" not in re.sub(r"\[[^\]]*\]", "", usage)


STEPS = 210
"""A checkpoint is kept after 200."""


def trained_until(made: Path, out: Path) -> str:
    """The SHA-256 of the file `made`, which a small training of the splitter makes; then it is killed.

    `made` is its checkpoint or, before it goes on to measure, its adapter `out`.
    """
    options = ["--steps", str(STEPS), "--size", "1", "--seed", "3", "--threads", "1", "--out", str(out)]
    with subprocess.Popen(
        [sys.executable, "-m", "bottega.models.training.splitter", *options], stderr=subprocess.PIPE, text=True
    ) as training:
        while not made.exists() and training.poll() is None:
            time.sleep(0.01)
        training.kill()
        assert training.stderr
        assert made.exists(), training.stderr.read()
    return hashlib.sha256(made.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The adapter of a training that nothing interrupted."""
    out = tmp_path_factory.mktemp("whole") / "splitter.safetensors"
    return trained_until(out, out)


@pytest.mark.train
def test_the_same_command_makes_the_same_model_again(whole: str, tmp_path: Path) -> None:
    out = tmp_path / "splitter.safetensors"
    assert trained_until(out, out) == whole


@pytest.mark.train
def test_a_training_that_was_killed_goes_on_to_the_same_model(whole: str, tmp_path: Path) -> None:
    out = tmp_path / "splitter.safetensors"
    trained_until(out.with_suffix(".checkpoint"), out)
    assert not out.exists()
    assert trained_until(out, out) == whole
