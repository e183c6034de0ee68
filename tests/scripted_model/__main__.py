"""Stand-alone: `python -m tests.scripted_model --script file.json --port 0` prints its address, then serves.

With `--log FILE` every request is appended as a line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import dataclasses
import json

from tests.scripted_model.script import read_script
from tests.scripted_model.server import ScriptedModel


async def _serve(options: argparse.Namespace) -> None:
    with open(options.script, encoding="utf-8") as file:
        turns = read_script(file.read())
    async with ScriptedModel(turns, port=options.port) as model:
        print(model.url, flush=True)
        written = 0
        while True:
            await asyncio.sleep(0.2)
            if options.log and len(model.requests) > written:
                with open(options.log, "a", encoding="utf-8") as log:
                    for request in model.requests[written:]:
                        log.write(json.dumps(dataclasses.asdict(request)) + "\n")
                written = len(model.requests)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.scripted_model", description=__doc__)
    parser.add_argument("--script", required=True, help="a JSON file with the turns")
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--log", help="a file that gets each request as a line of JSON")
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_serve(parser.parse_args()))


if __name__ == "__main__":
    main()
