"""Small policies for tests."""

from __future__ import annotations

from ringfence.model.action import CommandAction, ConnectAction, FileAction, FileOperation
from ringfence.model.decision import Decision
from ringfence.policy.documents import Document, read_document
from ringfence.policy.effective import Policy
from ringfence.policy.evaluate import Context, Evaluator
from ringfence.policy.layers import Layer
from ringfence.policy.merge import Facts, merge
from ringfence.policy.presets import preset

HOME, WORKSPACE = "/home/u", "/w"
CONTEXT = Context(home=HOME, workspace=WORKSPACE)
EMPTY = "[network]\ndefault = 'deny'\n[filesystem]\nwrite = [':workspace']\n"


def document(text: str, layer: Layer = Layer.USER, file: str | None = None) -> Document:
    return read_document(text.encode(), file=file or f"{layer.value}.toml", layer=layer)


def policy(*documents: Document, base: str | None = None) -> Policy:
    """Documents over the preset `workspace`, or over a small base of the test."""
    lowest = preset("workspace") if base is None else document(base, Layer.PRESET, "base.toml")
    return merge((lowest, *documents), facts=Facts(home=HOME, workspace=WORKSPACE))


def judge(of: Policy) -> Evaluator:
    return Evaluator(of, CONTEXT)


def shell(of: Policy, text: str, cwd: str = WORKSPACE) -> Decision:
    return judge(of).evaluate(CommandAction(argv=("bash", "-c", text), shell=text, cwd=cwd))


def argv(of: Policy, *words: str) -> Decision:
    return judge(of).evaluate(CommandAction(argv=words, cwd=WORKSPACE))


def connect(of: Policy, host: str, port: int = 443, method: str | None = None, path: str | None = None) -> Decision:
    return judge(of).evaluate(ConnectAction(host=host, port=port, method=method, path=path))


def file(of: Policy, operation: str, path: str) -> Decision:
    return judge(of).evaluate(FileAction(operation=FileOperation(operation), path=path))
