"""The private folders of a session of tier B are removed, whatever became of them, and nothing else is touched."""

from __future__ import annotations

from pathlib import Path

from ringfence.sandbox import survey_unshared


def test_what_a_folder_lies_in_keeps_its_mode_when_the_folder_cannot_be_removed(tmp_path: Path) -> None:
    tmp_path.chmod(0o777)

    survey_unshared._remove(str(tmp_path / "gone"))

    assert tmp_path.stat().st_mode & 0o7777 == 0o777


def test_folders_that_a_program_closed_are_removed(tmp_path: Path) -> None:
    folder = tmp_path / "home"
    (folder / "closed" / "inner").mkdir(parents=True)
    (folder / "closed" / "inner" / "file").touch()
    (folder / "closed" / "inner").chmod(0)
    (folder / "closed").chmod(0)

    survey_unshared._remove(str(folder))

    assert not folder.exists()
