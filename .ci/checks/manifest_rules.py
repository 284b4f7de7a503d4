#!/usr/bin/env python3
"""Rules for the manifests: manifest_rules.py ROOT. Exit status 1 and one line per violation.

No dependency of a published crate requires a newer Rust than the workspace, no sans-IO crate depends on a crate
with IO, and each published crate has the fields of a registry page.
"""

import json
import subprocess
import sys
from typing import Any

SANS_IO = ("clws-proto", "clws-handshake")
PUBLISHED = (*SANS_IO, "clws-server")
DOES_IO = {"async-std", "async-io", "smol", "tokio", "mio", "polling", "rustix", "socket2", "futures", "clws-server"}
WANTED = ("description", "license", "readme", "repository", "keywords", "categories", "rust_version")


def number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in (version.split("-")[0] + ".0.0").split(".")[:3])


def main(root: str) -> int:
    output = subprocess.run(
        ["cargo", "metadata", "--format-version", "1", "--all-features"], cwd=root, check=True, capture_output=True
    ).stdout
    metadata: dict[str, Any] = json.loads(output)
    packages = {package["id"]: package for package in metadata["packages"]}
    nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
    members = {packages[member]["name"]: member for member in metadata["workspace_members"]}

    def tree(member: str) -> set[str]:
        """All dependencies of users on any platform, without development dependencies."""
        seen: set[str] = set()
        todo = [member]
        while todo:
            at = todo.pop()
            if at in seen:
                continue
            seen.add(at)
            todo += [
                dependency["pkg"]
                for dependency in nodes[at]["deps"]
                if any(kind["kind"] != "dev" for kind in dependency["dep_kinds"])
            ]
        return seen

    violations: list[str] = []
    for name in PUBLISHED:
        package = packages[members[name]]
        violations += [f"{name}: no {field} in its manifest" for field in WANTED if not package[field]]
        if package["publish"] == []:
            violations.append(f"{name}: publish = false")
        stated = package["rust_version"] or "0"
        dependencies = [packages[at] for at in tree(members[name])]
        violations += [
            f"{name}: requires Rust {stated}, but {dependency['name']} {dependency['version']} requires {dependency['rust_version']}"
            for dependency in dependencies
            if dependency["rust_version"] and number(dependency["rust_version"]) > number(stated)
        ]
        if name in SANS_IO:
            violations += [f"{name}: depends on {d['name']}" for d in dependencies if d["name"] in DOES_IO]
        print(f"{name}: {len(dependencies) - 1} dependencies, Rust {stated}")
    print("\n".join(violations) or "no violation")
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
