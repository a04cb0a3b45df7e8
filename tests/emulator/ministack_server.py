"""Starts ministack, unchanged, on 127.0.0.1:PORT (argument 1): CloudWatch over CBOR, with percentiles and alarms."""

import os
import sys

import lifeline

if __name__ == "__main__":
    os.environ.update(
        BIND_HOST="127.0.0.1",
        GATEWAY_PORT=sys.argv[1],
        IOT_MTLS_ENABLED="0",
        SFTP_ENABLED="0",
        DOCKER_HOST="unix:///nonexistent.sock",
    )
    sys.argv = ["ministack"]
    lifeline.tie()
    from ministack.app import main

    main()
