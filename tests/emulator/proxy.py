"""A small HTTP proxy in front of the emulators: keeps a log of the calls, counts round trips, and injects faults.

  proxy.py LISTEN=UPSTREAM [LISTEN=UPSTREAM ..]      ports on 127.0.0.1; all of them share one log and one list of faults

LISTEN 0 takes a free port. The first line of output has the ports, once they accept calls.

  GET  /_proxy/ready
  GET  /_proxy/log       the calls so far: service, action, start and end (seconds), status, fault, body
  GET  /_proxy/depth     {"calls": n, "depth": m}: the most calls of which each began after the one before had ended
  POST /_proxy/clear     forgets the log
  POST /_proxy/faults    replaces the faults: a list of
      {"action": "ModifyRule", "service": "*", "from": 1, "to": 1, "how": H, "code": C, "message": M, "status": N, "seconds": S}
  Patterns are shell patterns; from and to count the calls that this fault matches ("to": null is for ever). H is one of
      refuse             not applied; answered with the AWS error C (status N, 400 unless told)
      apply-then-refuse  applied; answered with the AWS error C
      apply-then-cut     applied; the connection is closed without an answer
      cut                not applied; the connection is closed
      hang               not applied; the connection is closed after S seconds without an answer
      delay              applied after S seconds
"""

import fnmatch
import http.client
import json
import re
import sys
import threading
import time
import urllib.parse
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import lifeline

HOP_BY_HOP = {"connection", "keep-alive", "transfer-encoding", "content-length", "date", "server"}


class Fault:
    def __init__(self, wish):
        unknown = set(wish) - {"action", "service", "from", "to", "how", "code", "message", "status", "seconds"}
        if unknown or wish["how"] not in ("refuse", "apply-then-refuse", "apply-then-cut", "cut", "hang", "delay"):
            raise ValueError(f"not a fault: {wish}")
        self.wish, self.seen = wish, 0

    def strikes(self, service, action):
        wish = self.wish
        if not fnmatch.fnmatchcase(action, wish.get("action", "*")) or not fnmatch.fnmatchcase(service, wish.get("service", "*")):
            return False
        self.seen += 1
        last = wish.get("to", wish.get("from", 1))
        return self.seen >= wish.get("from", 1) and (last is None or self.seen <= last)


class Record:
    def __init__(self):
        self.lock = threading.Lock()
        self.calls, self.faults = [], []

    def begin(self, service, action, body):
        with self.lock:
            fault = next((f.wish for f in self.faults if f.strikes(service, action)), None)
            call = {"service": service, "action": action, "start": time.monotonic(), "end": None, "status": None}
            call |= {"fault": fault and fault["how"], "body": body}
            self.calls.append(call)
            return call, fault

    def end(self, call, status):
        with self.lock:
            call["end"], call["status"] = time.monotonic(), status


RECORD = Record()


def depth(calls):
    """The longest chain of calls that do not overlap: what a client waits for, whatever it does side by side."""
    chain, last = 0, float("-inf")
    for call in sorted((c for c in calls if c["end"] is not None), key=lambda c: c["end"]):
        if call["start"] >= last:
            chain, last = chain + 1, call["end"]
    return chain


def named(headers, path, body):
    """The service and the action of a call, in any of the three protocols that are spoken here."""
    scope = re.search(r"Credential=[^/]+/\d+/[^/]+/([^/]+)/", headers.get("Authorization", ""))
    service = scope.group(1) if scope else "unsigned"
    if "X-Amz-Target" in headers:
        return service, headers["X-Amz-Target"].rsplit(".", 1)[-1]
    cbor = re.match(r"/service/[^/]+/operation/(\w+)", path)
    if cbor:
        return service, cbor.group(1)
    action = urllib.parse.parse_qs(body.decode("utf-8", "replace")).get("Action")
    return service, action[0] if action else path


def cbor_text(text):
    raw = text.encode()
    return (bytes([0x60 + len(raw)]) if len(raw) < 24 else b"\x79" + len(raw).to_bytes(2, "big")) + raw


