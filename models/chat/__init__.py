"""Language models: one protocol, and clients for OpenAI-compatible servers and for what LiteLLM reaches."""

from .carrying import Patience
from .fallbacks import Fallbacks
from .litellm import LiteLLMChat
from .openai import OpenAIChat
from .opening import open_chat
from .protocol import ChatClient, ChatReply, ChatRequest, Message, OnText, ToolOffer, ToolUse
from .replay import RecordingChat, ReplayChat

__all__ = [
    "ChatClient",
    "ChatReply",
    "ChatRequest",
    "Fallbacks",
    "LiteLLMChat",
    "Message",
    "OnText",
    "OpenAIChat",
    "Patience",
    "RecordingChat",
    "ReplayChat",
    "ToolOffer",
    "ToolUse",
    "open_chat",
]
