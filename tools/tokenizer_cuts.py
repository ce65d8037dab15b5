"""How the tokenizer.json of published models cut text into words, by llama.cpp's names (tokenizer.ggml.pre), and a peer for a
GGUF file's tokenizer: its own arrays in the package `tokenizers`. Written down apart from src/text/tokenizer_parts.cc.

  python tokenizer_cuts.py TOKENIZER.json PRE OUT.gguf    puts a published tokenizer into a GGUF file, as llama.cpp's converter does
"""
import json
import sys

GPT2 = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
BYTES = {**GPT2, "use_regex": False}


def splits(*patterns):
    return {"type": "Sequence", "pretokenizers": [
        p if isinstance(p, dict) else {"type": "Split", "pattern": {"Regex": p}, "behavior": "Isolated", "invert": False}
        for p in patterns] + [BYTES]}


LLAMA3 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+")
QWEN2 = LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}")
# Letters with two cases, in ranges of code points.
LETTERS = "".join(chr(a) if a == b else f"{chr(a)}-{chr(b)}" for a, b in [
    (0x41, 0x5A), (0x61, 0x7A), (0xB5, 0xB5), (0xC0, 0xD6), (0xD8, 0xF6), (0xF8, 0x1BA), (0x1BC, 0x1BF), (0x1C4, 0x293), (0x295, 0x2AF),
    (0x370, 0x373), (0x376, 0x377), (0x37B, 0x37D), (0x37F, 0x37F), (0x386, 0x386), (0x388, 0x38A), (0x38C, 0x38C), (0x38E, 0x3A1),
    (0x3A3, 0x3F5), (0x3F7, 0x481), (0x48A, 0x52F), (0x531, 0x556), (0x10A0, 0x10C5), (0x13A0, 0x13F5), (0x13F8, 0x13FD),
    (0x1C90, 0x1CBA), (0x1CBD, 0x1CBF), (0x1D00, 0x1D2B), (0x1D6B, 0x1D77), (0x1D79, 0x1D9A), (0x1E00, 0x1F15), (0x1F18, 0x1F1D),
    (0x1F20, 0x1F45), (0x1F48, 0x1F4D), (0x1F50, 0x1F57), (0x1F59, 0x1F59), (0x1F5B, 0x1F5B), (0x1F5D, 0x1F5D), (0x1F5F, 0x1F7D),
    (0x1F80, 0x1FB4), (0x1FB6, 0x1FBC), (0x1FBE, 0x1FBE), (0x1FC2, 0x1FC4), (0x1FC6, 0x1FCC), (0x1FD0, 0x1FD3), (0x1FD6, 0x1FDB),
    (0x1FE0, 0x1FEC), (0x1FF2, 0x1FF4), (0x1FF6, 0x1FFC), (0x2102, 0x2102), (0x2107, 0x2107), (0x210A, 0x2113), (0x2115, 0x2115),
    (0x2119, 0x211D), (0x2124, 0x2124), (0x2126, 0x2126), (0x2128, 0x2128), (0x212A, 0x212D), (0x212F, 0x2134), (0x2139, 0x2139),
    (0x213C, 0x213F), (0x2145, 0x2149), (0x214E, 0x214E), (0x2183, 0x2184), (0x2C00, 0x2C7B), (0x2C7E, 0x2CE4), (0x2CEB, 0x2CEE),
    (0x2CF2, 0x2CF3), (0xA640, 0xA66D), (0xA680, 0xA69B), (0xA722, 0xA76F), (0xA771, 0xA787), (0xA78B, 0xA78E), (0xAB70, 0xABBF),
    (0xFB00, 0xFB06), (0xFB13, 0xFB17), (0xFF21, 0xFF3A), (0xFF41, 0xFF5A), (0x10400, 0x1044F), (0x104B0, 0x104D3), (0x104D8, 0x104FB),
    (0x10C80, 0x10CB2), (0x10CC0, 0x10CF2), (0x118A0, 0x118DF), (0x1E900, 0x1E943)])
HAN = "[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+"
DIGITS = {"type": "Digits", "individual_digits": True}

# name: pre_tokenizer, normalizer, ignore_merges
CUTS = {
    "smollm": ({"type": "Sequence", "pretokenizers": [DIGITS, GPT2]}, None, False),
    "gpt-2": (GPT2, None, False),
    "llama-bpe": (splits(LLAMA3), None, True),
    "qwen2": (splits(QWEN2), {"type": "NFC"}, False),
    "deepseek-r1-qwen": (splits(QWEN2), {"type": "NFC"}, False),
    "deepseek-llm": (splits("[\r\n]", rf"\s?[{LETTERS}]+", "\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+", r"\s+$", HAN,
                            {"type": "Digits", "individual_digits": False}), None, False),
    "deepseek-coder": (splits("[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", HAN, DIGITS), None, False),
    "deepseek-v3": (splits(r"\p{N}{1,3}", "[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+",
                           r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+| ?[\p{P}\p{S}]+[\r\n]*|"""
                           r"""\s*[\r\n]+|\s+(?!\S)|\s+"""), None, False),
}


def tokenizer_json(pre, vocab, merges, added=()):
    """vocab: {spelling: id}; added: [(content, id, special)]."""
    pre_tokenizer, normalizer, ignore_merges = CUTS[pre]
    return json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "normalizer": normalizer, "pre_tokenizer": pre_tokenizer,
        "added_tokens": [{"id": i, "content": c, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": s}
                         for c, i, s in added],
        "post_processor": None, "decoder": BYTES,
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None, "end_of_word_suffix": None,
                  "fuse_unk": False, "byte_fallback": False, "ignore_merges": ignore_merges, "vocab": vocab, "merges": merges}})


def of_gguf(path):
    """The tokenizer.json of a GGUF file's arrays; the file may be cut off behind its keys."""
    from gguf import GGUFReader

    class Head(GGUFReader):
        def _build_tensors(self, start_offs, fields):
            self.tensors = []

    fields = Head(path).fields
    values = {k: fields["tokenizer.ggml." + k].contents() for k in ("tokens", "token_type", "merges", "pre")}
    # A control token that stands among the others belongs to the vocabulary too, as in published files.
    normal = [i for i, t in enumerate(values["token_type"]) if t == 1]
    vocab = {t: i for i, (t, kind) in enumerate(zip(values["tokens"], values["token_type"])) if kind == 1 or kind in (3, 4) and i < normal[-1]}
    added = [(t, i, kind == 3) for i, (t, kind) in enumerate(zip(values["tokens"], values["token_type"])) if kind in (3, 4)]
    return tokenizer_json(values["pre"], vocab, values["merges"], added)


def to_gguf(path, pre, out):
    from gguf import GGUFWriter

    spec = json.load(open(path))
    texts = {i: (t, 1) for t, i in spec["model"]["vocab"].items()}
    for token in spec["added_tokens"]:
        marker = token["special"] or token["content"].startswith(("<|", "<\uff5c"))
        texts[token["id"]] = (token["content"], 3 if marker else 4)
    size = max(texts) + 1
    writer = GGUFWriter(out, "tokenizer")
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list([texts.get(i, (f"[PAD{i}]", 5))[0] for i in range(size)])
    writer.add_token_types([texts.get(i, ("", 5))[1] for i in range(size)])
    writer.add_token_merges([m if isinstance(m, str) else " ".join(m) for m in spec["model"]["merges"]])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


if __name__ == "__main__":
    to_gguf(*sys.argv[1:])
