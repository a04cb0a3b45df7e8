"""Starts ministack, unchanged, on 127.0.0.1:PORT (argument 1): CloudWatch over CBOR, with percentiles and alarms.

PORT 0 takes a free one. The first line of output is the port; ministack accepts calls a moment after.
"""

import os
import socket
import sys

import lifeline


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main():
    port = int(sys.argv[1]) or free_port()
    os.environ.update(
        BIND_HOST="127.0.0.1",
        GATEWAY_PORT=str(port),
        IOT_MTLS_ENABLED="0",
        SFTP_ENABLED="0",
        DOCKER_HOST="unix:///nonexistent.sock",
    )
    sys.argv = ["ministack"]
    lifeline.tie()
    print(port, flush=True)
    os.dup2(2, 1)  # its banner is not part of the answer
    from ministack.app import main as serve

    serve()


if __name__ == "__main__":
    main()
