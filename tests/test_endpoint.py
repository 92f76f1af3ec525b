"""One question to an OpenAI-compatible endpoint, with the real client and a real server."""

from __future__ import annotations

import json
import logging
import socket
import traceback
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime

import pytest
from language_model_server import LanguageModelServer, running_server

from comc_utils.errors import CoMCError
from comc_utils.sentences.llm.answers import PassingFaultError
from comc_utils.sentences.llm.endpoint import Endpoint

KEY = "sk-verydistinctive-0123456789abcdef"
PROMPT = "Please make a brief sentence to describe a photo that contains dog"


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LanguageModelServer]:
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with running_server() as server:
        yield server


@pytest.fixture
def endpoint(server: LanguageModelServer) -> Iterator[Endpoint]:
    endpoint = Endpoint("tiny", base_url=server.url, timeout=0.3)
    yield endpoint
    endpoint.close()


def test_chat(server: LanguageModelServer, endpoint: Endpoint) -> None:
    (answer,) = endpoint.ask([PROMPT], seeds=[5])
    assert (answer.text, answer.stopped_by, answer.tokens) == ("A photo of dog in room 0.", "stop", 30)
    assert server.paths == ["/v1/chat/completions"]
    assert server.authorizations == [f"Bearer {KEY}"]
    assert server.requests == [
        {"model": "tiny", "messages": [{"role": "user", "content": PROMPT}], "max_tokens": 40, "seed": 5}
    ]


def test_completion(server: LanguageModelServer) -> None:
    endpoint = Endpoint(
        "old",
        base_url=server.url,
        style="completion",
        max_tokens=30,
        temperature=0.5,
        options={"seed": None, "top_p": 0.9},
    )
    server.reports_usage = False
    (answer,) = endpoint.ask([PROMPT], seeds=[5])
    endpoint.close()
    assert answer.text == "A photo of dog in room 0."
    assert answer.tokens is None
    assert server.paths == ["/v1/completions"]
    assert server.requests == [
        {"model": "old", "prompt": PROMPT, "max_tokens": 30, "temperature": 0.5, "top_p": 0.9}
    ]


def test_server_without_key(server: LanguageModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY")
    endpoint = Endpoint("tiny", base_url=server.url)
    endpoint.ask([PROMPT], seeds=[0])
    endpoint.close()
    assert server.authorizations == [None]


def test_key_of_another_variable(server: LanguageModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MY_KEY", " mine \n")
    endpoint = Endpoint("tiny", base_url=server.url, key_variable="MY_KEY")
    endpoint.ask([PROMPT], seeds=[0])
    endpoint.close()
    assert server.authorizations == ["Bearer mine"]


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("429", "HTTP 429"),
        ("500", "HTTP 500"),
        ("503", "HTTP 503"),
        ("hang", "No answer came within 0.3 s"),
        ("html", "is not JSON"),
        ("no choices", "no choices"),
        ("half", "connection failed"),
        ("cut JSON", "is not JSON"),
        ("error in 200", "answered with an error"),
        ("silent", "is empty"),
    ],
)
def test_passing_fault(server: LanguageModelServer, endpoint: Endpoint, fault: str, message: str) -> None:
    server.fault = lambda number: fault
    with pytest.raises(PassingFaultError, match=message) as caught:
        endpoint.ask([PROMPT], seeds=[0])
    assert len(server.requests) == 1  # whoever counts requests tries again, not the client
    assert (caught.value.answer is not None) == (fault == "silent")


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("401", "HTTP 401.*check the key in \\$OPENAI_API_KEY"),
        ("403", "HTTP 403.*may do"),
        ("404", "HTTP 404.*model's name"),
        ("400", "HTTP 400.*options"),
        ("broke", "HTTP 429.*No credit left.*used up"),
    ],
)
def test_lasting_fault(server: LanguageModelServer, endpoint: Endpoint, fault: str, message: str) -> None:
    server.fault = lambda number: fault
    with pytest.raises(CoMCError, match=message) as caught:
        endpoint.ask([PROMPT], seeds=[0])
    assert "\n" not in str(caught.value)


