#!/usr/bin/env python3
"""Modules and their direction: module_rules.py ROOT [--direction FILE] [--tree] [--edges] [CRATE...].

Reads every `use` and every path in the code of each crate and finds the file that defines the name. Prints a line for
each breach of these rules, and exits with status 1 if there is one:

* An import names the module that defines the name, not lib.rs and not a module that only imports the name itself.
* Only test code imports test-only modules. Code is test-only if its `cfg` holds in no ordinary build.
* Rooms (top-level modules) depend on each other in the direction that ARCHITECTURE.md states, and in no circle.
* The files of a room depend on each other in no circle.

ARCHITECTURE.md, or the file given with --direction, has a block for each crate:

    ```direction clws-server
    server -> driver handler -> connection      # layers from top to bottom, each with its rooms
        -> guard time                           # a room may use its own layer and the layers below
    exception: connection -> driver::state: why # allows this dependency; both sides are rooms or files
    circle: driver: why                         # allows the files of this room to depend on each other in a circle
    face: net::poll: why                        # allows imports of the names that this module re-exports
    ```

An exception that nothing needs is a breach. The rules do not apply to lib.rs, because it re-exports for users. Only the
rule about lib.rs applies to test-only code.

--tree prints the files of each crate and their lines. --edges prints rooms, their dependencies and circles.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple, Optional

CRATES = ("clws-proto", "clws-handshake", "clws-server")
# These conditions hold in no ordinary build. All others are unknown, so they may hold.
ABSENT = {"test", "fuzzing", "doctest", "shuttle", "loom", "doc"}


class Token(NamedTuple):
    text: str
    line: int


SKIPPED = re.compile(r"\s+|//[^\n]*")
STRING = re.compile(r'(?:b|c)?"(?:[^"\\]|\\.)*"', re.S)
RAW_STRING = re.compile(r'(?:b|c)?r(#*)".*?"\1', re.S)
CHARACTER = re.compile(r"b?'(?:[^'\\\n]|\\(?:x[0-9a-fA-F]{2}|u\{[0-9a-fA-F_]+\}|.))'")
LIFETIME = re.compile(r"'[A-Za-z_]\w*")
WORD = re.compile(r"(?:r#)?[A-Za-z_]\w*")
NUMBER = re.compile(r"[0-9][0-9A-Za-z_]*(?:\.[0-9][0-9A-Za-z_]*)?")
SYMBOL = re.compile(r"::|->|=>|.", re.S)
OPEN = {"(": ")", "[": "]", "{": "}"}
CLOSE = set(OPEN.values())


def tokens_of(text: str) -> list[Token]:
    """The tokens of Rust code, without comments, strings and characters (each of which is the token `""`)."""
    tokens: list[Token] = []
    at, line = 0, 1
    while at < len(text):
        if text.startswith("/*", at):
            depth, end = 1, at + 2
            while depth and end < len(text):
                if text.startswith("/*", end):
                    depth, end = depth + 1, end + 2
                elif text.startswith("*/", end):
                    depth, end = depth - 1, end + 2
                else:
                    end += 1
            value = None
        elif found := SKIPPED.match(text, at):
            value, end = None, found.end()
        elif found := RAW_STRING.match(text, at) or STRING.match(text, at) or CHARACTER.match(text, at):
            value, end = '""', found.end()
        elif found := LIFETIME.match(text, at):
            value, end = "'", found.end()
        elif found := WORD.match(text, at):
            value, end = found[0].removeprefix("r#"), found.end()
        else:
            found = NUMBER.match(text, at) or SYMBOL.match(text, at)
            assert found
            value, end = found[0], found.end()
        if value is not None:
            tokens.append(Token(value, line))
        line += text.count("\n", at, end)
        at = end
    return tokens


def is_word(text: str) -> bool:
    return text[0].isalpha() or text[0] == "_"


@dataclass
class Binding:
    """A name that a `use` brings into a module."""

    path: list[str]
    line: int
    public: str  # "", "pub" or "pub(crate)" and the like
    tested: bool
    local: bool  # within a function


@dataclass
class Reference:
    """A path in a `use` or in code."""

    path: list[str]
    line: int
    module: Module
    tested: bool
    imported: Optional[str]  # the name that a `use` gives it, "*" for all names; None for a path in code
    public: str = ""


@dataclass
class Module:
    path: tuple[str, ...]
    file: Path
    parent: Optional[Module]
    own_file: Module = field(init=False)
    tested: bool = True
    items: dict[str, bool] = field(default_factory=dict)  # name, and whether only tests have it
    children: dict[str, Module] = field(default_factory=dict)
    bindings: dict[str, list[Binding]] = field(default_factory=dict)
    globs: list[Binding] = field(default_factory=list)
    words: set[str] = field(default_factory=set)  # names in the ordinary code of this file, without its `use` lines

    def __post_init__(self) -> None:
        self.own_file = self

    @property
    def name(self) -> str:
        return "::".join(self.path) or "lib.rs"

    @property
    def room(self) -> str:
        return self.path[0] if self.path else ""


class Broken(Exception):
    """Source or direction that cannot be read."""


class Found(NamedTuple):
    kind: str  # "item", "module", "extern" or "unknown"
    module: Module
    name: str
    through: Optional[Module]  # the first module of another file on the path that only imports the name


class Crate:
    """The modules of one crate and the paths in them."""

    def __init__(self, root: Path, name: str) -> None:
        self.name = name
        self.source = root / name / "src"
        self.base = root
        self.references: list[Reference] = []
        self.lines: dict[Path, int] = {}
        self.root = Module((), self.source / "lib.rs", None)
        self.read(self.root, tested=False)
        missing = sorted(set(self.source.rglob("*.rs")) - set(self.lines))
        if missing:
            raise Broken("\n".join(f"{self.where(file)}: no `mod` line leads to this file" for file in missing))

    def where(self, file: Path, line: int = 0) -> str:
        return f"{file.relative_to(self.base)}" + (f":{line}" if line else "")

    def read(self, module: Module, tested: bool) -> None:
        module.tested = module.tested and tested
        text = module.file.read_text(encoding="utf-8")
        self.lines[module.file] = text.count("\n")
        Reader(self, tokens_of(text), module.file).items(0, None, module, tested)

    def files(self) -> list[Module]:
        """The modules that have a file each, without lib.rs."""
        found: list[Module] = []
        todo = [self.root]
        while todo:
            at = todo.pop()
            if at.own_file is at and at.path:
                found.append(at)
            todo += at.children.values()
        return sorted(found, key=lambda module: module.path)

    # --- resolving ---

    def resolve(self, path: list[str], module: Module, tested: bool, depth: int = 0) -> Found:
        if depth > 32:
            return Found("unknown", module, path[-1], None)
        at, rest = module, list(path)
        through: Optional[Module] = None
        if rest[0] == "crate":
            at = self.root
            rest.pop(0)
        elif rest[0] in ("self", "super"):
            while rest and rest[0] in ("self", "super"):
                if rest.pop(0) == "super":
                    if at.parent is None:
                        return Found("unknown", at, "super", None)
                    at = at.parent
        elif not self.knows(module, rest[0], tested, depth):
            return Found("extern", module, rest[0], None)
        while rest:
            name, last = rest.pop(0), not rest
            child = at.children.get(name)
            if child and not (last and name in at.items):
                at = child
                continue
            if name in at.items:
                return Found("item", at, name, through)
            found = self.by_import(at, name, tested, depth)
            if found is None:
                return Found("unknown", at, name, through)
            binding, target = found
            if target.kind == "extern" and binding.public and at is not self.root:
                return Found("item", at, name, through)
            # An import of the same file is checked as such.
            through = through or (at if at.own_file is not module.own_file else None)
            if target.kind == "extern":
                return Found("extern", at, "::".join(binding.path), through)
            if target.kind != "module":
                return Found(target.kind, target.module, target.name, through)
            at = target.module
        return Found("module", at, at.path[-1] if at.path else "crate", through)

    def knows(self, module: Module, name: str, tested: bool, depth: int) -> bool:
        return (
            name in module.children or name in module.items or self.by_import(module, name, tested, depth) is not None
        )

    def by_import(self, module: Module, name: str, tested: bool, depth: int) -> Optional[tuple[Binding, Found]]:
        """The `use` of this module that imports the name, and the item or module it names."""
        fitting = [b for b in module.bindings.get(name, []) if tested or not b.tested]
        # Tests prefer the import that only they have.
        for binding in sorted(fitting, key=lambda b: b.tested, reverse=True):
            if binding.path == [name]:  # `use broken;` of a macro, or a crate
                return binding, Found("extern", module, name, None)
            return binding, self.resolve(binding.path, module, tested, depth + 1)
        for glob in module.globs:
            if glob.tested and not tested:
                continue
            target = self.resolve(glob.path, module, tested, depth + 1)
            if target.kind == "module" and target.module is not module:
                inner = self.resolve(["self", name], target.module, tested, depth + 1)
                if inner.kind != "unknown":
                    return glob, inner
        return None


class Reader:
    """Walks the tokens of one file."""

    def __init__(self, crate: Crate, tokens: list[Token], file: Path) -> None:
        self.crate = crate
        self.tokens = tokens
        self.file = file
        self.closing: dict[int, int] = {}
        stack: list[int] = []
        for at, token in enumerate(tokens):
            if token.text in OPEN:
                stack.append(at)
            elif token.text in CLOSE:
                if not stack or OPEN[tokens[stack[-1]].text] != token.text:
                    raise Broken(f"{crate.where(file, token.line)}: `{token.text}` closes nothing")
                self.closing[stack.pop()] = at
        if stack:
            raise Broken(f"{crate.where(file, tokens[stack[-1]].line)}: `{tokens[stack[-1]].text}` is not closed")

    def text(self, at: int) -> str:
        return self.tokens[at].text if 0 <= at < len(self.tokens) else "\0"

    def items(self, at: int, end: Optional[int], module: Module, tested: bool) -> None:
        self.walk(at, len(self.tokens) if end is None else end, module, tested, "items")

    def walk(self, at: int, end: int, module: Module, tested: bool, level: str) -> None:
        """`level` is "items" at the top of a module, "code" in the body of an item, and "macro" in a `macro_rules!`."""
        while at < end:
            text, after = self.text(at), self.text(at + 1)
            if text == "#" and after == "!" and self.text(at + 2) == "[":
                if is_absent(self, at + 3, self.closing[at + 2]):
                    tested = True
                    module.tested = module.tested or level == "items"
                at = self.closing[at + 2] + 1
            elif text == "#" and after == "[":
                close = self.closing[at + 1]
                if not tested and is_absent(self, at + 2, close):
                    extent = min(self.extent(close + 1), end)
                    self.walk(close + 1, extent, module, True, level)
                    at = extent
                else:
                    if self.text(at + 2) == "path":
                        where = self.crate.where(self.file, self.tokens[at].line)
                        raise Broken(f"{where}: `#[path]` hides where a module is")
                    at = close + 1
            elif text == "pub" and after == "(":
                at = self.closing[at + 1] + 1
            elif text == "use" and after != "<" and level != "macro":
                at = self.use(at, module, tested, level)
            elif level == "items":
                at = self.item(at, module, tested)
            else:
                at = self.path(at, module, tested, level)

    def item(self, at: int, module: Module, tested: bool) -> int:
        text, after = self.text(at), self.text(at + 1)
        if text == "mod" and is_word(after):
            return self.module(at, module, tested)
        if text == "macro_rules" and after == "!":
            self.define(module, self.text(at + 2), tested)
            close = self.closing[at + 3]
            self.walk(at + 4, close, module, tested, "macro")
            return close + 1
        if text in ("struct", "enum", "trait", "type", "fn", "union") and is_word(after):
            self.define(module, after, tested)
            return at + 2
        if text in ("const", "static") and is_word(after):
            name = self.text(at + 2) if after == "mut" else after
            if name not in ("fn", "unsafe", "async", "extern"):
                self.define(module, name, tested)
                return at + 2
            return at + 1
        if is_word(text) and after == "!" and self.text(at + 2) in OPEN:
            # `thread_local!` and the like define items.
            close = self.closing[at + 2]
            self.walk(at + 3, close, module, tested, "items")
            return close + 1
        if text == "{":
            close = self.closing[at]
            self.walk(at + 1, close, module, tested, "code")
            return close + 1
        return self.path(at, module, tested, "items")

    def define(self, module: Module, name: str, tested: bool) -> None:
        module.items[name] = module.items.get(name, True) and tested

    def module(self, at: int, parent: Module, tested: bool) -> int:
        name, line = self.text(at + 1), self.tokens[at].line
        inline = self.text(at + 2) == "{"
        child = parent.children.get(name)
        if child is None:
            file = parent.file if inline else self.file_of(parent, name, line)
            child = parent.children[name] = Module((*parent.path, name), file, parent)
            if inline:
                child.own_file = parent.own_file
        if inline:
            child.tested = child.tested and tested
            close = self.closing[at + 2]
            self.items(at + 3, close, child, tested)
            return close + 1
        if child.file in self.crate.lines:
            child.tested = child.tested and tested
        else:
            self.crate.read(child, tested)
        return at + 2

    def file_of(self, parent: Module, name: str, line: int) -> Path:
        home = parent.own_file
        folder = home.file.parent if home.file.name in ("lib.rs", "mod.rs") else home.file.with_suffix("")
        folder = folder.joinpath(*parent.path[len(home.path) :])
        for file in (folder / f"{name}.rs", folder / name / "mod.rs"):
            if file.is_file():
                return file
        raise Broken(f"{self.crate.where(self.file, line)}: there is no file for `mod {name}`")

    def path(self, at: int, module: Module, tested: bool, level: str) -> int:
        """Reads one token, or the whole path that begins with it."""
        first = self.text(at)
        if not is_word(first):
            return at + 1
        if not tested:
            module.own_file.words.add(first)
        if self.text(at + 1) != "::" or self.text(at - 1) in ("::", "."):
            return at + 1
        of_macro = self.text(at - 1) == "$"
        line, path = self.tokens[at].line, [first]
        while self.text(at + 1) == "::" and is_word(self.text(at + 2)):
            at += 2
            path.append(self.text(at))
        # Only `$crate` has the same meaning wherever a macro is called.
        if of_macro != (level == "macro") or (of_macro and first != "crate"):
            return at + 1
        if first != "Self":
            self.crate.references.append(Reference(path, line, module, tested, None))
        return at + 1

    def use(self, at: int, module: Module, tested: bool, level: str) -> int:
        public = ""
        if self.text(at - 1) == "pub":
            public = "pub"
        elif self.text(at - 1) == ")":
            before = at - 2
            while self.text(before) not in ("(", "\0"):
                before -= 1
            public = "pub" + "".join(self.text(i) for i in range(before, at)) if self.text(before - 1) == "pub" else ""
        end = at
        while self.text(end) != ";":
            end += 1
        start = at + 1
        if self.text(start) == "::":
            return end + 1
        for path, name, line in self.tree(start, end, []):
            if path and path[-1] == "self" and len(path) > 1:
                path.pop()
            reference = Reference(path, line, module, tested, name or path[-1], public)
            self.crate.references.append(reference)
            binding = Binding(path, line, public, tested, level != "items")
            if name == "*":
                module.globs.append(binding)
            elif (name or path[-1]) != "_":
                module.bindings.setdefault(name or path[-1], []).append(binding)
        return end + 1

    def tree(self, at: int, end: int, before: list[str]) -> Iterator[tuple[list[str], str, int]]:
        """The leaves of the use tree: path, the name given by `as` (or "*"), line."""
        path = list(before)
        while at < end:
            text = self.text(at)
            if text == "{":
                close, begin = self.closing[at], at + 1
                inner = begin
                while inner < close:
                    if self.text(inner) == "{":
                        inner = self.closing[inner]
                    elif self.text(inner) == ",":
                        yield from self.tree(begin, inner, path)
                        begin = inner + 1
                    inner += 1
                if begin < close:
                    yield from self.tree(begin, close, path)
                return
            if text == "*":
                yield path, "*", self.tokens[at].line
                return
            if text == "as":
                yield path, self.text(at + 1), self.tokens[at].line
                return
            if text != "::":
                path.append(text)
            at += 1
        yield path, "", self.tokens[end - 1].line

    def extent(self, at: int) -> int:
        """The end of the item, field, statement or arm at `at`, to which an attribute belongs."""
        while self.text(at) == "#" and self.text(at + 1) == "[":
            at = self.closing[at + 1] + 1
        begin = at
        while self.text(begin) in ("pub", "unsafe", "async", "extern", '""', "default") or (
            self.text(begin) == "const" and self.text(begin + 1) in ("fn", "unsafe", "async", "extern")
        ):
            begin += 1
            if self.text(begin) == "(" and self.text(begin - 1) == "pub":
                begin = self.closing[begin] + 1
        first = self.text(begin)
        to_semicolon = first in ("use", "let", "const", "static", "type", "return")
        is_item = first in ("fn", "impl", "struct", "enum", "trait", "mod", "macro_rules", "union", "if", "match", "for")
        is_field = self.text(begin + 1) == ":"
        angles = 0
        while at < len(self.tokens):
            text = self.text(at)
            if text in CLOSE:
                return at
            if text == ";":
                return at + 1
            if text == "," and not (to_semicolon or is_item or angles > 0):
                return at + 1
            if is_field and text in ("<", ">"):
                angles += 1 if text == "<" else -1
            if text in OPEN:
                at = self.closing[at]
                if text == "{" and not to_semicolon:
                    if self.text(at + 1) == "else":
                        at += 1
                        continue
                    return at + 1
            at += 1
        return at


def is_absent(reader: Reader, at: int, end: int) -> bool:
    """Whether the attribute between these tokens excludes its item from every ordinary build."""
    if reader.text(at) in ("test", "bench") and at + 1 == end:
        return True
    if reader.text(at) != "cfg" or reader.text(at + 1) != "(":
        return False
    value, _ = condition(reader, at + 2)
    return value is False


def condition(reader: Reader, at: int) -> tuple[Optional[bool], int]:
    """The value of a `cfg` condition, None if it is unknown, and the end of the condition."""
    word = reader.text(at)
    if reader.text(at + 1) == "(" and word in ("all", "any", "not"):
        close, at = reader.closing[at + 1], at + 2
        values: list[Optional[bool]] = []
        while at < close:
            value, at = condition(reader, at)
            values.append(value)
            if reader.text(at) == ",":
                at += 1
        if word == "not":
            return (None if values[0] is None else not values[0]), close + 1
        deciding = word == "any"
        if deciding in values:
            return deciding, close + 1
        return (None if None in values else not deciding), close + 1
    at += 1
    if reader.text(at) == "=":
        return None, at + 2
    return (False if word in ABSENT else None), at


# --- the statement of the direction ---


@dataclass
class Exemption:
    kind: str  # "exception", "circle" or "face"
    line: int
    source: str
    target: str

    def __str__(self) -> str:
        return f"{self.kind}: {self.source}" + (f" -> {self.target}" if self.target else "")


@dataclass
class Statement:
    where: str
    line: int
    layers: list[list[str]]
    exemptions: list[Exemption]


FENCE = re.compile(r"^```direction +(\S+) *$")
EXEMPTION = re.compile(r"^(exception|circle|face): *([\w:]+)(?: *-> *([\w:]+))? *: *(\S.*)?$")


def statements_in(file: Path) -> dict[str, Statement]:
    found: dict[str, Statement] = {}
    current: Optional[Statement] = None
    text = ""
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), 1):
        if current is None:
            if begin := FENCE.match(line):
                current, text = Statement(file.name, number, [], []), ""
                if begin[1] in found:
                    raise Broken(f"{file.name}:{number}: a second direction of {begin[1]}")
                found[begin[1]] = current
        elif line.startswith("```"):
            current.layers = [layer.replace(",", " ").split() for layer in text.split("->")]
            current = None
        elif re.match(r"\s*(exception|circle|face):", line):
            exemption = EXEMPTION.match(line.strip())
            if not exemption or (exemption[1] == "exception") != bool(exemption[3]):
                raise Broken(
                    f"{file.name}:{number}: write `exception: a -> b: reason`, `circle: a: reason` or `face: a: reason`"
                )
            if not exemption[4]:
                raise Broken(f"{file.name}:{number}: an exception needs a reason")
            current.exemptions.append(Exemption(exemption[1], number, exemption[2], exemption[3] or ""))
        else:
            text += " " + re.sub(r"#.*", "", line)
    return found


# --- the rules ---


class Edge(NamedTuple):
    source: Module
    target: Module
    line: int
    name: str


@dataclass
class Verdict:
    breaches: list[str] = field(default_factory=list)
    edges: dict[tuple[str, str], list[Edge]] = field(default_factory=dict)  # between files
    circles: list[str] = field(default_factory=list)


def within(module: str, stated: str) -> bool:
    return module == stated or module.startswith(f"{stated}::")


def circles_in(graph: dict[str, set[str]]) -> list[list[str]]:
    """For each set of nodes that reach each other: its shortest circle, then its members."""

    def reached(start: str) -> dict[str, str]:
        came: dict[str, str] = {}
        todo = [start]
        for at in todo:
            for to in sorted(graph.get(at, ())):
                if to not in came:
                    came[to] = at
                    todo.append(to)
        return came

    reach = {node: reached(node) for node in graph}
    seen: set[str] = set()
    found: list[list[str]] = []
    for node in sorted(graph):
        if node in seen or node not in reach[node]:
            continue
        group = {other for other in reach[node] if node in reach.get(other, {})}
        seen |= group
        best: Optional[list[str]] = None
        for member in sorted(group):
            way = [member]
            while (came := reach[member][way[0]]) != member:
                way.insert(0, came)
            way.insert(0, member)
            if best is None or len(way) < len(best):
                best = way
        assert best
        found.append([" -> ".join(best), *sorted(group)])
    return found


def judge(crate: Crate, statement: Optional[Statement], exemptions: list[Exemption]) -> Verdict:
    verdict = Verdict()
    faces = {e.source for e in exemptions if e.kind == "face"}
    for reference in crate.references:
        check_reference(crate, reference, faces, verdict)
    if statement:
        check_rooms(crate, statement, verdict)
    check_direction(crate, statement, exemptions, verdict)
    return verdict


def check_reference(crate: Crate, reference: Reference, faces: set[str], verdict: Verdict) -> None:
    module = reference.module
    home = module.own_file
    if home is crate.root:
        return
    written = "::".join(reference.path)
    where = crate.where(module.file, reference.line)
    if reference.imported is None and reference.path[0] not in ("crate", "self", "super"):
        # The import of an item is checked already. This checks a path through an imported module.
        if crate.resolve(reference.path[:1], module, reference.tested).kind != "module":
            return
    found = crate.resolve(reference.path, module, reference.tested)
    tested = reference.tested or module.tested
    if found.kind == "unknown" and not found.through:
        if not tested:
            verdict.breaches.append(f"{where}: `{written}`: no `{found.name}` is found in {found.module.name}")
        return
    if found.through and found.through.own_file is not home:
        facade = found.through.own_file
        if facade is crate.root:
            better = advice(found)
            verdict.breaches.append(f"{where}: `{written}` goes through lib.rs, which is for users: {better}")
        elif facade.name in faces and not tested:
            found = Found("item", facade, found.name, None)
        elif not tested:
            better = advice(found)
            verdict.breaches.append(
                f"{where}: `{written}` goes through {facade.name}, which does not define it: {better}"
            )
    if tested or found.kind == "extern":
        return
    target = found.module.own_file
    if found.kind == "item" and target is crate.root:
        verdict.breaches.append(f"{where}: `{written}` is defined in lib.rs: move it to a module")
        return
    if found.module.tested or (found.kind == "item" and found.module.items.get(found.name)):
        verdict.breaches.append(f"{where}: `{written}` is for tests only: gate this line with `#[cfg(test)]`, or move it")
        return
    if reference.imported == "*" and found.kind == "module" and target is not home:
        verdict.breaches.append(f"{where}: `use {written}::*` hides what is imported: name it")
    if found.kind == "module" and reference.imported != "*":
        return  # each name taken from the module is a reference too
    if target is home:
        return
    # A name that is re-exported for users is a dependency only if the code of this file uses it.
    if reference.public == "pub" and reference.imported not in home.words:
        return
    edge = Edge(home, target, reference.line, found.name)
    verdict.edges.setdefault((home.name, target.name), []).append(edge)


def advice(found: Found) -> str:
    if found.kind == "extern":
        return f"write `{found.name}`"
    if found.kind == "unknown":
        return "import it from where it is defined"
    path = "::".join(("crate", *found.module.path, *([found.name] if found.kind == "item" else [])))
    return f"write `{path}`"


def check_rooms(crate: Crate, statement: Statement, verdict: Verdict) -> None:
    rooms = {module.room for module in crate.files() if not module.tested}
    stated = [room for layer in statement.layers for room in layer]
    where = f"{statement.where}:{statement.line}: direction of {crate.name}"
    for room in sorted(rooms - set(stated)):
        verdict.breaches.append(f"{where}: the room `{room}` has no layer")
    for room in sorted(set(stated) - rooms):
        verdict.breaches.append(f"{where}: there is no room `{room}`")
    for room in sorted({room for room in stated if stated.count(room) > 1}):
        verdict.breaches.append(f"{where}: the room `{room}` is stated twice")


def check_direction(
    crate: Crate, statement: Optional[Statement], exemptions: list[Exemption], verdict: Verdict
) -> None:
    layer_of = {room: n for n, layer in enumerate(statement.layers) for room in layer} if statement else {}
    allowed = [e for e in exemptions if e.kind == "exception"]
    free = {e.source for e in exemptions if e.kind == "circle"}
    rooms: dict[str, set[str]] = {}
    files: dict[str, set[str]] = {}
    first: dict[tuple[str, str], Edge] = {}
    for (source, target), edges in sorted(verdict.edges.items()):
        if any(within(source, e.source) and within(target, e.target) for e in allowed):
            continue
        edge = edges[0]
        first.setdefault((source, target), edge)
        from_room, to_room = edge.source.room, edge.target.room
        if from_room == to_room:
            if from_room not in free:
                files.setdefault(source, set()).add(target)
            continue
        first.setdefault((from_room, to_room), edge)
        rooms.setdefault(from_room, set()).add(to_room)
        if from_room in layer_of and to_room in layer_of and layer_of[to_room] < layer_of[from_room]:
            users = [room for room, layer in layer_of.items() if layer <= layer_of[to_room] and room != to_room]
            allowed_for = f"only {', '.join(users)} may use it" if users else "no other room may use it"
            for use in edges:
                verdict.breaches.append(
                    f"{crate.where(use.source.file, use.line)}: {source} uses `{use.name}` of {target}, "
                    f"against the direction: {allowed_for}"
                )
    for graph, kind in ((rooms, "rooms"), (files, "files")):
        for way, *group in circles_in(graph):
            steps = way.split(" -> ")
            lines = "; ".join(
                f"{crate.where(edge.source.file, edge.line)} uses `{edge.name}`"
                for edge in (first[step] for step in zip(steps, steps[1:]))
            )
            others = f" (all that are in it: {', '.join(group)})" if len(group) > len(steps) - 1 else ""
            circle = f"{crate.name}: {kind} in a circle: {way}: {lines}{others}"
            verdict.circles.append(circle)
            verdict.breaches.append(circle)


def check(crate: Crate, statement: Optional[Statement]) -> Verdict:
    """All breaches of the crate, including exceptions that nothing needs."""
    if not statement:
        return judge(crate, None, [])
    verdict = judge(crate, statement, statement.exemptions)
    for exemption in statement.exemptions:
        others = [e for e in statement.exemptions if e is not exemption]
        if set(judge(crate, statement, others).breaches) <= set(verdict.breaches):
            verdict.breaches.append(f"{statement.where}:{exemption.line}: nothing needs `{exemption}`: remove it")
    return verdict


# --- reports ---


def print_tree(crate: Crate) -> None:
    ordinary = [m for m in (crate.root, *crate.files()) if not m.tested]
    tests = [m for m in crate.files() if m.tested]
    total = sum(crate.lines[m.file] for m in ordinary)
    print(
        f"{crate.name}/src: {len(ordinary)} files, {total} lines; "
        f"tests: {len(tests)} files, {sum(crate.lines[m.file] for m in tests)} lines"
    )
    printed: set[Path] = set()
    for file in sorted((m.file for m in ordinary + tests), key=lambda f: [(p.removesuffix(".rs"), p) for p in f.parts]):
        relative = file.relative_to(crate.source)
        for depth in range(len(relative.parts) - 1):
            folder = Path(*relative.parts[: depth + 1])
            if folder not in printed:
                printed.add(folder)
                print(f"{'    ' * (depth + 1)}{relative.parts[depth]}/")
        label = "    " * len(relative.parts) + relative.name
        print(f"{label:<44}{crate.lines[file]:>5}{'  test' if file in {m.file for m in tests} else ''}")


def print_edges(crate: Crate, verdict: Verdict) -> None:
    rooms = {module.room for module in crate.files() if not module.tested}
    to: dict[str, dict[str, int]] = {room: {} for room in rooms}
    for edges in verdict.edges.values():
        a, b = edges[0].source.room, edges[0].target.room
        if a != b:
            to.setdefault(a, {})[b] = to.setdefault(a, {}).get(b, 0) + len(edges)
    arrows = sum(len(targets) for targets in to.values())
    graph = {room: set(targets) for room, targets in to.items()}
    groups = circles_in(graph)
    print(f"{crate.name}: {len(rooms)} rooms, {arrows} dependencies, {len(groups)} circles of rooms")
    for room, targets in sorted(to.items()):
        print(f"    {room} -> {', '.join(f'{name} ({count})' for name, count in sorted(targets.items())) or '(none)'}")
    for way, *group in groups:
        print(f"    circle of rooms: {way} (in it: {', '.join(group)})")
        for (source, target), edges in sorted(verdict.edges.items()):
            if {edges[0].source.room, edges[0].target.room} <= set(group) and edges[0].source.room != edges[0].target.room:
                names = ", ".join(sorted({edge.name for edge in edges}))
                print(f"        {crate.where(edges[0].source.file, edges[0].line)}: {source} -> {target}: {names}")
    inside: dict[str, set[str]] = {}
    for (source, target), edges in verdict.edges.items():
        if edges[0].source.room == edges[0].target.room:
            inside.setdefault(source, set()).add(target)
    for way, *group in circles_in(inside):
        print(f"    circle of files: {way} (in it: {', '.join(group)})")
        for source, target in sorted((a, b) for a, b in verdict.edges if a in group and b in group):
            edges = verdict.edges[source, target]
            names = ", ".join(sorted({edge.name for edge in edges}))
            print(f"        {crate.where(edges[0].source.file, edges[0].line)}: {source} -> {target}: {names}")


def main(arguments: list[str]) -> int:
    tree, edges = "--tree" in arguments, "--edges" in arguments
    arguments = [a for a in arguments if a not in ("--tree", "--edges")]
    stated: Optional[Path] = None
    if "--direction" in arguments:
        at = arguments.index("--direction")
        stated = Path(arguments[at + 1])
        del arguments[at : at + 2]
    if not arguments or any(a.startswith("-") for a in arguments):
        print(__doc__, file=sys.stderr)
        return 2
    root = Path(arguments[0]).resolve()
    names = arguments[1:] or list(CRATES)
    breaches = breaches_in(root, stated or root / "ARCHITECTURE.md", names, tree, edges)
    print("\n".join(breaches) or "no breach")
    return 1 if breaches else 0


def breaches_in(root: Path, stated: Path, names: list[str], tree: bool = False, edges: bool = False) -> list[str]:
    breaches: list[str] = []
    try:
        statements = statements_in(stated)
    except Broken as error:
        return [str(error)]
    for name in names:
        try:
            crate = Crate(root, name)
        except Broken as error:
            breaches.append(str(error))
            continue
        verdict = check(crate, statements.get(name))
        if tree:
            print_tree(crate)
        if edges:
            print_edges(crate, verdict)
        if name not in statements:
            breaches.append(f"{stated.name}: states no direction of {name}")
        breaches += verdict.breaches
    return list(dict.fromkeys(breaches))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
