"""``python -m ws_load_test`` is ``ws-load-test``."""

import sys

from ws_load_test.cli import main

if __name__ == "__main__":
    sys.exit(main())
