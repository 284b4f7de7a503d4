"""Checks the metrics of a real server, and the files of this folder against them.

Usage: metrics.py PATH_OF_ECHO [PATH_OF_ANOTHER_SERVER ..]

Each server must be built with `--features metrics`. The test needs `promtool` (Debian's package
`prometheus`). It starts the server, lets clients connect, send and end in several ways, and scrapes.
Then it checks:

- `promtool check metrics` has nothing to say about the scrape;
- every metric of the dashboard and of the alerts is in the scrape;
- the counters have the values of the session;
- no label contains anything that only a client chose;
- `promtool` accepts prometheus.yml and alerts.yml.

The last line is `N passed, N failed`.
"""

import json
import pathlib
import re
import socket
import subprocess
import sys
import urllib.error
import urllib.request

FOLDER = pathlib.Path(__file__).resolve().parent.parent
TIMEOUT = 60

results = []


def check(name, passes, detail=""):
    results.append(bool(passes))
    print(f"{'ok  ' if passes else 'FAIL'} {name}{'' if passes else f': {detail}'}")


class Server:
    """A server with a port for metrics, until the end of the block."""

    def __init__(self, program):
        self.program = program

    def __enter__(self):
        arguments = [self.program, "--listen", "127.0.0.1:0", "--metrics", "127.0.0.1:0"]
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True)
        self.address = self.metrics = None
        while self.address is None or self.metrics is None:
            line = self.process.stdout.readline()
            if not line:
                raise SystemExit(f"{self.program} did not start")
            if found := re.match(r"listening on ws://127\.0\.0\.1:(\d+)/", line):
                self.address = ("127.0.0.1", int(found[1]))
            if found := re.match(r"metrics at (http://\S+)", line):
                self.metrics = found[1]
        return self

    def __exit__(self, *_):
        self.process.terminate()
        check("the server ends", self.process.wait(TIMEOUT) == 0)

    def scrape(self):
        with urllib.request.urlopen(self.metrics, timeout=TIMEOUT) as response:
            return response.read().decode()

    def request(self, target):
        """Sends a handshake. Returns the socket and the head of the response."""
        client = socket.create_connection(self.address, TIMEOUT)
        client.sendall(
            f"GET {target} HTTP/1.1\r\nHost: here.example\r\nUpgrade: websocket\r\n"
            "Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            byte = client.recv(1)
            if not byte:
                break
            head += byte
        return client, head.decode()


def frame(opcode, payload):
    return bytes([0x80 | opcode, 0x80 | len(payload), 0, 0, 0, 0]) + payload


def receive(client, size):
    received = b""
    while len(received) < size and (part := client.recv(size - len(received))):
        received += part
    return received


def read_to_end(client):
    while client.recv(4096):
        pass


def session(server):
    """Ten texts with their echoes, four ends, and a refusal. One client stays connected."""
    client, head = server.request("/?token=secret")
    assert head.startswith("HTTP/1.1 101"), head
    for _ in range(10):
        client.sendall(frame(1, b"hello"))
        assert receive(client, 7) == b"\x81\x05hello"
    client.sendall(frame(8, (4321).to_bytes(2, "big")))
    read_to_end(client)
    for last in [frame(8, (1000).to_bytes(2, "big")), b"\xff" * 10]:
        client, _ = server.request("/")
        client.sendall(last)
        read_to_end(client)
    client, _ = server.request("/")
    client.shutdown(socket.SHUT_WR)
    read_to_end(client)
    client, head = server.request("/secret-path")
    assert " 404 " in head, head
    read_to_end(client)
    return server.request("/")[0]


def values(scrape):
    """The value of each series, by its name and sorted labels."""
    found = {}
    for line in scrape.splitlines():
        if match := re.match(r"(clws_\w+)(?:\{(.*)\})? (\S+)$", line):
            labels = ",".join(sorted(re.findall(r'\w+="[^"]*"', match[2] or "")))
            found[f"{match[1]}{{{labels}}}"] = float(match[3])
    return found


def promtool(*arguments, text=None):
    run = subprocess.run(["promtool", *arguments], input=text, capture_output=True, text=True, timeout=TIMEOUT)
    return run.returncode == 0 and not run.stderr.strip(), run.stdout + run.stderr


def metric_names(text):
    return set(re.findall(r"\bclws_\w+", text))


def check_server(program, is_echo):
    with Server(program) as server:
        server.scrape()  # the first scrape has all metrics with a fixed set of labels
        if not is_echo:
            check_scrape(server.scrape())
            return
        stays = session(server)
        scrape = server.scrape()
        check_scrape(scrape)
        series = values(scrape)
        for name, value in {
            "clws_received_messages_total{}": 10,
            "clws_sent_messages_total{}": 10,
            'clws_handshakes_total{outcome="accepted",status="101"}': 5,
            'clws_handshakes_total{outcome="rejected",status="404"}': 1,
            'clws_closes_total{cause="closed",code="4xxx"}': 1,
            'clws_closes_total{cause="closed",code="1000"}': 1,
            'clws_closes_total{cause="protocol",code="1002"}': 1,
            'clws_closes_total{cause="vanished",code="1006"}': 1,
            'clws_clients{resource="/",version="13"}': 1,
            "clws_connections{}": 1,
        }.items():
            check(name, series.get(name) == value, f"{series.get(name)} and not {value}")
        check("no label is a client's choice", "secret" not in scrape)
        for file in ["grafana.json", "alerts.yml"]:
            text = (FOLDER / file).read_text()
            missing = {
                name for name in metric_names(text)
                if not re.search(rf"^{name}[ {{]", scrape, re.M)
                and not re.search(rf"^# TYPE {re.sub('_(bucket|sum|count)$', '', name)} histogram$", scrape, re.M)
            }
            check(f"the metrics of {file} exist", metric_names(text) and not missing, missing)
        stays.close()
        try:
            urllib.request.urlopen(server.metrics.replace("/metrics", "/other"), timeout=TIMEOUT)
            check("other paths get 404", False)
        except urllib.error.HTTPError as error:
            check("other paths get 404", error.code == 404, error.code)


def check_scrape(scrape):
    passes, output = promtool("check", "metrics", text=scrape)
    check("promtool accepts the metrics", passes, output)


def main():
    for index, program in enumerate(sys.argv[1:]):
        print(program)
        check_server(program, index == 0)
    json.loads((FOLDER / "grafana.json").read_text())
    for arguments in [("check", "config", FOLDER / "prometheus.yml"), ("check", "rules", FOLDER / "alerts.yml")]:
        passes, output = promtool(*map(str, arguments))
        check(f"promtool accepts {arguments[2].name}", passes, output)
    print(f"{sum(results)} passed, {len(results) - sum(results)} failed")
    return 0 if results and all(results) else 1


sys.exit(main())
