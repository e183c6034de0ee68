"""The keys of AWS in the texts that its tools write: JSON of a credential process or of STS, a section of a
credentials file, or key, secret and token a line."""

from __future__ import annotations

import configparser
import json
from collections.abc import Mapping

from ringfence.egress.credentials.secret import AwsKeys, Secret
from ringfence.session.credentials.sources import Unavailable

_NAMES = (
    ("AccessKeyId", "SecretAccessKey", "SessionToken"),
    ("aws_access_key_id", "aws_secret_access_key", "aws_session_token"),
)


def aws_keys(text: Secret) -> AwsKeys:
    """The keys; `Unavailable` where the text has none."""
    written = text.reveal().strip()
    if written.startswith("{"):
        return _of_json(written)
    if written.startswith("["):
        return _of_section(written)
    lines = [line.strip() for line in written.splitlines() if line.strip()]
    if len(lines) not in (2, 3):
        raise Unavailable(_EXPECTED)
    return _keys(dict(zip(_NAMES[0], lines, strict=False)))


_EXPECTED = (
    "it has no AWS keys: expected is JSON with `AccessKeyId` and `SecretAccessKey`, one section of a credentials file,"
    " or key, secret and token a line"
)


def _of_json(text: str) -> AwsKeys:
    try:
        values = json.loads(text)
    except ValueError:
        raise Unavailable(_EXPECTED) from None
    inner = values.get("Credentials", values) if isinstance(values, dict) else None
    if not isinstance(inner, dict):
        raise Unavailable(_EXPECTED)
    return _keys({name: value for name, value in inner.items() if isinstance(value, str)})


def _of_section(text: str) -> AwsKeys:
    parser = configparser.RawConfigParser()
    try:
        parser.read_string(text)
    except configparser.Error:
        raise Unavailable(_EXPECTED) from None
    sections = parser.sections()
    if len(sections) != 1 and "default" not in sections:
        raise Unavailable("it has several sections and none is `default`; use a file with the one that is meant")
    return _keys(dict(parser["default" if "default" in sections else sections[0]]))


def _keys(values: Mapping[str, str]) -> AwsKeys:
    for key, secret, token in _NAMES:
        if values.get(key) and values.get(secret):
            session = values.get(token)
            return AwsKeys(key=values[key], secret=Secret(values[secret]), session=Secret(session) if session else None)
    raise Unavailable(_EXPECTED)
