"""Python code in a command, by its syntax tree: imports and calls that start, connect, open or build code."""

from __future__ import annotations

import ast
import re
import warnings
from collections.abc import Iterator, Sequence

from ringfence.model.action import EffectKind
from ringfence.policy.tools.code import saying
from ringfence.policy.tools.reading import Reading

_SHELL = frozenset({"os.system", "os.popen", "subprocess.getoutput", "subprocess.getstatusoutput", "commands.getoutput",
                    "commands.getstatusoutput", "asyncio.create_subprocess_shell", "popen2.popen2"})  # fmt: skip
_ARGV = frozenset({"subprocess.run", "subprocess.call", "subprocess.Popen", "subprocess.check_call", "pty.spawn",
                   "subprocess.check_output"})  # fmt: skip
_EXEC = re.compile(r"os\.(?:exec[lv]p?e?|spawn[lv]p?e?|posix_spawnp?)")
_BUILDS = frozenset({"exec", "eval", "compile", "builtins.exec", "builtins.eval", "runpy.run_path", "code.interact",
                     "marshal.loads", "pickle.loads", "pickle.load", "types.FunctionType"})  # fmt: skip
_URL = re.compile(
    r"(?:urllib\.request\.(?:urlopen|urlretrieve|Request)|urllib2?\.(?:urlopen|urlretrieve)"
    r"|(?:requests|httpx)\.(?:get|post|put|patch|delete|head|request|stream))"
)
_CONNECTS = re.compile(
    r"(?:http\.client\.HTTPS?Connection|ftplib\.FTP(?:_TLS)?|smtplib\.SMTP(?:_SSL)?|telnetlib\.Telnet|paramiko\..*"
    r"|poplib\..*|imaplib\..*|xmlrpc\.client\..*|asyncio\.open_connection|socket\.create_connection"
    r"|socket\.getaddrinfo|socket\.gethostbyname|urllib3\..*|aiohttp\..*)"
)
_READS = frozenset({"os.listdir", "os.scandir", "os.walk", "os.readlink", "glob.glob"})
_WRITES = frozenset({"os.mkdir", "os.makedirs", "os.chmod", "os.chown", "os.truncate", "os.utime", "os.mknod"})
_DELETES = frozenset({"os.remove", "os.unlink", "os.rmdir", "os.removedirs", "shutil.rmtree"})
_MOVES = frozenset({"os.rename", "os.replace", "os.renames", "shutil.move"})
_COPIES = frozenset({"shutil.copy", "shutil.copy2", "shutil.copyfile", "shutil.copytree", "os.link", "os.symlink"})
_PATH_READS = frozenset({"read_text", "read_bytes", "iterdir", "glob", "rglob"})
_PATH_WRITES = frozenset({"write_text", "write_bytes", "touch", "mkdir", "chmod", "symlink_to", "hardlink_to"})
_PATH_DELETES = frozenset({"unlink", "rmdir"})
_OLD = re.compile(
    r"\b(?:os\.(?:system|popen|exec\w*|spawn\w*)|subprocess|popen|pty|socket|urllib\w*|exec|eval|__import__|ctypes"
    r"|requests|httplib|b64decode)\b"
)


