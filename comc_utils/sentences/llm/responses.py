"""What servers that speak OpenAI's protocol send back, in the forms that they give it."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from email.utils import parsedate_to_datetime
from typing import Any

import openai

LONGEST_MESSAGE = 300
"""Characters of a server's own words in a message."""

_FILTERS = (
    "content_filter", "content_policy", "responsibleai", "content management policy", "data_inspection_failed",
)  # fmt: skip
"""In a refusal of one instruction, in lower case, by several servers."""
_BROKE = ("insufficient_quota", "insufficient balance", "insufficient credit", "no credit", "billing")
_TEXT_PARTS = ("text", "output_text")


def is_broke(status: int, body: str) -> bool:
    """Whether an account has no money; some servers give it the status of one in a hurry."""
    return status == 402 or any(word in body.lower() for word in _BROKE)


def text_of(choice: Mapping[str, Any]) -> str:
    """Read the text that is the answer.

    Parameters
    ----------
    choice : mapping
        An entry of ``choices``; what a server puts into fields of its own for reasoning is left there.

    Returns
    -------
    str
    """
    message = choice.get("message") or choice.get("delta")
    if not isinstance(message, dict):
        return str(choice.get("text") or "")
    content = message.get("content") or message.get("refusal") or ""
    if isinstance(content, list):  # of parts, as some servers send it, reasoning among them
        texts = [part for part in content if isinstance(part, dict) and part.get("type", "text") in _TEXT_PARTS]
        content = "".join(str(part.get("text") or "") for part in texts)
    return str(content)


def is_stream(body: str) -> bool:
    """Whether a body is a row of server-sent events."""
    return body.lstrip().startswith(("data:", "event:", ":"))


def joined(body: str) -> dict[str, Any]:
    """Put together the pieces that a server sends as events, whether it was asked to or not.

    Raises
    ------
    ValueError
        An event is no JSON.
    """
    lines = (line.removeprefix("data:").strip() for line in body.splitlines() if line.startswith("data:"))
    events = [json.loads(line) for line in lines if line and line != "[DONE]"]
    merged: dict[str, Any] = {}
    texts, reason = [], None
    for event in events:
        if event.get("error"):
            return event
        merged |= {name: value for name, value in event.items() if value is not None}
        for choice in (event.get("choices") or [])[:1]:
            texts.append(text_of(choice))
            reason = choice.get("finish_reason") or reason
    return merged | {"choices": [{"text": "".join(texts), "finish_reason": reason}] if texts else []}


def is_filtered(error: openai.OpenAIError) -> bool:
    """Whether a server refuses this one instruction for what stands in it."""
    if not isinstance(error, openai.APIStatusError) or not 400 <= error.status_code < 500:
        return False
    return any(word in error.response.text.lower() for word in _FILTERS)


def error_message(body: str) -> str:
    """What a server says of an error, as one short line."""
    try:
        error = json.loads(body)
    except ValueError:
        return "" if "<" in body else " ".join(body.split())[:LONGEST_MESSAGE]
    error = error[0] if isinstance(error, list) and error else error
    for name in ("error", "message", "detail"):
        if isinstance(error, dict) and name in error:
            error = error[name]
    return " ".join(str(error).split())[:LONGEST_MESSAGE]


def retry_after(headers: Mapping[str, str]) -> float:
    """Seconds that a server asks to wait; 0 where it does not, or not readably."""
    try:
        if "retry-after-ms" in headers:
            return max(float(headers["retry-after-ms"]) / 1000, 0.0)
        value = headers.get("retry-after", "0")
        if re.fullmatch(r"[\d.]+", value):
            return float(value)
        return max((parsedate_to_datetime(value) - datetime.now(timezone.utc)).total_seconds(), 0.0)
    except (ValueError, TypeError):
        return 0.0
