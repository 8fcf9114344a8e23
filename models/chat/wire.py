"""What goes over the wire, in the words of OpenAI's chat completions: requests as JSON, replies and their pieces read.

Servers differ in what they understand; `Dialect` is what has been learned about one.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

from .failures import Failure, failure_of
from .protocol import ChatReply, ChatRequest, Finish, Json, Message, ToolUse

FINISHES: dict[str, Finish] = {
    **{finish: finish for finish in get_args(Finish)},
    "function_call": "tool_calls",
    "tool_use": "tool_calls",
    "max_tokens": "length",
}
"""How servers call the ways in which a reply ends; any other word counts as `stop`."""


@dataclass(frozen=True)
class Dialect:
    """What a server understands: everything, until it refuses something.

    `output`: JSON by schema, JSON of any form, or only what the prompt asks for. `limit`: its name for the most tokens
    of a reply. `stream_usage`, `temperature`: whether it takes these.
    """

    output: Literal["schema", "object", "prompt"] = "schema"
    limit: Literal["max_tokens", "max_completion_tokens"] = "max_tokens"
    stream_usage: bool = True
    temperature: bool = True

    def body(self, model: str, request: ChatRequest, stream: bool) -> dict[str, Json]:
        """The JSON body of a request."""
        messages = [_message(m) for m in request.messages]
        body: dict[str, Json] = {"model": model, "messages": messages}
        if request.tools:
            body["tools"] = [{"type": "function", "function": dict(tool)} for tool in request.tools]
        if request.output is not None:
            self._demand(request.output, body)
        if request.max_tokens is not None:
            body[self.limit] = request.max_tokens
        if request.temperature is not None and self.temperature:
            body["temperature"] = request.temperature
        if stream:
            body["stream"] = True
            if self.stream_usage:
                body["stream_options"] = {"include_usage": True}
        return body

    def without(self, refusal: str, body: dict[str, Json]) -> Dialect | None:
        """What is left after a server refused `body` with these words; None if they name nothing that can be left."""
        said = refusal.lower()
        if "response_format" in body and any(word in said for word in _OUTPUT_WORDS):
            schema = body["response_format"]["type"] == "json_schema"
            return replace(self, output="object" if schema else "prompt")
        if "stream_options" in body and ("stream_options" in said or "include_usage" in said):
            return replace(self, stream_usage=False)
        if "max_tokens" in body and "max_completion_tokens" in said:
            return replace(self, limit="max_completion_tokens")
        if "temperature" in body and "temperature" in said and ("support" in said or "deprecated" in said):
            return replace(self, temperature=False)
        return None

    def _demand(self, schema: dict[str, Json], body: dict[str, Json]) -> None:
        """Asks for a reply of the form `schema`, in the strongest way that the server knows."""
        if self.output == "schema":
            form = {"name": "answer", "schema": schema, "strict": _strict(schema)}
            body["response_format"] = {"type": "json_schema", "json_schema": form}
            return
        if self.output == "object":
            body["response_format"] = {"type": "json_object"}
        order = f"Answer with JSON only, no other text, that fits this JSON Schema:\n{json.dumps(schema)}"
        messages = body["messages"]
        if messages and messages[0]["role"] == "system":
            messages[0] = {"role": "system", "content": f"{messages[0]['content']}\n\n{order}".strip()}
        else:
            messages.insert(0, {"role": "system", "content": order})


_OUTPUT_WORDS = (
    "response_format",
    "response format",
    "json_schema",
    "json schema",
    "json_object",
    "json mode",
    "structured output",
    "guided",
    "grammar",
)


def _message(message: Message) -> dict[str, Json]:
    if message.role == "tool":
        return {"role": "tool", "tool_call_id": message.tool_use, "content": message.content}
    if not message.tool_uses:
        return {"role": message.role, "content": message.content}
    return {
        "role": message.role,
        "content": message.content or None,
        "tool_calls": [
            {"id": use.id, "type": "function", "function": {"name": use.name, "arguments": _object(use.arguments)}}
            for use in message.tool_uses
        ],
    }


def _object(arguments: str) -> str:
    """`arguments`, or no arguments where the model wrote no JSON object: many servers refuse that for ever after."""
    try:
        return arguments if isinstance(json.loads(arguments), dict) else "{}"
    except (ValueError, RecursionError):
        return "{}"


def _strict(schema: Json) -> bool:
    """Whether every object in `schema` is closed and requires all it names, which is what strict decoding takes."""
    if isinstance(schema, list):
        return all(_strict(part) for part in schema)
    if not isinstance(schema, dict):
        return True
    if schema.get("type") == "object" or "properties" in schema:
        names = schema.get("properties") or {}
        if schema.get("additionalProperties") is not False or set(schema.get("required") or ()) != set(names):
            return False
        return all(_strict(part) for part in names.values()) and _strict(schema.get("$defs"))
    return all(_strict(part) for part in schema.values())


class Assembly:
    """A reply as it is put together from its pieces; a reply that came whole is one piece."""

    def __init__(self) -> None:
        self.finish = ""
        self._texts: list[str] = []
        self._refusals: list[str] = []
        self._calls: list[dict[str, str]] = []
        self._open: dict[int, dict[str, str]] = {}
        self._usage: dict[str, Json] = {}
        self._model = ""

    def add(self, piece: Json) -> str:
        """Takes in a piece, a JSON object as the server sent it; gives the text in it. Raises `Failure`."""
        if not isinstance(piece, dict):
            raise Failure("sent what is not a reply", again=True)
        if piece.get("error"):
            raise failure_of(piece, None, {})
        if isinstance(usage := piece.get("usage"), dict):
            self._usage = usage
        if isinstance(model := piece.get("model"), str):
            self._model = model
        choices = piece.get("choices")
        if not choices:  # the piece that only tells the usage
            return ""
        choice = choices[0] if isinstance(choices, list) else None
        if not isinstance(choice, dict):
            raise Failure("sent what is not a reply", again=True)
        if finish := choice.get("finish_reason"):
            self.finish = str(finish)
        said = choice.get("delta") or choice.get("message") or {}
        if not isinstance(said, dict):
            raise Failure("sent what is not a reply", again=True)
        if calls := said.get("tool_calls"):
            self._add_calls(calls)
        if refusal := said.get("refusal"):
            self._refusals.append(str(refusal))
        text = said.get("content")
        if not text:
            return ""
        text = _valid(text if isinstance(text, str) else _joined(text))
        self._texts.append(text)
        return text

    def reply(self, turn: int) -> ChatReply:
        """The whole, its usage left out; `turn` numbers calls that came without an id.

        Raises `Failure` where the reply is not finished.
        """
        if not self.finish:
            raise Failure("ended its reply in the middle", again=True)
        if self.finish == "error":
            raise Failure("broke its reply off with an error", again=True)
        ids: set[str] = set()
        uses: list[ToolUse] = []
        for n, call in enumerate(self._calls):
            id = _valid(call["id"]) or f"call_{turn}_{n}"
            while id in ids:
                id += "_"
            ids.add(id)
            arguments = _valid(call["arguments"]) or "{}"
            uses.append(ToolUse(id=id, name=_valid(call["name"]), arguments=arguments))
        finish = FINISHES.get(self.finish, "stop")
        text = "".join(self._texts)
        if self._refusals and not text:
            text, finish = _valid("".join(self._refusals)), "content_filter"
        if uses and finish == "stop":
            finish = "tool_calls"
        elif not uses and finish == "tool_calls":
            finish = "stop"
        return ChatReply(text=text, tool_uses=tuple(uses), finish=finish, model=_valid(self._model))

    def tokens(self) -> tuple[int, int] | None:
        """Tokens read and written, as the server counted them; None where it did not."""
        read, written = self._usage.get("prompt_tokens"), self._usage.get("completion_tokens")
        if not isinstance(read, int) or not isinstance(written, int) or min(read, written) < 0:
            return None
        return read, written

    def _add_calls(self, parts: Json) -> None:
        for position, part in enumerate(parts if isinstance(parts, list) else []):
            if not isinstance(part, dict):
                raise Failure("sent what is not a reply", again=True)
            place, id = part.get("index"), str(part.get("id") or "")
            place = place if isinstance(place, int) else position
            call = self._open.get(place)
            if call is None or (id and call["id"] and id != call["id"]):  # some servers number all calls 0
                call = self._open[place] = {"id": "", "name": "", "arguments": ""}
                self._calls.append(call)
            call["id"] = call["id"] or id
            function: Any = part.get("function")
            if not isinstance(function, dict):
                continue
            call["name"] = call["name"] or str(function.get("name") or "")
            arguments = function.get("arguments") or ""
            call["arguments"] += arguments if isinstance(arguments, str) else json.dumps(arguments)


def _joined(content: Json) -> str:
    """The text of a content that is a list of parts."""
    parts = content if isinstance(content, list) else []
    return "".join(str(part.get("text") or "") for part in parts if isinstance(part, dict))


def _valid(text: str) -> str:
    """`text` without halves of characters, which JSON can carry and nothing else."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode()


def json_in(text: str) -> str:
    """The JSON in a reply that was asked for JSON: models wrap it in fences and thoughts. `text` if there is none."""
    try:
        json.loads(text)
        return text
    except (ValueError, RecursionError):
        pass
    for opening, closing in ("{}", "[]"):
        inside = text[max(0, text.rfind("</think>")) :]
        inside = inside[inside.find(opening) : inside.rfind(closing) + 1]
        try:
            json.loads(inside)
            return inside
        except (ValueError, RecursionError):
            continue
    return text
