"""Starts moto's server on 127.0.0.1:PORT (argument 1), repaired (repairs.py) and with somebody who plays ECS (player.py).

PORT 0 takes a free one. The first line of output is the port, once the server accepts calls.

What repairs.py and player.py say is our own word standing in for AWS's; their headers list all of it.

Switches for tests, as POST with a JSON body:
  /_estate/page-size     {"max": 3}                                        no page of the load-balancer API is longer
  /_estate/unhealthy     {"target_group": "web-*", "reason": .., "description": ..}   its targets are unhealthy; "off": true ends it
  /_estate/fail-tasks    {"service": "web-*", "reason": ..}                its tasks, or those of this family, stop when they should start; "off": true ends it
  /_estate/pause         {"service": "web"}                                its tasks neither start nor stop; "off": true ends it
  /_estate/reject-mixed  {"on": true}                                      an action with both address families is refused
  /_estate/timing        {"start_seconds": 1.5, "initial_seconds": 1}      how long tasks and health checks take
  /_estate/secrets       {}                                                answers the client secrets kept, by rule: the flag kept them, or not
  GET /_estate/ready
"""

import json
import sys
import threading

import lifeline
import player
import repairs
from moto.elbv2.models import elbv2_backends
from moto.server import DomainDispatcherApplication, create_backend_app
from repairs import SWITCHES
from werkzeug.serving import WSGIRequestHandler, make_server


def switch(name, body):
    off = body.get("off", False)
    if name == "page-size":
        SWITCHES.page_size = body["max"]
    elif name == "unhealthy":
        reason = (body.get("reason", "Target.FailedHealthChecks"), body.get("description", "Health checks failed"))
        toggle(SWITCHES.unhealthy, body["target_group"], reason, off)
    elif name == "fail-tasks":
        toggle(SWITCHES.failing, body["service"], body.get("reason", "CannotPullContainerError: i/o timeout"), off)
    elif name == "pause":
        (SWITCHES.paused.discard if off else SWITCHES.paused.add)(body["service"])
    elif name == "reject-mixed":
        SWITCHES.reject_mixed = body["on"]
    elif name == "timing":
        SWITCHES.start_seconds = body.get("start_seconds", SWITCHES.start_seconds)
        SWITCHES.initial_seconds = body.get("initial_seconds", SWITCHES.initial_seconds)
    elif name == "secrets":
        return secrets()
    elif name != "ready":
        raise KeyError(f"no switch {name}")
    return {}


def toggle(switches, pattern, value, off):
    if off:
        switches.pop(pattern, None)
    else:
        switches[pattern] = value


def secrets():
    kept = {}
    for account in elbv2_backends.values():
        for backend in account.values():
            for balancer in backend.load_balancers.values():
                for listener in balancer.listeners.values():
                    for rule in listener.rules.values():
                        found = [s for s in (getattr(a, "_client_secret", None) for a in rule.actions) if s]
                        if found:
                            kept[rule.arn] = found[0]
    return kept


class Estate:
    """moto's application, one request at a time (moto's models do not expect two), and the switches."""

    def __init__(self, lock):
        self.moto = DomainDispatcherApplication(create_backend_app)
        self.lock = lock

    def __call__(self, environ, start_response):
        path = environ.get("PATH_INFO", "")
        with self.lock:
            if not path.startswith("/_estate/"):
                return self.moto(environ, start_response)
            body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            try:
                status, answer = "200 OK", switch(path.removeprefix("/_estate/"), json.loads(body or b"{}"))
            except (KeyError, ValueError) as wrong:
                status, answer = "400 Bad Request", {"error": repr(wrong)}
        text = json.dumps(answer).encode()
        start_response(status, [("Content-Type", "application/json"), ("Content-Length", str(len(text)))])
        return [text]


class KeepAlive(WSGIRequestHandler):
    """HTTP/1.1 and silent: the proxy in front keeps the log."""

    protocol_version = "HTTP/1.1"

    def log(self, type, message, *args):
        pass


def main():
    lifeline.tie()
    repairs.apply()
    lock = threading.RLock()
    player.Player(lock).start()
    server = make_server("127.0.0.1", int(sys.argv[1]), Estate(lock), threaded=True, request_handler=KeepAlive)
    print(server.server_port, flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
