"""Carries a review to whoever reviews, within one deadline for all attempts. It runs outside every sandbox.

A failure that may pass is tried again; whatever does not come to an answer is `ReviewerUnavailable`, and that is not a
judgement.
"""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import signal
import ssl
import subprocess
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from urllib.parse import urlsplit

from ringfence.approvals.reviewing.opinion import MAX_ANSWER, AnswerInvalid, Opinion, read_opinion
from ringfence.approvals.reviewing.request import ReviewRequest
from ringfence.approvals.reviewing.wires import Wire

SECONDS = 90.0
ATTEMPTS = 3
MAX_BODY = 1024 * 1024
_WAITS = (0.5, 2.0)
_PASSING = frozenset({408, 409, 425, 429, 500, 502, 503, 504, 529})


class ReviewerUnavailable(Exception):
    """There was no answer in time, or none that is one."""


class _Passing(Exception):
    """It did not work, and may the next time."""


Ask = Callable[[ReviewRequest], Awaitable[Opinion]]
"""An opinion; `ReviewerUnavailable`."""


def over_http(
    wire: Wire, *, url: str, model: str, key: Callable[[], str], seconds: float = SECONDS, attempts: int = ATTEMPTS
) -> Ask:
    """Asks a model at a base address. `key` is read for each attempt, and kept nowhere."""

    async def ask(request: ReviewRequest) -> Opinion:
        body = wire.body(model, request)
        return await _repeated(
            lambda left: asyncio.to_thread(_post, wire, url, key(), body, left), seconds=seconds, attempts=attempts
        )

    return ask


def by_command(
    argv: tuple[str, ...], *, environment: Mapping[str, str], seconds: float = SECONDS, attempts: int = ATTEMPTS
) -> Ask:
    """Asks a local program: the document on its standard input, after the instructions and an empty line."""

    async def ask(request: ReviewRequest) -> Opinion:
        text = f"{request.instructions}\n{request.document}\n".encode()
        return await _repeated(
            lambda left: asyncio.to_thread(_run, argv, environment, text, left), seconds=seconds, attempts=attempts
        )

    return ask


async def _repeated(attempt: Callable[[float], Awaitable[str]], *, seconds: float, attempts: int) -> Opinion:
    until = time.monotonic() + seconds
    problem = "it does not answer"
    for number in range(attempts):
        left = until - time.monotonic()
        if left <= 0:
            break
        try:
            async with asyncio.timeout(left):
                return read_opinion(await attempt(left))
        except (_Passing, AnswerInvalid) as error:
            # A model that answered with prose once may answer as asked the next time.
            problem = str(error)
        except TimeoutError:
            problem = f"it does not answer within {seconds:g} seconds"
            break
        if number + 1 < attempts:
            await asyncio.sleep(min(_WAITS[min(number, len(_WAITS) - 1)], max(0.0, until - time.monotonic())))
    raise ReviewerUnavailable(problem)


def _post(wire: Wire, url: str, key: str, body: bytes, seconds: float) -> str:
    parts = urlsplit(url)
    host, port = parts.hostname or "", parts.port
    connection = (
        http.client.HTTPSConnection(host, port, timeout=seconds, context=ssl.create_default_context())
        if parts.scheme == "https"
        else http.client.HTTPConnection(host, port, timeout=seconds)
    )
    headers = {"content-type": "application/json", "user-agent": "ringfence", **wire.headers(key)}
    try:
        connection.request("POST", parts.path.rstrip("/") + wire.path(), body, headers)
        answer = connection.getresponse()
        content = _read(answer, seconds)
    except TimeoutError as error:
        raise _Passing("it does not answer in time") from error
    except (OSError, http.client.HTTPException) as error:
        raise _Passing(f"it cannot be reached: {type(error).__name__}: {error}") from error
    finally:
        connection.close()
    if answer.status in _PASSING:
        raise _Passing(f"it answered with status {answer.status}")
    if answer.status != 200:
        # SECURITY: the body of an error may repeat the key, so it is not told.
        raise ReviewerUnavailable(f"it answered with status {answer.status}; check its address, model and key")
    return wire.answer(content)


def _read(answer: http.client.HTTPResponse, seconds: float) -> bytes:
    """The body, at most so much and for so long: a server that drips is one that does not answer."""
    until = time.monotonic() + seconds
    found = bytearray()
    while chunk := answer.read1(65_536):
        found += chunk
        if len(found) > MAX_BODY:
            raise ReviewerUnavailable(f"it answered with more than {MAX_BODY:,} bytes")
        if time.monotonic() > until:
            raise TimeoutError
    return bytes(found)


def _run(argv: tuple[str, ...], environment: Mapping[str, str], text: bytes, seconds: float) -> str:
    try:
        process = subprocess.Popen(
            argv,
            env=dict(environment),
            cwd=os.path.sep,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
    except OSError as error:
        raise ReviewerUnavailable(f"`{argv[0]}` cannot be started: {error.strerror}") from error
    late = threading.Timer(seconds, _end, (process,))
    late.start()
    try:
        with process:
            found = _talk(process, text)
    finally:
        late.cancel()
    if len(found) > MAX_ANSWER:
        raise ReviewerUnavailable(f"it answered with more than {MAX_ANSWER:,} bytes")
    if process.returncode != 0:
        raise _Passing(f"`{argv[0]}` ended with exit code {process.returncode}")
    try:
        return found.decode()
    except UnicodeDecodeError as error:
        raise AnswerInvalid("the answer is not text") from error


def _talk(process: subprocess.Popen[bytes], text: bytes) -> bytes:
    """Write the question and read the answer at the same time: a program may answer before it has read everything."""
    asked, answers = process.stdin, process.stdout
    assert asked is not None
    assert answers is not None

    def write() -> None:
        with contextlib.suppress(OSError):
            asked.write(text)
        with contextlib.suppress(OSError):
            asked.close()

    writing = threading.Thread(target=write)
    writing.start()
    found = answers.read(MAX_ANSWER + 1)
    if len(found) > MAX_ANSWER:
        _end(process)
    # What it started may hold its output, and is ended with it: nothing of it waits for anybody.
    process.wait()
    _end(process)
    writing.join()
    return found


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program and all that it started in its session."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)
