"""The training behind `bottega train retriever`: goes on from the house's, can be interrupted, is kept or not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_train_retriever import TOOLS

from bottega.cli.group import run
from bottega.keeping import own_retriever
from bottega.models.adapters import Adapter
from bottega.models.encoder import open_encoder
from bottega.models.house.retriever import EARLY_LAYERS, PATH, WIDTH, RetrieverModel, tool_text
from bottega.models.training.own_pairs import Asked
from bottega.models.training.retriever_pairs import Pair, Shown
from bottega.tools import Workspace

torch: Any = pytest.importorskip("torch")
pytestmark = pytest.mark.train

SECRET = {"zibble": 0, "quorp": 1, "flane": 2}
"""What people here call what each tool does; no other model knows these words."""
LOG = [
    Asked(f"{start} {word} {thing}", (TOOLS[n]["id"],))
    for start in ("please", "can you", "I want to")
    for word, n in SECRET.items()
    for thing in ("it for Ada", "number 12", "this one")
]


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def sources() -> dict[str, list[Pair]]:
    shown = {tool["id"]: Shown.of(tool) for tool in TOOLS}
    return {"log": [Pair(one.request, (shown[one.tools[0]],)) for one in LOG]}


def trained(start: Adapter, place: Path, steps: int, rate: float = 1e-3) -> Adapter:
    from bottega.models.training.own_retriever import Lesson, train_own

    return train_own(open_encoder(), start, sources(), Lesson(steps, 8, rate), place)


def right(adapter: Adapter) -> float:
    """How much nearer the right tool is than the others, on average."""
    model = RetrieverModel(open_encoder(), adapter)
    tools = model.encode_tools([tool_text(t["name"], t["description"], t["input_schema"], t["server"]) for t in TOOLS])
    scores = model.encode_requests([f"now {word} the other" for word in SECRET]) @ tools.T
    return float(np.mean([scores[i, n] - np.delete(scores[i], n).mean() for i, n in enumerate(SECRET.values())]))


def with_heads(adapter: Adapter) -> Adapter:
    """`adapter` with the heads of the smaller forms, and one that no training knows."""
    heads = {"early": np.eye(384, WIDTH), "late": np.eye(384, 64), "gate": np.zeros(384), "odd": np.ones(3)}
    single = {name: head.astype(np.float32) for name, head in heads.items()}
    return Adapter(adapter.name, adapter.lora, single, {**adapter.settings, "layers": EARLY_LAYERS})


def test_words_of_the_log_are_learned_and_what_is_not_trained_stays(tmp_path: Path) -> None:
    start = with_heads(Adapter.load(PATH))
    made = trained(start, tmp_path, steps=8)
    assert right(made) > right(start) + 0.05
    assert made.heads.keys() == start.heads.keys()
    assert (made.heads["odd"] == start.heads["odd"]).all()
    assert np.abs(made.heads["late"] - start.heads["late"]).max() > 1e-4
    assert made.settings["from"] == start.settings["version"] != made.settings["version"]
    assert made.settings["layers"] == EARLY_LAYERS


def test_a_retriever_without_heads_gets_none(tmp_path: Path) -> None:
    plain = Adapter.load(PATH)
    assert trained(Adapter(plain.name, plain.lora, {}, plain.settings), tmp_path, steps=1).heads == {}


def test_ctrl_c_loses_little_and_the_same_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import bottega.models.training.own_retriever as own

    monkeypatch.setattr(own, "SAVED", 2)
    house, real = Adapter.load(PATH), own.batches
    whole = trained(house, tmp_path / "whole", steps=4)

    def interrupted(*given: Any) -> Iterator[Any]:
        for step, batch in enumerate(real(*given)):
            if step == 3:
                raise KeyboardInterrupt
            yield batch

    monkeypatch.setattr(own, "batches", interrupted)
    with pytest.raises(KeyboardInterrupt):
        trained(house, tmp_path / "cut", steps=4)
    (checkpoint,) = (tmp_path / "cut").iterdir()
    assert checkpoint.suffix == ".checkpoint"
    monkeypatch.setattr(own, "batches", real)
    resumed = trained(house, tmp_path / "cut", steps=4)
    assert all((resumed.lora[name] == whole.lora[name]).all() for name in whole.lora)
    assert [path.suffix for path in (tmp_path / "cut").iterdir()] == [".safetensors"]

    monkeypatch.setattr(own, "batches", interrupted)  # and what is trained is not trained again
    assert trained(house, tmp_path / "cut", steps=4).settings == whole.settings


def test_a_checkpoint_that_cannot_be_written_or_read_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import bottega.models.training.own_retriever as own

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(own, "SAVED", 1)
    monkeypatch.setattr(torch, "save", full)
    trained(Adapter.load(PATH), tmp_path, steps=2)
    assert "going on without: No space left on device" in capsys.readouterr().err
    (made,) = tmp_path.iterdir()
    made.rename(made.with_suffix(".checkpoint"))  # no checkpoint, whatever its name
    trained(Adapter.load(PATH), tmp_path, steps=2)
    assert "beginning anew" in capsys.readouterr().err


@pytest.fixture
def desk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with tools and requests in files; the corpus is small, as expanding it takes half a minute."""
    import bottega.models.training.own_retriever as own

    monkeypatch.setattr("bottega.models.training.own_pairs.corpus_pairs", lambda r, seed: {})
    monkeypatch.setattr(own, "corpus_figures", partial(own.corpus_figures, most=12, others=0))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "tools.jsonl").write_text("\n".join(map(json.dumps, TOOLS)))
    rows = [{"request": one.request, "tools": list(one.tools)} for one in LOG]
    (tmp_path / "asked.jsonl").write_text("\n".join(map(json.dumps, rows)))
    return tmp_path


