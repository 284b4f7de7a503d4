"""The test of module_rules.py: each case is code and the breaches it must have. Exit status 1 if a case differs."""

import re
import sys
import tempfile
from pathlib import Path

import module_rules

BASE = {"lib": "mod high; mod low; pub use high::High; pub use low::Low;", "low": "pub struct Low; pub fn low() {}",
        "high": "pub struct High; pub fn other() {} pub trait Trait {}"}  # fmt: skip
# Code of low.rs, a line for each snippet, that depends once on high.rs, which is above it.
UP = r"""use crate::high::High; | use super::high::High; | use crate::high::High as H; | use crate::high::Trait as _;
use crate::{low::{self}, /* */ high::{other as o}}; | fn f() { crate::r#high::other(); } | fn f() { crate::high::other(1); } | type A = super::high::High;
use crate::high; fn f(_: high::High) {} | use crate::high as h; use h::High; | mod inner { use crate::high::High; }
fn f() { use crate::high::High; } | macro_rules! m { () => { $crate::high::High }; } | use crate::r#high::High;
fn f() { vec![('{', "a", crate::high::other())]; } | thread_local! { static A: crate::high::High = X; }
#[cfg(feature = "x")] use crate::high::High; | #[cfg(not(all(test, unix)))] use crate::high::High;
struct A { #[cfg(test)] a: u8, b: crate::high::High, } | #[cfg(any(test, unix))] use crate::high::High;
fn f() { #[cfg(test)] let a = { 1 }; crate::high::High; } | use other::x; fn f<'a>() -> x::Y<'a, crate::high::High> {}
#[cfg(test)] mod tests { use super::*; } use crate::high::High; | fn f() { { #[cfg(test)] a() } crate::high::High; }
fn f<'a>(_: &'a str) { let _ = ('"', '\'', b'"'); } use crate::high::High; fn g() { let _ = ""; }
#[cfg(test)] pub(crate) const A: B = B { c: 1 }.d(crate::high::High); use crate::high::High;
macro_rules! m { () => { #[cfg(test)] { $crate::high::other() } $crate::high::High }; } | use crate :: high :: High;
fn f() { match 1 { #[cfg(test)] 1 => 2, _ => crate::high::other() } } | fn f() -> u8 { 0..crate::high::other() }
/* /* */ */ use crate::high::High; | #[cfg(test)] mod a {} use crate::high::High; | #[cfg_attr(test, allow(y))] use crate::high::High;"""
# Code of low.rs without a breach.
FREE = r"""use crate::high; | // use crate::high::High; | /* crate::high::High /* */ crate::high::High */
/// [`crate::high::High`] | #[doc(alias = "crate::high::High")] const A: &str = "use crate::high::High;\"";
const B: &str = r#""crate::high::High"#; pub(in crate::low) fn f() {} | use ::high::High; use std::high::High;
#[cfg(test)] mod tests { use crate::high::High; } #[cfg(any(test, fuzzing))] fn f() { crate::high::High; }
struct A(#[cfg(all(test, unix))] pub crate::high::High); #[test] fn g() { crate::high::High; }
struct A { #[cfg(test)] a: Map<u8, crate::high::High>, #[cfg(all(unix, x = "y", test))] b: crate::high::High }
fn f() { #[cfg(test)] if a { 1 } else { crate::high::High } } | fn f<'a>(a: &'a u8) -> impl Sized + use<'a> { a }
fn f() { match 1 { #[cfg(test)] 1 => crate::high::High, _ => 2 } } | use crate::low::low; #[test] use crate::gone::A;
macro_rules! m { () => { #[cfg(test)] let a = $crate::high::other(); } } | #[cfg(test)] /* */ pub use crate::high::High;
#[cfg(test)] use crate::high as h; #[cfg(not(test))] use std::x as h; fn f(_: h::High) {}"""
DOWN, THREE = "high -> low", "@low mod a; mod b; @low/a pub struct A; @low/b pub struct B; "
# Code of the files (`@name code` is added to BASE), a part of each breach in order, and the direction.
CASES = [
    *((f"@low {code}", "^demo/src/low.rs:1: low uses `.*` of high, against", DOWN) for code in re.split(r" \| |\n", UP)),
    *((f"@low {code}", "", DOWN) for code in re.split(r" \| |\n", FREE)),
    ("@high use crate::low::Low::{self, *}; use crate::low::Low::A; fn f() { crate::low::Low::new() }", "", DOWN),
    ("@low use crate::high::High;", "", "high, # one\n low"),
    ("@high mod x; pub fn x() {} @high/x @low use crate::high::x;\nfn f() { x() } type A = x::y;", "low uses `x`", DOWN),
    ("@low use crate::high::High; @high use crate::low::Low;", "rooms in a circle: .*low -> high", "high low"),
    # Rooms
    ("@lib mod third; mod sim; @third @sim #![cfg(test)] use crate::high::High;", "`third` of demo needs one layer", DOWN),
    ("@lib #[cfg(test)] mod sim; @sim mod b; use crate::high::High; @sim/b use crate::low::Low;", "", DOWN),
    ("", "room `low` of demo needs one layer & room `third` of demo", "high low -> low third"),
    # Circles of files
    (THREE + "@low/a use super::b::B; @low/b use crate::low::a::A;", "files in a circle: .*low::a -> low::b", DOWN),
    (THREE + "@low use self::a::A; @low/a use super::Low;", "files in a circle: low.*low -> ", DOWN),
    (THREE + "@low use self::a::A; @low/a use super::Low;", "", DOWN + "\ncircle: low: why"),
    (THREE + "@low use self::a::A; @low/a #[cfg(test)] use super::Low;", "", DOWN),
    (THREE + "@low use ::a::A; fn f(_: ::a::A, _: A) {} @low/a use super::Low;", "", DOWN),
    (THREE + "@low pub use self::a::A; #[test] fn f(_: A) {} @low/a use super::Low;", "", DOWN),
    (THREE + "@low pub use self::a::A; fn f(_: A) {} @low/a use super::Low;", "files in a circle", DOWN),
    # Imports that do not name the module that defines the name
    ("@high use crate::Low; use super::{Low as L}; fn f() { crate::Low::new(); }",
     "`crate::Low::new` goes .* lib.rs & `crate::Low` .* lib.rs, .*: write `crate::low::Low` & `super::Low` .* lib.rs", DOWN),
    ("@high #[cfg(test)] mod tests { use crate::Low; }", "`crate::Low` goes through lib.rs", DOWN),
    ("@lib pub use other::deep::N; @high use crate::N;", "goes through lib.rs, .*: write `other::deep::N`", DOWN),
    ("@lib pub struct Root; @high use crate::Root;", "`crate::Root` is defined in lib.rs", DOWN),
    (THREE + "@low pub(crate) use self::a::A; @high use crate::low::A;", "through low, .* `crate::low::a::A`", DOWN),
    (THREE + "@low use self::a::A; @high #[test] fn f() { use crate::low::A; }", "", DOWN),
    (THREE + "@low use self::a::*; @high use crate::low::A;", "goes through low & `self::a`: `\\*` hides", DOWN),
    (THREE + "@low use self::a::A; use std::io; @low/b use super::A; use super::io::Read;",
     "`super::A` goes through low & `super::io::Read` goes .*: write `std::io`", DOWN),
    (THREE + "@low pub(crate) use self::a::A; @high use crate::low::A;", "", DOWN + "\nface: low: why"),
    (THREE + "@low pub(crate) use self::a::A; @low/a use crate::high::High; @high use crate::low::A;",
     "rooms in a circle", "high low\nface: low: why"),
    ("@low macro_rules! m { () => {} } pub(crate) use m; pub(crate) use std::sync::Mutex; @high use crate::low::{m, Mutex};",
     "", DOWN),
    ("@low pub const A: u8 = 1; pub static mut B: u8 = 1; pub const fn c() {} pub unsafe trait D {} pub type E = u8; "
     "thread_local! { static F: u8 = 1; } mod g { pub enum H {} } @high use crate::low::{A, B, c, D, E, F, g::H};", "", DOWN),
    ("@low fn f() { struct Gone; } @high use crate::low::Gone;", "no `Gone` is found in low", DOWN),
    ("@high use crate::low::*;", "`crate::low`: `\\*` hides", DOWN),
    # Tests
    ("@lib #[cfg(test)] mod sim; @sim pub fn s() {} @low #[cfg(test)] pub fn t() {} @high use crate::sim::{self, s}; #[cfg(test)] "
     "use crate::sim::s; fn f() { crate::low::t(); }", "`crate::low::t` is for tests & `crate::sim::s` & `crate::sim`", DOWN),
    # Exceptions
    ("@low use crate::high::High;", "", DOWN + "\nexception: low -> high: why"),
    (THREE + "@low/a use crate::high::High;", "", DOWN + "\nexception: low::a -> high: why"),
    (THREE + "@low use crate::high::High;", "nothing needs `exception: low::a -> high` & low uses",
     DOWN + "\nexception: low::a -> high: why"),
    ("@high use crate::low::Low;", "nothing needs `circle: low` & .*`exception: high -> low` & .*`face: low`",
     DOWN + "\nexception: high -> low: why\ncircle: low: why\nface: low: why"),
    ("", "write `exception: a -> b: reason`", DOWN + "\nexception: low -> high:"),
    ("", "write `exception: a -> b: reason`", DOWN + "\nexception: low: why"),
    # Source and directions that cannot be read
    ("@lost ", "lost.rs: no `mod` line leads to this file", DOWN),
    ("@lib mod gone;", "lib.rs:1: there is no file for `mod gone`", DOWN),
    ("@lib #[path = \"low.rs\"] mod third;", "`#\\[path\\]` hides", DOWN),
    ("@low }", "cannot be parsed", DOWN),
    ("", "states 2 directions", DOWN + "\n```\n```direction demo\nlow high"),
    ("", "states 0 directions", ""),
]  # fmt: skip

wrong = 0
for code, expected, direction in CASES:
    files = dict(BASE)
    for name, added in re.findall(r"@(\S+) ?([^@]*)", code):
        files[name] = files.get(name, "") + added
    with tempfile.TemporaryDirectory() as folder:
        for name, text in files.items():
            file = Path(folder, "demo", "src", f"{name}.rs")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        stated = Path(folder, "A.md")
        stated.write_text(f"```direction demo\n{direction}\n```\n" if direction else "", encoding="utf-8")
        found = sorted(module_rules.breaches_in(Path(folder), stated, "demo"))
    parts = expected.split(" & ") if expected else []
    if len(found) != len(parts) or not all(re.search(part, line) for part, line in zip(parts, found)):
        wrong += 1
        print(f"{code}\n    expected {expected or 'no breach'}\n    found {found}")
print(f"{len(CASES)} cases, {wrong} differ")
sys.exit(wrong > 0)
