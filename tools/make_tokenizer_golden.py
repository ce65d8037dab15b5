"""Writes tests/golden/tokenizer_ids.json: texts and their ids by the `tokenizers` package, for the published tokenizers.

  python make_tokenizer_golden.py SHARED_DIR   (it holds data/tokenizers/{deepseek_v3,qwen3}/tokenizer.json)

Also small tokenizers written by hand, one for each feature of the format that the published ones lack, with their ids.
"""
import json
import os
import random
import sys

from tokenizers import Tokenizer, pre_tokenizers

TEXTS = [
    "",
    " ",
    "Hello, world! It's 3:45pm; we'll pay $1,234.56 (or €99).",
    "def f(x: int) -> int:\n    \"\"\"Doc.\"\"\"\n\treturn x**2 + 0x1F  # comment\n\n\nif __name__ == '__main__':\n    print(f'{f(3)!r}')\r\n",
    "#include <vector>\nstd::vector<std::pair<int,int>> v{{1,2},{3,4}};\nfor (auto& [a, b] : v) a <<= b;\n",
    "SELECT * FROM t WHERE a_b='x''y' AND c>=10;--done\n",
    "你好，世界！这是一个测试。混合English和数字12345。",
    "日本語のテキスト、カタカナとひらがな。東京タワー2024年",
    "한국어 텍스트 처리 시험 ㄱㄴㄷ",
    "Привет, мир! Ещё раз: ёлка",
    "مرحبا بالعالم ١٢٣ שלום עולם नमस्ते दुनिया สวัสดี",
    "😀😃👩‍👩‍👧‍👦👍🏽❤️🇩🇪🏴󠁧󠁢󠁥󠁮󠁧󠁿 ok",
    "e\u0301 é a\u0308\u0323 ạ̈ \u1100\u1161\u11a8 각 \u212b \u0344 q\u0307\u0323 \u0f71\u0f72\u0f80 \ufb01 ﷺ",
    "\u0301start with a mark, \u200d joiners \u200b\ufeff and \u00ad soft hyphens",
    "12345678901234567890 3.14159265358979 1e-10 ½ Ⅷ ४५६ ²³ 1,000,000 007",
    "a  b   c    d\t\te\n\n\nf \n g  \r\n\r\n  h\u00a0i\u3000j\u2028k\u0085l\x0bm\x0cn\u180eo   ",
    "   \n   \n\n   leading and trailing   \n",
    "'s 'S 't're'VE'll'D 'ſ 'M it's IT'S",
    "https://example.org/a/b?c=d&e=f#g user@example.org C:\\path\\file.txt ../../x",
    "~~~~~ ----- ===== ..... !!!!! ????? ///// \\\\\\\\ []{}()<> `code` ```py\n```",
    "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa",
    "ACGTACGTTAGCCGATAGCTAGCTAGGATCGATCGATTTAGCGCGATATATCGCGAATCGATCGATCGCTAGCTAGCATCGAT",
    "x=\\frac{-b\\pm\\sqrt{b^2-4ac}}{2a} ∑∫√∞≠≤≥ ∀x∈ℝ ∃y: y²=x ⇒ α→β",
    "<think>\nLet me see: 3 + 4 * 5 = 23.\n</think>\n<answer> 23 </answer>",
    "<|im_start|>user\nHi<|im_end|>\n<|endoftext|><|im_start|> <tool_call>{}</tool_call>",
    "<｜begin▁of▁sentence｜>You are helpful.<｜User｜>Hi<｜Assistant｜>Hello<｜end▁of▁sentence｜> <｜tool▁sep｜><|EOT|><｜ begin",
    "<｜▁pad▁｜><｜begin▁of▁sentence<｜begin▁of▁sentence｜>｜>",
    "Zalgo: h\u0335\u0321\u0358e\u0338\u0322l\u0337\u0328l\u0336o\u0334\u0301 \u0915\u094d\u0937\u093f",
    "\x00\x01\x02 control \x1b[31mred\x1b[0m \x7f \x80 \x9f",
    "\U0010ffff\U000e0001\ue000 private, \ufdd0 noncharacter, \U0001f9ff",
    "characters of Unicode 15 and 16: a\U00031350b \U00031350 \U0001e4d0 \u2ffc \ua7cd \U000113b3 \U00010d40 \U0001fae8",
]

