"""A server of the tests lives no longer than the test that started it.

The test holds the other end of standard input. When the test ends, in whatever way (a SIGKILL included), the pipe closes and the server goes.
"""

import os
import sys
import threading


def tie():
    if os.environ.get("LIFELINE") != "stdin":
        return

    def wait():
        while sys.stdin.buffer.read(4096):
            pass
        os._exit(0)

    threading.Thread(target=wait, daemon=True).start()
