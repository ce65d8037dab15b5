"""Writes src/text/new_characters.h: general categories of characters that Unicode 14 (Debian 12's PCRE2) does not know but
the `tokenizers` package does. Needs a Python with Unicode 14 (3.11) and `tokenizers`, whose regular expressions are asked."""
import os
import unicodedata

from tokenizers import Regex
from tokenizers.pre_tokenizers import Split

CATEGORIES = "Lu Ll Lt Lm Lo Mn Mc Me Nd Nl No Pc Pd Ps Pe Pi Pf Po Sm Sc Sk So Zs Zl Zp Cf".split()

assert unicodedata.unidata_version == "14.0.0", unicodedata.unidata_version
unassigned = "".join(chr(c) for c in range(0x110000) if not 0xD800 <= c < 0xE000 and unicodedata.category(chr(c)) == "Cn")
rows = []
for category in CATEGORIES:
    for piece, _ in Split(Regex("[^\\p{%s}]+" % category), "removed").pre_tokenize_str(unassigned):
        for character in map(ord, piece):
            if rows and rows[-1][0] == category and rows[-1][2] == character - 1:
                rows[-1][2] = character
            else:
                rows.append([category, character, character])
assert all(first >= 0x800 for _, first, last in rows), rows  # HasNewerCharacters() skips what is below
out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "src", "text", "new_characters.h")
with open(out, "w") as f:
    f.write(
        "// Characters that came after Unicode 14, which Debian 12's PCRE2 knows, and their general categories.\n"
        "// Written by tools/tokenizer_unicode_table.py.\n#pragma once\n\nnamespace darkhorse {\n\n"
        "struct NewCharacters {\n  char category[3];\n  int first;\n  int last;\n};\n\n"
        "// clang-format off\ninline constexpr NewCharacters kNewCharacters[] = {\n"
    )
    cells = ['{"%s", 0x%X, 0x%X},' % tuple(row) for row in rows]
    for i in range(0, len(cells), 3):
        f.write("    " + " ".join(cells[i : i + 3]) + "\n")
    f.write("};\n// clang-format on\n\n}  // namespace darkhorse\n")
