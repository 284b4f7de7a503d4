#!/usr/bin/env python3
"""Python's `ssl` and `openssl s_client` against an echo server with TLS: openssl.py HOST:PORT CA-FILE

Edge cases of TLS: versions, ALPN, resumption, renegotiation, a hello in pieces, truncation, garbage, plain HTTP. The server's
certificate must be for `localhost`. Ends with `N passed, N failed`.
"""

from __future__ import annotations

import base64
import os
import re
import socket
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable

HOST, PORT = sys.argv[1].rsplit(":", 1)
CA = sys.argv[2]
TIMEOUT = 30
REQUEST = (
    "GET /echo HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    f"Sec-WebSocket-Key: {base64.b64encode(bytes(16)).decode()}\r\nSec-WebSocket-Version: 13\r\n\r\n"
).encode()
NORMAL_CLOSE = b"\x88\x82\0\0\0\0\x03\xe8"


def tcp() -> socket.socket:
    return socket.create_connection((HOST, int(PORT)), TIMEOUT)


def context(version: ssl.TLSVersion = ssl.TLSVersion.TLSv1_2) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=CA)
    made.minimum_version = version
    made.maximum_version = version
    return made


def wrap(made: ssl.SSLContext, session: ssl.SSLSession | None = None) -> ssl.SSLSocket:
    return made.wrap_socket(tcp(), server_hostname="localhost", session=session, suppress_ragged_eofs=False)


def frame(payload: bytes) -> bytes:
    """A text of at most 125 bytes, masked with zeros."""
    return bytes([0x81, 0x80 | len(payload)]) + bytes(4) + payload


def exactly(stream: ssl.SSLSocket, count: int) -> bytes:
    got = b""
    while len(got) < count:
        more = stream.recv(count - len(got))
        assert more, f"the end after {got!r}"
        got += more
    return got


def upgrade(stream: ssl.SSLSocket) -> None:
    stream.sendall(REQUEST)
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += exactly(stream, 1)
    assert head.startswith(b"HTTP/1.1 101 "), head


def echo(stream: ssl.SSLSocket, payload: bytes) -> None:
    stream.sendall(frame(payload))
    got = exactly(stream, 2 + len(payload))
    assert got == bytes([0x81, len(payload)]) + payload, got


VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


def messages_and_a_clean_end() -> None:
    for version in VERSIONS:
        with wrap(context(version)) as stream:
            upgrade(stream)
            for length in (0, 1, 125):
                echo(stream, b"x" * length)
            stream.sendall(NORMAL_CLOSE)
            assert exactly(stream, 4) == b"\x88\x02\x03\xe8"
            # Without a close_notify, this raises SSLEOFError.
            assert stream.recv(1) == b""


def a_close_notify_of_the_client_is_answered() -> None:
    for version in VERSIONS:
        with wrap(context(version)) as stream:
            upgrade(stream)
            echo(stream, b"last")
            # `unwrap` sends a close_notify, and waits for the server's.
            stream.unwrap().close()


def sessions_are_resumed() -> None:
    for version in VERSIONS:
        made = context(version)
        with wrap(made) as stream:
            upgrade(stream)  # the ticket of TLS 1.3 comes before the answer
            echo(stream, b"first")
            session = stream.session
            assert session and not stream.session_reused
        with wrap(made, session) as stream:
            upgrade(stream)
            echo(stream, b"again")
            assert stream.session_reused, version


def only_http_1_1_is_offered() -> None:
    made = context(ssl.TLSVersion.TLSv1_3)
    made.set_alpn_protocols(["h2", "http/1.1"])
    with wrap(made) as stream:
        assert stream.selected_alpn_protocol() == "http/1.1"
    made.set_alpn_protocols(["h2"])
    try:
        wrap(made)
    except ssl.SSLError as error:
        assert "no application protocol" in str(error).lower().replace("_", " "), error
    else:
        raise AssertionError("a client of HTTP/2 was accepted")


def old_versions_are_refused() -> None:
    done = s_client("-tls1_1", "-cipher", "ALL:@SECLEVEL=0", input=b"")
    # rustls finds no common cipher suite first.
    assert re.search(r"alert protocol version|alert handshake failure|no protocols available", done), done


def a_hello_may_come_byte_by_byte() -> None:
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    client = context(ssl.TLSVersion.TLSv1_3).wrap_bio(incoming, outgoing, server_hostname="localhost")
    with tcp() as stream:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        while True:
            try:
                client.do_handshake()
                done = True
            except ssl.SSLWantReadError:
                done = False
            for byte in outgoing.read():
                stream.sendall(bytes([byte]))
            if done:
                break
            incoming.write(stream.recv(65536))
        client.write(REQUEST)
        stream.sendall(outgoing.read())
        answer = b""
        while not answer.startswith(b"HTTP/1.1 101 "):
            try:
                answer += client.read(1000)
            except ssl.SSLWantReadError:
                incoming.write(stream.recv(65536))


