"""The accounts that the battery is run from."""

from __future__ import annotations

import os
import pwd

from ringfence.verify.stage import Person


def people() -> list[Person]:
    """The account that runs this and, where that is root, an ordinary one as well."""
    found = [Person(name="root" if os.getuid() == 0 else "user", uid=os.getuid(), gid=os.getgid())]
    if os.getuid() == 0:
        nobody = pwd.getpwnam("nobody")
        found.append(Person(name="nobody", uid=nobody.pw_uid, gid=nobody.pw_gid))
    return found
