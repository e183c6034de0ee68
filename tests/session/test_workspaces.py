"""Which folder a session works in."""

from pathlib import Path

import pytest

from ringfence.model.situations import SandboxUnavailable
from ringfence.session.workspaces import find_workspace


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home" / "project" / "deep").mkdir(parents=True)
    return tmp_path / "home"


def test_the_git_top_level_is_the_workspace(home: Path) -> None:
    (home / "project" / ".git").mkdir()

    assert find_workspace(None, str(home / "project" / "deep"), str(home)) == str(home / "project")


def test_without_a_repository_the_working_directory_is_the_workspace(home: Path) -> None:
    assert find_workspace(None, str(home / "project"), str(home)) == str(home / "project")


def test_a_repository_of_dotfiles_in_home_is_not_taken(home: Path) -> None:
    (home / ".git").mkdir()

    assert find_workspace(None, str(home / "project"), str(home)) == str(home / "project")


@pytest.mark.parametrize("named", ["/", ".", ".."])
def test_a_workspace_that_holds_home_is_refused(home: Path, named: str) -> None:
    with pytest.raises(SandboxUnavailable, match="everything below it would be writable"):
        find_workspace(named, str(home), str(home))


def test_a_workspace_that_does_not_exist_is_refused_by_name(home: Path) -> None:
    with pytest.raises(SandboxUnavailable, match="nothing-here` does not exist"):
        find_workspace("nothing-here", str(home), str(home))


def test_a_workspace_that_is_a_file_is_refused(home: Path) -> None:
    (home / "file").touch()

    with pytest.raises(SandboxUnavailable, match="is not a folder"):
        find_workspace("file", str(home), str(home))


def test_a_link_to_home_does_not_make_home_the_workspace(home: Path, tmp_path: Path) -> None:
    (tmp_path / "innocent").symlink_to(home)

    with pytest.raises(SandboxUnavailable, match="home folder"):
        find_workspace("innocent", str(tmp_path), str(home))
