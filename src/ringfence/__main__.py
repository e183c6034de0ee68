"""`python -m ringfence`."""

import sys

from ringfence.cli.entry import main

sys.exit(main())
