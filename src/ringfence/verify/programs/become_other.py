"""Leaves a program that gives whoever runs it the rights of this account: `become_other HOW PATH`."""

import ctypes
import os
import shutil
import struct

from prelude import arguments, ended, syscall

how, path = arguments
X86 = os.uname().machine == "x86_64"
CHMOD, FCHMODAT, FCHMODAT2, OPENAT2, MKNODAT = 90, 268 if X86 else 53, 452, 437, 259 if X86 else 33
HERE = -100 & 0xFFFFFFFFFFFFFFFF
name = path.encode() + b"\0"

if how in {"open", "openat2", "mknod"}:
    os.umask(0)
    if how == "open":
        os.open(path, os.O_CREAT | os.O_WRONLY, 0o6755)
    elif how == "openat2":
        wanted = struct.pack("=QQQ", os.O_CREAT | os.O_WRONLY, 0o6755, 0)
        syscall(OPENAT2, HERE, name, ctypes.create_string_buffer(wanted), 24)
    else:
        syscall(MKNODAT, HERE, name, 0o106755, 0)
else:
    shutil.copyfile("/bin/true", path)
    if how == "chmod":
        os.chmod(path, 0o6755)
    elif how == "fchmod":
        with open(path, "rb") as stream:
            os.fchmod(stream.fileno(), 0o4755)
    elif how == "group":
        os.chmod(path, 0o2755)
    elif how == "fchmodat2":
        syscall(FCHMODAT2, HERE, name, 0o6755, 0)
    elif how == "high-bits":
        syscall(FCHMODAT, HERE, name, 0x100000000 | 0o6755, 0)
ended("done" if os.stat(path).st_mode & 0o6000 else "the bits were dropped")
