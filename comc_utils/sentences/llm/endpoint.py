"""Language models behind any endpoint that speaks OpenAI's protocol: OpenAI, vLLM, Ollama, llama.cpp, ..."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

import openai

from comc_utils.errors import CoMCError
from comc_utils.sentences.llm.answers import CONTENT_FILTER, LENGTH, Answer, PassingFaultError
from comc_utils.sentences.llm.responses import (
    LONGEST_MESSAGE,
    error_message,
    is_broke,
    is_filtered,
    is_stream,
    joined,
    retry_after,
    text_of,
)

KEY_VARIABLE = "OPENAI_API_KEY"
"""Environment variable that holds the key, unless another is named."""

TIMEOUT_SECONDS = 60.0
"""To connect, and between two pieces of the answer."""

_OPENAI = "https://api.openai.com/v1"
_PASSING_STATUSES = (408, 409, 425, 429)
_RECOGNISABLE_PART = 8
"""Characters of a key that give it away."""


class Endpoint:
    """A language model behind an OpenAI-compatible endpoint, asked one instruction a request.

    The key stays in memory: it is in no file, message, log or representation, also where the server sends
    it back.

    Parameters
    ----------
    model : str
        As the server calls it.
    base_url : str, optional
        Up to and with ``/v1``; OpenAI's own by default.
    style : {"chat", "completion"}
        Chat completions, or the older completions.
    max_tokens : int or None
        Most tokens of an answer; the server's default where it is None.
    temperature : float, optional
        The server's default where it is None.
    options : mapping, optional
        Further fields of the request, such as ``top_p``. The value None leaves a field out that would be
        sent, such as ``seed`` for a server that knows none.
    key_variable : str
        Environment variable with the key. Servers other than OpenAI's may do without.
    concurrency : int
        Requests at once, at least 1.
    timeout : float
        Seconds, see `TIMEOUT_SECONDS`.

    Raises
    ------
    CoMCError
        No key where one is needed, a key or an address that cannot be sent, an unknown style.

    References
    ----------
    The paper's authors asked text-davinci-002 for completions of at most 30 tokens, and gpt-3.5-turbo for
    chat completions of at most 40.
    """

    batch_size = 1

    def __init__(
        self,
        model: str,
        *,
        base_url: str | None = None,
        style: Literal["chat", "completion"] = "chat",
        max_tokens: int | None = 40,
        temperature: float | None = None,
        options: Mapping[str, Any] | None = None,
        key_variable: str = KEY_VARIABLE,
        concurrency: int = 8,
        timeout: float = TIMEOUT_SECONDS,
    ) -> None:
        if style not in ("chat", "completion"):
            raise CoMCError(f"Unknown style {style!r} of the endpoint; choose chat or completion.")
        if concurrency < 1:
            raise CoMCError(f"{concurrency} requests at once were asked for; ask for 1 or more.")
        base_url = base_url or os.environ.get("OPENAI_BASE_URL") or _OPENAI
        _check_address(base_url)
        key = _read_key(key_variable, needed=base_url.startswith(_OPENAI))
        self.name = model
        self.settings = {
            "style": style,
            "max_tokens": max_tokens,
            "temperature": temperature,
            "options": dict(options or {}),
        }
        self.max_tokens = max_tokens
        self.concurrency = concurrency
        self._timeout = timeout
        self._key_variable = key_variable
        self._conceal = _Concealer(key)
        if self._conceal(text := json.dumps([model, self.settings, base_url])) != text:
            raise CoMCError(
                f"The key of ${key_variable} stands in the model's name, options or address, too, which "
                "are written to files; remove it there."
            )
        self._base_url = base_url
        # Without a key no header rather than an empty one.
        self._headers = {} if key else {"Authorization": openai.Omit()}
        try:
            self._client = openai.OpenAI(
                api_key=key or "none",
                base_url=base_url,
                timeout=timeout,
                # Retries are the business of whoever counts requests.
                max_retries=0,
            )
        except (
            ImportError,
            ValueError,
            OSError,
        ) as error:  # what the environment says of proxies, certificates
            raise CoMCError(_environment_fault(error)) from None

    def __repr__(self) -> str:
        return f"Endpoint({self.name!r}, base_url={self._base_url!r})"

    def ask(self, instructions: Sequence[str], *, seeds: Sequence[int]) -> list[Answer]:
        """Send one request for each instruction, once.

        Parameters
        ----------
        instructions : sequence of str
        seeds : sequence of int
            Sent along; few servers promise the same answer for the same seed.

        Returns
        -------
        list of Answer

        Raises
        ------
        PassingFaultError
            HTTP 408, 409, 425, 429 or 5xx, a timeout, a broken connection, or no proper answer.
        CoMCError
            Any other refusal: a wrong key, an unknown model, an exhausted account.
        """
        return [self._ask(*question) for question in zip(instructions, seeds, strict=True)]

    def close(self) -> None:
        """Close the connections."""
        self._client.close()

    def _ask(self, instruction: str, seed: int) -> Answer:
        try:
            body = self._send(instruction, seed)
        except openai.OpenAIError as error:
            if is_filtered(error):
                return Answer("", CONTENT_FILTER)
            fault = self._fault(error)
        except ValueError:
            fault = PassingFaultError("The server's answer cannot be read")
        else:
            return self._read(body)
        # Outside of the except block: the library's error, with the request and its headers in it, is not
        # to travel along as the context.
        raise fault

    def _send(self, instruction: str, seed: int) -> str:
        fields = {
            "max_tokens": self.max_tokens,
            "temperature": self.settings["temperature"],
            "seed": seed,
        } | self.settings["options"]
        fields = {name: value for name, value in fields.items() if value is not None}
        if self.settings["style"] == "chat":
            response = self._client.chat.completions.with_raw_response.create(
                model=self.name,
                messages=[{"role": "user", "content": instruction}],
                extra_body=fields,
                extra_headers=self._headers,
            )
        else:
            response = self._client.completions.with_raw_response.create(
                model=self.name, prompt=instruction, extra_body=fields, extra_headers=self._headers
            )
        # Before anyone holds it: some servers send back what they were sent.
        return self._conceal(response.http_response.text)

    def _fault(self, error: openai.OpenAIError) -> Exception:
        if isinstance(error, openai.APITimeoutError):
            return PassingFaultError(f"No answer came within {self._timeout:g} s")
        if isinstance(error, openai.APIStatusError):
            return self._refused(error)
        reason = self._conceal(str(error.__cause__ or error))[:LONGEST_MESSAGE]
        if "CERTIFICATE_VERIFY_FAILED" in reason:
            return CoMCError(
                f"The certificate of {self._base_url} is not trusted ({reason}); name the file of the "
                "authority that signed it in the environment variable SSL_CERT_FILE."
            )
        return PassingFaultError(f"The connection failed ({reason})")

    def _refused(self, error: openai.APIStatusError) -> Exception:
        status = error.status_code
        said = self._conceal(error_message(error.response.text))
        wait = retry_after(error.response.headers)
        return self._told(status, f"HTTP {status}" + (f" ({said})" if said else ""), error.response.text, wait)

    def _told(self, status: int, message: str, body: str, wait: float = 0.0) -> Exception:
        """What to make of a refusal, by its status and the server's own words."""
        broke = is_broke(status, body)
        if (status in _PASSING_STATUSES or status >= 500) and not broke:
            return PassingFaultError(message, retry_after=wait)
        hints = {
            401: f"check the key in ${self._key_variable}",
            403: f"check what the key in ${self._key_variable} may do",
            404: "check the model's name (--model), and that --base-url ends where /chat/completions begins",
        }
        hint = hints.get(status, "correct --model or --options")
        if broke:
            hint = "the account is used up; pay, or name another key by --key-variable"
        elif "stream" in body.lower():
            hint = "if it only streams, say --options '{\"stream\": true}'"
        elif any(field in body for field in ("max_tokens", "max_completion_tokens")):
            limit = '{"max_tokens": null, "max_completion_tokens": 400}'
            hint = f"where the limit has another name, say --options '{limit}'"
        return CoMCError(f"The server at {self._base_url} refused: {message}; {hint}.")

    def _read(self, body: str) -> Answer:
        try:
            content = joined(body) if is_stream(body) else json.loads(body)
        except ValueError:
            beginning = " ".join(body.split())[:60]
            raise PassingFaultError(f"The answer is not JSON ({beginning!r} ...)") from None
        content = content[0] if isinstance(content, list) and content else content
        content = content if isinstance(content, dict) else {}
        if content.get("error"):
            raise self._error_within(content["error"], error_message(json.dumps(content)))
        choices = content.get("choices")
        choice = choices[0] if isinstance(choices, list) and choices else None
        if not isinstance(choice, dict):
            raise PassingFaultError("The answer has no choices")
        usage = content.get("usage")
        tokens = usage.get("total_tokens") if isinstance(usage, dict) else None
        answer = Answer(
            text=text_of(choice),
            stopped_by=str(choice.get("finish_reason") or ""),
            tokens=tokens if isinstance(tokens, int) and tokens > 0 else None,
        )
        # Cut off before it began, or filtered, it would be so again.
        if not answer.text.strip() and answer.stopped_by not in (LENGTH, CONTENT_FILTER):
            raise PassingFaultError("The answer is empty", answer=answer)
        return answer

    def _error_within(self, error: Any, said: str) -> Exception:
        """What to make of an error that came with HTTP 200."""
        code = error.get("code") if isinstance(error, dict) else None
        status = int(code) if str(code).isdigit() else 500
        return self._told(status, f"The server answered with an error ({said})", said + json.dumps(error))


