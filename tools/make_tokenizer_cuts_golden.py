"""Writes tests/golden/tokenizer_cuts.json: texts and their ids by the `tokenizers` package, one small vocabulary under each way
of cutting text into words (tokenizer_cuts.py). Its merges reach over the borders of words, so the ids show where these are.

  python make_tokenizer_cuts_golden.py [SHARED_DIR]   (SHARED_DIR/data/tokenizers holds the published qwen3 and deepseek_v3:
                                                      their own pre_tokenizer and normalizer then take the place of ours)
"""
import json
import os
import sys

from tokenizers import Tokenizer, models, pre_tokenizers, trainers

import make_tokenizer_golden
import tokenizer_cuts

TEXTS = [t for t in make_tokenizer_golden.TEXTS if "<" not in t] + ["Café naïve CAFÉ ĿeĿ x²³ ½ 12½", "it's IT'S I'll we'VE", "#include_x @user.name $x=1 a.b(c)",
         "a\r\nb \r\n c\n\n\n d", "ends in blanks   ", "数学123数学 かなカナ한글 abc数", "e\u0301e \u0301", "😀  \n" * 20]


def main():
    trainer = trainers.BpeTrainer(vocab_size=900, min_frequency=1, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False)
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trained.train_from_iterator(TEXTS, trainer)
    model = json.loads(trained.to_str())["model"]
    vocab = model["vocab"]
    added = [("<|end|>", len(vocab), True), ("<tool_call>", len(vocab) + 1, False)]
    official = {"qwen2": "qwen3", "deepseek-v3": "deepseek_v3"} if len(sys.argv) > 1 else {}
    ids = {}
    for pre in tokenizer_cuts.CUTS:
        spec = json.loads(tokenizer_cuts.tokenizer_json(pre, vocab, model["merges"], added))
        if pre in official:
            published = json.load(open(os.path.join(sys.argv[1], "data", "tokenizers", official[pre], "tokenizer.json")))
            spec.update({k: published[k] for k in ("pre_tokenizer", "normalizer")})
        peer = Tokenizer.from_str(json.dumps(spec))
        ids[pre] = [peer.encode(t, add_special_tokens=False).ids for t in TEXTS]
    tokens = [t for t, _ in sorted(vocab.items(), key=lambda item: item[1])] + [c for c, _, _ in added]
    path = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../tests/golden/tokenizer_cuts.json")
    with open(path, "w") as out:
        merges = [" ".join(m) if isinstance(m, list) else m for m in model["merges"]]
        json.dump({"tokens": tokens, "merges": merges, "texts": TEXTS, "ids": ids}, out, ensure_ascii=True)
        out.write("\n")


if __name__ == "__main__":
    main()
