"""`ringfence trust`: let a project's own policy loosen as well as tighten, by the hash of its content."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence

from ringfence.cli import codes
from ringfence.cli.failure import Arguments
from ringfence.model.display import visible
from ringfence.model.situations import UsageInvalid


def main(arguments: Sequence[str]) -> int:
    """Run `ringfence trust` with the words behind it."""
    from ringfence.policy.documents import read_document
    from ringfence.policy.layers import Layer
    from ringfence.session.policy_files import PROJECT_FILE, read_bytes
    from ringfence.session.sources import places, working_folder
    from ringfence.session.trust_list import read_trust, set_trust
    from ringfence.session.workspaces import find_workspace

    parser = Arguments(prog="ringfence trust", description="Trust a project's own policy, until its content changes.")
    parser.add_argument("folder", nargs="?", metavar="DIR", help="the project (default: the Git top level, else this)")
    parser.add_argument("--revoke", action="store_true", help="no longer trust it: it only tightens")
    parsed = parser.parse_args(list(arguments))
    where = places(os.environ)
    path = os.path.join(find_workspace(parsed.folder, working_folder(), where.home), PROJECT_FILE)
    if parsed.revoke:
        if os.path.realpath(path) not in read_trust(where.trust).projects:
            print(f"not trusted before either: {visible(path)} only tightens")
            return codes.OK
        set_trust(where.trust, path, None)
        print(f"no longer trusted: {visible(path)} only tightens from now on")
        return codes.OK
    try:
        data = read_bytes(path, Layer.PROJECT)
        read_document(data, file=path, layer=Layer.PROJECT)
    except FileNotFoundError:
        raise UsageInvalid(f"there is no policy at `{path}`", remedy=f"write a `{PROJECT_FILE}` there first") from None
    sha256 = hashlib.sha256(data).hexdigest()
    set_trust(where.trust, path, sha256)
    print(f"trusted: {visible(path)}")
    print(f"  sha256 {sha256}; void as soon as the file changes; revoke with `ringfence trust --revoke`")
    print("  see what it changes with `ringfence policy show --origin`")
    return codes.OK
