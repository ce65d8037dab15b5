"""Small random templates for template_compare.py: expressions and statements over variables of every kind of value."""
import random

VARIABLES = {
    "i": 7, "n": -3, "z": 0, "f": 2.5, "g": -0.5, "big": 12345678901234567890, "t": True, "u": False, "none_": None,
    "s": "Hello, World", "e": "", "w": "  a b\tc\n ", "uni": "Grüße 多 é'\"x", "html": "<a href=\"x\">'&'</a>", "num": "42", "path": "a/b/c",
    "l": [3, 1, 2], "ls": ["b", "A", "c", "a"], "mix": [1, "x", None, 2.5, True], "ll": [[1, 2], [3]], "el": [],
    "d": {"b": 1, "a": "x", "items": 5}, "ed": {}, "dd": {"k": {"x": [1, {"y": "z"}]}, "é": None},
    "rows": [{"n": "x", "v": 2, "on": True}, {"n": "Y", "v": 1, "on": False}, {"n": "z", "v": 2}],
}
NAMES = list(VARIABLES) + ["missing"]
STRINGS = ["''", "'a'", "' '", "'o'", "'/'", "'é'", "'x\\n'", "\"it's\"", "', '", "'Hello'", "'b'", "'AbC dEf'", "'<b>'", "'42.7'", "'0x1f'", "'{}'"]
NUMBERS = ["0", "1", "2", "3", "-1", "-2", "1.5", "0.1", "1e3", "10", "1_0", "0x1f"]
METHODS = ["strip({s})", "strip()", "lstrip()", "rstrip({s})", "split()", "split({s})", "split({s}, {k})", "rsplit({s}, 1)", "rsplit(None, 1)", "upper()", "lower()",
           "title()", "capitalize()", "startswith({s})", "endswith({s})", "startswith(({s}, {s}))", "replace({s}, {s})", "replace({s}, {s}, {k})", "find({s})", "rfind({s})",
           "count({s})", "join({e})", "splitlines()", "isdigit()", "isalpha()", "isupper()", "islower()", "isspace()", "items()", "keys()", "values()",
           "get({s})", "get({s}, {e})", "index({e})", "removeprefix({s})", "removesuffix({s})", "partition({s})", "rpartition({s})", "isalnum()", "format({e})"]
FILTERS = ["length", "count", "list", "first", "last", "join", "join({s})", "join({s}, attribute='n')", "upper", "lower", "title", "capitalize", "trim", "trim({s})", "tojson",
           "tojson(indent=2)", "tojson(sort_keys=true)", "tojson(separators=(',', ':'))", "tojson(ensure_ascii=true)", "string", "int", "int({k})", "float", "abs", "round",
           "round(1)", "round(1, 'floor')", "round(method='ceil')", "default({e})", "default({e}, true)", "d", "replace({s}, {s})", "indent", "indent(2, true)", "indent({s}, blank=true)",
           "sort", "sort(reverse=true)", "sort(attribute='v')", "sort(case_sensitive=true)", "sort(attribute='v,n')", "unique", "reverse", "dictsort", "dictsort(by='value')",
           "dictsort(reverse=true)", "items", "map('upper')", "map(attribute='n')", "map(attribute='v', default=0)", "select", "select('string')", "select('gt', 1)", "reject('none')",
           "selectattr('on')", "selectattr('v', 'equalto', 2)", "rejectattr('on')", "batch(2)", "batch(2, 'x')", "slice(2)", "sum", "sum(attribute='v')", "min", "max", "max(attribute='v')",
           "safe", "e", "escape", "string|truncate(5)", "string|truncate(5, true, '')", "attr({s})", "format({e})", "map('length')", "map('string')", "reject"]
TESTS = ["defined", "undefined", "none", "string", "number", "integer", "float", "boolean", "mapping", "sequence", "iterable", "true", "false", "odd", "even", "divisibleby(3)",
         "divisibleby 2", "in {e}", "in({e})", "eq {p}", "equalto({e})", "ne {p}", "gt {p}", "lt({e})", "ge 2", "le 2", "upper", "lower", "callable", "sameas true", "not none", "not defined", "escaped"]
BINARY = ["+", "-", "*", "/", "//", "%", "** 2 +", "~", "==", "!=", "<", "<=", ">", ">=", "in", "not in", "and", "or"]
WHITE = ["", " ", "\n", "  ", "\n  ", "x", " y\n", "\t", "\n\n", "<b>", "{", "}", "é"]


