"""Checks the configurations of nginx, HAProxy and stunnel in this folder, with the real programs.

Usage: proxies.py PATH_OF_ECHO [FOLDER_OF_CLIENTS]

Everything runs on loopback: `echo` with proxy-headers.toml or proxy-protocol.toml, a proxy with its
configuration from this folder, and clients. Only addresses, paths and times are replaced. The clients
come from 127.0.0.9 and the proxies from 127.0.0.1, so that the log of the server shows which of them
it takes for the client. FOLDER_OF_CLIENTS has the clients of old drafts, `.ci/interop/clients`.

The last line is `N passed, N failed`.
"""

import contextlib
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import time

FOLDER = pathlib.Path(__file__).resolve().parent.parent
TIMEOUT = 60
CLIENT = "127.0.0.9"
FORGED = "X-Forwarded-For: 6.6.6.6\r\nForwarded: for=6.6.6.6;proto=http\r\nX-Forwarded-Proto: http\r\n"

results = []


def check(name, passes, detail=""):
    results.append(bool(passes))
    print(f"{'ok  ' if passes else 'FAIL'} {name}{'' if passes else f': {detail}'}", flush=True)


def free_ports(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def eventually(condition):
    end = time.monotonic() + TIMEOUT
    while not (found := condition()) and time.monotonic() < end:
        time.sleep(0.02)
    return found


def replaced(file, changes):
    """The text of a file of this folder. Each text that is replaced must be in it."""
    text = (FOLDER / file).read_text()
    for old, new in changes.items():
        assert old in text, f"{file} has no {old!r}"
        text = text.replace(old, new)
    return text


@contextlib.contextmanager
def running(arguments, log):
    """A program until the end of the block. Its output is in a file."""
    with log.open("w") as output:
        process = subprocess.Popen([str(one) for one in arguments], stdout=output, stderr=output)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(TIMEOUT)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Server:
    """`echo` with a file of this folder, on a free port."""

    def __init__(self, folder, file, name, changes=None, lines=""):
        self.log = folder / f"echo-{name}.log"
        config = folder / f"echo-{name}.toml"
        port = re.search(r"127\.0\.0\.1:\d+", (FOLDER / file).read_text())[0]
        config.write_text(replaced(file, {port: "127.0.0.1:0", **(changes or {})}) + lines)
        self.arguments = [sys.argv[1], "--config", config, "--log-level", "debug", "--hixie", "--hixie-75"]

    def __enter__(self):
        self.running = running(self.arguments, self.log)
        self.process = self.running.__enter__()
        found = eventually(lambda: re.search(r"listening on ws://127\.0\.0\.1:(\d+)/", self.text()))
        if not found:
            raise SystemExit(f"echo did not start: {self.text()}")
        self.port = int(found[1])
        return self

    def __exit__(self, *_):
        self.running.__exit__(None, None, None)
        check("the server ends", self.process.returncode == 0, self.process.returncode)

    def text(self):
        """The output, without its colours."""
        return re.sub(r"\x1b\[\d*m", "", self.log.read_text()) if self.log.exists() else ""

    def ended(self):
        """The lines about clients that have ended."""
        return [line for line in self.text().splitlines() if "ended:" in line]


def connect(port, tls, source=CLIENT):
    """A connection from an address of its own. It tries again while the proxy starts."""

    def attempt():
        try:
            client = socket.create_connection(("127.0.0.1", port), TIMEOUT, (source, 0))
            return tls.wrap_socket(client) if tls else client
        except (ConnectionError, ssl.SSLError):
            return None

    client = eventually(attempt)
    if not client:
        raise SystemExit(f"nothing listens on {port}")
    return client


def handshake(client, version=13, lines="", path="/"):
    """Sends a handshake, and returns the status of the response."""
    client.sendall(
        f"GET {path} HTTP/1.1\r\nHost: chat.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nOrigin: https://chat.example\r\n"
        f"Sec-WebSocket-Version: {version}\r\n{lines}\r\n".encode()
    )
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        byte = client.recv(1)
        if not byte:
            break
        head += byte
    return int(head.split()[1]) if head else 0


def frame(opcode, payload):
    return bytes([0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0]) + payload


def exactly(client, size):
    received = b""
    while len(received) < size:
        part = client.recv(size - len(received))
        if not part:
            return None
        received += part
    return received


def next_frame(client):
    """The next frame as its opcode and payload. `None` at the end of the connection."""
    try:
        head = exactly(client, 2)
        return head and (head[0] & 0xF, exactly(client, head[1]))
    except (ConnectionError, ssl.SSLError):
        return None


def echoes(client, text):
    client.sendall(frame(1, text))
    while (received := next_frame(client)) and received[0] == 9:
        client.sendall(frame(10, received[1]))
    return received == (1, text)


def leave(client):
    client.sendall(frame(8, (1000).to_bytes(2, "big")))
    while next_frame(client):
        pass
    client.close()


def check_clients(name, server, port, tls, versions=(7, 8, 13)):
    """Clients of several versions echo, and the server knows their address."""
    for version in versions:
        before = len(server.ended())
        client = connect(port, tls)
        status = handshake(client, version, FORGED)
        check(f"{name}: version {version} connects", status == 101, status)
        check(f"{name}: version {version} echoes", echoes(client, b"hello"))
        leave(client)
        eventually(lambda: len(server.ended()) > before)
        line = server.ended()[-1]
        is_known = f"client={CLIENT}" in line and "peer=127.0.0.1:" in line and "6.6.6.6" not in line
        check(f"{name}: version {version} has the address of the client", is_known, line)


def check_limit(name, port, tls):
    """The limit of two connections for each address counts clients, and not the proxy."""
    held = [connect(port, tls) for _ in range(3)]
    statuses = [handshake(client) for client in held]
    check(f"{name}: the third connection of an address gets 429", statuses == [101, 101, 429], statuses)
    other = connect(port, tls, "127.0.0.10")
    check(f"{name}: another address is not limited", handshake(other) == 101)
    for client in [*held, other]:
        client.close()


def check_idle(name, port, tls, silence):
    """A client that only answers pings stays connected through a proxy that cuts after `silence`."""
    client = connect(port, tls)
    check(f"{name}: an idle client connects", handshake(client) == 101)
    end, pings = time.monotonic() + 3 * silence, 0
    while time.monotonic() < end:
        received = next_frame(client)
        if received is None or received[0] != 9:
            break
        pings += 1
        client.sendall(frame(10, received[1]))
    check(f"{name}: an idle client stays because of the pings", pings > 2 and echoes(client, b"still here"), pings)
    client.close()


def check_cut(name, port, tls):
    """Without pings, the proxy cuts a silent client."""
    client = connect(port, tls)
    check(f"{name}: a silent client connects", handshake(client) == 101)
    check(f"{name}: a silent client without pings is cut", next_frame(client) is None)
    client.close()


def certificate(folder):
    key, pem = folder / "clws.key", folder / "clws.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=chat.example",
         "-keyout", key, "-out", pem], check=True, capture_output=True)
    pem.write_text(pem.read_text() + key.read_text())
    tls = ssl.create_default_context()
    tls.check_hostname, tls.verify_mode = False, ssl.CERT_NONE
    return tls


