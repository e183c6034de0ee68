"""Writes an index of Git's own format in which a file lies outside of the working tree: `index WORKSPACE NAME`."""

import hashlib
import os
import struct
import zlib

from prelude import arguments, ended

workspace, name = arguments
git = os.path.join(workspace, ".git")
content = b"blob 8\0planted\n"
digest = hashlib.sha1(content).hexdigest()
os.makedirs(os.path.join(git, "objects", digest[:2]), exist_ok=True)
with open(os.path.join(git, "objects", digest[:2], digest[2:]), "wb") as stream:
    stream.write(zlib.compress(content))
path = name.encode()
entry = struct.pack(">10I", 0, 0, 0, 0, 0, 0, 0o100644, 0, 0, 8) + bytes.fromhex(digest) + struct.pack(">H", len(path))
entry += path + bytes(8 - (len(entry) + len(path)) % 8)
body = b"DIRC" + struct.pack(">2I", 2, 1) + entry
with open(os.path.join(git, "index.new"), "wb") as stream:
    stream.write(body + hashlib.sha1(body).digest())
os.rename(os.path.join(git, "index.new"), os.path.join(git, "index"))
ended("done")
