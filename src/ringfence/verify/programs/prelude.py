"""What every attack program starts with: it reports that it was reached, and how its attempt ended."""

import base64
import ctypes
import errno
import json
import os
import sys

libc = ctypes.CDLL(None, use_errno=True)
arguments = json.loads(base64.b64decode(sys.argv[1]))


def syscall(number, *words):
    """A bare system call; raises OSError as Python's own do."""
    ctypes.set_errno(0)
    wide = [
        w if isinstance(w, (ctypes.Array, ctypes.Structure, bytes)) or w is None else ctypes.c_ulong(w) for w in words
    ]
    result = libc.syscall(ctypes.c_long(number), *wide)
    if result == -1:
        code = ctypes.get_errno()
        raise OSError(code, os.strerror(code))
    return result


def succeeded(what):
    """The attempt worked, as far as the attacker can tell."""
    print("attack: succeeded", what, flush=True)
    ended("done")


def ended(word):
    """Stop here. `word` is how the attempt ended."""
    print("attack: ended", word, flush=True)
    os._exit(0)


def _failed(kind, error, trace):
    if isinstance(error, OSError) and error.errno:
        ended(errno.errorcode.get(error.errno, str(error.errno)))
    sys.__excepthook__(kind, error, trace)
    ended("error " + kind.__name__)


sys.excepthook = _failed
print("attack: began", flush=True)
