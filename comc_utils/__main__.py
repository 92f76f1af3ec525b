"""Entry point of ``python -m comc_utils``."""

import sys

try:
    from comc_utils.cli import main

    sys.exit(main())
except ModuleNotFoundError as missing:
    if (missing.name or "").startswith("comc_utils"):
        raise
    sys.exit(
        f"error: this Python ({sys.executable}) does not have {missing.name}, which the package needs. After "
        "`make .venv/ready` begin with `source .venv/bin/activate`; or install the package: pip install -e ."
    )
