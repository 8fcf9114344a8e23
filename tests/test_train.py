"""`bottega train` and `bottega models`: from a file of examples to a model that can be used by name."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from test_classifier import EXAMPLES, NEW

from bottega.cli.group import run
from bottega.models.registry import list_models, open_model
from bottega.models.training.spec import TaskSpec, read_rows, read_spec, split_rows


class Cli:
    """Runs a command line with its own models folder; keeps what it wrote."""

    def __init__(self, capsys: pytest.CaptureFixture[str], folder: Path) -> None:
        self.capsys = capsys
        self.folder = folder

    def __call__(self, *arguments: str) -> int:
        code = run(arguments)
        seen = self.capsys.readouterr()
        self.out, self.err = seen.out, seen.err
        return code

    @property
    def error(self) -> str:
        assert self.out == ""
        assert "Traceback" not in self.err
        return next(line for line in self.err.splitlines() if line.startswith("error: "))


@pytest.fixture
def cli(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Cli:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BOTTEGA_MODELS", str(tmp_path / "models"))
    return Cli(capsys, tmp_path / "models")


def rows() -> list[dict[str, str]]:
    train = [{"text": t, "label": label, "split": "train"} for label, group in EXAMPLES.items() for t in group]
    return [*train, *({"text": text, "label": label, "split": "test"} for text, label in NEW.items())]


def write_jsonl(path: Path, given: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in given))
    return path


def test_a_jsonl_file_becomes_a_model_that_is_used_by_its_name(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "tickets.jsonl", rows())
    assert cli("train", "classify", "--name", "tickets", "--data", "tickets.jsonl", "--bar", "0.9", "--json") == 0
    told = json.loads(cli.out)
    assert (told["figure"], told["passed"], told["version"]) == (1.0, True, 1)
    assert told["baseline"] <= told["figure"]
    assert Path(told["file"]).exists()
    model = open_model("tickets", folder=cli.folder)
    assert model.classify(["Where is my package?"])[0][0][0] == "delivery"


def test_the_command_on_the_card_makes_the_same_model_again(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "tickets.jsonl", rows())
    assert cli("train", "classify", "--name", "tickets", "--data", "tickets.jsonl", "--shots", "3", "--seed", "7") == 0
    card = list_models(cli.folder)[-1].card
    assert card
    assert cli(*card.command.split()[1:]) == 0
    first, second = (open_model("tickets", version, cli.folder).adapter for version in (1, 2))
    assert (first.heads["weight"] == second.heads["weight"]).all()


def test_a_csv_file_with_other_field_names_works_as_well(cli: Cli, tmp_path: Path) -> None:
    with (tmp_path / "tickets.csv").open("w", newline="") as f:
        writer = csv.writer(f)
        writer.writerow(["said", "topic"])
        writer.writerows([[text, label] for label, group in EXAMPLES.items() for text in group])
    given = ["--data", "tickets.csv", "--text-field", "said", "--label-field", "topic", "--held-out", "0.4"]
    assert cli("train", "classify", "--name", "tickets", *given) == 0
    assert "kept as tickets version 1" in cli.out


def test_a_spec_with_its_own_examples_is_enough(cli: Cli, tmp_path: Path) -> None:
    spec = {"name": "tickets", "examples": EXAMPLES, "descriptions": {"account": "signing in"}, "held_out": 0.2}
    (tmp_path / "task.yaml").write_text(json.dumps(spec))
    assert cli("train", "task.yaml") == 0
    assert open_model("tickets", folder=cli.folder).labels == ("account", "billing", "delivery")


def test_below_its_bar_a_model_is_not_kept_and_the_exit_code_is_1(cli: Cli, tmp_path: Path) -> None:
    mixed = [{**row, "label": "ab"[i % 2]} for i, row in enumerate(rows())]
    write_jsonl(tmp_path / "noise.jsonl", mixed)
    assert cli("train", "classify", "--name", "noise", "--data", "noise.jsonl", "--bar", "1") == 1
    assert "below the bar" in cli.out
    assert not [e for e in list_models(cli.folder) if not e.shipped]


def test_what_is_measured_on_is_never_learned_from() -> None:
    doubled = {"a": ["one", "two", "three", "One"], "b": ["four", "five", "six", "six"]}
    for seed in range(5):
        spec = TaskSpec(name="x", examples=doubled, held_out=0.5, seed=seed)
        train, held = split_rows(spec, read_rows(spec))
        assert not {r.text.casefold() for r in train} & {r.text.casefold() for r in held}


def test_shots_are_drawn_for_each_label(tmp_path: Path) -> None:
    spec = TaskSpec(name="x", data=write_jsonl(tmp_path / "x.jsonl", rows()), shots=2)
    train, held = split_rows(spec, read_rows(spec))
    assert len(train) == 2 * len(EXAMPLES)
    assert len(held) == len(NEW)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ('{"text": "a", "label": "b"}\n{"text": \n', "line 2 is not JSON"),
        ('{"text": "a", "label": "b"}\n\n[1]\n', "line 3 is no JSON object"),
        ('{"text": "a"}\n', "line 1: the field 'label' is missing"),
        ('{"text": "", "label": "b"}\n', "line 1: the field 'text' is empty"),
        ('{"text": ["a"], "label": "b"}\n', "line 1: the field 'text' is ['a']"),
        ("", "has no examples"),
        ('{"text": "a", "label": "b"}\n{"text": "c", "label": "b"}\n', "only one label"),
        ('{"text": "a", "label": "b", "split": "dev"}\n', "no row has the split 'train'"),
    ],
)
def test_data_that_cannot_be_used_is_one_line_that_names_the_line(
    content: str, says: str, cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "bad.jsonl").write_text(content)
    assert cli("train", "classify", "--name", "bad", "--data", "bad.jsonl") == 2
    assert says in cli.error


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("name: x\nexamples:\n  a: [b]\n  c: d\n", "line 4"),
        ("name: x\ndata: y.jsonl\nbar: 3\n", "line 3"),
        ("name: x\ndata: y.jsonl\n\nshotz: 3\n", "line 4: 'shotz' is no field"),
        ("name: [x\n", "is not YAML"),
        ("just words", "is not a task spec"),
        ("name: x\n", "either data"),
        ("data: y.jsonl\n", "name"),
        ("name: Bad Name\ndata: y.jsonl\n", "cannot be the name"),
        ("name: x\ndata: y.jsonl\n", "no file"),
        ("name: x\ndata: y.docx\n", "neither JSONL nor CSV"),
    ],
)
def test_a_spec_that_cannot_be_used_is_one_line_that_names_the_line(
    content: str, says: str, cli: Cli, tmp_path: Path
) -> None:
    (tmp_path / "task.yaml").write_text(content)
    assert cli("train", "task.yaml") == 2
    assert says in cli.error


def test_binary_data_and_a_missing_spec_are_one_line(cli: Cli, tmp_path: Path) -> None:
    (tmp_path / "junk.jsonl").write_bytes(b'{"text": "a", "label": "b"}\n\xff\xfe\x00')
    assert cli("train", "classify", "--name", "junk", "--data", "junk.jsonl") == 2
    assert "line 2 is not UTF-8" in cli.error
    assert cli("train", "nothing.yaml") == 2
    assert "no file nothing.yaml" in cli.error


def test_data_in_a_spec_lies_beside_the_spec(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    write_jsonl(tmp_path / "deep" / "x.jsonl", rows())
    (tmp_path / "deep" / "task.yaml").write_text("name: x\ndata: x.jsonl\n")
    assert len(read_rows(read_spec(tmp_path / "deep" / "task.yaml"))) == 18


def test_models_are_listed_shown_and_checked(cli: Cli, tmp_path: Path) -> None:
    write_jsonl(tmp_path / "tickets.jsonl", rows())
    assert cli("train", "classify", "--name", "tickets", "--data", "tickets.jsonl", "--licence", "CC0") == 0
    assert cli("models", "list") == 0
    assert any(line.startswith("tickets ") for line in cli.out.splitlines())
    assert cli("models", "card", "tickets") == 0
    assert "(CC0)" in cli.out
    assert "bottega train classify --name tickets" in cli.out
    assert cli("models", "check") == 0

    weights = open_weights(cli.folder)
    weights.write_bytes(weights.read_bytes()[:-8])
    assert cli("models", "check", "--json") == 1
    assert [m["name"] for m in json.loads(cli.out) if not m["ok"]] == ["tickets"]


def open_weights(folder: Path) -> Path:
    return next(folder.rglob("model.safetensors"))


def test_the_card_of_an_unknown_model_is_one_line(cli: Cli) -> None:
    assert cli("models", "card", "nonesuch") == 1
    assert "there is no model 'nonesuch'" in cli.error
