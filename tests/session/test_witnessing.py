"""Files that a command would run: what counts as changed, and what cannot make us wait or fail."""

from __future__ import annotations

import mmap
import os
from pathlib import Path

import pytest

from ringfence.model.action import CommandAction, Effect, EffectKind, FileAction, FileOperation
from ringfence.model.decision import Decision, Verdict
from ringfence.session.witnessing import witness


def runs(folder: Path, *programs: str, executable: str | None = None) -> Decision:
    return Decision(
        verdict=Verdict.ASK,
        action=CommandAction(argv=("sh",), cwd=str(folder), executable=executable),
        reasons=(),
        policy="p",
        effects=tuple(Effect(kind=EffectKind.EXECUTE, object=one) for one in programs),
    )


def seen(decision: Decision, *, may_write: bool = True) -> str:
    return witness(decision, path="/usr/bin:/bin", may_write=lambda _: may_write)


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "deploy.sh"
    path.write_text("echo deploying\n")
    return path


@pytest.mark.parametrize("name", ["./deploy.sh", "{folder}/deploy.sh"])
def test_a_script_whose_content_changes_is_another(script: Path, name: str) -> None:
    decision = runs(script.parent, name.format(folder=script.parent))
    before = seen(decision)

    status = script.stat()
    script.write_text("echo EVIL!!!!!\n")
    os.utime(script, ns=(status.st_atime_ns, status.st_mtime_ns))

    assert before != seen(decision) != ""


def test_the_resolved_program_counts_whatever_the_effects_say(script: Path) -> None:
    decision = runs(script.parent, executable=str(script))
    before = seen(decision)
    script.write_text("another")

    assert seen(decision) != before


def test_a_script_that_is_gone_or_cannot_be_run_any_more_is_another(script: Path) -> None:
    decision = runs(script.parent, "./deploy.sh")
    states = [seen(decision)]
    script.chmod(0o755)
    states.append(seen(decision))
    script.unlink()
    states.append(seen(decision))
    script.symlink_to("/bin/true")
    states.append(seen(decision))

    assert len(set(states)) == 4


def test_a_mapped_page_that_is_written_without_a_new_time_is_seen(script: Path) -> None:
    decision = runs(script.parent, "./deploy.sh")
    with script.open("r+b") as stream, mmap.mmap(stream.fileno(), 0) as page:
        page[0:4] = b"true"
        before = seen(decision)
        page[0:4] = b"evil"

        assert seen(decision) != before


def test_an_unchanged_script_is_the_same_even_when_it_was_written_again(script: Path) -> None:
    decision = runs(script.parent, "./deploy.sh", "git")
    before = seen(decision)
    script.write_text("echo deploying\n")

    assert seen(decision) == before


def test_what_nothing_inside_can_write_is_known_without_being_read(script: Path) -> None:
    decision = runs(script.parent, "./deploy.sh")
    before = seen(decision, may_write=False)
    assert seen(decision, may_write=False) == before

    script.write_text("longer than it was before")

    assert seen(decision, may_write=False) != before


def test_a_pipe_under_the_name_of_the_script_does_not_make_us_wait(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "deploy.sh")

    assert seen(runs(tmp_path, "./deploy.sh")) != ""


def test_what_names_no_program_has_no_witness(tmp_path: Path) -> None:
    file = Decision(
        verdict=Verdict.ASK, action=FileAction(operation=FileOperation.READ, path="/x"), reasons=(), policy="p"
    )

    assert [seen(runs(tmp_path, "no-such-program")), seen(file)] == ["", ""]
