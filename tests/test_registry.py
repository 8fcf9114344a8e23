"""The registry: models appear whole or not at all, and what is damaged is one clear line."""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from bottega.cli.group import run
from bottega.core.errors import ModelError, UsageError
from bottega.models.adapters import Adapter
from bottega.models.cards import Card, Source
from bottega.models.encoder import open_encoder
from bottega.models.registry import HOUSE, SHIPPED, find_model, list_models, open_adapter, open_model, register
from bottega.models.selftest import HOUSE_TESTS, check_model


def adapter(bias: float = 0.0) -> Adapter:
    weight = np.zeros((384, 2), np.float32)
    heads = {"weight": weight, "bias": np.array([bias, -bias], np.float32)}
    return Adapter("topics", {}, heads, {"labels": ["a", "b"], "temperature": 1.0})


def card(name: str = "topics", task: str = "classify") -> Card:
    data = [Source(source="rows.jsonl", licence="CC0")]
    return Card(name=name, task=task, data=data, metric="accuracy", figure=0.9, baseline=0.5, command="bottega train x")


def own(folder: Path) -> list[tuple[str, int]]:
    return [(e.name, e.version) for e in list_models(folder) if not e.shipped]


def test_each_registration_is_a_new_version_and_the_newest_is_opened(tmp_path: Path) -> None:
    register(adapter(1), card(), tmp_path)
    register(adapter(-1), card(), tmp_path)
    assert own(tmp_path) == [("topics", 1), ("topics", 2)]
    assert open_model("topics", folder=tmp_path).classify(["x"])[0][0][0] == "b"
    assert open_model("topics", 1, tmp_path).classify(["x"])[0][0][0] == "a"


def test_a_card_counts_what_can_be_counted(tmp_path: Path) -> None:
    entry = register(adapter(), card(), tmp_path)
    found, _ = open_adapter("topics", folder=tmp_path)
    assert found.parameters == 384 * 2 + 2
    assert found.size_bytes == entry.weights.stat().st_size
    assert found.version == 1
    assert found.created.startswith("20")


def test_shipped_models_are_listed_first_and_can_be_opened() -> None:
    shipped = [e for e in list_models(Path("/nowhere")) if e.shipped]
    assert "router" in [e.name for e in shipped]
    assert all(e.problem is None and e.weights.exists() for e in shipped)


def test_a_crash_while_registering_leaves_no_half_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    register(adapter(), card(), tmp_path)

    def dies(self: Path, target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "rename", dies)
    with pytest.raises(ModelError, match="No space left"):
        register(adapter(), card(), tmp_path)
    assert own(tmp_path) == [("topics", 1)]
    assert [p.name for p in (tmp_path / "topics").iterdir()] == ["1"]


def test_what_a_killed_registration_left_behind_is_no_model(tmp_path: Path) -> None:
    register(adapter(), card(), tmp_path)
    (tmp_path / "topics" / ".new-x1").mkdir()
    (tmp_path / "topics" / ".new-x1" / "model.safetensors").write_bytes(b"half")
    assert own(tmp_path) == [("topics", 1)]
    assert register(adapter(), card(), tmp_path).version == 2


def test_a_version_that_somebody_else_took_meanwhile_is_not_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = register(adapter(1), card(), tmp_path)
    monkeypatch.setattr("bottega.models.registry._versions", lambda name: [])
    assert register(adapter(-1), card(), tmp_path).version == 2
    assert Adapter.load(first.weights).heads["bias"][0] == 1


@pytest.mark.parametrize("name", ["", "Über", "a/b", "..", ".hidden", "a b", "x" * 65])
def test_names_that_are_no_plain_folder_name_are_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be the name"):
        register(adapter(), card(name), tmp_path)


def test_the_name_of_a_shipped_model_is_taken(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="ships with Bottega"):
        register(adapter(), card("router"), tmp_path)


def test_an_unknown_model_is_one_line_with_the_nearest_name(tmp_path: Path) -> None:
    register(adapter(), card(), tmp_path)
    with pytest.raises(ModelError) as caught:
        open_model("topcis", folder=tmp_path)
    assert caught.value.hint == "did you mean 'topics'?"
    with pytest.raises(ModelError, match="no version 7"):
        find_model("topics", 7, tmp_path)


