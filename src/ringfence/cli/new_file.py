"""Files that a command makes because it was told to. It never writes over one that is there."""

from __future__ import annotations

import os

from ringfence.model.display import visible
from ringfence.model.situations import UsageInvalid


def write_new(path: str, content: bytes) -> None:
    """Write a new file; `UsageInvalid` where there is one, or none can be made."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except FileExistsError:
        raise UsageInvalid(
            f"`{visible(path)}` is there already, and is not written over", remedy="name another file, or move it away"
        ) from None
    except OSError as error:
        reason = (error.strerror or str(error)).lower()
        raise UsageInvalid(f"`{visible(path)}` cannot be made: {reason}") from None
    with os.fdopen(descriptor, "wb") as stream:
        stream.write(content)
