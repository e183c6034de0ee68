"""A browser reduced to what a server sees of it: a cookie, headers, JSON."""

from __future__ import annotations

import json
import re
from http.client import HTTPConnection

from tests.server.local.authenticator import Authenticator
from tests.server.local.serving import Site
from webauthn.helpers import base64url_to_bytes


class Client:
    """One browser that was let in."""

    def __init__(self, site: Site) -> None:
        self._site = site
        self.cookie = ""
        status, headers, _ = self.ask("GET", site.address.removeprefix(site.origin))
        assert status == 303
        self.cookie = headers["set-cookie"].partition(";")[0]
        found = re.search('name="ringfence-page" content="([0-9a-f]+)"', self.ask("GET", "/")[2])
        assert found is not None
        self.page = found[1]

    def ask(
        self, method: str, path: str, body: str | None = None, headers: dict[str, str | None] | None = None
    ) -> tuple[int, dict[str, str], str]:
        """One request; a header that is None is left out."""
        usual: dict[str, str | None] = {"Host": self._site.origin.removeprefix("http://"), "Cookie": self.cookie}
        if body is not None:
            usual |= {
                "Origin": self._site.origin,
                "Content-Type": "application/json",
                "X-Ringfence-Page": self.page,
            }
        sent = {name: value for name, value in {**usual, **(headers or {})}.items() if value is not None}
        connection = HTTPConnection("127.0.0.1", self._site.port, timeout=10)
        try:
            connection.request(method, path, body, sent)
            answer = connection.getresponse()
            text = answer.read().decode()
            return answer.status, {name.lower(): value for name, value in answer.getheaders()}, text
        finally:
            connection.close()

    def post(self, path: str, plain: object) -> tuple[int, dict[str, object]]:
        """Send what the page would."""
        status, _, text = self.ask("POST", path, json.dumps(plain))
        return status, json.loads(text)

    def begin(self, request: str, seen: str, scope: str = "once") -> tuple[str, bytes]:
        """The name of a ceremony and its challenge."""
        status, plain = self.post(f"/requests/{request}/begin", {"seen": seen, "scope": scope})
        assert status == 200, plain
        options = plain["options"]
        assert isinstance(options, dict)
        return str(plain["ceremony"]), base64url_to_bytes(options["challenge"])

    def add(self, authenticator: Authenticator, **made: bool) -> tuple[int, dict[str, object]]:
        """Register a passkey."""
        _, plain = self.post("/passkeys/begin", {})
        options = plain["options"]
        assert isinstance(options, dict)
        credential = authenticator.create(base64url_to_bytes(options["challenge"]), self._site.origin, **made)
        return self.post("/passkeys/add", {"ceremony": plain["ceremony"], "credential": credential})
