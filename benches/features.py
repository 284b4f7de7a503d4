"""What each feature of clws-server costs a user: python3 benches/features.py [FEATURE ..]

For each list of features, such as `tls` or `tls,http`, it builds a small server that uses them, from nothing and in
the release profile, and prints a row of a table: the number of crates, the CPU time of the build (of all cores, with
build scripts and C compilers), and the size of the stripped binary. The features are added to the default features,
unless the list begins with `-`, as `-,tokio` does. Without arguments it measures no feature, the default features, each
runtime alone, and each other feature added to the defaults. A row takes up to a minute on two cores.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
# The code with which the program uses a feature. Code that is not used would not be in the binary.
USES = {
    "tls": 'builder = builder.tls(clws_server::Tls::from_files("cert.pem", "key.pem")?);',
    "tls-ring": 'builder = builder.tls(clws_server::Tls::from_files("cert.pem", "key.pem")?);',
    "deflate": "config = config.deflate(clws_server::DeflateConfig::default());",
}
# Any of them is enough.
RUNTIMES = ("async-std", "tokio", "smol")
PROGRAM = """use clws_server::{{Client, Config, Origins, Resource, Server, Text}};

struct Echo;

impl Resource for Echo {{
    fn text(&self, client: &Client, text: Text<'_>) {{
        let _ = client.send(text);
    }}
}}

#[allow(unused_mut)]
fn main() -> Result<(), Box<dyn std::error::Error>> {{
    let mut config = Config::default().listen("127.0.0.1:12345");
    {config}
    let mut builder = Server::builder(config);
    {builder}
    let server = builder.bind()?;
    server.resources().register("/", Origins::any(), Echo)?;
    futures::executor::block_on(server.run())?;
    Ok(())
}}
"""
MANIFEST = """[package]
name = "measured"
edition = "2024"

[workspace]

[dependencies]
futures = {{ version = "0.3", default-features = false, features = ["std", "executor"] }}
clws-server = {{ path = {path}, default-features = {default}, features = {features} }}

[profile.release]
strip = true
codegen-units = 1
lto = "off"
"""


def output(*command: str, cwd: Path = ROOT) -> str:
    """The standard output of a command, which must succeed."""
    return subprocess.run(command, cwd=cwd, check=True, stdout=subprocess.PIPE, text=True).stdout


def features() -> list[str]:
    """The runtimes, and the public features of clws-server that are not defaults."""
    metadata = json.loads(output("cargo", "metadata", "--no-deps", "--format-version", "1"))
    package = next(package for package in metadata["packages"] if package["name"] == "clws-server")
    public = (name for name in package["features"] if name != "default" and not name.startswith("_"))
    return sorted(name for name in public if name in RUNTIMES or name not in package["features"].get("default", []))


def row(text: str) -> tuple[str, list[str], bool]:
    """The name of a row, its features, and whether it has the default features."""
    wanted = [name for name in text.removeprefix("-").split(",") if name]
    names = ", ".join(f"`{name}`" for name in wanted) or "none"
    if not text.startswith("-"):
        return names if wanted else "the defaults", wanted, True
    return f"{names} alone" if wanted else "none", wanted, False


def measure(name: str, wanted: list[str], default: bool) -> str:
    """Builds the program with these features. Returns a row of the table."""
    with tempfile.TemporaryDirectory(prefix="clws-features-") as temporary:
        folder = Path(temporary)
        values = {"path": json.dumps(str(ROOT / "clws-server")), "default": str(default).lower(), "features": json.dumps(wanted)}
        (folder / "Cargo.toml").write_text(MANIFEST.format(**values), encoding="utf-8")
        uses = [USES[feature] for feature in wanted if feature in USES]
        parts = {part: " ".join(use for use in uses if use.startswith(part)) for part in ("config", "builder")}
        (folder / "src").mkdir()
        (folder / "src/main.rs").write_text(PROGRAM.format(**parts), encoding="utf-8")
        # The versions of this workspace.
        (folder / "Cargo.lock").write_bytes((ROOT / "Cargo.lock").read_bytes())
        tree = output("cargo", "tree", "--offline", "--edges", "normal,build", "--prefix", "none", "--format", "{p}", cwd=folder)
        crates = {line.removesuffix(" (*)") for line in tree.splitlines() if line} - {""}
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        environment = os.environ | {"CARGO_TARGET_DIR": str(folder / "target"), "CARGO_INCREMENTAL": "0"}
        subprocess.run(["cargo", "build", "--release", "--offline", "--quiet"], cwd=folder, env=environment, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        size = (folder / "target/release/measured").stat().st_size
        return f"| {name} | {len(crates) - 1} | {seconds:.0f} | {size:,} |"


def main() -> None:
    """Prints the table."""
    rows = [row(text) for text in sys.argv[1:]]
    if not rows:
        rows = [row("-"), row("")]
        rows += [row(f"-,{name}" if name in RUNTIMES else name) for name in features()]
    print("| features | crates | build, CPU seconds | binary, bytes |")
    print("|---|---:|---:|---:|")
    for each in rows:
        print(measure(*each), flush=True)


if __name__ == "__main__":
    main()
