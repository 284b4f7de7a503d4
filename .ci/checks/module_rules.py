"""Modules and their direction: module_rules.py ROOT [--tree] [--edges], with the packages of requirements.txt.

Finds the file that defines the name of each `use` and of each path in code. Exits with status 1 if a rule is broken:

* An import names the module that defines the name, not lib.rs and not a module that only imports the name itself.
* Only test code imports test-only modules. Code is test-only if its `cfg` holds in no ordinary build.
* Rooms (top-level modules) depend on each other in the direction that ARCHITECTURE.md states, and in no circle.
* The files of a room depend on each other in no circle.

ARCHITECTURE.md has a block for each crate:

    ```direction clws-server
    server -> driver handler -> connection      # layers from top to bottom, each with its rooms
        -> guard time                           # a room may use its own layer and the layers below
    exception: connection -> driver::state: why # allows this dependency; both sides are rooms or files
    circle: driver: why                         # allows the files of this room to depend on each other in a circle
    face: net::poll: why                        # allows imports of the names that this module re-exports
    ```

An exception that nothing needs is a breach. No rule applies to lib.rs, which re-exports for users. Only the rule about
lib.rs applies to test-only code. --tree prints all files with their lines, --edges the rooms that each room uses.
"""

from __future__ import annotations

import graphlib
import re
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Optional

import tree_sitter_rust
from tree_sitter import Language, Node, Parser

ABSENT = {"test", "fuzzing", "doctest", "shuttle", "loom", "doc"}  # these conditions hold in no ordinary build
PARSER = Parser(Language(tree_sitter_rust.language()))
SKIPPED = {"line_comment", "block_comment", "lifetime", "visibility_modifier"}
WORDS = {"identifier", "type_identifier", "field_identifier", "crate", "self", "super", "metavariable"}
ITEM = re.compile(r"(struct|enum|union|trait|type|function|const|static)_item|macro_definition")
PATH = re.compile(rb"\$?\w+(\s*::\s*(r#)?[A-Za-z_]\w*)+")
Exemption = tuple[str, str, str]  # kind, source, target
Edge = tuple["Module", "Module", str, str]  # source, target, file and line, name


class Reference(NamedTuple):
    """A path in a `use` or in code."""

    path: list[str]
    line: int
    module: Module
    tested: bool
    name: str = ""  # the name that a `use` gives it, "*" for all names
    public: str = ""  # "", "pub", "pub(crate)" and the like


class Module:
    def __init__(self, path: tuple[str, ...], file: Path, parent: Optional[Module], inline: bool = False) -> None:
        self.path, self.file, self.parent = path, file, parent
        self.own_file: Module = parent.own_file if parent and inline else self
        self.name, self.room, self.tested = "::".join(path) or "lib.rs", (*path, "")[0], True
        self.items: dict[str, bool] = {}  # name, and whether only tests have it
        self.children: dict[str, Module] = {}
        self.uses: list[Reference] = []
        self.words: set[str] = set()  # names in the ordinary code of this file, without its `use` lines


def within(module: Module, stated: str) -> bool:
    return f"{module.name}::".startswith(f"{stated}::")


def text_of(node: Optional[Node]) -> str:
    return "".join((node.text or b"").decode().replace("r#", "").split()) if node else ""


def conditions(tree: Node) -> list[tuple[bool, bool]]:
    """For each condition in the parentheses of a `cfg`: whether it may hold, and whether it may fail."""
    found: list[tuple[bool, bool]] = []
    for node in tree.named_children:
        if node.type == "identifier":
            word = text_of(node)
            found.append((word not in ABSENT, True))
        elif node.type == "token_tree":
            holds, fails = zip(*conditions(node))
            both = {"not": (fails[0], holds[0]), "all": (all(holds), any(fails)), "any": (any(holds), all(fails))}
            found[-1] = both[word]
    return found


def leaves(node: Node, before: list[str]) -> Iterator[tuple[list[str], str, int]]:
    """The leaves of a `use`: path, the name that it gets (or "*"), line."""
    start, names = node.child_by_field_name("path"), node.child_by_field_name("list") or node
    if names.type == "use_list":
        for leaf in (leaf for leaf in names.named_children if leaf.type not in SKIPPED):
            yield from leaves(leaf, before + (text_of(start).split("::") if start else []))
        return
    wild, renamed = node.type == "use_wildcard", node.child_by_field_name("alias")
    named = [*node.named_children, None][0] if wild else start if renamed else node
    path = before + (text_of(named).split("::") if named else [])
    path = path[:-1] if path[-1] == "self" and len(path) > 1 else path
    yield path, "*" if wild else text_of(renamed) or path[-1], node.end_point.row + 1