BYTE_LEVEL = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False}


def split(regex, behavior, invert=False, kind="Regex"):
    return {"type": "Split", "pattern": {kind: regex}, "behavior": behavior, "invert": invert}


def small(pre, normalizer=None, added=(), merges=("t h", "th e", "Ġ the", "h e", "1 2", "12 3", "a b", "Ġ a", "a a", "Ġ Ġ"), **model):
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocab = {c: i for i, c in enumerate(alphabet)}
    for merge in merges:
        vocab[merge.replace(" ", "")] = len(vocab)
    extra = model.pop("extra_vocab", [])
    for token in extra:
        vocab[token] = len(vocab)
    tokens = []
    for i, (content, flags) in enumerate(added):
        base = {"id": vocab.get(content, len(vocab) + i), "content": content, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": False}
        base.update(flags)
        tokens.append(base)
    post = model.pop("post_processor", None)
    decoder = model.pop("decoder", BYTE_LEVEL)
    return {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": tokens, "normalizer": normalizer,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": pre} if pre is not None else BYTE_LEVEL,
        "post_processor": post, "decoder": decoder,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                  "vocab": vocab, "merges": list(merges), **model},
    }


SMALL_TEXTS = [
    "", "the", " the the  the", "a-b--c-", "-a b-", "the 123 12 1234 x1y", "12the34", "aaa aaaa ab a ab", "Éthe é e\u0301",
    "it's the\n\n the", "<x>the<x> a<x>b <x>", "the <y> the<y>the x<y> <y>y", " <z>  the \n<z> <z>", "ÅÅ A\u030a <é> <e\u0301>",
    "<xx><x><xxx>", "thethethe", "x  \t <y>", "١٢٣ 12½", "<z><z>  <x>  <z>the",
]


