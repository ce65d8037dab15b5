#!/usr/bin/env python3
"""README.md and README.zh.md tell the same: section by section, the same code, links, rows and figures.

Each language may word a figure its way: `two` is 2 and 两, `3.7 million` is 3.7M and 370 万, `2×` is 2 倍.
Figures of a section keep their order. Words such as `half` or 三 are not read: what is to be checked is in digits."""

import collections
import decimal
import functools
import itertools
import pathlib
import re
import unittest

ROOT = pathlib.Path(__file__).resolve().parent.parent
FILES = ("README.md", "README.zh.md")

# No `one` and 一, which are articles and pronouns more often than figures.
WORDS = dict(zip("two three four five six seven eight nine ten eleven twelve".split(), range(2, 13)),
             sixteen=16, twenty=20, thirty=30, forty=40, fifty=50, a=1, 两=2)
SCALES = {"thousand": 3, "million": 6, "thousand million": 9, "billion": 9, "M": 6, "B": 9, "万": 4, "亿": 8}
UNITS = {"times": "×", "倍": "×", "min": "min", "分": "min", "s": "s", "秒": "s", "day": "days", "days": "days",
         "天": "days", "%": "%", "×": "×", "GiB": "GiB", "MiB": "MiB"}
UNIT = "|".join(key.replace(" ", r"\s+") for key in sorted({**SCALES, **UNITS}, key=len, reverse=True))
WORD = "|".join(rf"(?<![A-Za-z])(?i:{word})(?![A-Za-z])" for word in WORDS if word not in ("a", "两"))
NUMBER = (r"((?:±\s?|(?<!\w)[+−-])?)"
          rf"(\d+(?:,\d{{3}})*(?:\.\d+)?|两|{WORD}|(?<![A-Za-z])[Aa](?=\s(?:thousand|million|billion)\b))"
          rf"(?:\s?((?!分钟)(?:{UNIT})(?![A-Za-z])))?")


def figure(match):
    sign, digits, unit = match.groups(default="")
    digits, unit = digits.replace(",", "").lower(), " ".join(unit.split())
    digits = str(WORDS.get(digits, digits))
    if unit in SCALES:
        digits = f"{int(decimal.Decimal(digits).scaleb(SCALES[unit])):,}"
    return sign.strip().replace("−", "-") + digits + UNITS.get(unit, "")


@functools.cache
def facts(text):
    """What must agree, as {(section, kind): [(line, value)]}. A heading belongs to the section it begins."""
    found = collections.defaultdict(list)
    sections = [match.start() for match in re.finditer(r"^#+ ", text, re.M)]

    def take(kind, pattern, value, hide=False):
        nonlocal text
        for match in re.finditer(pattern, text, re.M):
            section = sum(start <= match.start() for start in sections)
            found[section, kind].append((text.count("\n", 0, match.start()) + 1, value(match)))
        if hide:  # what is code or an address is no figure
            text = re.sub(pattern, lambda match: re.sub(r"[^\n]", "\0", match[0]), text, flags=re.M)

    take("code", r"^(?:    |\t).*\S", lambda match: match[0], hide=True)
    take("span", r"`[^`]+`", lambda match: " ".join(match[0].split()), hide=True)
    take("link", r"\]\((?!README(?:\.zh)?\.md\)).*?\)", lambda match: match[0][1:], hide=True)
    take("heading", r"^#+ ", lambda match: match[0])
    take("item", r"^(?:-|\d+\.) ", lambda match: match[0])
    take("row", r"^\|.*", lambda match: f"of {match[0].count('|') - 1} columns")
    take("figure", NUMBER, figure)
    return found


