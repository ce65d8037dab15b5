"""Compares darkhorse's ids with those of the `tokenizers` package, over every assigned character, random mixtures and given texts.

  python tokenizer_compare.py BENCH_TOKENIZER [--text FILE]... TOKENIZER.json...
  python tokenizer_compare.py BENCH_TOKENIZER --gguf BENCH_GGUF [--text FILE]... FILE.gguf[=PEER.json]...

BENCH_TOKENIZER, BENCH_GGUF: the programs of bench/bench_tokenizer.cc and bench_gguf.cc. Each tokenizer is also written back by
darkhorse; the package must read that file and give the same ids. Of a GGUF file the peer is the published tokenizer.json, where one
is given (less the added tokens that ours lacks), else its own arrays under the cut of its name (tokenizer_cuts.py). Texts are cut into documents of about 4 kB at newlines.
Exit code 1 on a difference.
"""
import argparse
import json
import random
import struct
import subprocess
import sys
import tempfile
import unicodedata

from tokenizers import Tokenizer

import tokenizer_cuts


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


def documents(path):
    with open(path, encoding="utf-8", errors="replace", newline="") as file:
        while lines := file.readlines(4096):
            yield "".join(lines)


def published(path, ours):
    """The file without the added tokens that ours lacks: a later model of the family may have more."""
    spec = json.load(open(path))
    have = {t["content"] for t in json.load(open(ours))["added_tokens"]}
    spec["added_tokens"] = [t for t in spec["added_tokens"] if t["content"] in have]
    return json.dumps(spec)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--gguf")
    parser.add_argument("--text", action="append", default=[])
    parser.add_argument("tokenizers", nargs="+")
    args = parser.parse_args()
    given = [d for path in args.text for d in documents(path)]
    differences = 0
    for name in args.tokenizers:
        path, _, peer_path = name.partition("=")
        with tempfile.NamedTemporaryFile(suffix=".json") as rewritten:
            if args.gguf:
                subprocess.run([args.gguf, "tokenizer", path, rewritten.name], check=True)
                peer = Tokenizer.from_str(published(peer_path, rewritten.name) if peer_path else tokenizer_cuts.of_gguf(path))
            else:
                subprocess.run([args.program, "rewrite", path, rewritten.name], check=True)
                peer = Tokenizer.from_file(path)
            reread = Tokenizer.from_file(rewritten.name)
            texts = list(every_character()) + list(mixtures(rewritten.name, 20000)) + given
            answers = list(darkhorse(args.program, rewritten.name if args.gguf else path, texts))
        bad = 0
        for text, ids in zip(texts, answers):
            expected = peer.encode(text, add_special_tokens=False).ids
            if ids != expected or reread.encode(text, add_special_tokens=False).ids != expected:
                bad += 1
                if bad <= 8:
                    print(ascii(text)[:200], ids[:40], expected[:40])
        size = sum(len(t.encode()) for t in texts)
        print(f"{name}: {len(texts)} texts, {size / 1e6:.1f} MB, {sum(map(len, answers))} tokens, {bad} texts differ")
        differences += bad
    sys.exit(differences != 0)


if __name__ == "__main__":
    main()
