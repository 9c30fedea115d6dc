#!/usr/bin/python3
"""A real gRPC server and client (grpcio, generic byte handlers) for the tests of HTTP/2 towards servers.

  grpc_peer.py serve PORT LOG [CERT KEY]     serves until it is killed; prints "ready"; LOG gets a line per event
  grpc_peer.py calls TARGET [CA NAME]        makes all calls; prints one line "ok NAME" or "not ok NAME: why" for each
  grpc_peer.py unary TARGET COUNT [CA NAME]  COUNT unary calls, one after the other; prints how many succeeded
  grpc_peer.py serving TARGET 0|1            what its health service says from now on
  grpc_peer.py status TARGET METHOD...       a unary call of each method of test.Script; prints its status; `wait` is cancelled
  grpc_peer.py stream TARGET [CA NAME]       a bidirectional stream: each line of standard input goes out, each answer is
                                             printed at once; prints the status in the end
"""

import os
import sys
import threading
import time
from concurrent import futures

import grpc

IDENTITY = lambda data: data  # messages are bytes
LARGE = 3 * 1024 * 1024
OPTIONS = [("grpc.max_receive_message_length", -1), ("grpc.max_send_message_length", -1),
           ("grpc.enable_http_proxy", 0), ("grpc.use_local_subchannel_pool", 1)]


# ---- server ----

class Service(grpc.GenericRpcHandler):
    def __init__(self, log):
        self.log = log
        self.serving = True

    def note(self, text):
        self.log.write(text + "\n")
        self.log.flush()

    def service(self, details):
        unary, stream = grpc.unary_unary_rpc_method_handler, grpc.stream_stream_rpc_method_handler
        handlers = {
            "/test.Echo/Unary": unary(self.unary),
            "/test.Echo/Fail": unary(self.fail),
            "/test.Echo/Wait": unary(self.wait),
            "/test.Echo/Down": grpc.unary_stream_rpc_method_handler(self.down),
            "/test.Echo/Up": grpc.stream_unary_rpc_method_handler(self.up),
            "/test.Echo/Both": stream(self.both),
            "/test.Echo/Early": stream(self.early),
            "/test.Echo/Serving": unary(self.set_serving),
            "/grpc.health.v1.Health/Check": unary(self.check),
        }
        return handlers.get(details.method)

    def unary(self, request, context):
        meta = dict(context.invocation_metadata())
        self.note("unary %d forwarded=%s" % (len(request), meta.get("x-forwarded-for", "")))
        if "x-ask" in meta:
            context.send_initial_metadata((("x-answer", meta["x-ask"]), ("bin-bin", b"\x00\xff\r\n")))
        context.set_trailing_metadata((("x-trailer", "end"), ("status-bin", b"\x01" * 5000)))
        return request

    def fail(self, request, context):
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not so: \u00fc%")

    def wait(self, request, context):
        ended = threading.Event()
        context.add_callback(ended.set)
        self.note("waiting")
        ended.wait(20)
        self.note("ended active=%s" % context.is_active())
        return request

    def down(self, request, context):
        for i in range(int(request)):
            yield b"%d" % i

    def up(self, requests, context):
        total = 0
        for request in requests:
            total += len(request)
        return b"%d" % total

    def both(self, requests, context):
        for request in requests:
            yield b"echo " + request

    def early(self, requests, context):
        next(requests)
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")

    def set_serving(self, request, context):
        self.serving = request == b"1"
        return request

    # grpc.health.v1: HealthCheckRequest {1: service}, HealthCheckResponse {1: status; 1 SERVING, 2 NOT_SERVING}.
    def check(self, request, context):
        self.note("check %r" % request)
        if request not in (b"", b"\x0a\x04echo"):
            context.abort(grpc.StatusCode.NOT_FOUND, "unknown service")
        return b"\x08\x01" if self.serving else b"\x08\x02"


def serve(port, log, cert=None, key=None):
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=32), options=OPTIONS)
    server.add_generic_rpc_handlers((Service(open(log, "a")),))
    address = "127.0.0.1:" + port
    if cert:
        pair = (open(key, "rb").read(), open(cert, "rb").read())
        bound = server.add_secure_port(address, grpc.ssl_server_credentials([pair]))
    else:
        bound = server.add_insecure_port(address)
    if bound != int(port):
        sys.exit("cannot listen on " + address)
    server.start()
    print("ready", flush=True)
    server.wait_for_termination()


# ---- client ----

def channel(target, ca=None, name=None):
    if not ca:
        return grpc.insecure_channel(target, options=OPTIONS)
    options = OPTIONS + [("grpc.ssl_target_name_override", name)]
    return grpc.secure_channel(target, grpc.ssl_channel_credentials(open(ca, "rb").read()), options=options)


def expect(got, wanted, what):
    if got != wanted:
        raise AssertionError("%s: got %.200r, wanted %.200r" % (what, got, wanted))