def raw(data: bytes) -> bytes:
    with tcp() as stream:
        stream.sendall(data)
        answer = b""
        while more := stream.recv(4096):
            answer += more
        return answer


def garbage_gets_an_alert() -> None:
    ssl2 = bytes([0x80, 0x2E, 1, 0, 2, 0, 0x15, 0, 0, 0, 0x10]) + bytes(0x25)
    ssl3 = bytes([22, 3, 0, 0, 47, 1, 0, 0, 43, 3, 0]) + bytes(32) + bytes([0, 0, 4, 0, 10, 0, 5, 1, 0])
    for data in (b"\0" * 100, b"\xff" * 50, b"\x16\x03\x01\0\x05hello", ssl2, ssl3):
        answer = raw(data)
        assert answer[:1] == b"\x15" and len(answer) == 7, (data[:10], answer)


def plain_http_gets_400() -> None:
    answer = raw(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ") and b"wss://" in answer, answer


def truncation_costs_one_connection() -> None:
    stream = wrap(context(ssl.TLSVersion.TLSv1_3))
    upgrade(stream)
    echo(stream, b"before")
    raw_socket = socket.socket(fileno=stream.detach())
    raw_socket.sendall(b"\x17\x03\x03\x00\x40half")  # a part of a record, and the end
    raw_socket.shutdown(socket.SHUT_WR)
    raw_socket.settimeout(TIMEOUT)
    while raw_socket.recv(4096):
        pass
    raw_socket.close()


def s_client(*flags: str, input: bytes) -> str:
    command = ["openssl", "s_client", "-connect", f"{HOST}:{PORT}", "-servername", "localhost", "-CAfile", CA, *flags]
    done = subprocess.run(command, input=input, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=TIMEOUT)
    return done.stdout.decode(errors="replace")


def s_client_verifies_the_certificate() -> None:
    for flag, version in (("-tls1_2", "TLSv1.2"), ("-tls1_3", "TLSv1.3")):
        done = s_client(flag, "-alpn", "http/1.1", "-verify_return_error", input=b"")
        assert "Verify return code: 0 (ok)" in done and version in done and "ALPN protocol: http/1.1" in done, done


def s_client_resumes_a_session() -> None:
    with tempfile.TemporaryDirectory() as directory:
        file = os.path.join(directory, "session")
        # With -ign_eof it waits for the answer, and so for the ticket of TLS 1.3.
        request = b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n"
        for flag in ("-tls1_2", "-tls1_3"):
            first = s_client(flag, "-ign_eof", "-sess_out", file, input=request)
            assert "HTTP/1.1 4" in first, first
            second = s_client(flag, "-ign_eof", "-sess_in", file, input=request)
            assert re.search(r"^Reused, ", second, re.M) and "HTTP/1.1 4" in second, second
            os.remove(file)


def renegotiation_is_refused() -> None:
    # In TLS 1.2, `R` at the begin of a line asks for a renegotiation.
    done = s_client("-tls1_2", input=b"R\n")
    assert re.search(r"RENEGOTIATING", done), done
    assert "no renegotiation" in done, done


def key_updates_are_answered() -> None:
    # In TLS 1.3, `K` at the begin of a line updates both keys. s_client looks at the first byte of each read.
    command = ["openssl", "s_client", "-connect", f"{HOST}:{PORT}", "-CAfile", CA, "-tls1_3"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT) as client:
        assert client.stdin and client.stdout
        for line in (b"K\n", b"K\n", b"GET /nowhere HTTP/1.1\r\nHost: localhost\r\n\r\n"):
            time.sleep(0.3)
            client.stdin.write(line)
            client.stdin.flush()
        output = b""
        while b"HTTP/1.1 4" not in output:
            more = client.stdout.read1(65536)
            assert more, output.decode(errors="replace")
            output += more
        client.stdin.close()
    assert output.count(b"KEYUPDATE") == 2, output.decode(errors="replace")


CASES: list[Callable[[], None]] = [
    messages_and_a_clean_end,
    a_close_notify_of_the_client_is_answered,
    sessions_are_resumed,
    only_http_1_1_is_offered,
    old_versions_are_refused,
    a_hello_may_come_byte_by_byte,
    garbage_gets_an_alert,
    plain_http_gets_400,
    truncation_costs_one_connection,
    s_client_verifies_the_certificate,
    s_client_resumes_a_session,
    renegotiation_is_refused,
    key_updates_are_answered,
    messages_and_a_clean_end,  # the server still serves
]

failed = 0
for case in CASES:
    try:
        case()
        print(f"ok   {case.__name__}")
    except Exception as error:  # noqa: BLE001 - the other cases still run
        failed += 1
        print(f"FAIL {case.__name__}: {type(error).__name__}: {error}")
print(f"{len(CASES) - failed} passed, {failed} failed")
sys.exit(failed > 0)