HEADERS = "proxy-headers.toml"
PROTOCOL = "proxy-protocol.toml"
TWO_EACH = {"max_clients_per_ip = 100": "max_clients_per_ip = 2"}
NO_PINGS = "ping_interval = 0\n"
FAST_PINGS = "ping_interval = 0.5\n"


@contextlib.contextmanager
def nginx(folder, server, name, silence="60s"):
    [port] = free_ports(1)
    config = folder / f"nginx-{name}.conf"
    config.write_text(replaced("nginx.conf", {
        "worker_processes auto;": "worker_processes 1;\ndaemon off;",
        "worker_rlimit_nofile 200000;": "worker_rlimit_nofile 1000;",
        "worker_connections 100000;": "worker_connections 400;",
        "/run/nginx.pid": f"{folder}/nginx-{name}.pid",
        "/var/log/nginx/error.log": f"{folder}/nginx-{name}.log",
        "access_log off;": "access_log off;" + "".join(
            f"\n    {kind}_temp_path {folder}/{kind};" for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"]),
        "listen 443 ssl;": f"listen 127.0.0.1:{port} ssl;",
        "listen [::]:443 ssl;": "",
        "/etc/ssl": str(folder),
        "127.0.0.1:12345": f"127.0.0.1:{server.port}",
        "proxy_read_timeout 60s": f"proxy_read_timeout {silence}",
        "proxy_send_timeout 60s": f"proxy_send_timeout {silence}",
    }))
    with running(["nginx", "-c", config, "-e", folder / "nginx.log"], folder / f"nginx-{name}.out"):
        yield port


@contextlib.contextmanager
def haproxy(folder, name, http=None, tcp=None, silence="60s", changes=None):
    """HAProxy before a server for headers and a server for the PROXY protocol."""
    ports = free_ports(2)
    config = folder / f"haproxy-{name}.cfg"
    config.write_text(replaced("haproxy.cfg", {
        "maxconn 100000": "maxconn 200",
        "bind :443 ": f"bind 127.0.0.1:{ports[0]} ",
        "bind :444 ": f"bind 127.0.0.1:{ports[1]} ",
        "/etc/ssl": str(folder),
        "127.0.0.1:12345": f"127.0.0.1:{http.port if http else 9}",
        "127.0.0.1:12346": f"127.0.0.1:{tcp.port if tcp else 9}",
        "timeout client 60s": f"timeout client {silence}",
        "timeout server 60s": f"timeout server {silence}",
        "timeout tunnel 60s": f"timeout tunnel {silence}",
        **(changes or {}),
    }))
    with running(["haproxy", "-db", "-f", config], folder / f"haproxy-{name}.out"):
        yield ports


@contextlib.contextmanager
def stunnel(folder, server, name, silence=60):
    [port] = free_ports(1)
    config = folder / f"stunnel-{name}.conf"
    config.write_text(replaced("stunnel.conf", {
        "accept = 443": f"accept = 127.0.0.1:{port}",
        "/etc/ssl": str(folder),
        "127.0.0.1:12346": f"127.0.0.1:{server.port}",
        "TIMEOUTidle = 60": f"TIMEOUTidle = {silence}",
    }))
    with running(["stunnel4" if shutil.which("stunnel4") else "stunnel", config], folder / f"stunnel-{name}.out"):
        yield port


def check_nginx(folder, tls):
    with Server(folder, HEADERS, "nginx") as server, nginx(folder, server, "plain") as port:
        check_clients("nginx", server, port, tls)
        client = connect(port, tls)
        client.sendall(b"GET / HTTP/1.1\r\nHost: chat.example\r\nConnection: close\r\n\r\n")
        page = b""
        while part := client.recv(65536):
            page += part
        check("nginx: a page passes", page.startswith(b"HTTP/1.1 200 ") and b"<html" in page.lower(), page[:200])
    with Server(folder, HEADERS, "nginx-limit", TWO_EACH) as server, nginx(folder, server, "limit") as port:
        check_limit("nginx", port, tls)
    with Server(folder, HEADERS, "nginx-idle", lines=FAST_PINGS) as server, nginx(folder, server, "idle", "2s") as port:
        check_idle("nginx", port, tls, 2)
    with Server(folder, HEADERS, "nginx-cut", lines=NO_PINGS) as server, nginx(folder, server, "cut", "2s") as port:
        check_cut("nginx", port, tls)


def check_haproxy(folder, tls):
    with Server(folder, HEADERS, "haproxy-http") as http, Server(folder, PROTOCOL, "haproxy-tcp") as tcp, \
            haproxy(folder, "plain", http, tcp) as (http_port, tcp_port):
        check_clients("HAProxy, HTTP", http, http_port, tls)
        check_clients("HAProxy, TCP", tcp, tcp_port, tls)
    with Server(folder, HEADERS, "haproxy-http-limit", TWO_EACH) as http, \
            Server(folder, PROTOCOL, "haproxy-tcp-limit", TWO_EACH) as tcp, \
            haproxy(folder, "limit", http, tcp) as (http_port, tcp_port):
        check_limit("HAProxy, HTTP", http_port, tls)
        check_limit("HAProxy, TCP", tcp_port, tls)
    with Server(folder, HEADERS, "haproxy-http-idle", lines=FAST_PINGS) as http, \
            Server(folder, PROTOCOL, "haproxy-tcp-idle", lines=FAST_PINGS) as tcp, \
            haproxy(folder, "idle", http, tcp, "2s") as (http_port, tcp_port):
        check_idle("HAProxy, HTTP", http_port, tls, 2)
        check_idle("HAProxy, TCP", tcp_port, tls, 2)
    with Server(folder, PROTOCOL, "haproxy-cut", lines=NO_PINGS) as tcp, \
            haproxy(folder, "cut", tcp=tcp, silence="2s") as (_, tcp_port):
        check_cut("HAProxy, TCP", tcp_port, tls)


def check_stunnel(folder, tls):
    with Server(folder, PROTOCOL, "stunnel") as server, stunnel(folder, server, "plain") as port:
        check_clients("stunnel", server, port, tls)
    with Server(folder, PROTOCOL, "stunnel-idle", lines=FAST_PINGS) as server, \
            stunnel(folder, server, "idle", 2) as port:
        check_idle("stunnel", port, tls, 2)
    with Server(folder, PROTOCOL, "stunnel-cut", lines=NO_PINGS) as server, stunnel(folder, server, "cut", 2) as port:
        check_cut("stunnel", port, tls)


def check_old_drafts(folder, clients):
    """The clients of all drafts, through HAProxy in TCP mode without TLS, which they do not speak."""
    for version, changes in {1: {"send-proxy-v2 ": "send-proxy "}, 2: {}}.items():
        plain = {f" ssl crt {folder}/clws.pem\n    default_backend clws_tcp": "\n    default_backend clws_tcp"}
        with Server(folder, PROTOCOL, f"drafts-{version}") as server, \
                haproxy(folder, f"drafts-{version}", tcp=server, changes={**changes, **plain}) as (_, port):
            connect(port, None).close()
            for draft in ["hixie-75", "hybi-00", "hybi-08", "rfc6455"]:
                before = len(server.ended())
                run = subprocess.run(
                    ["perl", "perl_protocol_websocket.pl", f"ws://127.0.0.1:{port}/echo", draft],
                    cwd=clients, capture_output=True, text=True, timeout=TIMEOUT)
                name = f"HAProxy, PROXY version {version}: {draft}"
                check(name, run.returncode == 0, run.stdout + run.stderr)
                eventually(lambda: len(server.ended()) > before)
                check(f"{name} has an address", "client=127.0.0.1" in "".join(server.ended()[before:]))


def check_direct(folder):
    """A client that reaches the server without the proxy is not believed."""
    with Server(folder, HEADERS, "direct") as headers, Server(folder, PROTOCOL, "direct-protocol") as protocol:
        client = connect(headers.port, None)
        check("direct: a client connects", handshake(client, lines=FORGED) == 101)
        leave(client)
        eventually(headers.ended)
        line = headers.ended()[-1]
        check("direct: a forged header has no effect", f"peer={CLIENT}:" in line and "client=" not in line, line)
        client = connect(protocol.port, None)
        client.sendall(b"PROXY TCP4 6.6.6.6 127.0.0.1 1 1\r\n")
        check("direct: a forged PROXY header is refused", handshake(client) == 400)
        # The proxy itself, without the header that the settings promise.
        client = connect(protocol.port, None, "127.0.0.1")
        check("direct: a missing PROXY header is refused", handshake(client) == 400)
        check("direct: it is logged", "does not begin with a PROXY protocol header" in protocol.text())


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        folder.chmod(0o755)  # the workers of a proxy that root starts are other users
        tls = certificate(folder)
        try:
            check_direct(folder)
            check_nginx(folder, tls)
            check_haproxy(folder, tls)
            check_stunnel(folder, tls)
            if len(sys.argv) > 2:
                check_old_drafts(folder, sys.argv[2])
        finally:
            if not all(results):
                for log in sorted(folder.glob("*.out")) + sorted(folder.glob("nginx*.log")):
                    print(f"--- {log.name}\n{log.read_text()[-2000:]}")
    failed = results.count(False)
    print(f"{len(results) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