def read(text: str, reading: Reading, home: str | None) -> None:
    """Add to a reading what Python code does."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tree = ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        found = _OLD.search(text)
        if found is not None:
            saying.builds_code(reading, f"it does not parse as Python 3, and it names `{found[0]}`")
        reading.unknown.append("code that does not parse")
        return
    _Code(reading, home).walk(tree)


class _Code:
    def __init__(self, reading: Reading, home: str | None) -> None:
        self.reading = reading
        self.home = home
        self.names: dict[str, str] = {}
        self.constants: dict[str, ast.expr] = {}
        self.sockets = False
        self.hands_over = False

    def walk(self, tree: ast.AST) -> None:
        nodes = list(ast.walk(tree))
        for node in nodes:
            self._bind(node)
        whole = {id(node.value) for node in nodes if isinstance(node, ast.Subscript | ast.Attribute)}
        for node in nodes:
            if isinstance(node, ast.Call):
                self._call(node)
            elif isinstance(node, ast.Attribute) and id(node) not in whole and self._name(node) == "os.environ":
                saying.whole_environment(self.reading)
        if self.sockets and self.hands_over:
            saying.reverse_shell(self.reading)

    def _bind(self, node: ast.AST) -> None:
        if isinstance(node, ast.Import):
            for alias in node.names:
                self.names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
                if alias.name.partition(".")[0] in {"ctypes", "cffi", "_posixsubprocess"}:
                    saying.builds_code(self.reading, f"it imports `{alias.name}`, which calls anything")
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            for alias in node.names:
                self.names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
                if alias.name == "*":
                    saying.builds_code(self.reading, f"it imports everything of `{node.module}`") if node.module in {
                        "os", "subprocess", "socket", "pty", "ctypes"
                    } else None  # fmt: skip
        elif isinstance(node, ast.Assign) and len(node.targets) == 1 and isinstance(node.targets[0], ast.Name):
            name = node.targets[0].id
            dotted = self._name(node.value) if isinstance(node.value, ast.Name | ast.Attribute) else None
            if dotted is not None and "." in dotted:
                self.names[name] = dotted
            elif name in self.constants:
                self.constants[name] = ast.Name(id="")
            else:
                self.constants[name] = node.value

    def _name(self, node: ast.AST) -> str | None:
        """The dotted name that an expression stands for, imports followed."""
        if isinstance(node, ast.Name):
            return self.names.get(node.id, node.id)
        if isinstance(node, ast.Attribute):
            outer = self._name(node.value)
            return None if outer is None else f"{outer}.{node.attr}"
        if isinstance(node, ast.Call):
            called = self._name(node.func)
            first = self._text(node.args[0]) if node.args else None
            if called in {"__import__", "importlib.import_module", "builtins.__import__"}:
                return first
            if called in {"getattr", "builtins.getattr"} and len(node.args) > 1:
                outer, attribute = self._name(node.args[0]), self._text(node.args[1])
                return None if outer is None or attribute is None else f"{outer}.{attribute}"
        return None

    def _text(self, node: ast.expr) -> str | None:
        """The text of an expression that is constant."""
        match node:
            case ast.Constant(value=str(text)):
                return text
            case ast.Constant(value=bytes(data)):
                return data.decode("utf-8", "replace")
            case ast.BinOp(left=left, op=ast.Add(), right=right):
                parts = (self._text(left), self._text(right))
                return None if None in parts else "".join(part for part in parts if part is not None)
            case ast.BinOp(left=left, op=ast.Div(), right=right):
                first, second = self._text(left), self._text(right)
                return None if first is None or second is None else f"{first}/{second}"
            case ast.JoinedStr(values=values):
                parts_of = [self._text(value) for value in values]
                return None if None in parts_of else "".join(part for part in parts_of if part is not None)
            case ast.Name(id=name) if name in self.constants and not isinstance(self.constants[name], ast.Name):
                value = self.constants[name]
                return value.value if isinstance(value, ast.Constant) and isinstance(value.value, str) else None
            case ast.Call():
                return self._path_text(node)
            case _:
                return None

    def _path_text(self, node: ast.Call) -> str | None:
        name = self._name(node.func)
        parts = [self._text(argument) for argument in node.args]
        texts = [part for part in parts if part is not None]
        if name in {
            "os.path.expanduser",
            "pathlib.Path",
            "pathlib.PosixPath",
            "str",
            "os.path.join",
            "os.path.abspath",
        }:
            return "/".join(texts) if texts and len(texts) == len(parts) else None
        if name in {"pathlib.Path.home"}:
            return "~"
        if isinstance(node.func, ast.Attribute) and node.func.attr in {"expanduser", "resolve", "absolute"}:
            return self._text(node.func.value)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "joinpath":
            first = self._text(node.func.value)
            return "/".join((first, *texts)) if first is not None and len(texts) == len(parts) else None
        return None

    def _call(self, node: ast.Call) -> None:
        name = self._name(node.func)
        first = node.args[0] if node.args else next((one.value for one in node.keywords if one.arg == "args"), None)
        if name is None:
            self._unnamed(node)
        elif name in _SHELL:
            self._shell(name, first)
        elif name in _ARGV or name == "asyncio.create_subprocess_exec" or _EXEC.fullmatch(name):
            self._argv(name, node, first)
        elif name in _BUILDS:
            self._builds(name, first)
        elif name in {"__import__", "importlib.import_module", "getattr"}:
            self._looked_up(name, node)
        elif name == "os.dup2":
            self.hands_over = True
        elif _URL.fullmatch(name):
            self._url(name, node)
        elif name == "socket.socket":
            self.sockets = True
        elif _CONNECTS.fullmatch(name):
            self.sockets = True
            self._connects(name, first)
        else:
            self._files(name, node)

    def _unnamed(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute):
            self._method(node, node.func)
        elif isinstance(node.func, ast.Call | ast.Subscript):
            called = self._name(node.func.func) if isinstance(node.func, ast.Call) else None
            if isinstance(node.func, ast.Subscript) or called in {"getattr", "__import__"}:
                saying.builds_code(self.reading, "it calls what it looks up")

    def _shell(self, name: str, first: ast.expr | None) -> None:
        text = None if first is None else self._text(first)
        if text is None:
            saying.starts_something(self.reading, f"`{name}`")
        else:
            saying.shell(self.reading, text)

    def _argv(self, name: str, node: ast.Call, first: ast.expr | None) -> None:
        if name == "pty.spawn":
            self.hands_over = True
        keywords = {one.arg for one in node.keywords}
        if keywords & {"stdin", "stdout"} and self.sockets:
            self.hands_over = True
        through_shell = any(
            one.arg == "shell" and not (isinstance(one.value, ast.Constant) and not one.value.value)
            for one in node.keywords
        )
        arguments: Sequence[ast.expr] = node.args
        if _EXEC.fullmatch(name):
            skipped = 1 if "spawn" in name and "posix" not in name else 0
            arguments = (
                node.args[skipped + 1 :] if "l" in name.rpartition(".")[2] else node.args[skipped + 1 : skipped + 2]
            )
        elif name != "asyncio.create_subprocess_exec":
            arguments = [first] if first is not None else []
        words = list(self._words(arguments))
        known = [word for word in words if word is not None]
        if not known or len(known) != len(words):
            saying.starts_something(self.reading, f"`{name}`")
        elif through_shell:
            saying.shell(self.reading, known[0])
        else:
            saying.program(self.reading, known)

    def _words(self, nodes: Sequence[ast.expr]) -> Iterator[str | None]:
        for node in nodes:
            if isinstance(node, ast.List | ast.Tuple):
                yield from self._words(node.elts)
            else:
                yield self._text(node)

    def _builds(self, name: str, first: ast.expr | None) -> None:
        text = None if first is None else self._text(first)
        if text is None or name not in {"exec", "eval", "compile"}:
            saying.builds_code(self.reading, f"`{name}`")
        else:
            read(text, self.reading, self.home)

    def _looked_up(self, name: str, node: ast.Call) -> None:
        which = node.args[1] if name == "getattr" and len(node.args) > 1 else node.args[0] if node.args else None
        if which is None or self._text(which) is not None:
            return
        outer = self._name(node.args[0]) if name == "getattr" else name
        if outer in {"os", "subprocess", "builtins", "__builtins__", "socket", "sys.modules"} or name != "getattr":
            saying.builds_code(self.reading, f"`{name}` with a name that it makes")

    def _url(self, name: str, node: ast.Call) -> None:
        texts = [text for text in map(self._text, node.args[:2]) if text is not None and "://" in text]
        if texts:
            saying.url(self.reading, texts[0])
        # An address that is only known when it runs is decided by the gateway, when it is connected to.

    def _connects(self, name: str, first: ast.expr | None) -> None:
        place, port = first, 0
        if isinstance(first, ast.Tuple) and first.elts:
            place = first.elts[0]
            last = first.elts[-1]
            port = last.value if isinstance(last, ast.Constant) and isinstance(last.value, int) else 0
        text = None if place is None else self._text(place)
        if text is None:
            saying.connects_somewhere(self.reading, f"`{name}`")
        else:
            saying.host(self.reading, text, port)

    def _method(self, node: ast.Call, function: ast.Attribute) -> None:
        if function.attr in {"connect", "connect_ex", "sendto"} and self.sockets:
            self._connects(f"socket.{function.attr}", node.args[-1] if node.args else None)
        place = self._text(function.value)
        if place is None:
            return
        self._on_path(function.attr, place, node)

    def _on_path(self, method: str, place: str, node: ast.Call) -> None:
        if method in _PATH_READS:
            self._path(EffectKind.READ, place)
        elif method in _PATH_WRITES:
            self._path(EffectKind.WRITE, place)
        elif method in _PATH_DELETES:
            self._path(EffectKind.DELETE, place)
        elif method == "open":
            self._open(place, node.args[0] if node.args else None, node)
        elif method in {"rename", "replace"} and node.args and "/" in place:
            self._path(EffectKind.DELETE, place)
            self._each(EffectKind.WRITE, node.args[:1])

    def _files(self, name: str, node: ast.Call) -> None:
        arguments = node.args
        if name in {"open", "io.open", "os.open", "codecs.open"} and arguments:
            text = self._text(arguments[0])
            if text is not None:
                self._open(text, arguments[1] if len(arguments) > 1 else None, node)
        elif name in _READS:
            self._each(EffectKind.READ, arguments[:1])
        elif name in _WRITES:
            self._each(EffectKind.WRITE, arguments[:1])
        elif name in _DELETES:
            self._each(EffectKind.DELETE, arguments[:1])
        elif name in _MOVES:
            self._each(EffectKind.DELETE, arguments[:1])
            self._each(EffectKind.WRITE, arguments[1:2])
        elif name in _COPIES:
            self._each(EffectKind.READ, arguments[:1])
            self._each(EffectKind.WRITE, arguments[1:2])
        elif isinstance(node.func, ast.Attribute):
            self._method(node, node.func)

    def _open(self, text: str, mode: ast.expr | None, node: ast.Call) -> None:
        mode = next((one.value for one in node.keywords if one.arg == "mode"), mode)
        written = "r" if mode is None else self._text(mode)
        if written is None or set("wax+") & set(written):
            self._path(EffectKind.WRITE, text)
        if written is None or "r" in written:
            self._path(EffectKind.READ, text)

    def _each(self, kind: EffectKind, nodes: Sequence[ast.expr]) -> None:
        for node in nodes:
            text = self._text(node)
            if text is not None:
                self._path(kind, text)

    def _path(self, kind: EffectKind, text: str) -> None:
        saying.path(self.reading, kind, text, self.home)
