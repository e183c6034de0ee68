"""Run a project's tests under policy, from Python.

python examples/run_tests.py path/to/project
"""

import asyncio
import sys

import ringfence


async def main(project: str) -> int:
    async with ringfence.Session(workspace=project, policy="workspace") as session:
        tests = await session.exec([sys.executable, "-m", "unittest", "-q"])
        print(tests.stderr or tests.stdout)

        push = await session.exec(["git", "push"])
        if push.denied:
            print(f"`git push` did not run: {push.decision.message}")
        return tests.exit_code


if __name__ == "__main__":
    sys.exit(asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else ".")))
