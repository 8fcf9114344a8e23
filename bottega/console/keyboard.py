"""The input line: history, completion of /commands and @files, several lines, and what Ctrl-C does at the prompt."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from prompt_toolkit import PromptSession
from prompt_toolkit.application import run_in_terminal
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings

if TYPE_CHECKING:
    from prompt_toolkit.key_binding import KeyPressEvent

PROMPT = "› "
LEAVE = "Ctrl-D or /quit leaves"


class Words(Completer):
    """Completes `/` at the start of the line with commands, and `@` anywhere with files of the workspace."""

    def __init__(self, commands: Mapping[str, str], files: Callable[[], list[str]]) -> None:
        self._commands = commands
        self._files = files

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        text = document.text_before_cursor
        if text.startswith("/") and " " not in text:
            for name, line in self._commands.items():
                if name.startswith(text):
                    yield Completion(name, -len(text), display_meta=line)
            return
        word = text.rsplit(maxsplit=1)[-1] if text and not text[-1].isspace() else ""
        if word.startswith("@"):
            typed = word[1:].lower()
            for name in sorted(self._files(), key=lambda n: not n.lower().startswith(typed)):
                if typed in name.lower():
                    yield Completion(f'@"{name}"' if " " in name else f"@{name}", -len(word), display=name)


def input_line(
    commands: Mapping[str, str], files: Callable[[], list[str]], status: Callable[[], str]
) -> PromptSession[str]:
    """The prompt. Enter sends, Alt-Enter starts a new line, Ctrl-C clears and never leaves, Ctrl-D leaves."""
    keys = KeyBindings()

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    @keys.add("enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    @keys.add("c-c")
    @keys.add("<sigint>")
    def _(event: KeyPressEvent) -> None:
        if event.current_buffer.text:
            event.current_buffer.reset()
        else:
            run_in_terminal(lambda: print(LEAVE))

    return PromptSession(
        PROMPT,
        multiline=True,
        history=_history(),
        completer=Words(commands, files),
        complete_while_typing=True,
        complete_in_thread=True,
        key_bindings=keys,
        bottom_toolbar=status,
        prompt_continuation="  ",
    )


def _history() -> History:
    """What was typed before, in the person's state folder; only in memory where that cannot be written."""
    from platformdirs import user_state_path

    path = user_state_path("bottega") / "history"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
        with path.open("ab"):
            pass
    except OSError:
        return InMemoryHistory()
    return FileHistory(path)


def without_marks(text: str, folder: Path) -> str:
    """A request with `@name` and `@"a name"` replaced by the name, where that is a file of the folder."""
    import re

    def name(match: re.Match[str]) -> str:
        found: str = match[1] or match[2]
        return found if (folder / found).exists() else match[0]

    return re.sub(r'(?<!\S)@(?:"([^"\n]+)"|([^\s"]+))', name, text)