def expect_status(call, code, details=None):
    try:
        call()
    except grpc.RpcError as error:
        expect(error.code(), code, "status")
        if details is not None:
            expect(error.details(), details, "details")
        return error
    raise AssertionError("no error; wanted %s" % code)


def calls(target, ca=None, name=None):
    chan = channel(target, ca, name)
    unary = chan.unary_unary("/test.Echo/Unary")
    both = chan.stream_stream("/test.Echo/Both")

    def simple():
        expect(unary(b"hello", timeout=10), b"hello", "message")

    def metadata():
        reply, call = unary.with_call(b"x", metadata=(("x-ask", "why"),), timeout=10)
        first, last = dict(call.initial_metadata()), dict(call.trailing_metadata())
        expect(first.get("x-answer"), "why", "initial metadata")
        expect(first.get("bin-bin"), b"\x00\xff\r\n", "binary metadata")
        expect(last.get("x-trailer"), "end", "trailer")
        expect(last.get("status-bin"), b"\x01" * 5000, "large trailer")

    def empty():
        expect(unary(b"", timeout=10), b"", "message")

    def large():
        data = os.urandom(LARGE)
        expect(unary(data, timeout=20) == data, True, "large message is unchanged")

    def fail():
        expect_status(lambda: chan.unary_unary("/test.Echo/Fail")(b"", timeout=10),
                      grpc.StatusCode.FAILED_PRECONDITION, "not so: \u00fc%")

    def unknown():
        expect_status(lambda: chan.unary_unary("/test.Echo/None")(b"", timeout=10), grpc.StatusCode.UNIMPLEMENTED)

    def down():
        got = list(chan.unary_stream("/test.Echo/Down")(b"2000", timeout=20))
        expect(got, [b"%d" % i for i in range(2000)], "messages")

    def up():
        parts = (b"x" * (i * 37 % 50000) for i in range(200))
        expect(chan.stream_unary("/test.Echo/Up")(parts, timeout=20),
               b"%d" % sum(i * 37 % 50000 for i in range(200)), "total")

    def ping_pong():
        # Each message is sent only when the answer to the one before has come: nothing may be held back.
        answered = threading.Semaphore(1)

        def requests():
            for i in range(50):
                if not answered.acquire(timeout=10):
                    return
                yield b"%d" % i
        got = []
        for reply in both(requests(), timeout=20):
            got.append(reply)
            answered.release()
        expect(got, [b"echo %d" % i for i in range(50)], "messages")

    def deadline():
        expect_status(lambda: chan.unary_unary("/test.Echo/Wait")(b"", timeout=0.5),
                      grpc.StatusCode.DEADLINE_EXCEEDED)

    def cancel():
        call = chan.unary_unary("/test.Echo/Wait").future(b"")
        time.sleep(0.3)
        call.cancel()
        expect(call.cancelled(), True, "cancelled")

    def early():
        # The server ends while the client still sends.
        def requests():
            for _ in range(10000):
                yield b"x" * 1000
        expect_status(lambda: list(chan.stream_stream("/test.Echo/Early")(requests(), timeout=20)),
                      grpc.StatusCode.RESOURCE_EXHAUSTED, "enough")

    def many():
        waiting = [unary.future(b"%d" % i, timeout=20) for i in range(300)]
        for i, call in enumerate(waiting):
            expect(call.result(), b"%d" % i, "message")

    for test in (simple, metadata, empty, large, fail, unknown, down, up, ping_pong, deadline, cancel, early, many):
        try:
            test()
            print("ok", test.__name__, flush=True)
        except Exception as error:
            print("not ok %s: %s" % (test.__name__, str(error).replace("\n", " ")), flush=True)


def count(target, number, ca=None, name=None):
    chan = channel(target, ca, name)
    unary = chan.unary_unary("/test.Echo/Unary")
    good = 0
    for i in range(int(number)):
        try:
            good += unary(b"%d" % i, timeout=20) == b"%d" % i
        except grpc.RpcError as error:
            print(error.code(), error.details(), file=sys.stderr)
    print(good)


def serving(target, value):
    channel(target).unary_unary("/test.Echo/Serving")(value.encode(), timeout=20)


def status(target, *methods):
    chan = channel(target)
    for method in methods:
        call = chan.unary_unary("/test.Script/" + method).future(b"", timeout=20)
        if method == "wait":
            time.sleep(0.3)
            call.cancel()
        print(method, call.code().name, flush=True)


def stream(target, ca=None, name=None):
    lines = iter(sys.stdin.buffer.readline, b"")
    call = channel(target, ca, name).stream_stream("/test.Echo/Both")((line.rstrip() for line in lines), timeout=60)
    try:
        for reply in call:
            print(reply.decode(), flush=True)
    except grpc.RpcError:
        pass
    print("status", call.code().name, flush=True)


if __name__ == "__main__":
    {"serve": serve, "calls": calls, "unary": count, "serving": serving, "status": status, "stream": stream}[sys.argv[1]](*sys.argv[2:])
