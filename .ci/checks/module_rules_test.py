#!/usr/bin/env python3
"""The test of module_rules.py: module_rules_test.py. Exit status 1 and one line for each case that differs."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import module_rules

LIB = "mod high;\nmod low;\npub use high::High;\npub use low::Low;\n"
HIGH = "pub struct High;\n"
LOW = "pub struct Low;\npub fn low() {}\n"
DOWN = "high -> low"

# Name, files in addition to lib.rs, high.rs and low.rs, direction, and a part of each breach in
# sorted order.
Case = tuple[str, dict[str, str], str, list[str]]
CASES: list[Case] = [
    ("nothing imported", {}, DOWN, []),
    # --- direction ---
    ("down", {"high.rs": HIGH + "use crate::low::Low;\n"}, DOWN, []),
    ("up", {"low.rs": "use crate::high::High;\n" + LOW}, DOWN, ["low.rs:1: low uses `High` of high, against"]),
    ("says who may use the top", {"low.rs": "use crate::high::High;\n" + LOW}, DOWN, ["direction: no other room may use it"]),
    ("says who may use the rest",
     {"lib.rs": LIB + "mod third;\n", "third.rs": "use crate::low::Low;\n"}, "high -> low -> third",
     ["direction: only high may use it"]),
    ("up by a path in code", {"low.rs": LOW + "fn f() {\n    crate::high::run(1);\n}\n",
     "high.rs": "pub fn run(_: u8) {}\n"}, DOWN,
     ["low.rs:4: low uses `run` of high"]),
    ("up by super", {"low.rs": LOW + "type A = super::high::High;\n"}, DOWN, ["low.rs:3: low uses `High` of high"]),
    ("up by an imported module", {"low.rs": LOW + "use crate::high;\nfn f(_: high::High) {}\n"}, DOWN,
     ["low.rs:4: low uses `High`"]),
    ("an imported module that is not used", {"low.rs": LOW + "use crate::high;\n"}, DOWN, []),
    ("up by a renamed import", {"low.rs": "use crate::high::High as H;\n" + LOW}, DOWN, ["low.rs:1"]),
    ("up by a trait", {"low.rs": LOW + "use crate::high::Trait as _;\n", "high.rs": HIGH + "pub trait Trait {}\n"},
     DOWN, ["low.rs:3"]),
    ("up in nested braces over lines",
     {"low.rs": "use crate::{\n    low::{\n        self,\n    },\n    high::{High,\n        other},\n};\n" + LOW,
     "high.rs": HIGH + "pub fn other() {}\n"},
     DOWN, ["low.rs:5: low uses `High`", "low.rs:6: low uses `other`"]),
    ("up from an inline module", {"low.rs": LOW + "mod inner {\n    use crate::high::High;\n}\n"}, DOWN,
     ["low.rs:4: low uses `High`"]),
    ("up within a function", {"low.rs": LOW + "fn f() {\n    use crate::high::High;\n}\n"}, DOWN,
     ["low.rs:4: low uses `High`"]),
    ("up in a macro", {"low.rs": LOW + "macro_rules! m {\n    () => { $crate::high::High };\n}\n"}, DOWN,
     ["low.rs:4: low uses `High`"]),
    ("up in an item of a macro", {"low.rs": LOW + "thread_local! {\n    static A: crate::high::High = X;\n}\n"}, DOWN,
     ["low.rs:4"]),
    ("up under a condition", {"low.rs": '#[cfg(feature = "x")]\nuse crate::high::High;\n' + LOW}, DOWN, ["low.rs:2"]),
    ("up in ordinary builds", {"low.rs": "#[cfg(not(all(test, unix)))]\nuse crate::high::High;\n" + LOW}, DOWN,
     ["low.rs:2"]),
    ("up under a condition of one field",
     {"low.rs": "struct A {\n    #[cfg(test)]\n    a: u8,\n    b: crate::high::High,\n}\n"}, DOWN, ["low.rs:4"]),
    ("up under a condition of one statement",
     {"low.rs": LOW + "fn f() {\n    #[cfg(test)]\n    let a = { 1 };\n    crate::high::High;\n}\n"}, DOWN, ["low.rs:6"]),
    ("up after a test module",
     {"low.rs": "#[cfg(test)]\nmod tests {\n    use super::*;\n}\nuse crate::high::High;\n" + LOW}, DOWN, ["low.rs:5"]),
    ("a lifetime and characters hide nothing",
     {"low.rs": "fn f<'a>(_: &'a str) { let _ = ('\"', '\\'', b'\"'); }\nuse crate::high::High;\nfn g() { let _ = \"\"; }\n"}, DOWN, ["low.rs:2"]),
    ("in a comment, a string, a doc comment and an attribute",
     {"low.rs": LOW + "// use crate::high::High;\n/* crate::high::High /* */ crate::high::High */\n/// [`crate::high::High`]\n"
      "#[doc(alias = \"crate::high::High\")]\nconst A: &str = \"use crate::high::High;\\\"\";\nconst B: &str = r#\"\"crate::high::High\"#;\n"
      "pub(in crate::low) fn f() {}\n"}, DOWN, []),
    ("what tests import",
     {"low.rs": LOW + "#[cfg(test)]\nmod tests {\n    use crate::high::High;\n}\n#[cfg(test)]\nuse crate::high::High;\n#[cfg(any(test, fuzzing))]\nfn f() {\n"
      "    crate::high::High;\n}\n#[cfg(all(test, unix))]\nstruct A(crate::high::High);\n#[test]\nfn g() { crate::high::High; }\n"}, DOWN, []),
    ("what a file for tests imports",
     {"lib.rs": LIB + "#[cfg(test)]\nmod tests;\n", "tests.rs": "mod more;\nuse crate::high::High;\n",
     "tests/more.rs": "use crate::low::Low;\n"}, DOWN, []),
    ("under conditions that only tests fulfil",
     {"low.rs": LOW + "struct A {\n    #[cfg(test)]\n    a: Map<u8, crate::high::High>,\n    #[cfg(all(unix, x = \"y\", test))]\n"
      "    b: crate::high::High\n}\nfn f() {\n    #[cfg(test)]\n    if a { 1 } else { crate::high::High }\n}\n"}, DOWN, []),
    ("up after the last field for tests",
     {"low.rs": "struct A {\n    #[cfg(test)]\n    a: u8\n}\nuse crate::high::High;\n"}, DOWN, ["low.rs:5"]),
    ("up after a constant for tests",
     {"low.rs": "#[cfg(test)]\npub(crate) const A: B = B { c: 1 }.d(crate::high::High);\nuse crate::high::High;\n"}, DOWN, ["low.rs:3"]),
    ("up after a comment", {"low.rs": "/* a /* b */ c */ use crate::high::High;\n"}, DOWN, ["low.rs:1"]),
    ("up after the last expression of a block for tests",
     {"low.rs": "fn f() {\n    { #[cfg(test)] a() }\n    crate::high::High;\n}\n"}, DOWN, ["low.rs:3"]),
    ("up after other attributes",
     {"low.rs": "#![allow(x)]\n#[cfg_attr(test, allow(y))]\nuse crate::high::High;\n"}, DOWN, ["low.rs:3"]),
    ("another crate of the same name", {"low.rs": LOW + "use ::high::High;\nuse std::high::High;\nuse other::High;\n"},
     DOWN, []),
    ("another crate with the name of a file",
     {"low.rs": LOW + "mod a;\nuse ::a::A;\nfn f(_: ::a::B) {}\n", "low/a.rs": "use super::Low;\npub struct A;\npub struct B;\n"},
     DOWN, []),
    ("a relative path in a macro",
     {"low/mod.rs": LOW + "mod a;\nmacro_rules! m {\n    () => { a::A };\n}\n", "low/a.rs": "use super::Low;\npub struct A;\n"}, DOWN, []),
    ("precise capturing", {"low.rs": LOW + "fn f<'a>(a: &'a u8) -> impl Sized + use<'a> { a }\n"}, DOWN, []),
    ("lib.rs may use all", {"lib.rs": LIB + "use crate::low::Low as L;\nfn f(_: high::High) {}\n"}, DOWN, []),
    ("a room without a layer", {"lib.rs": LIB + "mod third;\n", "third.rs": ""}, DOWN, ["the room `third` has no layer"]),
    ("a layer without a room", {}, "high -> low third", ["there is no room `third`"]),
    ("a room that is stated twice", {}, "high low -> low", ["the room `low` is stated twice"]),
    ("rooms of one layer", {"low.rs": "use crate::high::High;\n" + LOW}, "high low", []),
    ("comments, commas and several lines", {"high.rs": HIGH + "use crate::low::Low;\n"}, "high, # one\n    -> low", []),
    # --- circles ---
    ("rooms in a circle", {"low.rs": "use crate::high::High;\n" + LOW, "high.rs": HIGH + "use crate::low::Low;\n"},
     "high low",
     ["rooms in a circle: high -> low -> high: demo/src/high.rs:2 uses `Low`; demo/src/low.rs:1 uses `High`"]),
    ("files of a room in a circle",
     {"low.rs": LOW + "mod a;\nmod b;\n", "low/a.rs": "use super::b::B;\npub struct A;\n",
     "low/b.rs": "use crate::low::a::A;\npub struct B;\n"}, DOWN,
     ["files in a circle: low::a -> low::b -> low::a"]),
    ("a room and its file in a circle",
     {"low/mod.rs": LOW + "mod a;\nuse self::a::A;\n", "low/a.rs": "use super::Low;\npub struct A;\n"}, DOWN,
     ["files in a circle: low -> low::a -> low"]),
    ("a circle that is allowed",
     {"low/mod.rs": LOW + "mod a;\nuse self::a::A;\n", "low/a.rs": "use super::Low;\npub struct A;\n"},
     DOWN + "\ncircle: low: an impl in two files", []),
    ("only tests close the circle",
     {"low/mod.rs": LOW + "mod a;\nuse self::a::A;\n", "low/a.rs": "#[cfg(test)]\nuse super::Low;\npub struct A;\n"},
     DOWN, []),
    ("a name for users is no dependency",
     {"low/mod.rs": LOW + "mod a;\npub use self::a::A;\n", "low/a.rs": "use super::Low;\npub struct A;\n"}, DOWN, []),
    ("a name for users that the code uses too",
     {"low/mod.rs": LOW + "mod a;\npub use self::a::A;\nfn f(_: A) {}\n",
     "low/a.rs": "use super::Low;\npub struct A;\n"}, DOWN, ["low -> low::a -> low"]),
    ("a name for users that only tests use",
     {"low/mod.rs": LOW + "mod a;\npub use self::a::A;\n#[cfg(test)]\nfn f(_: A) {}\n", "low/a.rs": "use super::Low;\npub struct A;\n"},
     DOWN, []),
    # --- re-exports ---
    ("through lib.rs", {"high.rs": HIGH + "use crate::Low;\n"}, DOWN,
     ["high.rs:2: `crate::Low` goes through lib.rs, which is for users: write `crate::low::Low`"]),
    ("through lib.rs by super", {"high.rs": HIGH + "use super::{Low as L};\n"}, DOWN, ["high.rs:2: `super::Low`"]),
    ("through lib.rs in code", {"high.rs": HIGH + "fn f() { crate::Low::new(); }\n"}, DOWN,
     ["high.rs:2: `crate::Low::new` goes through lib.rs"]),
    ("through lib.rs in tests", {"high.rs": HIGH + "#[cfg(test)]\nmod tests {\n    use crate::Low;\n}\n"}, DOWN,
     ["high.rs:4: `crate::Low` goes through lib.rs"]),
    ("another crate through lib.rs", {"lib.rs": LIB + "pub use other::deep::Name;\n",
     "high.rs": HIGH + "use crate::Name;\n"}, DOWN,
     ["high.rs:2: `crate::Name` goes through lib.rs, which is for users: write `other::deep::Name`"]),
    ("an item of lib.rs", {"lib.rs": LIB + "pub struct Root;\n", "high.rs": HIGH + "use crate::Root;\n"}, DOWN,
     ["`crate::Root` is defined in lib.rs"]),
    ("through a module that re-exports",
     {"low.rs": "mod a;\npub(crate) use self::a::A;\n", "low/a.rs": "pub struct A;\n",
     "high.rs": HIGH + "use crate::low::A;\n", "lib.rs": "mod high;\nmod low;\n"}, DOWN,
     ["high.rs:2: `crate::low::A` goes through low, which does not define it: write `crate::low::a::A`"]),
    ("through a module that re-exports, with a path in code and in tests",
     {"low.rs": "mod a;\npub(crate) use self::a::A;\n", "low/a.rs": "pub struct A;\n", "lib.rs": "mod high;\nmod low;\n",
      "high.rs": HIGH + "use crate::low::A;\nfn f() { A::new() }\n#[cfg(test)]\nmod tests {\n    use crate::low::A;\n}\n"}, DOWN,
     ["high.rs:2: `crate::low::A` goes through low"]),
    ("through a module that re-exports all",
     {"low.rs": "mod a;\npub(crate) use self::a::*;\n", "low/a.rs": "pub struct A;\n",
     "high.rs": HIGH + "use crate::low::A;\n", "lib.rs": "mod high;\nmod low;\n"}, DOWN,
     ["high.rs:2: `crate::low::A` goes through low", "low.rs:2: `use self::a::*` hides"]),
    ("through an import of the parent",
     {"low.rs": LOW + "mod a;\nmod b;\nuse self::a::A;\n", "low/a.rs": "pub struct A;\n",
     "low/b.rs": "use super::A;\n"}, DOWN,
     ["low/b.rs:1: `super::A` goes through low"]),
    ("through an import of another crate", {"low.rs": LOW + "mod a;\nuse std::io;\n",
     "low/a.rs": "use super::io::Read;\n"}, DOWN,
     ["low/a.rs:1: `super::io::Read` goes through low, which does not define it: write `std::io`"]),
    ("a face",
     {"low.rs": "mod a;\npub(crate) use self::a::A;\n", "low/a.rs": "pub struct A;\n",
     "high.rs": HIGH + "use crate::low::A;\n", "lib.rs": "mod high;\nmod low;\n"},
     DOWN + "\nface: low: the system decides", []),
    ("a face hides no circle",
     {"low.rs": "mod a;\npub(crate) use self::a::A;\n", "low/a.rs": "use crate::high::High;\npub struct A;\n",
     "high.rs": HIGH + "use crate::low::A;\n",
      "lib.rs": "mod high;\nmod low;\n"},
     "high low\nface: low: the system decides", ["rooms in a circle: high -> low -> high"]),
    ("what wraps another crate is defined there", {"low.rs": LOW + "pub(crate) use std::sync::Mutex;\n",
     "high.rs": HIGH + "use crate::low::Mutex;\n"}, DOWN, []),
    ("a macro and its use", {"low.rs": LOW + "macro_rules! m { () => {} }\npub(crate) use m;\n",
     "high.rs": HIGH + "use crate::low::m;\n"}, DOWN, []),
    ("items of all kinds",
     {"low.rs": "pub const A: u8 = 1;\npub static mut B: u8 = 1;\npub const fn c() {}\npub unsafe trait D {}\npub type E = u8;\n"
      "thread_local! {\n    pub static F: u8 = 1;\n}\npub mod g {\n    pub enum H {}\n}\n",
      "high.rs": HIGH + "use crate::low::{A, B, c, D, E, F, g::H};\n", "lib.rs": "mod high;\nmod low;\n"}, DOWN, []),
    ("an item within a function", {"low.rs": LOW + "fn f() {\n    struct Gone;\n}\n", "high.rs": HIGH + "use crate::low::Gone;\n"}, DOWN,
     ["no `Gone` is found in low"]),
    ("a variant and an associated function", {"low.rs": "pub enum Low { A }\n",
     "high.rs": HIGH + "use crate::low::Low::{self, A};\nfn f() { crate::low::Low::new(); }\n"}, DOWN, []),
    ("all variants", {"low.rs": "pub enum Low { A }\n", "high.rs": HIGH + "use crate::low::Low::*;\n"}, DOWN, []),
    ("all of a module", {"high.rs": HIGH + "use crate::low::*;\n"}, DOWN,
     ["high.rs:2: `use crate::low::*` hides what is imported"]),
    ("a module and a function of one name", {"low.rs": "pub fn low() {}\n", "high.rs": HIGH + "use crate::low::low;\n",
     "lib.rs": "mod high;\nmod low;\n"}, DOWN, []),
    ("doctests of lib.rs", {"lib.rs": LIB + "#[cfg(doctest)]\nstruct Readme;\n"}, DOWN, []),
    # --- tests ---
    ("a module for tests", {"lib.rs": LIB + "#[cfg(test)]\nmod sim;\n", "sim.rs": "pub fn s() {}\n",
     "high.rs": HIGH + "use crate::sim::s;\n"}, DOWN,
     ["high.rs:2: `crate::sim::s` is for tests only"]),
    ("a module for tests in tests", {"lib.rs": LIB + "#[cfg(test)]\nmod sim;\n", "sim.rs": "pub fn s() {}\n",
     "high.rs": HIGH + "#[cfg(test)]\nuse crate::sim::s;\n"}, DOWN, []),
    ("an item for tests", {"low.rs": LOW + "#[cfg(test)]\npub fn t() {}\n",
     "high.rs": HIGH + "fn f() { crate::low::t(); }\n"}, DOWN, ["`crate::low::t` is for tests only"]),
    ("a file that says it is for tests", {"lib.rs": LIB + "mod sim;\n",
     "sim.rs": "//! Doc.\n#![cfg(test)]\nuse crate::high::High;\n"}, DOWN, []),
    # --- exceptions ---
    ("an exception", {"low.rs": "use crate::high::High;\n" + LOW},
     DOWN + "\nexception: low -> high: until it has moved", []),
    ("an exception for a file", {"low.rs": LOW + "mod a;\n", "low/a.rs": "use crate::high::High;\n"},
     DOWN + "\nexception: low::a -> high: why", []),
    ("an exception for another file", {"low.rs": LOW + "mod a;\nuse crate::high::High;\n", "low/a.rs": ""},
     DOWN + "\nexception: low::a -> high: why",
     ["nothing needs `exception: low::a -> high`", "low.rs:4: low uses `High`"]),
    ("an exception nothing needs", {}, DOWN + "\nexception: low -> high: why",
     ["A.md:4: nothing needs `exception: low -> high`: remove it"]),
    ("an exception that the direction allows", {"high.rs": HIGH + "use crate::low::Low;\n"},
     DOWN + "\nexception: high -> low: why", ["nothing needs"]),
    ("a circle nothing needs", {}, DOWN + "\ncircle: low: why", ["nothing needs `circle: low`"]),
    ("a face nothing needs", {}, DOWN + "\nface: low: why", ["nothing needs `face: low`"]),
    ("an exception without a reason", {}, DOWN + "\nexception: low -> high:", ["needs a reason"]),
    ("an exception that is not one", {}, DOWN + "\nexception: low: why", ["write `exception: a -> b: reason`"]),
    # --- what cannot be read ---
    ("a file that is no module", {"lost.rs": ""}, DOWN, ["lost.rs: no `mod` line leads to this file"]),
    ("a module without a file", {"lib.rs": LIB + "mod gone;\n"}, DOWN, ["lib.rs:5: there is no file for `mod gone`"]),
    ("a module elsewhere", {"lib.rs": LIB + '#[path = "low.rs"]\nmod third;\n'}, DOWN, ["lib.rs:5: `#[path]` hides"]),
    ("a name that is not there", {"high.rs": HIGH + "use crate::low::Gone;\n"}, DOWN,
     ["high.rs:2: `crate::low::Gone`: no `Gone` is found in low"]),
    ("a name that is not there, in tests", {"high.rs": HIGH + "#[cfg(test)]\nuse crate::low::Gone;\n"}, DOWN, []),
    ("two directions", {}, DOWN + "\n```\n```direction demo\nlow high", ["A.md:5: a second direction of demo"]),
    ("no direction", {}, "", ["states no direction of demo"]),
]


def breaches_of(files: dict[str, str], direction: str, folder: Path) -> list[str]:
    source = folder / "demo" / "src"
    source.mkdir(parents=True)
    defaults = {"lib.rs": LIB, "high.rs": HIGH, "low.rs": LOW}
    if "low/mod.rs" in files:
        del defaults["low.rs"]
    for name, text in {**defaults, **files}.items():
        (source / name).parent.mkdir(exist_ok=True)
        (source / name).write_text(text, encoding="utf-8")
    stated = folder / "A.md"
    stated.write_text(f"# Direction\n```direction demo\n{direction}\n```\n" if direction else "", encoding="utf-8")
    return module_rules.breaches_in(folder, stated, ["demo"])


def main() -> int:
    wrong: list[str] = []
    for name, files, direction, expected in CASES:
        with tempfile.TemporaryDirectory() as folder:
            found = breaches_of(files, direction, Path(folder).resolve())
        if len(found) != len(expected) or not all(part in line for part, line in zip(expected, sorted(found))):
            wrong.append(f"{name}: expected {expected}, found {sorted(found)}")
    print("\n".join(wrong) or f"{len(CASES)} cases, none differs")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
