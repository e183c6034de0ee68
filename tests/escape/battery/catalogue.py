"""All attacks, in the order of their numbers."""

from __future__ import annotations

from tests.escape.battery.files import FILES
from tests.escape.battery.kernel import KERNEL
from tests.escape.battery.network import NETWORK, PROXY
from tests.escape.battery.processes import IPC, PROCESSES

ATTACKS = (*FILES, *PROCESSES, *IPC, *KERNEL, *NETWORK, *PROXY)
