"""Texts that act on a terminal, forge a line, or break out of Markdown and YAML: in names, labels and messages."""

_RANGES = [(0x00, 0x1F), (0x7F, 0x9F), (0x2028, 0x202E), (0x2066, 0x2069), (0xD800, 0xDFFF)]
CONTROLS = frozenset(chr(code) for first, last in _RANGES for code in range(first, last + 1))

FORGED = "hf-spam: error: forged"
STRANGE_NAMES = [
    f"a\n{FORGED}",
    f"a\r\n{FORGED}",
    f"a\r{FORGED}",
    f"a\x0b{FORGED}",
    f"a\x0c{FORGED}",
    f"a\x1c{FORGED}",
    f"a\x85{FORGED}",
    f"a\u2028{FORGED}",
    f"a\u2029{FORGED}",
    "a\x1b[2J\x1b[H",
    "a\x1b]0;title\x07",
    "a\x9b31m",
    "a\x1b[A\x1b[2K",
    "a\u202egnp.exe",
    "a\u2066b\u2069",
    "a\x7f\x08\x08",
    "a\x00b",
    "a\udc80b",
    "a" * 5000,
]

STRANGE_MARKUP = [
    "--- x: y",
    "\n---\nlicense: mit\n---\n",
    "---",
    "...",
    "`code`",
    "```\n# forged",
    "`` ` ``",
    "a | b | c",
    "<script>alert(1)</script>",
    "<!--",
    "[a](javascript:alert(1))",
    "![a](http://127.0.0.1/x.png)",
    "# heading",
    "\n## Results\n",
    "**bold** _it_ ~~x~~",
    "{{ config }}",
    "{% raw %}",
    "&lt;b&gt;",
    "\\",
    "$x$",
    ": {a: b}",
    "- a\n- b",
    "!!python/object:os.system",
    "&anchor *alias",
    "'\"",
    "",
    " ",
    *STRANGE_NAMES,
]