def test_nobody_there(server: LanguageModelServer) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    endpoint = Endpoint("tiny", base_url=url)
    with pytest.raises(PassingFaultError, match="connection failed.*refused"):
        endpoint.ask([PROMPT], seeds=[0])
    endpoint.close()


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"Retry-After": "7"}, 7),
        ({"Retry-After": "2.5"}, 2.5),
        ({"retry-after-ms": "1500"}, 1.5),
        ({"Retry-After": "soon"}, 0),
        ({"Retry-After": "-3"}, 0),
        ({}, 0),
    ],
)
def test_wait_that_the_server_asks_for(
    server: LanguageModelServer, endpoint: Endpoint, headers: dict[str, str], seconds: float
) -> None:
    server.headers = headers
    server.fault = lambda number: "503"
    with pytest.raises(PassingFaultError) as caught:
        endpoint.ask([PROMPT], seeds=[0])
    assert caught.value.retry_after == seconds


def test_wait_until_a_date(server: LanguageModelServer, endpoint: Endpoint) -> None:
    date = datetime.now(timezone.utc) + timedelta(seconds=1000)
    server.headers = {"Retry-After": format_datetime(date, usegmt=True)}
    server.fault = lambda number: "503"
    with pytest.raises(PassingFaultError) as caught:
        endpoint.ask([PROMPT], seeds=[0])
    assert 900 < caught.value.retry_after <= 1000


@pytest.mark.parametrize(
    "fault", ["401", "404", "429", "500", "hang", "html", "no choices", "half", "cut JSON"]
)
def test_key_is_nowhere(
    server: LanguageModelServer, endpoint: Endpoint, fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    server.fault = lambda number: fault
    with pytest.raises((PassingFaultError, CoMCError)) as caught:
        endpoint.ask([PROMPT], seeds=[0])
    error = caught.value
    assert server.authorizations == [f"Bearer {KEY}"]
    told = traceback.TracebackException.from_exception(error, capture_locals=True)
    texts = ["".join(told.format()), repr(error), repr(endpoint), str(vars(endpoint)), caplog.text]
    # Not in what travels with the error either, in which the request and its headers would stand.
    assert error.__context__ is None or error.__suppress_context__
    assert all(KEY not in text and KEY[:12] not in text for text in texts)


def test_answer_that_repeats_the_key(server: LanguageModelServer, endpoint: Endpoint) -> None:
    server.answer = lambda prompt, number: f"A dog with the tag {KEY[:15]} waits."
    assert endpoint.ask([PROMPT], seeds=[0])[0].text == "A dog with the tag [key] waits."


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ({"content": [{"type": "text", "text": "A dog"}, {"text": " runs."}]}, "A dog runs."),
        ({"content": None, "refusal": "I cannot do that."}, "I cannot do that."),
        ({"content": [{"type": "text", "text": None}, {"type": "text", "text": "A dog runs."}]}, "A dog runs."),
        ({"content": [{"type": "thinking", "text": "Hm"}, {"type": "text", "text": "A dog."}]}, "A dog."),
        ({"content": "A dog.", "reasoning": "Hm", "thinking": "Hm"}, "A dog."),
    ],
)
def test_unusual_messages(server: LanguageModelServer, endpoint: Endpoint, message: dict, text: str) -> None:
    server._completion = lambda *_: {"choices": [{"message": message}], "usage": {}}
    (answer,) = endpoint.ask([PROMPT], seeds=[0])
    assert (answer.text, answer.stopped_by, answer.tokens) == (text, "", None)


@pytest.mark.parametrize(
    "url",
    [
        "localhost:8000/v1",
        "ftp://host/v1",
        "http:///v1",
        "http://host:port/v1",
        f"http://me:{KEY}@host/v1",
        f"http://host/v1?key={KEY}",
    ],
)
def test_address_that_cannot_be(url: str) -> None:
    with pytest.raises(CoMCError, match="of the form http://host:port/v1") as caught:
        Endpoint("tiny", base_url=url)
    assert KEY not in str(caught.value)


def test_openai_needs_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with pytest.raises(CoMCError, match="set the environment variable OPENAI_API_KEY"):
        Endpoint("gpt-3.5-turbo")


