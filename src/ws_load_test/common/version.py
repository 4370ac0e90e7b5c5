"""Name and version of the program; recordings, reports and exports carry them."""

PROGRAM = "ws-load-test"
__version__ = "0.1.0"
