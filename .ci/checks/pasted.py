"""Compiles what the pages tell a reader to paste: pasted.py ROOT. Each `toml` block with dependencies becomes a package.
The first `rust` block after it is the program, if it has a `main`. Exit status 1 if a package does not compile."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

CRATES = ("clws-proto", "clws-handshake", "clws-server")
BLOCK = re.compile(r"^```(toml|rust)\b[^\n]*\n(.*?)^```", re.M | re.S)
# An example sees both dependencies and development dependencies.
FRAME = """[package]\nname = "pasted"\nversion = "0.0.0"\nedition = "2024"\n[workspace]\nexclude = ["clws"]
[[example]]\nname = "page"\npath = "page.rs"\n"""


def compile_error(root: Path, block: str, program: str) -> str:
    """Checks the package. All blocks use one folder, so that cargo compiles the crates once."""
    folder = root / "target" / "ci" / "pasted"
    (folder / "src").mkdir(parents=True, exist_ok=True)
    (folder / "src" / "lib.rs").touch()
    if not (folder / "clws").is_symlink():
        (folder / "clws").symlink_to(root)  # the clone that `path = "clws/..."` means
    # The crates are those of this clone, wherever the block takes them from.
    block = re.sub(r'^(clws-\w+)(.*)\bgit = "[^"]*"', r'\1\2path = "clws/\1"', block, flags=re.M)
    manifest = FRAME + block + "\n[patch.crates-io]\n" + "".join(f'{name} = {{ path = "clws/{name}" }}\n' for name in CRATES)
    (folder / "Cargo.toml").write_text(manifest, encoding="utf-8")
    (folder / "page.rs").write_text(re.sub(r"^#( |$)", "", program, flags=re.M) or "fn main() {}", encoding="utf-8")
    shutil.copy(root / "Cargo.lock", folder)
    environment = {**os.environ, "CARGO_TARGET_DIR": str(folder / "target")}
    command = ["cargo", "check", "--quiet", "--example", "page"]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True)
    return done.stderr if done.returncode else ""


root = Path(sys.argv[1]).resolve()
pages = [root / "README.md", *sorted(root.glob("clws-*/README.md")), *sorted(root.glob("clws-server/src/guide/*.md"))]
pages += [page for crate in CRATES for page in sorted((root / crate / "src").rglob("*.rs"))]
compiled, wrong = [], []
for page in pages:
    text = page.read_text(encoding="utf-8")
    if page.suffix == ".rs":
        text = "\n".join(re.findall(r"^ *//[!/] ?(.*)$", text, re.M))
    blocks = BLOCK.findall(text)
    for at, (kind, block) in enumerate(blocks):
        if kind == "toml" and re.search(r"^\[(dev-)?dependencies\b", block, re.M):
            program = next((body for kind, body in blocks[at + 1 :] if kind == "rust"), "")
            compiled.append(page)
            if error := compile_error(root, block, program if "fn main" in program else ""):
                wrong.append(f"{page.relative_to(root)}: this does not compile:\n{block}{error}")
for page in (root / "README.md", root / "clws-server/src/guide/testing.md"):
    if page not in compiled:
        wrong.append(f"{page.relative_to(root)} has no block with dependencies")
if "\nFIGURES\n" in pages[0].read_text(encoding="utf-8"):
    wrong.append("README.md has no figures")
print("\n".join(wrong) or f"{len(compiled)} blocks compile")
sys.exit(bool(wrong))
