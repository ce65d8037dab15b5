"""Compares darkhorse's ids with those of the `tokenizers` package, over every assigned character and random mixtures.

  python tokenizer_compare.py BENCH_TOKENIZER TOKENIZER.json...

BENCH_TOKENIZER: the program of bench/bench_tokenizer.cc. Each tokenizer is also written back by darkhorse; the package must
read that file and give the same ids. Exit code 1 on a difference.
"""
import json
import random
import struct
import subprocess
import sys
import tempfile
import unicodedata

from tokenizers import Tokenizer


def darkhorse(program, path, texts):
    request = b"".join(struct.pack("<I", len(t.encode())) + t.encode() for t in texts)
    answer = subprocess.run([program, "ids", path], input=request, stdout=subprocess.PIPE, check=True).stdout
    pos = 0
    for _ in texts:
        (count,) = struct.unpack_from("<I", answer, pos)
        yield list(struct.unpack_from(f"<{count}i", answer, pos + 4))
        pos += 4 + 4 * count
        pos += 4 + struct.unpack_from("<I", answer, pos)[0]  # the decoded text, which the unit tests check


def every_character():
    for code in range(0x110000):
        if 0xD800 <= code < 0xE000:
            continue
        c = chr(code)
        if unicodedata.category(c) in ("Cn", "Co") and code % 37:
            continue
        yield f"a{c}b {c}{c}\n{c} 1{c}"


def mixtures(path, count):
    rng = random.Random(1)
    pools = ["abcdefgh ABC", " \t\n\r\u00a0\u3000\u200b\u180e\u0085\u2028\x0b\x0c\x1c", "0123456789٣४½Ⅷ",
             ".,;:!?-_()[]{}<>/\\|@#$%^&*~`+='\"“”…", "你好世界的日本語カタカナひらがな한국어", "éèñüçÅ",
             "e\u0301a\u0308o\u0323\u0302\u1100\u1161\u11a8\u0f71\u0f72", "😀👩‍👩‍👧🏽❤️🇩🇪", "'s'S't're'VE'll'ſ'K"]
    added = [t["content"] for t in json.load(open(path))["added_tokens"]]
    added = added[:3] + added[-20:] or ["<x>"]
    for _ in range(count):
        text = ""
        while rng.random() < 0.9:
            kind = rng.random()
            if kind < 0.06:
                text += rng.choice(added)
            elif kind < 0.1:
                text += chr(rng.choice([rng.randrange(0x20, 0x3000), rng.randrange(0xE000, 0x110000)]))
            elif kind < 0.25:
                text += " " * rng.randrange(1, 5)
            else:
                text += "".join(rng.choices(rng.choice(pools), k=rng.randrange(1, 12)))
        yield text


def main():
    program, paths = sys.argv[1], sys.argv[2:]
    differences = 0
    for path in paths:
        peer = Tokenizer.from_file(path)
        texts = list(every_character()) + list(mixtures(path, 20000))
        with tempfile.NamedTemporaryFile(suffix=".json") as rewritten:
            subprocess.run([program, "rewrite", path, rewritten.name], check=True)
            reread = Tokenizer.from_file(rewritten.name)
        bad = 0
        for text, ids in zip(texts, darkhorse(program, path, texts)):
            expected = peer.encode(text, add_special_tokens=False).ids
            if ids != expected or reread.encode(text, add_special_tokens=False).ids != expected:
                bad += 1
                if bad <= 8:
                    print(ascii(text), ids, expected)
        print(f"{path}: {len(texts)} texts, {bad} differ")
        differences += bad
    sys.exit(differences != 0)


if __name__ == "__main__":
    main()