def test_a_changed_byte_is_noticed(tmp_path: Path) -> None:
    entry = register(adapter(), card(), tmp_path)
    content = bytearray(entry.weights.read_bytes())
    content[-1] ^= 1
    entry.weights.write_bytes(content)
    with pytest.raises(ModelError, match="damaged"):
        open_model("topics", folder=tmp_path)
    assert "damaged" in (check_model(entry, open_encoder()) or "")


def test_missing_weights_and_damaged_cards_are_one_line_and_harm_no_other_model(tmp_path: Path) -> None:
    register(adapter(), card("good"), tmp_path)
    gone, torn = register(adapter(), card("gone"), tmp_path), register(adapter(), card("torn"), tmp_path)
    gone.weights.unlink()
    torn.weights.with_name("card.json").write_text('{"name": "torn"')
    for name in ("gone", "torn"):
        with pytest.raises(ModelError) as caught:
            open_model(name, folder=tmp_path)
        assert "\n" not in str(caught.value)
    assert open_model("good", folder=tmp_path).labels == ("a", "b")
    assert [e.name for e in list_models(tmp_path) if e.problem and not e.shipped] == ["torn"]


def test_a_model_of_another_task_is_not_opened_as_a_classifier(tmp_path: Path) -> None:
    register(adapter(), card(task="rank"), tmp_path)
    with pytest.raises(ModelError, match="for rank"):
        open_model("topics", folder=tmp_path)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ModelError, match="cannot be written"):
        register(adapter(), card(), tmp_path)


def test_a_file_where_the_folder_should_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "models").write_text("")
    with pytest.raises(ModelError, match="cannot be written"):
        register(adapter(), card(), tmp_path / "models")


@pytest.fixture
def house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The shipped models as copies: something to damage."""
    folder = shutil.copytree(HOUSE, tmp_path / "house", ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    monkeypatch.setattr("bottega.models.registry.HOUSE", folder)
    monkeypatch.setenv("BOTTEGA_MODELS", str(tmp_path / "own"))
    return folder


def checked(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, str | None]]:
    """The exit code of `bottega models check --json`, and the problem of each model that it told of."""
    code = run(["models", "check", "--json", *arguments])
    return code, {one["name"]: one["problem"] for one in json.loads(capsys.readouterr().out)}


def test_every_shipped_model_is_asked_something(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert {path.stem for path in HOUSE.glob("*.safetensors")} == set(SHIPPED) == HOUSE_TESTS.keys()
    assert checked(capsys) == (0, dict.fromkeys(SHIPPED))


@pytest.mark.parametrize("name", sorted(set(SHIPPED) - {"retriever"}))
def test_a_shipped_model_that_answers_wrongly_is_noticed(
    name: str, house: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whole by its digest, but a model that learned nothing. The retriever's backbone knows its answer untrained."""
    entry = find_model(name)
    assert entry.card
    blank = Adapter.load(entry.weights)
    blank = replace(blank, heads={head: np.zeros_like(array) for head, array in blank.heads.items()})
    blank.save(entry.weights)
    entry.card.of(blank, entry.weights).save(house / f"{name}.json")
    code, told = checked(capsys, name)
    assert code == 1
    assert set(told) == {name}
    assert "it answers" in (told[name] or "")
    assert "(install Bottega again)" in (told[name] or "")


@pytest.mark.parametrize("damage", ["no weights", "no card", "neither", "cut", "another model"])
def test_missing_and_damaged_files_of_a_shipped_model_are_told(
    damage: str, house: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    card, weights = house / "splitter.json", house / "splitter.safetensors"
    if damage in ("no card", "neither"):
        card.unlink()
    if damage in ("no weights", "neither"):
        weights.unlink()
    if damage == "cut":
        weights.write_bytes(weights.read_bytes()[:1000])
    if damage == "another model":
        shutil.copy(house / "router.safetensors", weights)
        other = find_model("router").card
        assert other
        other.model_copy(update={"name": "splitter"}).save(card)
    code, told = checked(capsys)
    assert code == 1
    assert [name for name, problem in told.items() if problem] == ["splitter"]
    assert "install Bottega again" in (told["splitter"] or "")


def test_only_a_model_that_there_is_can_be_checked(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "check", "slot"]) == 1
    assert "did you mean 'slots'?" in capsys.readouterr().err


def test_the_list_shows_size_and_figure_beside_the_baseline(house: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "list"]) == 0
    line = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("slots "))
    card = find_model("slots").card
    assert card
    assert f"{card.size_bytes / 1e6:.1f} MB  {card.figure:.3g} (baseline {card.baseline:.3g})" in line
