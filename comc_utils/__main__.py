"""Entry point of ``python -m comc_utils``."""

import sys

from comc_utils.cli import main

sys.exit(main())