GIVEN = ("train", "retriever", "--tools", "tools.jsonl", "--requests", "asked.jsonl", "--size", "8")


def test_one_command_makes_a_retriever_that_the_folder_then_uses(
    desk: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run([*GIVEN, "--steps", "6", "--rate", "0.002", "--force", "--json"]) == 0
    seen = capsys.readouterr()
    told = json.loads(seen.out)
    file, problem = own_retriever(Workspace.at(desk))
    assert (str(file), problem) == (told["file"], None)
    assert (told["kept"], told["version"], told["name"]) == (True, 1, "retriever")
    own = told["details"]["own"]
    assert own["requests"] == 10
    assert own["after"]["nDCG@10"] == told["figure"] > told["baseline"] == own["before"]["nDCG@10"]
    assert "retriever: step 6/6" in seen.err
    assert sorted(path.name for path in (desk / ".bottega" / "models" / "retriever").iterdir()) == ["1"]
    assert Adapter.load(Path(told["file"])).settings["version"] != Adapter.load(PATH).settings["version"]


def test_what_finds_less_is_not_kept_unless_it_is_forced(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from bottega.retraining.trial import Verdict

    monkeypatch.setattr(Verdict, "worse", "it finds less of your own requests")
    assert run([*GIVEN, "--steps", "1"]) == 1
    seen = capsys.readouterr()
    assert "not kept: it finds less of your own requests" in seen.out
    assert "own requests, 10 held out: nDCG@10" in seen.out
    assert own_retriever(Workspace.at(desk)) == (None, None)
    assert run([*GIVEN, "--steps", "1", "--force"]) == 0
    seen = capsys.readouterr()
    assert "kept as version 1, though it finds less" in seen.out
    assert "step 1/1" not in seen.err  # what was learned is not learned again


def test_ctrl_c_says_that_the_same_command_goes_on(
    desk: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    import bottega.models.training.own_retriever as own

    def interrupt(*_: Any) -> Any:
        raise KeyboardInterrupt

    monkeypatch.setattr(own, "train_own", interrupt)
    assert run([*GIVEN, "--steps", "1"]) == 130
    assert "the same command goes on from there" in capsys.readouterr().err
