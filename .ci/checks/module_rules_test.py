"""The test of module_rules.py: each case is code and the breaches it must have. Exit status 1 if a case differs."""

import re
import sys
import tempfile
from pathlib import Path

import module_rules

BASE = {"lib": "mod high; mod low; pub use high::High; pub use low::Low;", "low": "pub struct Low; pub fn low() {}",
        "high": "pub struct High; pub fn other() {} pub trait Trait {}"}  # fmt: skip
DOWN = "high -> low"

# Code of low.rs that depends once on high.rs, which is above it.
UP = [
    "use crate::high::High;", "use super::high::High;", "use crate::high::High as H;", "use crate::high::Trait as _;",
    "use crate::{low::{self}, high::{other as o}};", "fn f() { crate::high::other(1); }", "type A = super::high::High;",
    "use crate::high; fn f(_: high::High) {}", "use crate::high as h; use h::High;", "mod inner { use crate::high::High; }",
    "fn f() { use crate::high::High; }", "macro_rules! m { () => { $crate::high::High }; }", "use crate::r#high::High;",
    "fn f() { vec![('{', \"a\", crate::high::other())]; }", "thread_local! { static A: crate::high::High = X; }",
    "#[cfg(feature = \"x\")] use crate::high::High;", "#[cfg(not(all(test, unix)))] use crate::high::High;",
    "struct A { #[cfg(test)] a: u8, b: crate::high::High, }", "#[cfg(any(test, unix))] use crate::high::High;",
    "fn f() { #[cfg(test)] let a = { 1 }; crate::high::High; }", "use other::x; fn f<'a>() -> x::Y<'a, crate::high::High> {}",
    "#[cfg(test)] mod tests { use super::*; } use crate::high::High;", "fn f() { { #[cfg(test)] a() } crate::high::High; }",
    "fn f<'a>(_: &'a str) { let _ = ('\"', '\\'', b'\"'); } use crate::high::High; fn g() { let _ = \"\"; }",
    "#[cfg(test)] pub(crate) const A: B = B { c: 1 }.d(crate::high::High); use crate::high::High;",
    "macro_rules! m { () => { #[cfg(test)] { $crate::high::other() } $crate::high::High }; }",
    "fn f() { match 1 { #[cfg(test)] 1 => 2, _ => crate::high::other() } }", "fn f() -> u8 { 0..crate::high::other() }",
    "/* /* */ */ use crate::high::High;", "#[cfg_attr(test, allow(y))] use crate::high::High;", "use crate :: high :: High;",
]  # fmt: skip
# Code of low.rs without a breach.
FREE = [
    "", "use crate::high;", "// use crate::high::High;", "/* crate::high::High /* */ crate::high::High */",
    "/// [`crate::high::High`]\n#[doc(alias = \"crate::high::High\")] const A: &str = \"use crate::high::High;\\\"\";",
    "const B: &str = r#\"\"crate::high::High\"#; pub(in crate::low) fn f() {}", "use ::high::High; use std::high::High;",
    "#[cfg(test)] mod tests { use crate::high::High; } #[cfg(any(test, fuzzing))] fn f() { crate::high::High; }",
    "#[cfg(all(test, unix))] struct A(crate::high::High); #[test] fn g() { crate::high::High; }",
    "struct A { #[cfg(test)] a: Map<u8, crate::high::High>, #[cfg(all(unix, x = \"y\", test))] b: crate::high::High }",
    "fn f() { #[cfg(test)] if a { 1 } else { crate::high::High } }", "fn f<'a>(a: &'a u8) -> impl Sized + use<'a> { a }",
    "fn f() { match 1 { #[cfg(test)] 1 => crate::high::High, _ => 2 } }", "use crate::low::low; #[test] use crate::gone::A;",
]  # fmt: skip
ROOM = "@low mod a; mod b; @low/a pub struct A; @low/b pub struct B; "  # a room of three files
# Code of the files (`@name code` is added to BASE), a part of each breach in order, and the direction.
CASES = [
    *((f"@low {code}", "^demo/src/low.rs:1: low uses `.*` of high, against", DOWN) for code in UP),
    *((f"@low {code}", "", DOWN) for code in FREE),
    ("@high use crate::low::Low; fn f() { crate::low::Low::new() }", "", DOWN),
    ("@low use crate::high::High;", "", "high, # one\n low"),
    ("@high use crate::low::Low::{self, *}; use crate::low::Low::A;", "", DOWN),
    ("@low use crate::high::High; @high use crate::low::Low;", "rooms in a circle: .*low -> high", "high low"),
    # Rooms
    ("@lib mod third; @third", "room `third` of demo needs one layer", DOWN),
    ("@lib #[cfg(test)] mod sim; @sim mod b; use crate::high::High; @sim/b use crate::low::Low;", "", DOWN),
    ("@lib mod sim; @sim #![cfg(test)] use crate::high::High;", "", DOWN),
    ("", "room `third` of demo needs one layer and a file", "high -> low third"),
    ("", "room `low` of demo needs one layer", "high low -> low"),
    # Circles of files
    (ROOM + "@low/a use super::b::B; @low/b use crate::low::a::A;", "files in a circle: .*low::a -> low::b", DOWN),
    (ROOM + "@low use self::a::A; @low/a use super::Low;", "files in a circle: low.*low -> ", DOWN),
    (ROOM + "@low use self::a::A; @low/a use super::Low;", "", DOWN + "\ncircle: low: why"),
    (ROOM + "@low use self::a::A; @low/a #[cfg(test)] use super::Low;", "", DOWN),
    (ROOM + "@low pub use self::a::A; @low/a use super::Low;", "", DOWN),
    (ROOM + "@low pub use self::a::A; fn f(_: A) {} @low/a use super::Low;", "files in a circle", DOWN),
    (ROOM + "@low pub use self::a::A; #[test] fn f(_: A) {} @low/a use super::Low;", "", DOWN),
    # Imports that do not name the module that defines the name
    ("@high use crate::Low;", "`crate::Low` goes through lib.rs, .*: write `crate::low::Low`", DOWN),
    ("@high use super::{Low as L};", "`super::Low` goes through lib.rs", DOWN),
    ("@high fn f() { crate::Low::new(); }", "`crate::Low::new` goes through lib.rs", DOWN),
    ("@high #[cfg(test)] mod tests { use crate::Low; }", "`crate::Low` goes through lib.rs", DOWN),
    ("@lib pub use other::deep::N; @high use crate::N;", "goes through lib.rs, .*: write `other::deep::N`", DOWN),
    ("@lib pub struct Root; @high use crate::Root;", "`crate::Root` is defined in lib.rs", DOWN),
    (ROOM + "@low pub(crate) use self::a::A; @high use crate::low::A;", "goes through low, .* `crate::low::a::A`", DOWN),
    (ROOM + "@low use self::a::A; @high #[test] fn f() { use crate::low::A; }", "", DOWN),
    (ROOM + "@low use self::a::*; @high use crate::low::A;", "goes through low & `self::a`: `\\*` hides", DOWN),
    (ROOM + "@low use self::a::A; @low/b use super::A;", "`super::A` goes through low", DOWN),
    (ROOM + "@low use std::io; @low/a use super::io::Read;", "goes through low, .*: write `std::io`", DOWN),
    (ROOM + "@low pub(crate) use self::a::A; @high use crate::low::A;", "", DOWN + "\nface: low: why"),
    (ROOM + "@low pub(crate) use self::a::A; @low/a use crate::high::High; @high use crate::low::A;", "rooms in a circle",
     "high low\nface: low: why"),
    ("@low pub(crate) use std::sync::Mutex; @high use crate::low::Mutex;", "", DOWN),
    ("@low macro_rules! m { () => {} } pub(crate) use m; @high use crate::low::m;", "", DOWN),
    ("@low pub const A: u8 = 1; pub static mut B: u8 = 1; pub const fn c() {} pub unsafe trait D {} pub type E = u8; "
     "thread_local! { pub static F: u8 = 1; } pub mod g { pub enum H {} } @high use crate::low::{A, B, c, D, E, F, g::H};",
     "", DOWN),
    ("@low fn f() { struct Gone; } @high use crate::low::Gone;", "no `Gone` is found in low", DOWN),
    ("@high use crate::low::*;", "`crate::low`: `\\*` hides", DOWN),
    # Tests
    ("@lib #[cfg(test)] mod sim; @sim pub fn s() {} @high use crate::sim::s;", "`crate::sim::s` is for tests only", DOWN),
    ("@lib #[cfg(test)] mod sim; @sim pub fn s() {} @high #[cfg(test)] use crate::sim::s;", "", DOWN),
    ("@low #[cfg(test)] pub fn t() {} @high fn f() { crate::low::t(); }", "`crate::low::t` is for tests only", DOWN),
    # Exceptions
    ("@low use crate::high::High;", "", DOWN + "\nexception: low -> high: why"),
    (ROOM + "@low/a use crate::high::High;", "", DOWN + "\nexception: low::a -> high: why"),
    (ROOM + "@low use crate::high::High;", "nothing needs `exception: low::a -> high` & low uses",
     DOWN + "\nexception: low::a -> high: why"),
    ("@high use crate::low::Low;", "nothing needs `exception: high -> low`", DOWN + "\nexception: high -> low: why"),
    ("", "nothing needs `circle: low`", DOWN + "\ncircle: low: why"),
    ("", "nothing needs `face: low`", DOWN + "\nface: low: why"),
    ("", "write `exception: a -> b: reason`", DOWN + "\nexception: low -> high:"),
    ("", "write `exception: a -> b: reason`", DOWN + "\nexception: low: why"),
    # Source and directions that cannot be read
    ("@lost ", "lost.rs: no `mod` line leads to this file", DOWN),
    ("@lib mod gone;", "lib.rs:1: there is no file for `mod gone`", DOWN),
    ("@lib #[path = \"low.rs\"] mod third;", "`#\\[path\\]` hides", DOWN),
    ("@low fn f() { ) } use crate::high::High;", "low.rs:1", DOWN),
    ("@low }", "cannot be parsed", DOWN),
    ("", "states 2 directions", DOWN + "\n```\n```direction demo\nlow high"),
    ("", "states 0 directions", ""),
]  # fmt: skip


def breaches_of(code: str, direction: str, folder: Path) -> list[str]:
    files = dict(BASE)
    for name, added in re.findall(r"@(\S+) ?((?:[^@])*)", code):
        files[name] = files.get(name, "") + added
    for name, text in files.items():
        file = folder / "demo" / "src" / f"{name}.rs"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    stated = folder / "A.md"
    stated.write_text(f"```direction demo\n{direction}\n```\n" if direction else "", encoding="utf-8")
    return sorted(module_rules.breaches_in(folder, stated, "demo"))


wrong = 0
for code, expected, direction in CASES:
    with tempfile.TemporaryDirectory() as folder:
        found = breaches_of(code, direction, Path(folder).resolve())
    parts = [part for part in expected.split(" & ") if part]
    if len(found) != len(parts) or not all(re.search(part, line) for part, line in zip(parts, found)):
        wrong += 1
        print(f"{code}\n    expected {expected or 'no breach'}\n    found {found}")
print(f"{len(CASES)} cases, {wrong} differ")
sys.exit(wrong > 0)
