"""Compiles what the pages tell a reader to paste: pasted.py ROOT. Each `toml` block with dependencies becomes a package. The
first `rust` block after it is the program, if it has a `main`. Exit status 1 if a package does not compile."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

CRATES = ("clws-proto", "clws-handshake", "clws-server")
BLOCK = re.compile(r"^```(\w*)[^\n]*\n(.*?)^```", re.M | re.S)
DEPENDENCIES = re.compile(r"^\[(dev-)?dependencies\b", re.M)


def blocks_in(page: Path) -> Iterator[tuple[str, str]]:
    """Each block with dependencies, and the program after it or an empty text."""
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".rs":
        text = "\n".join(line[1] for line in re.finditer(r"^ *//[!/] ?(.*)$", text, re.M))
    blocks = [(kind, body) for kind, body in BLOCK.findall(text) if kind in ("rust", "toml")]
    for at, (kind, body) in enumerate(blocks):
        if kind == "toml" and DEPENDENCIES.search(body):
            program = next((body for kind, body in blocks[at + 1 :] if kind == "rust"), "")
            yield body, re.sub(r"^#( |$)", "", program, flags=re.M) if "fn main" in program else ""


def compile_error(root: Path, block: str, program: str) -> str:
    """Checks the package in one folder for all blocks, so that cargo compiles the crates once."""
    folder = root / "target" / "ci" / "pasted"
    shutil.rmtree(folder / "src", ignore_errors=True)
    (folder / "src").mkdir(parents=True)
    if not (folder / "clws").exists():
        (folder / "clws").symlink_to(root)  # the clone that `path = "clws/..."` means
    patches = "".join(
        f"\n[patch.{source}]\n" + "".join(f'{crate} = {{ path = "clws/{crate}" }}\n' for crate in CRATES)
        for source in ["crates-io", *(f'"{url}"' for url in sorted(set(re.findall(r'git = "([^"]+)"', block))))]
    )
    package = '[package]\nname = "pasted"\nversion = "0.0.0"\nedition = "2024"\n\n[workspace]\nexclude = ["clws"]\n\n'
    (folder / "Cargo.toml").write_text(package + block + patches, encoding="utf-8")
    (folder / "src" / "lib.rs").write_text("", encoding="utf-8")
    # An example sees dependencies and development dependencies.
    (folder / "src" / "page.rs").write_text(program or "fn main() {}", encoding="utf-8")
    with (folder / "Cargo.toml").open("a", encoding="utf-8") as manifest:
        manifest.write('\n[[example]]\nname = "page"\npath = "src/page.rs"\n')
    shutil.copy(root / "Cargo.lock", folder / "Cargo.lock")
    environment = {**os.environ, "CARGO_TARGET_DIR": str(folder / "target")}
    command = ["cargo", "check", "--quiet", "--example", "page"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return done.stderr if done.returncode else ""


def main(root: Path) -> int:
    pages = [root / "README.md", *sorted(root.glob("clws-*/README.md")), *sorted(root.glob("clws-server/guide/*.md"))]
    pages += [page for crate in CRATES for page in sorted((root / crate / "src").rglob("*.rs"))]
    found = [(page.relative_to(root), *block) for page in pages for block in blocks_in(page)]
    wrong = [] if Path("README.md") in [page for page, *_ in found] else ["README.md has no block with [dependencies]"]
    for page, block, program in found:
        if error := compile_error(root, block, program):
            wrong.append(f"{page}: this does not compile:\n{block}{error}")
    print("\n".join(wrong) or f"{len(found)} blocks compile")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]).resolve()))
