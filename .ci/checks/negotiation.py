#!/usr/bin/env python3
"""permessage-deflate offers that no client library makes, and the required answers:

    negotiation.py ws://HOST:PORT none|takeover WINDOW THRESHOLD     as in the server's flags

It also checks the windows, with an inflater that fails on references beyond the negotiated window.
"""

import random
import sys

from attack import check, closed_with, finish, want
from deflated import COMPRESSED, NAME, Inflater, agreed, close, deflate, json_of, message
from wire import BINARY, TEXT, Connection, close_payload, frame, request

SERVER, CLIENT = "server_max_window_bits", "client_max_window_bits"
ALONE = "server_no_context_takeover", "client_no_context_takeover"

# Offers that are declined. RFC 7692 section 7: "A server MUST decline ... if any of the following
# conditions are met".
DECLINED = [
    f"{NAME}; unknown", f"{NAME}; {ALONE[0]}; unknown=1", f"{NAME}; {ALONE[0]}=1", f"{NAME}; {ALONE[1]}=true", f"{NAME}; {SERVER}",
    *(f"{NAME}; {which}={value}" for which in (SERVER, CLIENT) for value in ("7", "16", "0", "09", "015", "1e1", "999999999999", "x")),
    *(f"{NAME}; {which}; {which}" for which in ALONE), f"{NAME}; {SERVER}=10; {SERVER}=10", f"{NAME}; {CLIENT}; {CLIENT}=10",
    f"{NAME}; {SERVER}=8", "permessage-bzip2", "x-webkit-deflate-frame", "permessage-deflated", "deflate-frame; permessage-deflate",
]
# Lists of offers, with the element that the server must accept.
TAKEN = [
    (f"{NAME}; unknown, {NAME}; {SERVER}=11", f"{NAME}; {SERVER}=11"),
    (f"{NAME}; {SERVER}=8, {NAME}; {ALONE[0]}, {NAME}", f"{NAME}; {ALONE[0]}"),
    (f"{NAME}; {CLIENT}=10; {SERVER}=12, {NAME}", f"{NAME}; {CLIENT}=10; {SERVER}=12"),
    (f"x-webkit-deflate-frame, permessage-bzip2; level=9, {NAME}; {CLIENT}", f"{NAME}; {CLIENT}"),
    (f"{NAME};{CLIENT};{SERVER}=13", f"{NAME}; {CLIENT}; {SERVER}=13"),
    (f" {NAME} ;\t{CLIENT} = 12 ", f"{NAME}; {CLIENT}=12"),
    (f'{NAME}; {SERVER}="10"', f"{NAME}; {SERVER}=10"),
    (f", ,{NAME},", NAME),  # RFC 9110 section 5.6.1.2: a recipient ignores empty elements
    (f"{NAME}; {CLIENT}=8", f"{NAME}; {CLIENT}=8"),
]
# Not a valid list of extensions (RFC 6455 section 9.1): either rejected, or treated as no offer.
MALFORMED = [
    f"{NAME};", f"{NAME}; =1", f"{NAME}; {SERVER}=", f'{NAME}; {SERVER}="10', f"{NAME} {SERVER}", "=", ";",
    f'{NAME}; {SERVER}="a, {NAME}; b"', f"{NAME}; {CLIENT}=\x01",
]


def answered(url: str, offer: str, version: int = 13) -> str | None:
    """The answer to an offer. Checks that the connection then works as negotiated."""
    text = json_of(3000)
    with Connection(url) as c:
        c.open(version=version, offer=offer)
        c.send(message(text, bits=9) if c.extensions else frame(TEXT, text))
        takeover = ALONE[0] not in (c.extensions or "")
        got = Inflater(15, takeover).read(c)
        want(got == (TEXT, text, c.extensions is not None), f"{c.extensions!r}, and then {str(got)[:80]}")
        want(close(c, close_payload(1000)), "the close is not answered")
        return c.extensions


