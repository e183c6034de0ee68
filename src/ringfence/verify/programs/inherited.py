"""Writes a file under a folder descriptor that it inherited: `inherited FD PATH TEXT`."""

import os

from prelude import arguments, ended

descriptor, path, text = arguments
with open(os.open(path.lstrip("/"), os.O_WRONLY | os.O_CREAT, 0o644, dir_fd=int(descriptor)), "w") as stream:
    stream.write(text)
ended("done")
