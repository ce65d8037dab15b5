"""Times the `tokenizers` package as bench_tokenizer.cc times darkhorse: one thread, the same documents.

  python bench_tokenizer.py encode TOKENIZER.json TEXT
  python bench_tokenizer.py train VOCAB_SIZE TEXT       (the package's trained, default threads)
  python bench_tokenizer.py mix OUT MEGABYTES INPUT...  (writes a benchmark text: lines of the inputs, shuffled, no seed)
"""
import os
import statistics
import sys
import time

if sys.argv[1:2] == ["encode"]:
    os.environ["RAYON_NUM_THREADS"] = "1"
    os.environ["TOKENIZERS_PARALLELISM"] = "false"

PATTERN = r"[^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"


def documents(path):
    text = open(path, "rb").read()
    begin = 0
    while begin < len(text):
        end = text.find(b"\n", min(begin + 4096, len(text)))
        end = len(text) if end < 0 else end + 1
        yield text[begin:end].decode()
        begin = end


def encode(tokenizer_path, text_path):
    from tokenizers import Tokenizer

    start = time.perf_counter()
    tokenizer = Tokenizer.from_file(tokenizer_path)
    load = time.perf_counter() - start
    docs = list(documents(text_path))
    size = os.path.getsize(text_path)
    for name, run in (
        ("encode", lambda: sum(len(tokenizer.encode(d, add_special_tokens=False).ids) for d in docs)),
        ("encode_batch_fast", lambda: sum(len(e.ids) for e in tokenizer.encode_batch_fast(docs, add_special_tokens=False))),
    ):
        speeds = []
        for _ in range(3):
            start = time.perf_counter()
            tokens = run()
            speeds.append(size / 1e6 / (time.perf_counter() - start))
        print(f"tokenizers {name}: load {load:.2f} s, {statistics.median(speeds):.1f} MB/s, {tokens} tokens")


def train(vocab_size, text_path):
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(PATTERN), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trained = trainers.BpeTrainer(
        vocab_size=int(vocab_size),
        min_frequency=2,
        show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    docs = list(documents(text_path))
    start = time.perf_counter()
    tokenizer.train_from_iterator(docs, trained)
    print(f"tokenizers train: {time.perf_counter() - start:.2f} s")
    if len(sys.argv) > 4:
        tokenizer.save(sys.argv[4])


def mix(out, megabytes, *inputs):
    lines = []
    for path in inputs:
        lines += open(path, "rb").read().splitlines(keepends=True)
    size = 0
    step = 7919  # a prime walk over the lines, so that repeats are not neighbours
    with open(out, "wb") as f:
        at = 0
        while size < float(megabytes) * 1e6:
            f.write(lines[at])
            size += len(lines[at])
            at = (at + step) % len(lines)


if __name__ == "__main__":
    {"encode": encode, "train": train, "mix": mix}[sys.argv[1]](*(sys.argv[2:4] if sys.argv[1] == "train" else sys.argv[2:]))
