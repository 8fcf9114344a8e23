"""Language models: one protocol, and clients for OpenAI-compatible servers and for what LiteLLM reaches."""

from .protocol import ChatClient, ChatReply, ChatRequest, Message, OnText, ToolOffer, ToolUse

__all__ = ["ChatClient", "ChatReply", "ChatRequest", "Message", "OnText", "ToolOffer", "ToolUse"]
