"""The sandbox's /etc: an allow list of the host's, and the few files that are written anew. Data, and no I/O.

Never the host's accounts, keys or services: what is not named here is not there.
"""

from __future__ import annotations

VISIBLE = (
    "X11/rgb.txt", "adduser.conf", "alternatives", "bash.bashrc", "bash_completion", "bash_completion.d", "bashrc",
    "ca-certificates", "ca-certificates.conf", "crypto-policies", "debian_version", "dictionaries-common",
    "dircolors", "emacs", "environment", "fedora-release", "fonts", "gai.conf", "gdb", "gitattributes",
    "gitconfig", "gnutls", "gtk-3.0", "host.conf", "inputrc", "issue", "java", "java-8-openjdk", "java-11-openjdk",
    "java-17-openjdk", "java-21-openjdk", "java-25-openjdk", "jvm", "ld.so.cache", "ld.so.conf", "ld.so.conf.d",
    "ld.so.preload", "less", "lesskey", "locale.alias", "locale.conf", "locale.gen", "localtime", "login.defs",
    "lsb-release", "machine-id", "magic", "magic.mime", "mailcap", "man_db.conf", "manpath.config", "maven",
    "mime.types", "mke2fs.conf", "nanorc", "netconfig", "networks", "npmrc", "openal", "opt", "os-release",
    "papersize", "perl", "php", "pip.conf", "pki/ca-trust", "pki/java", "pki/tls/certs", "pki/tls/cert.pem",
    "pki/tls/openssl.cnf", "profile", "profile.d", "protocols", "python3", "python3.9", "python3.10", "python3.11",
    "python3.12", "python3.13", "python3.14", "R", "rc.common", "redhat-release", "rpc", "ruby", "sensors3.conf",
    "services", "shells", "skel", "ssl/cert.pem", "ssl/certs", "ssl/openssl.cnf", "subversion", "system-release",
    "terminfo", "texmf", "timezone", "vim", "vimrc", "wgetrc", "xdg/pip", "xml", "yarnrc", "zsh", "zshenv",
    "zshrc",
)  # fmt: skip
"""Files and folders of the host's /etc that programs need to start, to be readable and to verify certificates."""

SYNTHESISED = tuple(f"/etc/{name}" for name in ("passwd", "group", "hosts", "hostname", "resolv.conf", "nsswitch.conf"))
"""What speaks of the sandbox itself, and is never the host's."""


def synthesised(*, user: str, uid: int, gid: int, home: str, hostname: str) -> tuple[tuple[str, bytes], ...]:
    """The files that speak of the sandbox's own user, name and resolver."""
    shell = "/bin/bash"
    texts = {
        "/etc/passwd": f"root:x:0:0:root:/nonexistent:/usr/sbin/nologin\n{user}:x:{uid}:{gid}:{user}:{home}:{shell}\n"
        "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
        "/etc/group": f"root:x:0:\n{user}:x:{gid}:\nnogroup:x:65534:\n",
        "/etc/hosts": f"127.0.0.1 localhost {hostname}\n::1 localhost ip6-localhost ip6-loopback\n",
        "/etc/hostname": f"{hostname}\n",
        "/etc/resolv.conf": "nameserver 127.0.0.1\noptions timeout:2 attempts:2\n",
        "/etc/nsswitch.conf": "passwd: files\ngroup: files\nshadow: files\nhosts: files dns\nnetworks: files\n"
        "protocols: files\nservices: files\n",
    }
    return tuple((path, text.encode(errors="replace")) for path, text in texts.items())