class Writer:
    def __init__(self, rng):
        self.rng = rng
        self.names = list(NAMES)

    def pick(self, items):
        return self.rng.choice(items)

    def fill(self, text, depth):
        while "{" in text and any(k in text for k in ("{s}", "{k}", "{e}", "{p}")):
            for key, make in (("{s}", lambda: self.pick(STRINGS)), ("{k}", lambda: self.pick(["0", "1", "2", "-1"])), ("{e}", lambda: self.expr(depth - 1)),
                              ("{p}", lambda: self.primary(depth - 1))):
                text = text.replace(key, make().replace("{", "\x01"), 1)
        return text.replace("\x01", "{")

    def primary(self, depth):
        kind = self.rng.random()
        if depth <= 0 or kind < 0.45:
            return self.pick([self.pick(self.names), self.pick(self.names), self.pick(STRINGS), self.pick(NUMBERS), self.pick(["true", "false", "none", "True", "None"])])
        if kind < 0.6:
            return f"({self.expr(depth - 1)})"
        if kind < 0.7:
            return "[" + ", ".join(self.expr(depth - 1) for _ in range(self.rng.randrange(4))) + "]"
        if kind < 0.75:
            return "(" + ", ".join(self.expr(depth - 1) for _ in range(self.rng.randrange(2, 4))) + self.pick(["", ","]) + ")"
        if kind < 0.83:
            return "{" + ", ".join(f"{self.pick(STRINGS + NUMBERS)}: {self.expr(depth - 1)}" for _ in range(self.rng.randrange(3))) + "}"
        if kind < 0.88:
            return self.pick(["range({k})", "range(1, 6, 2)", "range(3)", "dict(a=1, b={e})", "range(5, 0, -2)", "dict(d, c=2)"]).replace("{k}", self.pick(["0", "4"])).replace("{e}", self.pick(self.names))
        return f"({self.expr(depth - 1)})"

    def postfix(self, depth):
        text = self.primary(depth)
        while depth > 0 and self.rng.random() < 0.4:
            kind = self.rng.random()
            if kind < 0.35:
                text += "." + self.fill(self.pick(METHODS), depth)
            elif kind < 0.5:
                text += "." + self.pick(["a", "b", "k", "x", "n", "items", "é", "0", "upper"])
            elif kind < 0.75:
                text += "[" + self.pick([self.pick(NUMBERS), self.pick(STRINGS), "0", "1", "-1", "'a'", "'k'", self.expr(depth - 1)]) + "]"
            else:
                bound = lambda: self.pick(["", "", "1", "-1", "2", "-3", "100", "z", "i"])
                # Of a name: jinja2 folds constants before it renders, by other rules.
                text = text if text[0].isalpha() and text not in ("true", "false", "none", "True", "None") else self.pick(["l", "s", "uni"])
                text += f"[{bound()}:{bound()}" + (f":{self.pick(['', '2', '-1', '-2', '1'])}]" if self.rng.random() < 0.5 else "]")
        return text

    def unary(self, depth):
        text = self.pick(["", "", "", "", "", "-", "+"]) + self.postfix(depth)
        while depth > 0 and self.rng.random() < 0.3:
            if self.rng.random() < 0.75:
                text += self.pick([" | ", "|"]) + self.fill(self.pick(FILTERS), depth)
            else:
                text += " is " + self.fill(self.pick(TESTS), depth)
        return text

    def expr(self, depth):
        if depth <= 0:
            return self.primary(0)
        kind = self.rng.random()
        if kind < 0.5:
            return self.unary(depth)
        if kind < 0.88:
            text = self.unary(depth - 1)
            for _ in range(self.pick([1, 1, 1, 2, 3])):
                text += f" {self.pick(BINARY)} {self.unary(depth - 1)}"
            return text
        if kind < 0.93:
            return "not " + self.unary(depth - 1)
        return f"{self.expr(depth - 1)} if {self.unary(depth - 1)}" + self.pick(["", f" else {self.expr(depth - 1)}"])

    def tag(self, inside, kind="%"):
        close = "%" if kind == "%" else "}"
        begin, end = ("{%", "%}") if close == "%" else ("{{", "}}")
        return begin + self.pick(["", "", "", "-", "+"] if kind == "%" else ["", "", "-"]) + " " + inside + " " + self.pick(["", "", "", "-", "+"] if kind == "%" else ["", "", "-"]) + end

    def block(self, depth, loop=False):
        return "".join(self.statement(depth, loop) + self.pick(WHITE) for _ in range(self.rng.randrange(1, 4)))

    def statement(self, depth, loop):
        kind = self.rng.random()
        if depth <= 0 or kind < 0.4:
            inside = self.expr(self.pick([0, 0, 1, 1, 2]))
            if loop and self.rng.random() < 0.4:
                inside = "loop." + self.pick(["index", "index0", "first", "last", "length", "revindex", "revindex0", "previtem", "nextitem", "cycle('a', 'b')", "depth"])
            return self.tag(inside, "{")
        if kind < 0.52:
            name = self.pick(["v1", "v2", "s", "l"])
            text = self.tag(f"set {name} = {self.expr(1)}")
            self.names.append(name)
            return text
        if kind < 0.64:
            middle = self.pick(["", self.tag(f"elif {self.expr(1)}") + self.block(depth - 1, loop)]) + self.pick(["", self.tag("else") + self.block(depth - 1, loop)])
            return self.tag(f"if {self.expr(1)}") + self.block(depth - 1, loop) + middle + self.tag("endif")
        if kind < 0.8:
            target, over = self.pick([("x", self.pick(["l", "ls", "s", "mix", "rows", "d", "el", "ll", "range(3)"])), ("k, v", self.pick(["d.items()", "d|dictsort", "dd|items", "ll"])), ("x", self.expr(1))])
            filtered = self.pick(["", "", f" if {self.expr(1)}"])
            self.names += ["x", "k"]
            inner = self.block(depth - 1, True) + self.pick(["", "", self.tag(f"if {self.expr(1)}") + self.tag(self.pick(["break", "continue"])) + self.tag("endif")])
            return self.tag(f"for {target} in {over}{filtered}") + inner + self.pick(["", self.tag("else") + self.block(depth - 1)]) + self.tag("endfor")
        if kind < 0.85:
            name = self.pick(["m1", "m2"])
            text = self.tag(f"macro {name}(p, q={self.expr(1)})") + self.tag("p", "{") + self.block(depth - 1) + self.tag("q", "{") + self.tag("endmacro")
            return text + self.tag(f"{name}({self.pick(['', self.expr(1), self.expr(1) + ', ' + self.expr(1), 'q=' + self.expr(1)])})", "{")
        if kind < 0.9:
            return self.tag(f"set ns = namespace(a={self.expr(1)}, b=1)") + self.tag(f"for x in l") + self.tag("set ns.a = " + self.pick(["ns.a ~ x", "x", "ns.b + x"])) + self.tag("endfor") + self.tag("ns.a", "{")
        if kind < 0.93:
            return self.tag(self.pick(["set v1", "set v1 | upper", "set v1 | trim | length"])) + self.block(depth - 1) + self.tag("endset") + self.tag("v1", "{")
        if kind < 0.95:
            return self.tag("filter " + self.pick(["upper", "trim", "replace('a', 'b')", "indent(2)"])) + self.block(depth - 1) + self.tag("endfilter")
        if kind < 0.97:
            return self.tag(f"with w1 = {self.expr(1)}, s = 'in'") + self.tag("w1", "{") + self.block(depth - 1) + self.tag("endwith")
        return self.pick(["{# c #}", "{#- c -#}", "{% raw %} {{ x }} {% endraw %}", "{%- raw -%} {% x {%- endraw -%}", self.tag("generation") + self.block(depth - 1) + self.tag("endgeneration"),
                          self.tag("macro box(t)") + "[" + self.tag("caller(t)", "{") + "]" + self.tag("endmacro") + self.tag(f"call(y) box({self.expr(1)})") + self.tag("y", "{") + self.tag("endcall")])


def requests(count, seed):
    rng = random.Random(seed)
    for _ in range(count):
        writer = Writer(rng)
        if rng.random() < 0.5:
            source = "{{ " + writer.expr(rng.choice([1, 1, 1, 2, 2, 3])) + " }}"
        else:
            source = rng.choice(WHITE) + writer.block(2)
        yield {"template": source, "messages": [], "variables": VARIABLES}