def test_key_that_no_header_can_carry(server: LanguageModelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", f"{KEY}\n{KEY}")
    with pytest.raises(CoMCError, match="set it anew") as caught:
        Endpoint("tiny", base_url=server.url)
    assert KEY not in str(caught.value)


def test_key_among_the_options(server: LanguageModelServer) -> None:
    with pytest.raises(CoMCError, match="options or address, too.*remove it") as caught:
        Endpoint("tiny", base_url=server.url, options={"api_key": KEY})
    assert KEY not in str(caught.value)


@pytest.mark.parametrize("arguments", [{"style": "talk"}, {"concurrency": 0}])
def test_wrong_arguments(server: LanguageModelServer, arguments: dict) -> None:
    with pytest.raises(CoMCError, match="choose|ask for"):
        Endpoint("tiny", base_url=server.url, **arguments)


FILTERED = {"error": {"message": "The response was filtered", "code": "content_filter", "status": 400}}


def test_an_instruction_that_a_filter_refuses_is_an_answer_of_its_own(
    server: LanguageModelServer, endpoint: Endpoint
) -> None:
    server.fault = lambda number: FILTERED
    (answer,) = endpoint.ask([PROMPT], seeds=[0])
    assert (answer.text, answer.stopped_by) == ("", "content_filter")
    server.fault = lambda number: ""
    server.message = lambda prompt, number: ({"content": None}, "content_filter")
    (answer,) = endpoint.ask([PROMPT], seeds=[0])
    assert (answer.text, answer.stopped_by) == ("", "content_filter")


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (402, {"error": {"message": "Insufficient Balance"}}, "HTTP 402 .Insufficient Balance.*--key-variable"),
        (400, [{"error": {"code": 400, "message": "Bad key of Google's"}}], "HTTP 400 .Bad key of Google's"),
        (200, {"error": {"code": 401, "message": "No such user"}}, "No such user.*OPENAI_API_KEY"),
        (200, [{"error": {"code": "402", "message": "Add credits"}}], "Add credits.*used up"),
        (400, {"error": {"message": "Only stream=true is supported"}}, "Only stream=true.*\"stream\": true"),
        (400, {"message": "Use 'max_completion_tokens' instead"}, "max_completion_tokens. instead.*null"),
    ],
)  # fmt: skip
def test_a_refusal_has_the_servers_words_and_a_remedy_that_fits(
    server: LanguageModelServer, endpoint: Endpoint, status: int, body: object, message: str
) -> None:
    server.handle = lambda handler: (
        handler.rfile.read(int(handler.headers["Content-Length"])),
        server.send(handler, status, json.dumps(body)),
    )
    with pytest.raises(CoMCError, match=message):
        endpoint.ask([PROMPT], seeds=[0])


def test_a_server_that_streams_is_read_to_its_end(server: LanguageModelServer, endpoint: Endpoint) -> None:
    pieces = [{"role": "assistant", "content": None}, {"reasoning_content": "Hm"}]
    pieces += [{"content": "A dog"}, {"content": " runs."}]
    events = [{"choices": [{"delta": piece, "finish_reason": None}]} for piece in pieces]
    events += [
        {"choices": [{"delta": {}, "finish_reason": "stop"}]},
        {"choices": [], "usage": {"total_tokens": 9}},
    ]
    body = ": hello\n\n" + "".join(f"data: {json.dumps(event)}\n\n" for event in events) + "data: [DONE]\n\n"
    server.handle = lambda handler: (
        handler.rfile.read(int(handler.headers["Content-Length"])),
        server.send(handler, 200, body, "text/event-stream"),
    )
    (answer,) = endpoint.ask([PROMPT], seeds=[0])
    assert (answer.text, answer.stopped_by, answer.tokens) == ("A dog runs.", "stop", 9)


@pytest.mark.parametrize(
    ("variables", "message"),
    [
        ({"ALL_PROXY": "socks5://127.0.0.1:9"}, "ALL_PROXY.*unset it.*httpx.socks"),
        ({"HTTPS_PROXY": "gopher://127.0.0.1:9"}, "HTTPS_PROXY.*unset it"),
        ({"SSL_CERT_FILE": "/nowhere/ca.pem"}, "/nowhere/ca.pem cannot be read.*SSL_CERT_FILE"),
    ],
)
def test_an_environment_that_cannot_be_used(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], message: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(CoMCError, match=message):
        Endpoint("tiny", base_url="https://localhost:9/v1")
