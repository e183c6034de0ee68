"""Asks for a page the way ordinary programs do, through the proxy where there is one: `fetch URL TEXT`."""

import urllib.error
import urllib.request

from prelude import arguments, ended

url, text = arguments
try:
    with urllib.request.urlopen(urllib.request.Request(url, headers={"X-Data": text}), timeout=3) as answer:
        ended("done" if answer.read() == b"pong" else "other answer")
except urllib.error.HTTPError as error:
    ended(f"status {error.code}")
except urllib.error.URLError as error:
    raise error.reason if isinstance(error.reason, OSError) else error from None
