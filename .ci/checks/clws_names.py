#!/usr/bin/env python3
"""Checks the table of CLWS names: clws_names.py ROOT. Every exported name of CLWS has a row, no cell is empty, and the
test in a row exists. Exit status 1 and one line per violation."""

import re
import sys
from pathlib import Path

EXPORTED = """
run-server register-global-resource find-global-resource unregister-global-resource
any-origin origin-exact origin-prefix ws-resource
resource-accept-connection resource-client-connected resource-client-disconnected resource-received-text
resource-received-binary resource-received-pong resource-received-custom-message
run-resource-listener kill-resource-listener send-custom-message-to-resource call-on-resource-thread
write-to-client-text write-to-client-binary write-to-client-close write-to-client-ping
write-to-clients-text write-to-clients-binary
client-host client-port client-resource-name client-query-string client-connection-headers client-websocket-version
client-connection-rejected
*protocol-76/00-support* *max-clients* *max-read-frame-size* *max-read-message-size* *max-header-size*
*max-handler-read-backlog* *max-write-backlog* *policy-file* *debug-on-server-errors* *debug-on-resource-errors* *log-level*
""".split()


def main(root: Path) -> int:
    section = (root / "ARCHITECTURE.md").read_text(encoding="utf-8").partition("## From CLWS")[2]
    rows: dict[str, list[str]] = {}
    for line in section.splitlines():
        if line.startswith("| `"):
            cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
            rows[cells[0].split("`")[1]] = cells
    violations = [f"no row: {name}" for name in EXPORTED if name not in rows]
    for name, cells in rows.items():
        test = re.fullmatch(r"`(\w+)::(\w+)`", cells[-1])
        if len(cells) != 3 or not all(cells) or not test:
            violations.append(f"incomplete row: {name}")
            continue
        path = root / "clws-server" / "tests" / "scenarios" / f"{test[1]}.rs"
        if not path.is_file() or not re.search(rf"\bfn {test[2]}\(", path.read_text(encoding="utf-8")):
            violations.append(f"{name}: no test {test[0]}")
    print("\n".join(violations) or f"{len(rows)} names, no violation")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