def negotiation(url: str) -> None:
    def declined(offer: str) -> None:
        got = answered(url, offer)
        want(got is None, f"answered {got!r}")

    def taken(offers: str, element: str) -> None:
        got = answered(url, offers)
        want(got is not None, "declined")
        agreed(element, str(got))

    def malformed(offer: str) -> None:
        with Connection(url) as c:
            status, headers = c.send(request(Sec_WebSocket_Extensions=offer)).head()
            want(status in (101, 400), f"status {status}")
            want("sec-websocket-extensions" not in headers, headers.get("sec-websocket-extensions"))

    def two_headers() -> None:
        with Connection(url) as c:
            second = f"Sec-WebSocket-Extensions: {NAME}; {SERVER}=12\r\n\r\n".encode()
            status, headers = c.send(request(Sec_WebSocket_Extensions=f"{NAME}; unknown")[:-2] + second).head()
            want(status == 101, f"status {status}")
            agreed(f"{NAME}; {SERVER}=12", headers["sec-websocket-extensions"])

    def refused(version: int) -> None:
        with Connection(url) as c:
            closed_with(c.open(version=version, offer=NAME), message(b"hello"), [1002])

    for offer in DECLINED:
        check(f"declined: {offer}", lambda o=offer: declined(o))  # type: ignore[misc]
    for offers, element in TAKEN:
        check(f"taken: {offers}", lambda o=offers, e=element: taken(o, e))  # type: ignore[misc]
    for offer in MALFORMED:
        check(f"malformed: {offer!r}", lambda o=offer: malformed(o))  # type: ignore[misc]
    check("the second of two headers", two_headers)
    for version in (7, 8):
        for offer in (NAME, f"{NAME}; {CLIENT}", f"{NAME}; {SERVER}=10, x-webkit-deflate-frame, deflate-frame"):

            def none(version: int = version, offer: str = offer) -> None:
                got = answered(url, offer, version)
                want(got is None, f"answered {got!r}")

            check(f"version {version} gets none: {offer}", none)
        check(f"version {version}: RSV1 after such an offer", lambda v=version: refused(v))  # type: ignore[misc]


def windows(url: str, takeover: bool, window: int, threshold: int) -> None:
    noise = random.Random(7692)

    def kept(bits: int) -> None:
        # Content repeats within and beyond a window, so a compressor with a larger window is
        # detected.
        near, far = noise.randbytes((1 << bits) // 4), noise.randbytes((1 << bits) * 3 // 2)
        messages = [near * 3, far * 2, json_of(20000), far, noise.randbytes(300) + near, json_of(5000, bits)] * 2
        with Connection(url) as c:
            c.open(offer=f"{NAME}; {SERVER}={bits}; {CLIENT}={bits}")
            got = agreed(f"{NAME}; {SERVER}={bits}; {CLIENT}={bits}", str(c.extensions))
            want((got.server_bits, got.client_bits) == (min(bits, window),) * 2, f"{c.extensions}")
            want(got.server_takeover == got.client_takeover == takeover, f"{c.extensions}")
            inflater = Inflater(got.server_bits, takeover)
            before = b""
            for n, each in enumerate(messages):
                # This side uses its own window and the earlier messages if allowed.
                said = before[-(1 << got.client_bits) :] if takeover else b""
                c.send(frame(BINARY, deflate(each, got.client_bits, 9, before=said), rsv=COMPRESSED))
                opcode, payload, compressed = inflater.read(c)
                want((opcode, payload) == (BINARY, each), f"message {n}: {len(payload)} bytes for {len(each)}")
                # Noise may be sent uncompressed. JSON must be compressed, and a short message must
                # not.
                want(compressed or each[:2] != b"[{", f"message {n}, JSON of {len(each)} bytes, is not compressed")
                want(not compressed or len(each) >= threshold, f"message {n} of {len(each)} bytes is compressed")
                before += each
            want(close(c, close_payload(1000)), "the close is not answered")

    for bits in range(9, 16):
        check(f"windows of 2^{bits} in both directions", lambda b=bits: kept(b))  # type: ignore[misc]


negotiation(sys.argv[1])
windows(sys.argv[1], sys.argv[2] == "takeover", int(sys.argv[3]), int(sys.argv[4]))
finish()