def small_cases():
    every = ["Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"]
    for behavior in every:
        for invert in (False, True):
            yield f"split {behavior} invert={invert}", small([split("-", behavior, invert), BYTE_LEVEL])
        yield f"string {behavior}", small([split(" ", behavior, kind="String"), BYTE_LEVEL])
        yield f"empty matches {behavior}", small([split("1*", behavior), BYTE_LEVEL])
    yield "nested", small([{"type": "Sequence", "pretokenizers": [split("\\s+", "MergedWithNext"), {"type": "Digits", "individual_digits": False}]}, BYTE_LEVEL])
    yield "digits individual", small([{"type": "Digits", "individual_digits": True}, BYTE_LEVEL])
    yield "digits together", small([{"type": "Digits", "individual_digits": False}, BYTE_LEVEL])
    yield "gpt2", small([{"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}])
    yield "gpt2 prefix space", small([split("-", "Isolated"), {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True}])
    yield "anchors", small([split("^the|the$|.", "Isolated"), BYTE_LEVEL])
    yield "only bytes", small(None)
    yield "ignore merges", small([split("\\s?\\w+", "Isolated"), BYTE_LEVEL], ignore_merges=True, extra_vocab=["thethethe", "aaa", "Ġaaaa"])
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        yield form, small([BYTE_LEVEL], normalizer={"type": form}, added=[("<é>", {"normalized": True})])
    yield "normalizer sequence", small([BYTE_LEVEL], normalizer={"type": "Sequence", "normalizers": [{"type": "NFD"}, {"type": "NFC"}]}, added=[("<é>", {"normalized": False})])
    flags = ["single_word", "lstrip", "rstrip"]
    for bits in range(8):
        on = {f: True for i, f in enumerate(flags) if bits >> i & 1}
        yield f"added {sorted(on)}", small([BYTE_LEVEL], added=[("<x>", {}), ("<y>", {**on, "normalized": True}), ("<z>", {**on, "special": True}), ("<xx>", {}), ("the", {"single_word": True})] if bits else [("<x>", {}), ("<y>", {"normalized": True}), ("<z>", {"special": True}), ("<xx>", {})])
    template = {"type": "TemplateProcessing",
                "single": [{"SpecialToken": {"id": "<x>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "<z>", "type_id": 0}}],
                "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
                "special_tokens": {"<x>": {"id": "<x>", "ids": [266], "tokens": ["<x>"]}, "<z>": {"id": "<z>", "ids": [267], "tokens": ["<z>"]}}}
    tokens = [("<x>", {"special": True}), ("<z>", {"special": True})]
    yield "template", small([BYTE_LEVEL], added=tokens, post_processor=template)
    yield "template in a sequence", small([BYTE_LEVEL], added=tokens, post_processor={"type": "Sequence", "processors": [{"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": False, "use_regex": True}, template]})
    for kind in ("RobertaProcessing", "BertProcessing"):
        ends = {"type": kind, "sep": ["<z>", 267], "cls": ["<x>", 266]}
        yield kind, small([BYTE_LEVEL], added=tokens, post_processor=ends)
        yield f"{kind} inside others", small([BYTE_LEVEL], added=tokens, post_processor={"type": "Sequence", "processors": [ends, ends, template]})
    fuse = {"type": "Fuse"}
    for name, decoders in {"one": [BYTE_LEVEL], "nested": [{"type": "Sequence", "decoders": [BYTE_LEVEL]}, fuse]}.items():
        yield f"decoder sequence {name}", small([BYTE_LEVEL], added=tokens, decoder={"type": "Sequence", "decoders": decoders})
    flag_pairs = [({}, {"lstrip": True}), ({"lstrip": True}, {}), ({"special": True}, {"rstrip": True}), ({"normalized": True}, {"special": True})]
    for i, (first, second) in enumerate(flag_pairs):
        spec = small([BYTE_LEVEL], added=[("<x>", first), ("<y>", {})])
        spec["added_tokens"].append({**spec["added_tokens"][0], "normalized": False, "special": False, "lstrip": False, **second})
        yield f"added twice {i}", spec


def random_texts(count):
    rng = random.Random(7)
    pools = ["abcdefgh ABC", " \t\n\r\u00a0\u3000", "0123456789", ".,;:!?-_()[]{}<>/\\|'\"", "你好世界的日本語カタカナ", "éèñüçÅ", "e\u0301a\u0308o\u0323\u0302", "😀👍🏽❤️", "'s't're"]
    for _ in range(count):
        yield "".join("".join(rng.choice(pool) for _ in range(rng.randrange(1, 9))) for pool in rng.choices(pools, k=rng.randrange(1, 9)))


def main():
    data = os.path.join(sys.argv[1], "data", "tokenizers")
    texts = TEXTS + list(random_texts(40))
    published = {}
    for name in ("deepseek_v3", "qwen3"):
        tokenizer = Tokenizer.from_file(os.path.join(data, name, "tokenizer.json"))
        published[name] = [tokenizer.encode(text, add_special_tokens=False).ids for text in texts]
    cases = []
    for name, spec in small_cases():
        tokenizer = Tokenizer.from_str(json.dumps(spec))
        # The alphabet and the merges' results are the same in all: only what differs is kept, to keep the file small.
        compact = {k: v for k, v in spec.items() if k != "model"}
        compact["ignore_merges"] = spec["model"]["ignore_merges"]
        compact["vocab"] = [t for t, i in sorted(spec["model"]["vocab"].items(), key=lambda item: item[1]) if i >= 256]
        compact["merges"] = spec["model"]["merges"]
        ids = [tokenizer.encode(t, add_special_tokens=True).ids for t in SMALL_TEXTS]
        # Letters of added tokens that also spell bytes are bytes to the package, for darkhorse they stand for themselves.
        decoded = [None if "<é>" in t else tokenizer.decode(i, skip_special_tokens=True) for t, i in zip(SMALL_TEXTS, ids)]
        cases.append({"name": name, "spec": compact, "ids": ids, "decoded": decoded})
    out = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "tests", "golden", "tokenizer_ids.json")
    with open(out, "w") as f:
        f.write('{"texts": %s,\n"published": {\n' % json.dumps(texts))
        f.write(",\n".join('"%s": [\n%s]' % (n, ",\n".join(json.dumps(i, separators=(",", ":")) for i in ids)) for n, ids in published.items()))
        f.write('},\n"small_texts": %s,\n"small": [\n' % json.dumps(SMALL_TEXTS))
        f.write(",\n".join(json.dumps(case, separators=(",", ":")) for case in cases))
        f.write("]}\n")


if __name__ == "__main__":
    main()
