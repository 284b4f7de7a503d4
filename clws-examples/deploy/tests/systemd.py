"""Checks `echo` as a service of systemd, and the units in this folder.

Usage: systemd.py PATH_OF_ECHO

`echo` must be built with `--features systemd`. systemd itself does not run: `systemd-socket-activate`
opens sockets as it does, and this program plays its part for readiness and watchdog.
`systemd-analyze verify` reads the units, with the path of the program replaced.

The last line is `N passed, N failed`.
"""

import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile

FOLDER = pathlib.Path(__file__).resolve().parent.parent
TIMEOUT = 60

results = []


def check(name, passes, detail=""):
    results.append(bool(passes))
    print(f"{'ok  ' if passes else 'FAIL'} {name}{'' if passes else f': {detail}'}", flush=True)


def connects(client):
    """Sends a handshake, and returns whether it is accepted."""
    client.settimeout(TIMEOUT)
    client.sendall(
        b"GET /echo HTTP/1.1\r\nHost: here.example\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    head = b""
    while not head.endswith(b"\r\n\r\n") and (byte := client.recv(1)):
        head += byte
    return head.startswith(b"HTTP/1.1 101 ")


def unix(path):
    client = socket.socket(socket.AF_UNIX)
    client.connect(str(path))
    return client


class Service:
    """`echo` with sockets and variables as systemd gives them."""

    def __init__(self, program, sockets, folder, **variables):
        self.program, self.sockets, self.variables = program, sockets, variables
        self.path = folder / "notify"
        self.notifications = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.notifications.bind(str(self.path))
        self.notifications.settimeout(TIMEOUT)

    def __enter__(self):
        def give():
            copies = [os.dup(one.fileno()) for one in self.sockets]  # the numbers from 3 on may be theirs
            for number, copy in enumerate(copies, 3):
                os.dup2(copy, number, inheritable=True)

        variables = {"LISTEN_FDS": str(len(self.sockets)), "NOTIFY_SOCKET": str(self.path), **self.variables}
        # Only a shell knows the id of the process that it becomes.
        command = ["sh", "-c", 'export LISTEN_PID=$$ WATCHDOG_PID=$$; exec "$0" "$@"', self.program]
        self.process = subprocess.Popen(
            command, env={**os.environ, **variables}, preexec_fn=give, stdout=subprocess.PIPE, text=True,
            pass_fds=range(3, 3 + len(self.sockets)))
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(TIMEOUT)
        self.notifications.close()
        self.path.unlink()

    def told(self):
        return self.notifications.recv(4096).decode().strip()


def check_service(program, folder):
    tcp = socket.create_server(("127.0.0.1", 0))
    path = folder / "clws.sock"
    local = socket.socket(socket.AF_UNIX)
    local.bind(str(path))
    local.listen()
    with Service(program, [tcp, local], folder, WATCHDOG_USEC="300000") as service:
        check("it reports that it is ready", service.told() == "READY=1")
        beats = [service.told() for _ in range(5)]
        check("it reports again and again that it works", beats == ["WATCHDOG=1"] * 5, beats)
        check("it serves the TCP socket", connects(socket.create_connection(tcp.getsockname(), TIMEOUT)))
        check("it serves the Unix socket", connects(unix(path)))
        # A process that does nothing gives no beat, and systemd would restart it.
        service.process.send_signal(signal.SIGSTOP)
        service.notifications.settimeout(0.5)
        try:
            while service.told():
                pass
        except TimeoutError:
            check("a stopped process is not reported as working", True)
        service.notifications.settimeout(TIMEOUT)
        service.process.send_signal(signal.SIGCONT)
        check("it reports again", service.told() == "WATCHDOG=1")
        service.process.terminate()
        while (last := service.told()) == "WATCHDOG=1":
            pass
        check("it reports that it stops", last == "STOPPING=1", last)
        output = service.process.communicate(timeout=TIMEOUT)[0]
        check("it ends", service.process.returncode == 0, service.process.returncode)
        addresses = re.findall(r"^listening on (.+)$", output, re.M)
        expected = [f"ws://127.0.0.1:{tcp.getsockname()[1]}/", f"unix:{path}"]
        check("it listens on these sockets alone", addresses == expected, addresses)
    check("it leaves the file of the Unix socket to systemd", path.exists())
    with Service(program, [], folder) as service:
        service.process.stdout.readline()
        check("without a watchdog there are no beats", service.told() == "READY=1")
        service.process.terminate()
        check("the next report is the stop", service.told() == "STOPPING=1")


def check_socket_activate(program):
    """The program that systemd offers for tests starts the server when a client connects."""
    if not shutil.which("systemd-socket-activate"):
        print("note: systemd-socket-activate is not installed")
        return
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = free.getsockname()
    command = ["systemd-socket-activate", "-l", f"{address[0]}:{address[1]}", program, "--log-level", "error"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    line = ""
    while "Listening on" not in line and process.poll() is None:
        line = process.stderr.readline()
    try:
        check("systemd-socket-activate gives it a socket", connects(socket.create_connection(address, TIMEOUT)))
    finally:
        process.terminate()
        process.wait(TIMEOUT)


def check_units(program, folder):
    if not shutil.which("systemd-analyze"):
        print("note: systemd-analyze is not installed")
        return
    for file in ["clws.service", "clws.socket"]:
        text = (FOLDER / file).read_text().replace("/usr/local/bin/echo", str(pathlib.Path(program).resolve()))
        (folder / file).write_text(text)
    units = [folder / "clws.service", folder / "clws.socket"]
    run = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True, timeout=TIMEOUT)
    about = [line for line in (run.stdout + run.stderr).splitlines() if "clws" in line]
    check("systemd-analyze accepts the units", run.returncode == 0 and not about, run.stdout + run.stderr)


def main():
    program = sys.argv[1]
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        check_service(program, folder)
        check_socket_activate(program)
        check_units(program, folder)
    failed = results.count(False)
    print(f"{len(results) - failed} passed, {failed} failed")
    sys.exit(failed > 0)


main()
