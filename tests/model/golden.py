"""One example of every event. The golden files hold how each was first written down: readable for ever."""

from __future__ import annotations

from pathlib import Path

from ringfence.model import event as events
from ringfence.model.action import CommandAction, ConnectAction, Effect, EffectKind
from ringfence.model.decision import Decision, Placement, Reason, Risk, Verdict
from ringfence.model.vote import Authentication, Vote

FOLDER = Path(__file__).parent / "golden"

_DECISION = Decision(
    verdict=Verdict.ASK,
    action=CommandAction(
        argv=("git", "push", "origin", "grün"),
        cwd="/w",
        shell="git push origin grün",
        environment=(("GIT_DIR", ".git"),),
        executable="/usr/bin/git",
    ),
    reasons=(
        Reason(
            rule="git-publish",
            layer="preset:workspace",
            source="workspace.toml:41",
            verdict=Verdict.ASK,
            text="publishes commits outside this machine",
        ),
    ),
    policy="sha256:" + "0" * 64,
    placement=Placement.INSIDE,
    risk=Risk.HIGH,
    effects=(Effect(kind=EffectKind.PUBLISH, object="github.com"),),
    opaque=False,
    message="a person has to agree",
    next_steps=("ask again",),
    resolved_by="policy",
)

EVENTS: dict[str, events.Body] = {
    "session.started": events.SessionStarted(
        agent="codex",
        argv=("codex", "exec"),
        cwd="/w",
        workspace="/w",
        workspace_mode="direct",
        user="ada",
        host="machine",
        tier="A",
        enforcement=(("landlock", "7"), ("seccomp", "filter")),
        policy="sha256:" + "0" * 64,
        layers=("/etc/ringfence/policy.toml",),
        version="0.1.0",
    ),
    "session.ended": events.SessionEnded(exit_code=0, outcome="exited", duration_ms=1234),
    "notice": events.NoticeGiven(topic="policy", text="one line is inactive"),
    "tool.requested": events.ToolCallRequested(tool="Bash", call="call_1", arguments='{"command":"ls"}'),
    "tool.completed": events.ToolCallCompleted(tool="Bash", call="call_1", success=True, result="ok"),
    "prompt.submitted": events.PromptSubmitted(length=6, text="fix it"),
    "decision": events.DecisionMade(decision=_DECISION, asked_by="hook", call="call_1"),
    "approval.requested": events.ApprovalRequested(
        request="01m81se0886mwqvv0wwp6x0w7n",
        action="sha256:" + "1" * 64,
        policy="sha256:" + "0" * 64,
        channel="terminal",
        shown="sha256:" + "2" * 64,
        expires_ms=300_000,
        what="git push",
    ),
    "approval.transition": events.ApprovalTransition(
        request="01m81se0886mwqvv0wwp6x0w7n",
        before="pending",
        after="approved",
        actor="person:ada",
        channel="terminal",
        reason="",
        latency_ms=4321,
        authentication="passkey",
        shown="sha256:" + "2" * 64,
        action="sha256:" + "1" * 64,
        policy="sha256:" + "0" * 64,
    ),
    "approval.vote": events.VoteTaken(
        vote=Vote(
            id="01m81se1t5tm3nx595nps3cq1d",
            request="01m81se0886mwqvv0wwp6x0w7n",
            approver="person:ada",
            approve=True,
            seen="sha256:" + "2" * 64,
            reason="release day",
            channel="ui",
            authentication=Authentication.PASSKEY,
            evidence="{}",
            at_ms=1_700_000_000_000,
            text_digest="sha256:" + "3" * 64,
            previous="sha256:" + "4" * 64,
            key="ringfence.local/0+0+0",
            signature="c2ln",
        )
    ),
    "approval.breaker": events.BreakerChanged(
        state="open", in_a_row=3, of_recent=3, reason="3 questions in a row were denied"
    ),
    "review": events.ReviewMade(
        reviewer="anthropic:a-model",
        conclusion="allow",
        action="sha256:" + "1" * 64,
        what="$ git push origin topic",
        risk="high",
        authorization="medium",
        reason="the person asked for the branch to be published",
        seen="5" * 64,
        audit=True,
        latency_ms=1200,
    ),
    "break-glass": events.BreakGlassChanged(
        glass="01m81se1t5tm3nx595nps3cq1e",
        change="broken",
        actor="person:ada",
        reason="the site is down",
        workspace="/w",
        ticket="INC-7",
    ),
    "grant": events.GrantChanged(
        grant="01m81se1t5tm3nx595nps3cq1c",
        change="created",
        scope="once",
        matcher="exact:sha256:" + "1" * 64,
        uses_left=1,
        break_glass="01m81se1t5tm3nx595nps3cq1e",
    ),
    "command.started": events.CommandStarted(command="c1", argv=("ls", "-l"), cwd="/w", pid=7),
    "command.ended": events.CommandEnded(command="c1", exit_code=0, duration_ms=3),
    "connection.closed": events.ConnectionClosed(
        host="api.github.com",
        port=443,
        address="192.0.2.1",
        sent_bytes=100,
        received_bytes=2000,
        duration_ms=50,
        inspection="inspected",
    ),
    "limit": events.LimitReached(
        limit="memory_mb",
        allowed=512,
        seen=530,
        outcome="killed",
        keeper="watch",
        program="python3 hog.py",
        layer="managed",
        source="/etc/ringfence/policy.toml:9",
    ),
    "credential.used": events.CredentialUsed(
        credential="github", host="api.github.com", port=443, method="GET", path="/repos/acme/shop"
    ),
    "content.found": events.ContentFound(
        kind="secret",
        name="github-token",
        severity="medium",
        host="paste.test",
        port=443,
        place="the body (base64, gzip)",
        length=40,
        digest="0f1e2d3c4b5a",
        outcome="denied",
        method="POST",
        path="/upload",
        shown="ghp_…9f",
    ),
    "content.unread": events.ContentUnread(
        host="files.test",
        port=443,
        reason="it is longer than what is looked into",
        outcome="recorded",
        method="PUT",
        path="/backup",
    ),
    "way.used": events.WayUsed(way="ssh_agent", what="key for h.test", allowed=False, reason="no session"),
    "workspace.changed": events.WorkspaceChanged(files=3, control_files=("package.json",)),
    "battery": events.BatteryRun(
        battery="sha256:" + "0" * 64,
        version="0.1.0",
        kernel="6.12.0",
        tier="A",
        holds=True,
        whole=True,
        results=(("A1", "stopped"), ("E68", "impossible")),
        duration_ms=61234,
    ),
}

CONNECTION = ConnectAction(host="api.github.com", port=443, method="GET", path="/repos")