def differences(*texts):
    """For each section and kind of fact that differ, a line: where they first do, and what each file has there."""
    both, told = [facts(text) for text in texts], []
    kinds = sorted({*both[0], *both[1]})
    headings = [key for key in kinds if key[1] == "heading"]
    if any((key in both[0]) != (key in both[1]) for key in headings):
        kinds = headings  # no section has its counterpart
    for section, kind in kinds:
        lists = [found.get((section, kind), []) for found in both]
        if kind == "span":  # their order is the language's; what both have cancels out
            counts = [collections.Counter(value for _, value in each) for each in lists]
            lists = [[item for item in lists[i] if counts[i][item[1]] > counts[1 - i][item[1]]] for i in (0, 1)]
        for pair in itertools.zip_longest(*lists, fillvalue=(None, None)):
            if pair[0][1] != pair[1][1]:
                told.append(" but ".join(f"{name}:{line} has {kind} {value}" if line else f"{name} has no such {kind}"
                                         for name, (line, value) in zip(FILES, pair)))
                break
    return told


class Readme(unittest.TestCase):
    def test_both_languages_tell_the_same(self):
        english, chinese = ((ROOT / name).read_text(encoding="utf-8") for name in FILES)
        if told := differences(english, chinese):
            self.fail("\n".join(told))
        self.assertIn("[中文](README.zh.md)", english)
        self.assertIn("[English](README.md)", chinese)

    def test_any_digit_changed_is_told_with_its_line(self):
        for name in FILES:
            text = (ROOT / name).read_text(encoding="utf-8")
            for match in re.finditer(r"\d+", text):
                changed = text[:match.end() - 1] + str(9 - int(match[0][-1])) + text[match.end():]
                line = text.count("\n", 0, match.start()) + 1
                with self.subTest(file=name, line=line, number=match[0]):
                    self.assertIn(f"{FILES[1]}:{line} ", "\n".join(differences(text, changed)))

    def test_each_language_words_a_figure_its_way(self):
        for english, chinese in (("Two of ten", "两个,共 10 个"), ("3.7 million", "370 万"),
                                 ("3.7 million", "3.7M"), ("a thousand million", "10 亿"),
                                 ("2× and 3 times", "2 倍和 3 倍"),
                                 ("± 0.5, -1, 10–14 %", "±0.5、−1、10–14%"), ("3 min 21 s", "3 分 21 秒"),
                                 ("ten minutes", "10 分钟"), ("`b` before `a`", "`a` 先于 `b`"),
                                 ("2,000 on AVX-512", "2000,AVX-512"), ("one, often", "一")):
            self.assertEqual(differences(english, chinese), [])

    def test_what_differs_is_told(self):
        for english, chinese, kinds in (
                ("thirty steps", "40 步", ["figure"]), ("0.80", "0.8", ["figure"]), ("±1", "1", ["figure"]),
                ("-1", "1", ["figure"]), ("14 %", "14", ["figure"]), ("1.8 M", "1.8 万", ["figure"]),
                ("2×", "2", ["figure"]), ("1 2", "2 1", ["figure"]), ("5 ", "", ["figure"]),
                ("3 min", "3 秒", ["figure"]), ("two days", "2", ["figure"]), ("# a 1\n", "1\n# a", ["figure"] * 2),
                ("`a --x`", "`a --y`", ["span"]), ("`a`", "`a` `a`", ["span"]), ("    a 1", "    a 2", ["code"]),
                ("[x](a.md)", "[x](b.md)", ["link"]), ("![x](a.svg)", "", ["link"]), ("|a|b|", "|a|", ["row"]),
                ("|a|\n|b|", "|a|", ["row"]), ("# a\n# b 1", "# a\n1", ["heading"]), ("- a\n- b", "- a", ["item"])):
            told = differences("\n" + english, "\n\n" + chinese)
            self.assertEqual([re.search(r" (?:has|such) (?:no such )?(\w+)", line)[1] for line in told], kinds, told)
        self.assertEqual(differences("a\n1 2\n3", "4\n2 3"),
                         ["README.md:2 has figure 1 but README.zh.md:1 has figure 4"])


if __name__ == "__main__":
    unittest.main()
