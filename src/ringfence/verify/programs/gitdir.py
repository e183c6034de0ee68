"""Makes the next `git status` of anybody run a command: `gitdir HOW WORKSPACE CANARY`."""

import os
import shutil

from prelude import arguments, ended

how, workspace, canary = arguments
git = os.path.join(workspace, ".git")
evil = f'[core]\n\trepositoryformatversion = 0\n\tbare = false\n\tfsmonitor = "touch {canary}; false"\n'


def write(path, text):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as stream:
        stream.write(text)


if how == "config":
    write(os.path.join(git, "config"), evil)
elif how == "config-by-rename":
    write(os.path.join(git, "config.new"), evil)
    os.rename(os.path.join(git, "config.new"), os.path.join(git, "config"))
elif how == "commondir":
    shutil.copytree(git, os.path.join(workspace, "other"))
    write(os.path.join(workspace, "other", "config"), evil)
    write(os.path.join(git, "commondir"), "../other\n")
elif how == "config.worktree":
    write(os.path.join(git, "config.worktree"), evil)
elif how == "nested":
    write(os.path.join(workspace, "library", ".git", "config"), evil)
elif how == "embedded":
    # A folder that holds what a repository holds is one, without any `.git`.
    for name in ("objects", "refs"):
        os.makedirs(os.path.join(workspace, "library", name))
    write(os.path.join(workspace, "library", "HEAD"), "ref: refs/heads/main\n")
    write(
        os.path.join(workspace, "library", "config"),
        evil + "\tworktree = .\n",
    )
elif how == "included":
    write(os.path.join(workspace, "shared.gitconfig"), evil)
elif how == "included-by-rename":
    write(os.path.join(workspace, "new.gitconfig"), evil)
    os.rename(os.path.join(workspace, "new.gitconfig"), os.path.join(workspace, "shared.gitconfig"))
elif how == "elsewhere-by-rename":
    shutil.copytree(os.path.join(workspace, "repository"), os.path.join(workspace, "other"))
    write(os.path.join(workspace, "other", "config"), evil)
    os.rename(os.path.join(workspace, "repository"), os.path.join(workspace, "away"))
    os.rename(os.path.join(workspace, "other"), os.path.join(workspace, "repository"))
elif how == "elsewhere":
    write(os.path.join(workspace, "repository", "config"), evil)
elif how.startswith("worktree-"):
    with open(git) as pointer:
        own = pointer.read().split()[1]
    if how == "worktree-settings":
        write(os.path.join(own, "config.worktree"), evil)
    else:
        shutil.copytree(os.path.join(own, "..", ".."), os.path.join(workspace, "other"))
        write(os.path.join(workspace, "other", "config"), evil)
        write(os.path.join(own, "commondir"), os.path.join(workspace, "other") + "\n")
elif how == "pointer":
    write(os.path.join(workspace, "other", "HEAD"), "ref: refs/heads/main\n")
    os.makedirs(os.path.join(workspace, "other", "objects"))
    os.makedirs(os.path.join(workspace, "other", "refs"))
    write(os.path.join(workspace, "other", "config"), evil)
    os.unlink(git)
    write(git, "gitdir: ./other\n")
ended("done")
