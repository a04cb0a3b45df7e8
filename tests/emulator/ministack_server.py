"""Starts ministack on 127.0.0.1:PORT (argument 1): CloudWatch over CBOR, with percentiles and alarms.

PORT 0 takes a free one. The first line of output is the port; ministack accepts calls a moment after.

It is unchanged, unless argument 2 is `counting`: ministack answers a statistic that it does not know, such as the
trimmed count `TC(L:)`, with the average. Then it is taught that one, and our word stands in for AWS's.
"""

import os
import re
import socket
import sys

import lifeline


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def teach_trimmed_count():
    """The number of samples above a bound, as CloudWatch's page on statistics has it."""
    from ministack.services import cloudwatch

    other = cloudwatch._stat_value

    def stat_value(stats, name, points=None):
        bound = re.fullmatch(r"TC\(([0-9.]+):\)", name)
        if not bound:
            return other(stats, name, points)
        samples = cloudwatch._percentile_samples(points or []) or []
        return float(sum(count for value, count in samples if value > float(bound.group(1))))

    cloudwatch._stat_value = stat_value


def main():
    port, counting = int(sys.argv[1]) or free_port(), sys.argv[2:] == ["counting"]
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

    if counting:
        teach_trimmed_count()
    serve()


if __name__ == "__main__":
    main()