class _Concealer:
    """Takes a key, and recognisable parts of it, out of texts."""

    def __init__(self, key: str) -> None:
        self._key = key
        last = max(len(key) - _RECOGNISABLE_PART, 0)
        self._parts = {key[start : start + _RECOGNISABLE_PART] for start in range(last + 1)} - {""}

    def __call__(self, text: str) -> str:
        if not self._key:
            return text
        if len(self._key) < _RECOGNISABLE_PART:
            # "none", "EMPTY" and the like are no secrets and may be part of other words.
            return re.sub(rf"\b{re.escape(self._key)}\b", "[key]", text)
        return re.sub(
            r"[^\s\"'\\]+",  # so that JSON stays JSON
            lambda word: "[key]" if any(part in word[0] for part in self._parts) else word[0],
            text,
        )

    def __repr__(self) -> str:
        return "_Concealer()"


def _read_key(variable: str, *, needed: bool) -> str:
    key = os.environ.get(variable, "").strip()
    if needed and not key:
        raise CoMCError(
            f"OpenAI's server needs a key: set the environment variable {variable}, or name another "
            "server by its address."
        )
    # What is refused further down is shown there, too.
    if not re.fullmatch(r"[!-~]*", key):
        raise CoMCError(
            f"The key in the environment variable {variable} has spaces or characters that no key has; "
            "set it anew."
        )
    return key


def _check_address(base_url: str) -> None:
    try:
        parts = urlsplit(base_url)
        proper = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        proper = False
    if not proper or parts.username or parts.password or parts.query or parts.fragment:
        raise CoMCError(
            "The address of the endpoint must be of the form http://host:port/v1, without name, password "
            "or query; give the key by the environment."
        )


def _environment_fault(error: Exception) -> str:
    said = " ".join(str(error).split())[:LONGEST_MESSAGE]
    if isinstance(error, OSError):
        named = os.environ.get("SSL_CERT_FILE") or os.environ.get("SSL_CERT_DIR") or "the certificates"
        return f"{named} cannot be read ({said}); correct or unset the environment variable SSL_CERT_FILE."
    names = [name for name in os.environ if name.lower() in ("all_proxy", "http_proxy", "https_proxy")]
    socks = " For a SOCKS proxy, run pip install 'httpx[socks]'." if "socks" in said.lower() else ""
    proxies = ", ".join(names)
    return f"The proxy of the environment ({proxies}) cannot be used ({said}); correct or unset it.{socks}"