class Crate:
    """The modules of one crate and the paths in them."""

    def __init__(self, base: Path, name: str) -> None:
        self.source, self.base = base / name / "src", base
        self.references: list[Reference] = []
        self.files: dict[Path, Module] = {}
        self.root = Module((), self.source / "lib.rs", None)
        self.read(self.root, False)
        for file in sorted(set(self.source.rglob("*.rs")) - set(self.files)):
            raise ValueError(f"{file.relative_to(base)}: no `mod` line leads to this file")

    def where(self, file: Path, line: int) -> str:
        return f"{file.relative_to(self.base)}:{line}"

    def read(self, module: Module, tested: bool) -> None:
        self.files[module.file] = module
        source = module.file.read_bytes()
        self.walk(PARSER.parse(source).root_node, source, module, tested, "items")

    def is_absent(self, attribute: Node, module: Module) -> bool:
        """Whether the attribute excludes its item from every ordinary build."""
        head, *rest = attribute.named_children[0].named_children
        if text_of(head) == "path":
            raise ValueError(f"{self.where(module.file, attribute.start_point.row + 1)}: `#[path]` hides where a module is")
        return not conditions(rest[0])[0][0] if text_of(head) == "cfg" else text_of(head) == "test" and not rest

    def walk(self, node: Node, source: bytes, module: Module, tested: bool, level: str) -> None:
        """`level` is "items" at the top of a module, "code" in the body of an item, and "macro" in a `macro_rules!`."""
        module.tested = module.tested and (tested or level != "items")
        absent, leading = False, node.parent is not None
        for child in node.children:
            # Some valid code is an error for this grammar, such as an attribute in a pattern. It hides no name.
            lost = rb"\b(use|mod|struct|enum|fn|trait|impl)\b" + (rb"|}" if level == "items" else b"")
            if child.is_error and re.search(lost, child.text or b""):
                raise ValueError(f"{self.where(module.file, child.start_point.row + 1)}: this cannot be parsed")
            if child.type == "inner_attribute_item" or child.type == "attribute_item" and leading:
                tested = tested or self.is_absent(child, module)
                module.tested = module.tested or tested and level == "items"
            elif child.type == "attribute_item":
                absent = absent or self.is_absent(child, module)
            elif child.type == "token_tree" and child.prev_sibling and child.prev_sibling.type == "#":
                absent = absent or self.is_absent(PARSER.parse(b"#" + (child.text or b"")).root_node.children[0], module)
            elif child.type not in SKIPPED:
                self.visit(child, source, module, tested or absent, level)
                ends = node.type != "token_tree" or child.type in (";", "token_tree") and (child.text or b"")[:1] in b";{"
                absent, leading = absent and not ends, False

    def visit(self, node: Node, source: bytes, module: Module, tested: bool, level: str) -> None:
        name, line = text_of(node.child_by_field_name("name")), node.start_point.row + 1
        if node.type == "use_declaration":
            public = "".join(text_of(child) for child in node.children if child.type == "visibility_modifier")
            for path, name, line in leaves(node.child_by_field_name("argument") or node, []):
                module.uses.append(Reference(path, line, module, tested, name, public))
                self.references.append(module.uses[-1])
        elif node.type == "mod_item" and level == "items":
            body = node.child_by_field_name("body")
            places = self.source.joinpath(*module.path, f"{name}.rs"), self.source.joinpath(*module.path, name, "mod.rs")
            file = module.file if body else next((file for file in places if file.is_file()), None)
            if file is None:
                raise ValueError(f"{self.where(module.file, line)}: there is no file for `mod {name}`")
            child = module.children.setdefault(name, Module((*module.path, name), file, module, body is not None))
            if body:
                self.walk(body, source, child, tested, level)
            elif file not in self.files:
                self.read(child, tested)
        elif node.type == "macro_invocation" and level == "items":  # `thread_local!` and the like define items
            self.visit(node.children[0], source, module, tested, "code")
            tree = node.children[-1]
            source = b"\n" * tree.start_point.row + (tree.text or b"")[1:-1]
            self.walk(PARSER.parse(source).root_node, source, module, tested, level)
        elif node.children:
            if level == "items" and ITEM.fullmatch(node.type):
                module.items[name] = module.items.get(name, True) and tested
            inner = "macro" if node.type == "macro_definition" else "code" if level == "items" else level
            self.walk(node, source, module, tested, inner)
        elif node.type in WORDS:
            module.own_file.words |= set() if tested else {text_of(node)}
            found = PATH.match(source, node.start_byte)
            goes_on = node.prev_sibling is not None and node.prev_sibling.type in ("::", ".")
            # In a macro, only `$crate` has the same meaning wherever the macro is called.
            if found and not goes_on and (level == "macro") == (text_of(node) == "$crate"):
                path = [name.strip().removeprefix("r#") for name in found[0].decode().removeprefix("$").split("::")]
                self.references.append(Reference(path, line, module, tested))

    def resolve(self, path: list[str], at: Module, tested: bool) -> tuple[str, Module, str, str]:
        """Follows a path to the first name that is no module. Returns whether that is an "item", a "module", "extern",
        imported ("through") or "unknown"; the module that has or lacks the name; the name; a better path."""
        first, *rest = path
        if first in ("crate", "self", "super"):
            at, rest = self.root if first == "crate" else at, path if first == "super" else rest
            while rest[:1] == ["super"] and at.parent:
                at, rest = at.parent, rest[1:]
        elif first in at.children or first in at.items:
            rest = path
        else:
            use = self.import_of(first, at, tested)
            if use is None or use.name == "*" or use.path[0] == first:
                return "extern", at, first, "::".join(path)
            return self.resolve([*use.path, *rest], at, tested)
        while rest and rest[0] in at.children and (rest[1:] or rest[0] not in at.items):
            at, rest = at.children[rest[0]], rest[1:]
        name, better = "".join(rest[:1]), "::".join(("crate", *at.path, *rest[:1]))
        if not name or name in at.items:
            return "item" if name else "module", at, name, better
        use = self.import_of(name, at, tested)
        if use is None:
            return "unknown", at, name, better
        kind, *_, better = self.resolve(use.path, at, True) if use.name != "*" else ("", "its definition")
        return "item" if kind == "extern" and use.public and at is not self.root else "through", at, name, better

    def import_of(self, name: str, module: Module, tested: bool) -> Optional[Reference]:
        uses = [use for use in module.uses if use.name in (name, "*") and (tested or not use.tested)]
        return min(uses, key=lambda use: use.name == "*", default=None)

    def check_references(self, faces: list[str]) -> tuple[list[str], list[Edge]]:
        """The breaches of the rules about imports, and the dependencies between files."""
        breaches: list[str] = []
        edges: list[Edge] = []
        for path, line, module, tested, imported, public in self.references:
            home, tested = module.own_file, tested or module.tested
            kind, target, name, better = self.resolve(path, module, tested)
            # The import of an item is checked already. This checks a path through an imported module.
            if not imported and path[0] not in ("crate", "self", "super"):
                kind = kind if self.resolve(path[:1], module, tested)[0] == "module" else "extern"
            file, where = target.own_file, self.where(module.file, line)
            what = f"{where}: `{'::'.join(path)}`"
            if home in (self.root, file) or kind == "extern" or tested and (kind, file) != ("through", self.root):
                continue
            if file is self.root and kind == "through":
                breaches.append(f"{what} goes through lib.rs, which is for users: write `{better}`")
            elif file is self.root and kind == "item":
                breaches.append(f"{what} is defined in lib.rs: move it to a module")
            elif kind == "unknown":
                breaches.append(f"{what}: no `{name}` is found in {target.name}")
            elif kind == "through" and file.name not in faces:
                breaches.append(f"{what} goes through {file.name}, which does not define it: write `{better}`")
            elif target.tested or target.items.get(name):
                breaches.append(f"{what} is for tests only: gate this line with `#[cfg(test)]`, or move it")
            elif kind == "module" and imported == "*":
                breaches.append(f"{what}: `*` hides what is imported: name it")
            # A name that is re-exported for users is a dependency only if the code of this file uses it.
            elif kind != "module" and (public != "pub" or imported in home.words):
                edges.append((home, file, where, name))
        return breaches, edges


