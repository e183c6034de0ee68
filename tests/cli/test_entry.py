"""The entry point, as a person meets it."""

import subprocess
import sys

import pytest

from ringfence.cli import codes
from ringfence.cli.entry import COMMANDS, main
from ringfence.version import __version__


def test_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == codes.OK

    assert capsys.readouterr().out == f"ringfence {__version__}\n"


def test_a_misspelt_command_is_answered_with_the_right_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["polcy"]) == codes.USAGE

    assert "did you mean `policy`" in capsys.readouterr().err


def test_help_names_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == codes.OK

    out = capsys.readouterr().out
    assert [name for name in COMMANDS if f"  {name} " not in out] == []


@pytest.mark.slow
@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_explains_itself(name: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "ringfence", name, "--help"], capture_output=True, text=True, timeout=60, check=False
    )

    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith(f"usage: ringfence {name}")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["workspace", "diff"],
            "ringfence workspace diff: the following arguments are required: SESSION\n"
            "  what to do: `ringfence sessions` lists the sessions; `ringfence workspace diff --help` explains it\n",
        ),
        (
            ["workspace", "undo"],
            "ringfence workspace undo: the following arguments are required: SESSION\n"
            "  what to do: `ringfence sessions` lists the sessions; `ringfence workspace undo --help` explains it\n",
        ),
        (
            ["run", "--ask", "me"],
            "ringfence run: argument --ask: invalid choice: 'me' (choose from "
            "'terminal', 'web', 'queue', 'deny', 'delegated')\n  what to do: `ringfence run --help` explains it\n",
        ),
    ],
)
def test_wrong_usage_says_what_to_do(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        main(words)

    assert left.value.code == codes.USAGE
    assert capsys.readouterr().err.endswith(said)


def test_the_help_of_a_part_opens_with_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["policy", "registries", "--help"])

    assert "\n\nWhere package managers fetch from here, and who says so.\n\n" in capsys.readouterr().out


def test_version_imports_nothing_heavy() -> None:
    program = "import sys; from ringfence.cli.entry import main; main(['--version']); print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)

    heavy = {"asyncio", "msgspec", "argparse", "ssl", "sqlite3", "cryptography", "tree_sitter"}
    assert heavy & set(done.stdout.split()) == set()
