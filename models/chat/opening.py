"""From the name of a model to the client that reaches it."""

from __future__ import annotations

from ...core.errors import UsageError
from .carrying import Patience
from .litellm import LiteLLMChat
from .openai import OPENAI, OpenAIChat
from .protocol import ChatClient

ADDRESSES = {
    "openai": OPENAI,
    "cerebras": "https://api.cerebras.ai/v1",
    "deepseek": "https://api.deepseek.com/v1",
    "gemini": "https://generativelanguage.googleapis.com/v1beta/openai",
    "groq": "https://api.groq.com/openai/v1",
    "mistral": "https://api.mistral.ai/v1",
    "openrouter": "https://openrouter.ai/api/v1",
    "together_ai": "https://api.together.xyz/v1",
    "xai": "https://api.x.ai/v1",
    "lm_studio": "http://127.0.0.1:1234/v1",
    "ollama": "http://127.0.0.1:11434/v1",
}
"""Providers that speak like OpenAI, and where; the last two run on one's own machine and need no key."""

BY_LITELLM = (
    *("anthropic", "azure", "azure_ai", "bedrock", "cohere", "databricks", "fireworks_ai", "github", "huggingface"),
    *("nvidia_nim", "perplexity", "replicate", "sagemaker", "vertex_ai", "watsonx"),
)
"""Providers that only LiteLLM reaches."""

_OPENAI_NAMES = ("gpt-", "chatgpt-", "o1", "o3", "o4", "ft:")


def open_chat(
    model: str,
    *,
    base_url: str | None = None,
    api_key: str | None = None,
    price: tuple[float, float] | None = None,
    patience: Patience = Patience(),  # noqa: B008 (frozen)
) -> ChatClient:
    """A client for `model`; nothing is connected yet.

    With `base_url`, any OpenAI-compatible server: `model` is its own name there. Without one, `gpt-5-mini` and
    `openai/…` are OpenAI's, and `provider/name` is reached where the provider is; by LiteLLM where it has to be, or
    where the name begins with `litellm/`. `price` is in US dollars per million tokens read and written.

    Raises `UsageError` for a model whose provider is not known or needs a key, `MissingExtra` without LiteLLM.
    """
    provider, _, name = model.partition("/")
    if provider == "litellm" and name:
        return LiteLLMChat(name, base_url=base_url, api_key=api_key, price=price, patience=patience)
    if base_url:
        return OpenAIChat(model, base_url=base_url, api_key=api_key, price=price or (0.0, 0.0), patience=patience)
    if provider in BY_LITELLM and name:
        return LiteLLMChat(model, api_key=api_key, price=price, patience=patience)
    if not name and model.startswith(_OPENAI_NAMES):
        provider, name = "openai", model
    if provider not in ADDRESSES or not name:
        raise UsageError(
            f"nobody knows where the model {model!r} is",
            hint=f"give the base URL of its server, or write PROVIDER/NAME; known are {', '.join(_known())}",
        )
    address = ADDRESSES[provider]
    if not api_key and address.startswith("https:"):
        raise UsageError(f"{provider} needs an API key", hint="give api_key, or set BOTTEGA_API_KEY for the commands")
    return OpenAIChat(name, base_url=address, api_key=api_key, price=price or (0.0, 0.0), patience=patience)


def _known() -> list[str]:
    return sorted([*ADDRESSES, *BY_LITELLM, "litellm"])
