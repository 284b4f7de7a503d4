"""WebSocket bytes over blocking sockets, for tests that send what no client library would."""

import socket
import struct
from urllib.parse import urlsplit

TIMEOUT = 20.0  # seconds for any read or write
KEY = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 section 1.3
ACCEPT = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10


def address(url: str) -> tuple[str, int]:
    parts = urlsplit(url)
    assert parts.hostname and parts.port
    return parts.hostname, parts.port


def request(path: str = "/echo", version: int = 13, **headers: str | None) -> bytes:
    """An opening handshake. `headers` replace headers, and None removes them: `Sec_WebSocket_Key=None`."""
    fields: dict[str, str | None] = {
        "Host": "127.0.0.1",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": KEY,
        "Sec-WebSocket-Version": str(version),
    }
    fields |= {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"{name}: {value}\r\n" for name, value in fields.items() if value is not None]
    return f"GET {path} HTTP/1.1\r\n{''.join(lines)}\r\n".encode()


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True, rsv: int = 0, mask: bytes | None = b"\x12\x34\x56\x78") -> bytes:
    first = (0x80 if fin else 0) | rsv << 4 | opcode
    masked = 0 if mask is None else 0x80
    if len(payload) < 126:
        head = struct.pack("!BB", first, masked | len(payload))
    elif len(payload) < 65536:
        head = struct.pack("!BBH", first, masked | 126, len(payload))
    else:
        head = struct.pack("!BBQ", first, masked | 127, len(payload))
    if mask is None:
        return head + payload
    key = int.from_bytes((mask * (len(payload) // 4 + 1))[: len(payload)], "big")
    return head + mask + (int.from_bytes(payload, "big") ^ key).to_bytes(len(payload), "big")


def close_payload(code: int, reason: bytes = b"") -> bytes:
    return struct.pack("!H", code) + reason


class Connection:
    """One TCP connection. Sends raw bytes, and receives an exact number of bytes or whole frames."""

    def __init__(self, url: str, timeout: float = TIMEOUT) -> None:
        self.socket = socket.create_connection(address(url), timeout)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.buffer = b""
        self.extensions: str | None = None

    def __enter__(self) -> "Connection":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()

    def send(self, data: bytes) -> "Connection":
        self.socket.sendall(data)
        return self

    def exactly(self, size: int) -> bytes:
        while len(self.buffer) < size:
            piece = self.socket.recv(65536)
            if not piece:
                raise EOFError(f"closed after {self.buffer[:80]!r}, want {size} bytes")
            self.buffer += piece
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def head(self) -> tuple[int, dict[str, str]]:
        """The status and the headers (names in lower case) of an HTTP answer."""
        data = b""
        while not data.endswith(b"\r\n\r\n"):
            data += self.exactly(1)
        first, *lines = data.decode("latin-1").split("\r\n")
        if not first.startswith("HTTP/1.1 "):
            raise AssertionError(f"no HTTP answer: {first[:80]!r}")
        return int(first.split()[1]), {k.strip().lower(): v.strip() for k, _, v in (line.partition(":") for line in lines)}

    def open(self, path: str = "/echo", version: int = 13, offer: str | None = None) -> "Connection":
        """Opens a WebSocket. `extensions` is then the answer to `offer`, or None."""
        status, headers = self.send(request(path, version, Sec_WebSocket_Extensions=offer)).head()
        if status != 101 or headers["sec-websocket-accept"] != ACCEPT:
            raise AssertionError(f"not opened: {status} {headers}")
        self.extensions = headers.get("sec-websocket-extensions")
        return self

    def frame(self) -> tuple[int, bytes]:
        """The opcode and payload of a final frame without RSV bits."""
        first, payload = self.any_frame()
        if first & 0xF0 != 0x80:
            raise AssertionError(f"frame begins {first:02x}")
        return first & 0x0F, payload

    def any_frame(self) -> tuple[int, bytes]:
        """The first byte of a frame, with FIN and RSV, and its payload."""
        first, second = self.exactly(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", self.exactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self.exactly(8))
        if second & 0x80:
            raise AssertionError(f"a server's frame is masked: {first:02x} {second:02x}")
        return first, self.exactly(size)

    def at_end(self) -> bool:
        """True if the peer closed in any way; False if it still sends or stays silent."""
        try:
            return not self.buffer and not self.socket.recv(1)
        except ConnectionError:
            return True
        except TimeoutError:
            return False

    def reset(self) -> None:
        """Ends the connection with a RST instead of a FIN."""
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def is_all_read(url: str) -> bool:
    """Whether the server at `url` has read everything that its clients sent so far."""
    port = address(url)[1]
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        with open(table, encoding="ascii") as lines:
            for _, local, remote, state, queues, *_ in map(str.split, list(lines)[1:]):
                unsent, unread = (int(queue, 16) for queue in queues.split(":"))
                is_listening = state == "0A"  # counts connections to accept instead of bytes
                at_server, at_client = (int(end.split(":")[1], 16) == port for end in (local, remote))
                if not is_listening and (at_server and unread or at_client and unsent):
                    return False
    return True


def memory(pid: int, field: str = "VmRSS") -> int:
    """The resident memory of a process in bytes: now (VmRSS) or its maximum (VmHWM)."""
    with open(f"/proc/{pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith(field + ":"):
                return int(line.split()[1]) * 1024
    raise RuntimeError(f"no {field} for process {pid}")

