"""The short way of a request that nobody wants to see more of than its head: most of all, once a client has begun.

It asks what `Course` asks, in the same order, and passes on what `Course` would pass on. As soon as anything is not as
usual (a denial, a step that looks into it, no connection that waits, an answer that is not plain), the request goes on
as a course from where it is; nothing is asked or sent twice.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Protocol

from ringfence.egress.authorization import Authorization
from ringfence.egress.core import Core
from ringfence.egress.course import Course
from ringfence.egress.ends import ENOUGH, ServerFailed
from ringfence.egress.http1_ends import Http1Client
from ringfence.egress.http_fields import Said
from ringfence.egress.http_forward import reissued
from ringfence.egress.http_head import RequestHead
from ringfence.egress.inspection import Inspection, Request
from ringfence.egress.judging import Answer
from ringfence.egress.preparing import steps_of
from ringfence.egress.upstreams import Upstream, Upstreams
from ringfence.egress.whole_answers import passed_on
from ringfence.model.action import ConnectAction
from ringfence.model.decision import Verdict
from ringfence.model.host import Destination

logger = logging.getLogger(__name__)


class Owner(Protocol):
    """Who has the client."""

    def guarded(self, step: Callable[[], None]) -> None:
        """Do a step; what goes wrong in it ends the request."""
        ...

    def broke(self, fault: Exception) -> None:
        """A step went wrong, and that is being handled: it ends the request."""
        ...

    def passed(self, address: str) -> None:
        """The request is over: `address` answered it, and the client may send another one."""
        ...

    def new_course(self) -> Course:
        """A course for the request, which goes on there."""
        ...


class ShortWay:
    """Of one client and one host, for one request after the other."""

    __slots__ = (
        *("_amendments", "_authorize", "_client", "_core", "_destination", "_origin", "_owner", "_port"),
        *("_action", "_question", "_authorization", "_head", "_name", "_said", "_secure", "_upstream", "_upstreams"),
        "_wants",
    )

    def __init__(
        self,
        core: Core,
        inspection: Inspection,
        upstreams: Upstreams,
        owner: Owner,
        client: Http1Client,
        destination: Destination,
        *,
        origin: str,
        secure: bool,
    ) -> None:
        self._core = core
        self._authorize = core.authorize
        self._amendments = inspection.amendments
        self._wants = inspection.wants
        self._upstreams = upstreams
        self._owner = owner
        self._client = client
        self._destination = destination
        self._origin = origin
        self._secure = secure
        self._name, self._port = destination.host.name, destination.port
        self._head: RequestHead | None = None
        self._said: Said | None = None
        self._action: ConnectAction | None = None
        self._question: Answer[Authorization] | None = None
        self._authorization: Authorization | None = None
        self._upstream: Upstream | None = None

    def start(self, head: RequestHead, header: Said) -> bool:
        """Whether it takes the request, whose head says `header` and names this host."""
        if not header.plain or head.method != "GET" or not head.minor:
            return False
        wanted = self._wants(self._name, self._port)
        # What else rules ask about (the body, calls of tools, forms) a request without a body does not have.
        if wanted.anything:
            return False
        self._head, self._said = head, header
        action = self._action = ConnectAction(host=self._name, port=self._port, method="GET", path=head.path)
        self._authorization = None
        answer = self._question = Answer()
        try:
            cancel = self._authorize(action, self._origin, answer)
        except Exception:
            logger.exception("the authorisation of %s failed", action.host)
            self._hand_over().unjudged()
            return True
        if answer.given is not None:
            self._authorized(answer.given)
        else:
            answer.wait(cancel, self._owner.guarded, self._authorized)
        return True

    def end(self) -> str:
        """Nobody waits for the request any more: the address that it was sent to, if it was."""
        answer, self._question = self._question, None
        if answer is not None:
            answer.stop()
        upstream, self._upstream = self._upstream, None
        if upstream is None:
            return ""
        upstream.then = None
        self._core.engine.discard(upstream.leg.sock)
        return upstream.address

    def _hand_over(self) -> Course:
        """A course that the request goes on as."""
        head, header, action = self._head, self._said, self._action
        assert head is not None and header is not None and action is not None
        course = self._owner.new_course()
        course.take_over(head, header, action, self._authorization, self._upstream)
        # Only now: what goes wrong on the way there has to find the server's connection with one of the two.
        self._question = self._upstream = None
        return course

    def _authorized(self, authorization: Authorization) -> None:
        head, header, action = self._head, self._said, self._action
        assert head is not None and header is not None and action is not None
        self._question = None
        # SECURITY: nothing goes to a server before this, or its twin in `Course`, has seen an allow.
        if authorization.decision.verdict is not Verdict.ALLOW:
            return self._hand_over().authorized(authorization)
        self._authorization = authorization
        if self._amendments:
            # SECURITY: one that looks into the request does so in the course; here nobody does.
            request = Request(
                destination=self._destination,
                secure=self._secure,
                head=head,
                action=action,
                decision=authorization.decision,
            )
            steps = steps_of(self._amendments, request)
            if steps is None or steps:
                return self._hand_over().amended(steps)
        upstream = self._upstreams.take((self._name, self._port, self._secure, authorization.private))
        if upstream is None:
            return self._hand_over().amended(())
        self._upstream = upstream
        upstream.then = self._server_ready
        upstream.used += 1
        first = reissued(head, self._destination, header, length=-1, keep=True, secure=self._secure)
        try:
            upstream.leg.write(first)
        except OSError:
            return self._hand_over().sent(broken=True)
        return None

    def _server_ready(self) -> None:
        upstream, client = self._upstream, self._client
        if upstream is None:
            return None
        try:
            leg, pass_on = upstream.leg, client.pass_on
            if leg.waiting or client.waiting > ENOUGH or pass_on is None:
                return self._hand_over().sent()
            try:
                data = leg.read() if leg.ready else None
            except OSError as error:
                return self._hand_over().sent(failed=ServerFailed((error.strerror or str(error)).lower()))
            if data is None:
                return None
            whole = passed_on(data)
            if whole is None:
                return self._hand_over().sent(came=data)
            pass_on(whole)
            self._upstream = None
            self._upstreams.give(upstream)
            return self._owner.passed(upstream.address)
        except Exception as fault:  # noqa: BLE001  whatever it is, it is dealt with there
            return self._owner.broke(fault)
