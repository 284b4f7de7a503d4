"""Rules for sources, manifests, packages and the table of CLWS names: project_rules.py ROOT. Prints a line for each breach
and exits with status 1 if there is one."""

import json
import re
import subprocess
import sys
from pathlib import Path

SANS_IO = ("clws-proto", "clws-handshake")
PUBLISHED = (*SANS_IO, "clws-server")
LIBRARIES = r"clws-(proto|handshake|server)/src/"
# Addresses are data, if they have no port to connect to. `std::io::IoSlice` is data too.
NO_ADDRESS = r"(?!::(Ipv[46]Addr|\{Ipv4Addr, Ipv6Addr\});)"
IO = rf"Instant|SystemTime|TcpStream|UdpSocket|((std|core)::(net|thread|fs|process|os|env)\b|(thread|net|fs|process)(?=::)){NO_ADDRESS}"
# What, in which files, is not allowed to match in code.
SOURCE_RULES = [
    ("unsafe outside portable.rs", r"(?!clws-server/src/net/poll/portable\.rs)", r"\bunsafe\b"),
    ("IO or a clock in a sans-IO crate", r"clws-(proto|handshake)/src/", rf"\b({IO})"),
    ("IO or a clock in a sans-IO crate", r"clws-(proto|handshake)/src/", r"\buse (std|core)::\{[^;]*\b(net|thread|fs|process|os|env)\b[^;]*;"),
    # The library names its runtime in one file, so that only this file changes with the runtime.
    ("async_std outside runtime.rs", rf"{LIBRARIES}(?!runtime\.rs)", r"\basync_std\b"),
    # 32-bit MIPS, PowerPC and ARMv5/6 have no 64-bit atomics.
    ("a 64-bit atomic, which not every target has", LIBRARIES, r"\bAtomic[UI]64\b"),
]
FIELDS = ("description", "license", "readme", "repository", "keywords", "categories", "rust_version")
DOES_IO = {"async-std", "async-io", "smol", "tokio", "mio", "polling", "rustix", "socket2", "futures", "clws-server"}
CLWS_NAMES = """
run-server register-global-resource find-global-resource unregister-global-resource any-origin origin-exact origin-prefix
ws-resource resource-accept-connection resource-client-connected resource-client-disconnected resource-received-text
resource-received-binary resource-received-pong resource-received-custom-message run-resource-listener
kill-resource-listener send-custom-message-to-resource call-on-resource-thread write-to-client-text
write-to-client-binary write-to-client-close write-to-client-ping write-to-clients-text write-to-clients-binary
client-host client-port client-resource-name client-query-string client-connection-headers client-websocket-version
client-connection-rejected *protocol-76/00-support* *max-clients* *max-read-frame-size* *max-read-message-size*
*max-header-size* *max-handler-read-backlog* *max-write-backlog* *policy-file* *debug-on-server-errors*
*debug-on-resource-errors* *log-level*""".split()

root = Path(sys.argv[1]).resolve()
breaches: list[str] = []


def output(*command: str) -> str:
    return subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE, text=True).stdout


def number(version: str) -> list[int]:
    return [int(part) for part in (version.split("-")[0] + ".0.0").split(".")[:3]]


def check_source(name: str) -> None:
    code = re.sub(r"//.*", "", (root / name).read_text(encoding="utf-8"))
    for fault, files, pattern in SOURCE_RULES:
        for found in re.finditer(pattern, code) if re.match(files, name) else ():
            line = code.count("\n", 0, found.start()) + 1
            breaches.append(f"{name}:{line}: {fault}: {' '.join(found[0].split())}")


def check_manifests() -> None:
    """Each published crate has the fields of a registry page and its license. No dependency on any platform requires a
    newer Rust than the crate, and no sans-IO crate depends on a crate with IO."""
    metadata = json.loads(output("cargo", "metadata", "--format-version", "1", "--all-features"))
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node["deps"] for node in metadata["resolve"]["nodes"]}
    for name in PUBLISHED:
        todo = [member for member in metadata["workspace_members"] if packages[member]["name"] == name]
        package, seen = packages[todo[0]], set(todo)
        for at in todo:
            used = {d["pkg"] for d in nodes[at] if any(kind["kind"] != "dev" for kind in d["dep_kinds"])} - seen
            todo += used
            seen |= used
        breaches.extend(f"{name}: no {field} in its manifest" for field in FIELDS if not package[field])
        breaches.extend([f"{name}: publish = false"] if package["publish"] == [] else [])
        for found in (packages[at] for at in todo[1:]):
            if number(found["rust_version"] or "0") > number(package["rust_version"] or "0"):
                breaches.append(f"{name}: {found['name']} {found['version']} requires Rust {found['rust_version']}")
            if name in SANS_IO and found["name"] in DOES_IO:
                breaches.append(f"{name}: depends on {found['name']}, which does IO")
        packed = output("cargo", "package", "--list", "--allow-dirty", "--offline", "-p", name).splitlines()
        breaches.extend(f"{name}: its package has no {file}" for file in ("LICENSE", "README.md") if file not in packed)
        license_file = root / name / "LICENSE"
        if not license_file.is_file() or license_file.read_bytes() != (root / "LICENSE").read_bytes():
            breaches.append(f"{name}: its LICENSE differs from the workspace's")


def check_clws_names() -> None:
    """Each exported name of CLWS has a row in ARCHITECTURE.md, no cell is empty, and the test in the row exists."""
    section = (root / "ARCHITECTURE.md").read_text(encoding="utf-8").partition("## From CLWS")[2]
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in section.splitlines() if line.startswith("| `")]
    breaches.extend(f"no row: {name}" for name in CLWS_NAMES if name not in [cells[0].split("`")[1] for cells in rows])
    for cells in rows:
        test = re.fullmatch(r"`(\w+)::(\w+)`", cells[-1])
        files = (root / "clws-server" / "tests").rglob(f"{test[1]}.rs") if test else ()
        found = any(test and re.search(rf"\bfn {test[2]}\(", file.read_text(encoding="utf-8")) for file in files)
        if len(cells) != 3 or not all(cells) or not found:
            breaches.append(f"{cells[0]}: an empty cell, or no test {cells[-1]}")


sources = [name for name in output("git", "ls-files", "*.rs").splitlines() if (root / name).is_file()]
for source in sources:
    check_source(source)
check_manifests()
check_clws_names()
print("\n".join(breaches) or f"{len(sources)} sources, no breach")
sys.exit(not sources or bool(breaches))