def statement_in(file: Path, crate: str) -> tuple[list[list[str]], list[Exemption]]:
    """The layers and the exemptions of the crate."""
    blocks = re.findall(rf"^```direction +{crate}\n(.*?)^```", file.read_text(encoding="utf-8"), re.M | re.S)
    layers, exemptions = "", []
    for line in "".join(blocks).splitlines():
        stated = re.match(r"\s*(?:(exception): *([\w:]+) *-> *([\w:]+)|(circle|face): *([\w:]+)()) *: *\S", line)
        if stated:
            exemptions.append((stated[1] or stated[4], stated[2] or stated[5], stated[3] or ""))
        elif re.match(r"\s*\w+:", line):
            raise ValueError(f"{file.name}: write `exception: a -> b: reason`, `circle: a: reason` or `face: a: reason`")
        layers += "" if stated else " " + re.sub(r"#.*", "", line)
    if len(blocks) != 1:
        raise ValueError(f"{file.name}: states {len(blocks)} directions of {crate}")
    return [layer.replace(",", " ").split() for layer in layers.split("->")], exemptions


def circle_in(kind: str, edges: list[tuple[str, str, Edge]]) -> list[str]:
    graph: graphlib.TopologicalSorter[str] = graphlib.TopologicalSorter()
    for source, target, _ in edges:
        graph.add(source, target)
    try:
        graph.prepare()
    except graphlib.CycleError as error:
        way: list[str] = error.args[1][::-1]
        steps = [next(edge for *ends, edge in edges if ends == [*step]) for step in zip(way, way[1:])]
        return [f"{kind} in a circle: {' -> '.join(way)}: " + "; ".join(f"{step[2]} uses `{step[3]}`" for step in steps)]
    return []


