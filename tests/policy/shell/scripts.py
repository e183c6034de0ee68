"""Random scripts that set and use variables in every way that could be misjudged."""

from __future__ import annotations

import re

from hypothesis import strategies as st

CHOICES = {
    "name": ["X", "Y", "Z", "IFS", "HOME"],
    "value": [
        "git", "'rm -rf'", '"$X"', "$Y", "${Z}", "a,b", "$(one)", "", "~", "'*'", '"$X-$Y"', "$((1+2))", "${X:-d}",
        "'a b'", "`two`", "${Y:=new}", "$HOME/x", "~/x", "{a,b}",
    ],
    "word": [
        "$X", '"$X"', "${Y}", '"$Y"', "$Z", "a$X", "$IFS", "x", "'y z'", "~/q", "$(three $X)", "{p,$X}", "${X:=w}",
        "$1", '"$@"', "$X$Y", "\\\n", "<(four)", "$((X=5))", "${X%t}", '"a${X}b"', "-n", "Z=$X", "n{1..2}",
    ],
    "program": ["foo", "bar", "$X", "fo\\o", '"baz"', "f", "g", "command foo", "! foo"],
    "simple": [
        "PROGRAM", "PROGRAM WORD", "PROGRAM WORD WORD", "NAME=VALUE", "NAME=VALUE", "NAME=VALUE NAME=VALUE",
        "NAME=VALUE PROGRAM WORD", "NAME+=VALUE", "export NAME=VALUE", "readonly NAME=VALUE", "declare NAME=VALUE",
        "local NAME=VALUE", "declare -i NAME=VALUE", "declare -r NAME=VALUE", "export -n NAME=VALUE", "unset NAME",
        "export NAME", "read NAME x", "let NAME=3", "printf -v NAME x", "read NAME <<< VALUE", "read NAME <<E\nq $X\nE",
        "((X=1))", "((Y++))", "[[ $X == git ]]", "[[ X=7 -eq 7 ]]", "[ -n x ]", "set -- a b", "declare -n X=Y",
        ": ${Z:=zz}", "true", "false", "{X}<&0", "exec 3>&1", "X[0]=e", "Y=(a b)", "trap 'X=t' EXIT", "eval X=ev",
        "getopts ab X", "mapfile X <<< q", "shopt -s lastpipe", "X=1 export Y", "break", "return", "wait -p X",
        "command read X <<< q", "readonly X", "X=q :", "command export X=q", "f VALUE", "unset -f f", "cd VALUE",
        "declare $(printf -- -u) NAME=VALUE",
    ],
    "compound": [
        "STATEMENT && STATEMENT", "STATEMENT || STATEMENT", "STATEMENT | STATEMENT", "STATEMENT; STATEMENT",
        "STATEMENT\nSTATEMENT", "STATEMENT & STATEMENT", "( STATEMENT )", "{ STATEMENT\n}",
        "if STATEMENT\nthen STATEMENT\nelse STATEMENT\nfi", "if STATEMENT\nthen STATEMENT\nfi",
        "if STATEMENT\nthen STATEMENT\nelif STATEMENT\nthen STATEMENT\nfi",
        "for NAME in VALUE VALUE; do STATEMENT\nSTATEMENT\ndone", "for ((i=0;i<2;i++)); do STATEMENT\ndone",
        "n=1; while [[ $n -lt 3 ]]; do n=$((n+1)); STATEMENT\nSTATEMENT\ndone",
        "case WORD in git) STATEMENT;; *) STATEMENT;; esac", "case WORD in git) STATEMENT;& *) STATEMENT;; esac",
        "f() { STATEMENT\n}", "g() { STATEMENT\n}", "f() ( STATEMENT )", "foo $( STATEMENT\n)",
        "foo <<E $X\n$( STATEMENT\n)\nE",
        "STATEMENT > /dev/null", "X=$( STATEMENT\n)", "until STATEMENT; do STATEMENT; break\ndone",
    ],
}  # fmt: skip


@st.composite
def statements(draw: st.DrawFn) -> str:
    """A few statements, filled in from templates."""

    def fill(template: str, depth: int) -> str:
        def chosen(match: re.Match[str]) -> str:
            kind = match.group().lower()
            if kind == "statement":
                kind = "compound" if depth and draw(st.booleans()) else "simple"
            return fill(draw(st.sampled_from(CHOICES[kind])), depth - (kind == "compound"))

        return re.sub(r"\b(?:NAME|VALUE|WORD|PROGRAM|STATEMENT)\b", chosen, template)

    return "\n".join(fill("STATEMENT", 2) for _ in range(draw(st.integers(1, 5)))) + "\n"
