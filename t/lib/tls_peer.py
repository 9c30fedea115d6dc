"""A TLS client that sees how a connection ends: tls_peer.py PORT VERSION STEP...

Steps: send:TEXT, flood:BYTES, read:COUNT, notify (close_notify, and go on reading), fin (end of the TCP stream without
one), reset, and rest: read until the end.  Prints what it read in all: its length, its last 40 bytes, and how it ended
("notify", "fin", "reset", or "open" if it was not read to the end).
"""
import socket
import ssl
import struct
import sys

port, version, *steps = sys.argv[1:]
context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
context.check_hostname = False
context.verify_mode = ssl.CERT_NONE
context.minimum_version = context.maximum_version = getattr(ssl.TLSVersion, version)
context.options &= ~getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
sock = socket.create_connection(("127.0.0.1", int(port)))
sock.settimeout(60)
came, going = ssl.MemoryBIO(), ssl.MemoryBIO()
tls = context.wrap_bio(came, going)
got, end = bytearray(), "open"


def flush():
    while going.pending:
        sock.sendall(going.read())


def more():
    """Takes more from the socket; how it ended, if it did."""
    flush()
    try:
        data = sock.recv(65536)
    except ConnectionResetError:
        return "reset"
    came.write(data) if data else came.write_eof()
    return None if data else "fin"


def run(call):
    while True:
        try:
            return call()
        except ssl.SSLWantReadError:
            how = more()
            if how:
                return how


def read(limit):
    """Reads up to `limit` bytes in all."""
    global end
    while len(got) < limit and end == "open":
        try:
            data = tls.read(65536)
            if data:
                got.extend(data)
            else:
                end = "notify"
        except ssl.SSLWantReadError:
            end = more() or end
        except ssl.SSLZeroReturnError:
            end = "notify"
        except ssl.SSLError as error:
            end = error.reason


run(tls.do_handshake)
flush()
for step in steps:
    what, _, value = step.partition(":")
    if what == "send":
        tls.write(value.encode().decode("unicode_escape").encode())
        flush()
    elif what == "flood":
        for _ in range(int(value) // 65536):
            tls.write(b"x" * 65536)
            flush()
    elif what == "read":
        read(int(value))
    elif what == "notify":
        try:
            tls.unwrap()
        except ssl.SSLError:
            pass
        flush()
    elif what == "fin":
        sock.shutdown(socket.SHUT_WR)
    elif what == "reset":
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()
    elif what == "rest":
        read(1 << 60)
print(len(got), bytes(got[-40:]).decode("latin-1"), end, sep="|")
