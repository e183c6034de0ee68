"""Makes one system call that widens what the kernel can be asked: `call NAME`."""

import ctypes
import os
import signal
import struct

from prelude import arguments, ended, succeeded, syscall

(name,) = arguments
X86 = os.uname().machine == "x86_64"


def waiting_child():
    """A process that any debugger may look into: our own."""
    child = os.fork()
    if child == 0:
        signal.pause()
    return child


here = os.open("/usr", os.O_RDONLY)
if name == "io_uring_setup":
    syscall(425, 8, ctypes.create_string_buffer(120))
elif name == "userfaultfd":
    syscall(323 if X86 else 282, 1)
elif name == "bpf":
    # A program of two instructions, return 0, for a socket filter.
    code = ctypes.create_string_buffer(struct.pack("=BBhi", 0xB7, 0, 0, 0) + struct.pack("=BBhi", 0x95, 0, 0, 0))
    licence = ctypes.create_string_buffer(b"GPL")
    load = struct.pack("=IIQQIIQII", 1, 2, ctypes.addressof(code), ctypes.addressof(licence), 0, 0, 0, 0, 0)
    syscall(321 if X86 else 280, 5, ctypes.create_string_buffer(load.ljust(144, b"\0")), 144)
elif name == "perf_event_open":
    attributes = struct.pack("=IIQQQQQ", 1, 112, 0, 0, 0, 0, 1 | 1 << 5 | 1 << 6).ljust(112, b"\0")
    syscall(298 if X86 else 241, ctypes.create_string_buffer(attributes), 0, 0xFFFFFFFF, 0xFFFFFFFF, 0)
elif name == "setns":
    syscall(308 if X86 else 268, os.open("/proc/self/ns/uts", os.O_RDONLY), 0)
elif name == "open_tree":
    syscall(428, here, b"\0", 0x1000 | 1)
elif name == "fsopen":
    syscall(430, b"tmpfs\0", 0)
elif name == "mount":
    syscall(165 if X86 else 40, b"none\0", b"/mnt\0", b"tmpfs\0", 0, 0)
elif name == "chroot":
    syscall(161 if X86 else 51, b"/tmp\0")
elif name == "pidfd_getfd":
    child = waiting_child()
    try:
        syscall(438, syscall(434, child, 0), 1, 0)
    finally:
        os.kill(child, signal.SIGKILL)
elif name == "process_vm_readv":
    with open("/proc/self/maps") as maps:
        start = int(maps.readline().split("-")[0], 16)
    buffer = ctypes.create_string_buffer(8)
    local = ctypes.create_string_buffer(struct.pack("=QQ", ctypes.addressof(buffer), 8))
    remote = ctypes.create_string_buffer(struct.pack("=QQ", start, 8))
    child = waiting_child()
    try:
        syscall(310 if X86 else 270, child, local, 1, remote, 1, 0)
    finally:
        os.kill(child, signal.SIGKILL)
elif name == "add_key":
    syscall(248 if X86 else 217, b"user\0", b"ringfence-battery\0", b"x", 1, (-4) & 0xFFFFFFFFFFFFFFFF)
elif name == "personality":
    syscall(135 if X86 else 92, 0x0400000)
    if not syscall(135 if X86 else 92, 0xFFFFFFFF) & 0x0400000:
        ended("unchanged")
elif name == "x32-getpid":
    syscall(0x40000000 | 39)
elif name == "x32-socket":
    syscall(0x40000000 | 41, 1, 1, 0)
elif name == "compat":
    import mmap

    page = mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
    # mov eax, 20 (getpid of the 32-bit table); int 0x80; ret
    page.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
    address = ctypes.addressof(ctypes.c_char.from_buffer(page))
    if ctypes.CFUNCTYPE(ctypes.c_int)(address)() != os.getpid():
        ended("no answer")
else:
    ended("error unknown call")
succeeded(name)
