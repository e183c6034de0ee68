"""Files of agents written down in tests, and what importing them comes to."""

from __future__ import annotations

import json

from ringfence.agents.exchange.claude_import import import_claude
from ringfence.agents.exchange.codex import import_codex
from ringfence.agents.exchange.policy_text import Imported, document_of
from ringfence.agents.exchange.text_file import TextFile
from ringfence.model.action import CommandAction, FileAction, FileOperation
from ringfence.model.decision import Verdict
from ringfence.policy.evaluate import Context, Evaluator
from ringfence.policy.merge import Facts, merge
from ringfence.policy.presets import preset

HOME, WORKSPACE = "/home/ann", "/home/ann/project"


def codex(*files: tuple[str, str]) -> Imported:
    return import_codex([TextFile(name=name, content=content.encode()) for name, content in files])


def rules(text: str) -> Imported:
    return codex(("a.rules", text))


def claude(settings: dict[str, object]) -> Imported:
    return import_claude([TextFile(name="settings.json", content=json.dumps(settings, indent=1).encode())])


class Judge:
    """Decides by an imported policy, over the preset that it chose."""

    def __init__(self, imported: Imported) -> None:
        self.document = document_of(imported.policy)
        self.preset = self.document.extends[0].name if self.document.extends else "workspace"
        policy = merge((preset(self.preset), self.document), facts=Facts(home=HOME, workspace=WORKSPACE))
        self._evaluator = Evaluator(policy, Context(home=HOME, workspace=WORKSPACE))

    def command(self, text: str) -> Verdict:
        action = CommandAction(argv=("bash", "-c", text), shell=text, cwd=WORKSPACE)
        return self._evaluator.evaluate(action).verdict

    def reads(self, path: str) -> bool:
        return self._file(path, FileOperation.READ)

    def writes(self, path: str) -> bool:
        return self._file(path, FileOperation.WRITE)

    def _file(self, path: str, operation: FileOperation) -> bool:
        return self._evaluator.evaluate(FileAction(operation=operation, path=path)).verdict is Verdict.ALLOW