def refusal(headers, path, fault):
    """An AWS error in the protocol that the caller speaks."""
    code, message = fault.get("code", "InternalFailure"), fault.get("message", "injected by the proxy")
    if path.startswith("/service/"):
        pairs = cbor_text("__type") + cbor_text(code) + cbor_text("message") + cbor_text(message)
        return {"Content-Type": "application/cbor", "smithy-protocol": "rpc-v2-cbor"}, b"\xa2" + pairs
    if "X-Amz-Target" in headers:
        return {"Content-Type": "application/x-amz-json-1.1", "x-amzn-ErrorType": code}, json.dumps({"__type": code, "message": message}).encode()
    kind = "Receiver" if fault.get("status", 400) >= 500 else "Sender"
    error = f"<Error><Type>{kind}</Type><Code>{code}</Code><Message>{message}</Message></Error>"
    return {"Content-Type": "text/xml"}, f"<ErrorResponse>{error}<RequestId>injected</RequestId></ErrorResponse>".encode()


class Proxy(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body leave together
    upstream = 0
    onward = None

    def log_message(self, *args):
        pass

    def do_GET(self):
        self.serve()

    do_POST = do_PUT = do_DELETE = do_HEAD = do_GET

    def serve(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.path.startswith("/_proxy/"):
            return self.control(body)
        if self.path.startswith("/_estate/"):
            return self.answer(*self.forward(body))
        service, action = named(self.headers, self.path, body)
        call, fault = RECORD.begin(service, action, body.decode("utf-8", "replace")[:20000])
        how = fault and fault["how"]
        if how in ("delay", "hang"):
            time.sleep(fault["seconds"])
        if how in ("refuse", "cut", "hang"):
            status, headers, answer = None, None, None
        else:
            status, headers, answer = self.forward(body)
        if how in ("refuse", "apply-then-refuse"):
            status = fault.get("status", 400)
            headers, answer = refusal(self.headers, self.path, fault)
        RECORD.end(call, status)
        if how in ("cut", "hang", "apply-then-cut"):
            self.close_connection = True
            self.connection.close()
            return None
        return self.answer(status, headers, answer)

    def forward(self, body):
        headers = {k: v for k, v in self.headers.items() if k.lower() not in ("connection", "expect")}
        for attempt in (1, 2):
            fresh = self.onward is None
            if fresh:
                self.onward = http.client.HTTPConnection("127.0.0.1", self.upstream, timeout=60)
            try:
                self.onward.request(self.command, self.path, body, headers)
                reply = self.onward.getresponse()
                answer = reply.read()
                return reply.status, {k: v for k, v in reply.getheaders() if k.lower() not in HOP_BY_HOP}, answer
            except ConnectionRefusedError:
                self.onward = None
                return 502, {"Content-Type": "text/plain"}, b"the emulator is not there"
            except (http.client.HTTPException, ConnectionError):
                # An idle connection that the emulator has closed: once more on a fresh one. It had not taken the request.
                self.onward = None
                if fresh or attempt == 2:
                    return 502, {"Content-Type": "text/plain"}, b"the emulator went away"
        raise AssertionError("unreachable")

    def answer(self, status, headers, body):
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def control(self, body):
        name, status, answer = self.path.removeprefix("/_proxy/"), 200, {}
        with RECORD.lock:
            if name == "log":
                answer = list(RECORD.calls)
            elif name == "depth":
                answer = {"calls": len(RECORD.calls), "depth": depth(RECORD.calls)}
            elif name == "clear":
                RECORD.calls = []
            elif name == "faults":
                try:
                    RECORD.faults = [Fault(wish) for wish in json.loads(body)]
                except (ValueError, KeyError) as wrong:
                    status, answer = 400, {"error": str(wrong)}
            elif name != "ready":
                status = 404
        self.answer(status, {"Content-Type": "application/json"}, json.dumps(answer).encode())


class Server(ThreadingHTTPServer):
    request_queue_size = 128

    def handle_error(self, request, client_address):
        pass  # a client that is killed in the middle of a call is what some tests are about


def main():
    lifeline.tie()
    servers = []
    for pair in sys.argv[1:]:
        listen, upstream = map(int, pair.split("="))
        handler = type("Proxy", (Proxy,), {"upstream": upstream})
        servers.append(Server(("127.0.0.1", listen), handler))
    print(*(server.server_port for server in servers), flush=True)
    for server in servers[1:]:
        threading.Thread(target=server.serve_forever, daemon=True).start()
    servers[0].serve_forever()


if __name__ == "__main__":
    main()
