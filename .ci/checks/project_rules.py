"""Rules for sources, manifests, packages and the names of CLWS: project_rules.py ROOT. Exit status 1 if one is broken."""

import json
import re
import subprocess
import sys
from pathlib import Path

SANS_IO, PUBLISHED = ("clws-proto", "clws-handshake"), ("clws-proto", "clws-handshake", "clws-server")
LIBRARIES, PURE = "clws-(proto|handshake|server)/src/", "clws-(proto|handshake)/src/"
# Addresses are data: proxies report those of clients. `std::io::IoSlice` is data too.
ADDRESS = "(Ip|Ipv4|Ipv6|Socket)Addr"
NO_ADDRESS = rf"(?!::({ADDRESS}|\{{{ADDRESS}(, {ADDRESS})*\}});)"
MODULES = "(net|thread|fs|process|os|env)"
# The fault, the files in which it is one, and the code that has it.
SOURCE_RULES = [
    ("unsafe outside portable.rs", r"(?!clws-server/src/net/poll/portable\.rs)", r"\bunsafe\b"),
    ("IO or a clock in a sans-IO crate", PURE, r"\b(Instant|SystemTime|TcpStream|UdpSocket)"),
    ("IO or a clock in a sans-IO crate", PURE, rf"\b((std|core)::{MODULES}\b|(net|thread|fs|process)(?=::)){NO_ADDRESS}"),
    ("IO or a clock in a sans-IO crate", PURE, rf"\buse (std|core)::\{{[^;]*\b{MODULES}\b[^;]*;"),
    # The library names the runtimes in one folder. Any other code works on each of them, and on none.
    ("a runtime outside runtime/", rf"{LIBRARIES}(?!runtime/)", r"\b(async_std|async_io|smol|tokio)::|\buse (async_std|async_io|smol|tokio)\b"),
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


def text_of(*path: str) -> str:
    return root.joinpath(*path).read_text(encoding="utf-8") if root.joinpath(*path).is_file() else ""


def output(*command: str) -> str:
    return subprocess.run(command, cwd=root, check=True, stdout=subprocess.PIPE, text=True).stdout


def number(version: str) -> list[int]:
    return [int(part) for part in f"{version or 0}.0.0".split("-")[0].split(".")[:3]]


sources = output("git", "ls-files", "*.rs").split()
for source in sources:
    code = re.sub(r"//.*", "", text_of(source))
    for fault, files, pattern in SOURCE_RULES:
        for match in re.finditer(pattern, code) if re.match(files, source) else ():
            line = code.count("\n", 0, match.start()) + 1
            breaches.append(f"{source}:{line}: {fault}: {' '.join(match[0].split())}")

# Each published crate has the fields of a registry page and a license. No dependency requires a newer Rust on any platform
# than the crate itself, and no sans-IO crate depends on a crate with IO.
metadata = json.loads(output("cargo", "metadata", "--format-version", "1", "--all-features"))
packages = {package["id"]: package for package in metadata["packages"]}
nodes = {node["id"]: node["deps"] for node in metadata["resolve"]["nodes"]}
for name in PUBLISHED:
    tree = [member for member in metadata["workspace_members"] if packages[member]["name"] == name]
    package = packages[tree[0]]
    for at in tree:
        users = {d["pkg"] for d in nodes[at] if any(kind["kind"] != "dev" for kind in d["dep_kinds"])}
        tree += sorted(users - set(tree))
    for used in (packages[at] for at in tree[1:]):
        if number(used["rust_version"]) > number(package["rust_version"]):
            breaches.append(f"{name}: {used['name']} {used['version']} requires Rust {used['rust_version']}")
        if name in SANS_IO and used["name"] in DOES_IO:
            breaches.append(f"{name}: depends on {used['name']}, which does IO")
    packed = output("cargo", "package", "--list", "--allow-dirty", "--offline", "-p", name).split()
    breaches += [f"{name}: no {field} in its manifest" for field in FIELDS if not package[field]]
    breaches += [f"{name}: its package has no {file}" for file in ("LICENSE", "README.md") if file not in packed]
    breaches += [f"{name}: publish = false"] if package["publish"] == [] else []
    breaches += [f"{name}: its LICENSE differs from /LICENSE"] if text_of(name, "LICENSE") != text_of("LICENSE") else []

# Each name that CLWS exports has a row in ARCHITECTURE.md, no cell is empty, and the test in the row exists.
table = text_of("ARCHITECTURE.md").partition("## From CLWS")[2]
rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in table.splitlines() if line.startswith("| `")]
breaches += [f"no row: {name}" for name in CLWS_NAMES if name not in [cells[0].split("`")[1] for cells in rows]]
for cells in rows:
    file, _, function = cells[-1].strip("`").partition("::")
    tests = root.glob(f"clws-server/tests/**/{file}.rs")
    if len(cells) != 3 or not all(cells) or not any(f"fn {function}(" in text_of(str(test)) for test in tests):
        breaches.append(f"{cells[0]}: an empty cell, or no test {cells[-1]}")

print("\n".join(breaches) or f"{len(sources)} sources, no breach")
sys.exit(not sources or bool(breaches))
