#!/usr/bin/env python3
"""Rules of the house that stand in no compiler: source_rules.py ROOT. Exit status 1 and one line for each breach."""

import re
import subprocess
import sys
from pathlib import Path

SANS_IO = ("clws-proto/src/", "clws-handshake/src/")
RUNTIME = "clws-server/src/rt.rs"
# Clocks, sockets, threads, files and processes, however they are imported. `std::io::IoSlice` is data and may be named.
OUTSIDE = re.compile(r"\b(Instant|SystemTime|TcpStream|UdpSocket|(std|core)::(net|thread|fs|process|os|env)\b|(thread|net|fs|process)::)")
# Addresses are data, as long as they come without a port to connect to.
ADDRESSES = re.compile(r"\b(std|core)::net::(Ipv[46]Addr|\{Ipv4Addr, Ipv6Addr\})(?=;)")
GROUPED = re.compile(r"\buse (std|core)::\{[^;]*\b(net|thread|fs|process|os|env)\b[^;]*;")
UNSAFE = re.compile(r"\bunsafe\b")
ASYNC_STD = re.compile(r"\basync_std\b")
# 32-bit MIPS, PowerPC and ARMv5/6 have none: a library that names them does not compile there.
ATOMIC_64 = re.compile(r"\bAtomic[UI]64\b")


def code(line: str) -> str:
    """The line without its `//` comment: talking about a thing is not using it."""
    return re.sub(r"//.*", "", line)


def main(root: Path) -> int:
    listing = subprocess.run(["git", "ls-files", "*.rs"], cwd=root, check=True, capture_output=True, text=True)
    files = [name for name in listing.stdout.splitlines() if (root / name).is_file()]
    breaches: list[str] = []
    unsafe_files: set[str] = set()
    for name in files:
        lines = (root / name).read_text(encoding="utf-8").splitlines()
        if name.startswith(SANS_IO) and (group := GROUPED.search("\n".join(map(code, lines)))):
            breaches.append(f"a clock, socket, thread or file in a sans-IO crate: {name}: {' '.join(group[0].split())}")
        for number, line in enumerate(lines, 1):
            where = f"{name}:{number}: {line.strip()}"
            text = code(line)
            if UNSAFE.search(text):
                unsafe_files.add(name)
                if not name.startswith("clws-server/src/"):
                    breaches.append(f"unsafe outside clws-server: {where}")
            if name.startswith(SANS_IO) and OUTSIDE.search(ADDRESSES.sub("", text)):
                breaches.append(f"a clock, socket, thread or file in a sans-IO crate: {where}")
            # The library names its runtime in one file, so that one file is what a move to another costs.
            if re.match(r"clws-(proto|handshake|server)/src/", name) and name != RUNTIME and ASYNC_STD.search(text):
                breaches.append(f"async_std outside {RUNTIME}: {where}")
            if re.match(r"clws-(proto|handshake|server)/src/", name) and ATOMIC_64.search(text):
                breaches.append(f"a 64-bit atomic, which not every 32-bit target has: {where}")
    if len(unsafe_files) > 1:
        breaches.append(f"unsafe in more than one file: {', '.join(sorted(unsafe_files))}")
    if not files:
        breaches.append("no Rust file in the repository")
    print("\n".join(breaches) or f"{len(files)} files, no breach")
    return 1 if breaches else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