def judge(crate: Crate, layers: list[list[str]], exemptions: list[Exemption]) -> tuple[list[str], list[Edge]]:
    layer_of = {room: n for n, layer in enumerate(layers) for room in layer}
    of_kind = {kind: [pair for k, *pair in exemptions if k == kind] for kind in ("exception", "circle", "face")}
    breaches, edges = crate.check_references([source for source, _ in of_kind["face"]])
    judged = [e for e in edges if not any(within(e[0], a) and within(e[1], b) for a, b in of_kind["exception"])]
    for source, target, where, name in judged:
        if layer_of.get(target.room, len(layers)) < layer_of.get(source.room, 0):
            breaches.append(f"{where}: {source.name} uses `{name}` of {target.name}, against the direction")
    inside = [e for e in judged if e[0].room == e[1].room and [e[0].room, ""] not in of_kind["circle"]]
    breaches += circle_in("rooms", [(e[0].room, e[1].room, e) for e in judged if e[0].room != e[1].room])
    return breaches + circle_in("files", [(e[0].name, e[1].name, e) for e in inside]), edges


def breaches_in(root: Path, stated: Path, name: str, tree: bool = False, show_edges: bool = False) -> list[str]:
    try:
        crate, (layers, exemptions) = Crate(root, name), statement_in(stated, name)
    except ValueError as error:
        return [str(error)]
    for file, module in sorted(crate.files.items()) if tree else ():
        label = "    " * len(module.path) + file.relative_to(crate.source).as_posix()
        print(f"{label:<60}{file.read_bytes().count(10):>5}{'  test' if module.tested else ''}")
    breaches, edges = judge(crate, layers, exemptions)
    for exemption in exemptions:
        if set(judge(crate, layers, [e for e in exemptions if e != exemption])[0]) <= set(breaches):
            breaches.append(f"{stated.name}: nothing needs `{exemption[0]}: {' -> '.join(filter(None, exemption[1:]))}`")
    rooms = {module.room for module in crate.files.values() if not module.tested and module.room}
    listed = Counter(room for layer in layers for room in layer)
    for room in sorted({*rooms, *listed}):
        if (room in rooms, listed[room]) != (True, 1):
            breaches.append(f"{stated.name}: the room `{room}` of {name} needs one layer and a file")
        if show_edges:
            uses = Counter(target.room for source, target, *_ in edges if source.room == room != target.room)
            print(f"{name}: {room} -> {', '.join(f'{to} ({n})' for to, n in sorted(uses.items())) or '(none)'}")
    return list(dict.fromkeys(breaches))


if __name__ == "__main__":
    base, crates = Path(sys.argv[1]).resolve(), ("clws-proto", "clws-handshake", "clws-server")
    options = "--tree" in sys.argv, "--edges" in sys.argv
    problems = [line for crate in crates for line in breaches_in(base, base / "ARCHITECTURE.md", crate, *options)]
    print("\n".join(problems) or "no breach")
    sys.exit(bool(problems))
