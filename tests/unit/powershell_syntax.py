"""PowerShell read by a parser of its grammar: the `param()` block of a script, and syntax that Windows PowerShell 5.1 does not have."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import tree_sitter
import tree_sitter_powershell

PARSER = tree_sitter.Parser(tree_sitter.Language(tree_sitter_powershell.language()))
# What only PowerShell 7 has: operators by their token, and parameters and variables that 5.1 does not know.
TOKENS = {"&&": "pipeline chain", "||": "pipeline chain", "??": "null coalescing", "??=": "null coalescing", "?.": "null conditional"}
TOKENS |= {"?[": "null conditional", "ternary_expression": "ternary"}
PARAMETERS = {"-asarray", "-enumsasstrings", "-ashashtable", "-parallel", "-datekind", "-throttlelimit", "-skipcertificatecheck"}
PARAMETERS |= {"-asbytestream", "-additionalchildpath", "-leafbase"}
# In code without strings and comments: what 5.1 takes for something else, or not at all.
ONLY_7 = {
    "binary number": re.compile(r"(?<![\w$.])0b[01]+\b", re.IGNORECASE),
    "suffix of a number": re.compile(r"(?<![\w$.-])(?:0x[0-9a-f]+|\d+)(?:u[lsy]?|[syn])(?!\w)", re.IGNORECASE),
    "background operator": re.compile(r"[^&\s]\s*&\s*$"),
    "clean block": re.compile(r"^\s*clean\s*\{", re.IGNORECASE),
    "-NoEnumerate of ConvertFrom-Json": re.compile(r"\bConvertFrom-Json\b[^|;]*-NoEnumerate\b", re.IGNORECASE),
}
ESCAPE = re.compile(r"`u\{")
VARIABLES = {"$psstyle", "$iswindows", "$islinux", "$ismacos", "$iscoreclr", "$psnativecommanduseerroractionpreference"}
ENCODINGS = {"utf8nobom", "utf8bom"}


@dataclass
class Declared:
    """One parameter of a `param()` block."""

    name: str
    type: str = ""
    mandatory: bool = False
    choices: list[str] = field(default_factory=list)


def tree(text: str) -> tree_sitter.Node:
    return PARSER.parse(text.encode()).root_node


def nodes(root: tree_sitter.Node) -> Iterator[tree_sitter.Node]:
    todo = [root]
    while todo:
        node = todo.pop()
        yield node
        todo += reversed(node.children)


def said(node: tree_sitter.Node) -> str:
    return (node.text or b"").decode()


def faults(text: str) -> list[str]:
    """What the grammar does not know, and what 5.1 does not have, each with its line."""
    found = []
    for node in nodes(tree(text)):
        line, word = node.start_point[0] + 1, said(node)
        if node.type == "ERROR" or node.is_missing:
            found.append(f"line {line}: no PowerShell: {word[:40]}")
        elif node.type in TOKENS:
            found.append(f"line {line}: {TOKENS[node.type]} ({word[:40]})")
        elif word.lower().rstrip(":") in {"command_parameter": PARAMETERS, "variable": VARIABLES}.get(node.type, ()):
            found.append(f"line {line}: only 7 has {word}")
        elif node.type == "generic_token" and word.lower() in ENCODINGS:
            found.append(f"line {line}: only 7 has the encoding {word}")
    # The grammar takes some of 7's operators for parts of words or of names.
    for number, code in enumerate(_code(text), 1):
        for token in ("??", "?.", "?["):
            if token in code and not any(f.startswith(f"line {number}:") for f in found):
                found.append(f"line {number}: {TOKENS[token]}")
        found += [f"line {number}: only 7 has it: {what}" for what, pattern in ONLY_7.items() if pattern.search(code)]
    found += [f"line {number}: only 7 has `u{{}}" for number, line in enumerate(text.splitlines(), 1) if ESCAPE.search(line)]
    return found


def _code(text: str) -> list[str]:
    """The lines without strings and comments."""
    data = bytearray(text.encode())
    for node in nodes(tree(text)):
        if node.type in ("comment", "string_literal", "expandable_string_literal", "verbatim_string_characters"):
            for at in range(node.start_byte, node.end_byte):
                if data[at] != ord("\n"):
                    data[at] = ord(" ")
    return data.decode(errors="replace").splitlines()


def declared(text: str) -> list[Declared] | None:
    """The script's own `param()` block; None where it has none."""
    blocks = [node for node in tree(text).children if node.type == "param_block"]
    if not blocks:
        return None
    return [_parameter(node) for node in nodes(blocks[0]) if node.type == "script_parameter"]


def _parameter(node: tree_sitter.Node) -> Declared:
    made = Declared(next(said(child).lstrip("$") for child in node.children if child.type == "variable"))
    for attribute in (one for one in nodes(node) if one.type == "attribute"):
        word = said(attribute)
        if attribute.children and attribute.children[0].type == "type_literal":
            made.type = word.strip("[]").lower() + ("[]" if word.endswith("[]]") else "")
        elif word.startswith("[Parameter"):
            made.mandatory = "Mandatory = $true" in word
        elif word.startswith("[ValidateSet"):
            made.choices = [said(one).strip("'") for one in nodes(attribute) if one.type == "string_literal"]
    return made
