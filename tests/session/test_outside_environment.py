"""What Ringfence starts outside finds nothing in the workspace, by whatever variable."""

from __future__ import annotations

from pathlib import Path

from ringfence.session.outside_environment import outside_environment


def test_no_variable_leads_into_the_workspace(tmp_path: Path) -> None:
    workspace, elsewhere = tmp_path / "project", tmp_path / "project-of-others"
    for folder in (workspace / "bin", elsewhere):
        folder.mkdir(parents=True)
    (tmp_path / "link").symlink_to(workspace)
    environ = {
        "PATH": f"{workspace}/.venv/bin:bin::{tmp_path}/link/bin:{elsewhere}/../project/bin:{elsewhere}:/usr/bin",
        "PYTHONPATH": f"/usr/lib/x:{workspace}/src",
        "LD_LIBRARY_PATH": f"{tmp_path}/link",
        "NODE_OPTIONS": f"--require={workspace}/hook.js",
        "AWS_PROFILE": "work",
        "OTHER": f"{elsewhere}/x",
        "HOME": str(tmp_path),
    }

    assert outside_environment(environ, str(workspace)) == {
        "PATH": f"{elsewhere}:/usr/bin",
        "AWS_PROFILE": "work",
        "OTHER": f"{elsewhere}/x",
        "HOME": str(tmp_path),
    }
