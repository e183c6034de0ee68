"""Where the files lie that an index links to: asked of the index once, when the user wants it, and remembered.

It fetches one small page for a package that every index of its kind has, outside any session and as the user.
"""

from __future__ import annotations

import json
import re
import socket
import urllib.error
import urllib.request
from urllib.parse import urljoin

from ringfence.model.addresses import OWN_NETWORK, canonical, classify
from ringfence.session.registries.looked import Looked, place
from ringfence.session.registries.remembered import Remembered

SECONDS = 10.0
MAX_BYTES = 4 * 1024 * 1024

_HREF = re.compile(r"""<a\s[^>]*href\s*=\s*["']([^"'#\s]+)""", re.IGNORECASE)
_PAGES = {"pip": "pip/", "uv": "pip/", "npm": "npm/latest", "pnpm": "npm/latest", "yarn": "npm/latest"}
_PAGES |= {"cargo": "config.json"}


def learn(looked: Looked, remembered: Remembered) -> tuple[str, ...]:
    """Ask each index that settings outside the workspace name; what went wrong, in words."""
    problems = []
    for index in looked.places:
        page = _PAGES.get(looked.name)
        if page is None or not index.trusted or index.role == "files":
            continue
        try:
            text, final = _fetch(f"{index.url.rstrip('/')}/{page}")
        except (OSError, ValueError, urllib.error.URLError) as error:
            problems.append(f"{index.url} could not be asked where its files lie: {error}")
            continue
        found = (place(urljoin(final, link), index.url, role="files") for link in _links(looked.name, text))
        hosts = {one.host: f"{one.url.split('//')[0]}//{one.host}/" for one in found if one is not None}
        hosts.pop(index.host, None)
        remembered.add_files(index.url, tuple(hosts.values()), private=_is_private(index.host))
    return tuple(problems)


def _is_private(host: str) -> bool:
    """Whether an index that was just asked lies in one's own network, with all its addresses."""
    name, _, port = host.rpartition(":")
    try:
        found = socket.getaddrinfo(name.strip("[]"), int(port), type=socket.SOCK_STREAM)
    except OSError:
        return False
    addresses = [canonical(str(address[0])) for *_, address in found]
    return all(one is not None and classify(one).kind in OWN_NETWORK for one in addresses)


def _fetch(url: str) -> tuple[str, str]:
    # The address comes from the user's own settings, and `place` let only these two schemes through.
    assert url.startswith(("https://", "http://"))
    request = urllib.request.Request(url, headers={"User-Agent": "ringfence", "Accept": "text/html, application/json"})  # noqa: S310
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:  # noqa: S310
        return answer.read(MAX_BYTES).decode("utf-8", "replace"), str(answer.url)


def _links(name: str, text: str) -> list[str]:
    if name in {"pip", "uv"}:
        return list(dict.fromkeys(_HREF.findall(text)))
    try:
        values = json.loads(text)
    except (ValueError, RecursionError):
        return []
    if not isinstance(values, dict):
        return []
    if name == "cargo":
        return [str(values["dl"])] if isinstance(values.get("dl"), str) else []
    dist = values.get("dist")
    return [str(dist["tarball"])] if isinstance(dist, dict) and isinstance(dist.get("tarball"), str) else []
