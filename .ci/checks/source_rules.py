#!/usr/bin/env python3
"""Source rules that no compiler checks: source_rules.py ROOT. Exit status 1 and one line per violation."""

import re
import subprocess
import sys
from pathlib import Path

SANS_IO = ("clws-proto/src/", "clws-handshake/src/")
RUNTIME = "clws-server/src/runtime.rs"
# Clocks, sockets, threads, files and processes, in any import style. `std::io::IoSlice` is data and
# allowed.
OUTSIDE = re.compile(r"\b(Instant|SystemTime|TcpStream|UdpSocket|(std|core)::(net|thread|fs|process|os|env)\b|(thread|net|fs|process)::)")
# Addresses are data, if they have no port to connect to.
ADDRESSES = re.compile(r"\b(std|core)::net::(Ipv[46]Addr|\{Ipv4Addr, Ipv6Addr\})(?=;)")
GROUPED = re.compile(r"\buse (std|core)::\{[^;]*\b(net|thread|fs|process|os|env)\b[^;]*;")
UNSAFE = re.compile(r"\bunsafe\b")
ASYNC_STD = re.compile(r"\basync_std\b")
# 32-bit MIPS, PowerPC and ARMv5/6 have no 64-bit atomics, so a library that uses them does not
# compile there.
ATOMIC_64 = re.compile(r"\bAtomic[UI]64\b")


def code(line: str) -> str:
    """The line without its `//` comment."""
    return re.sub(r"//.*", "", line)


def main(root: Path) -> int:
    listing = subprocess.run(["git", "ls-files", "*.rs"], cwd=root, check=True, capture_output=True, text=True)
    files = [name for name in listing.stdout.splitlines() if (root / name).is_file()]
    violations: list[str] = []
    unsafe_files: set[str] = set()
    for name in files:
        lines = (root / name).read_text(encoding="utf-8").splitlines()
        if name.startswith(SANS_IO) and (group := GROUPED.search("\n".join(map(code, lines)))):
            violations.append(f"a clock, socket, thread or file in a sans-IO crate: {name}: {' '.join(group[0].split())}")
        for number, line in enumerate(lines, 1):
            where = f"{name}:{number}: {line.strip()}"
            text = code(line)
            if UNSAFE.search(text):
                unsafe_files.add(name)
                if not name.startswith("clws-server/src/"):
                    violations.append(f"unsafe outside clws-server: {where}")
            if name.startswith(SANS_IO) and OUTSIDE.search(ADDRESSES.sub("", text)):
                violations.append(f"a clock, socket, thread or file in a sans-IO crate: {where}")
            # The library names its runtime in one file, so that only this file changes with the
            # runtime.
            if re.match(r"clws-(proto|handshake|server)/src/", name) and name != RUNTIME and ASYNC_STD.search(text):
                violations.append(f"async_std outside {RUNTIME}: {where}")
            if re.match(r"clws-(proto|handshake|server)/src/", name) and ATOMIC_64.search(text):
                violations.append(f"a 64-bit atomic, which not every 32-bit target has: {where}")
    if len(unsafe_files) > 1:
        violations.append(f"unsafe in more than one file: {', '.join(sorted(unsafe_files))}")
    if not files:
        violations.append("no Rust file in the repository")
    print("\n".join(violations) or f"{len(files)} files, no violation")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
