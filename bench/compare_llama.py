#!/usr/bin/env python3
"""How fast darkhorse and llama.cpp run the same GGUF file, in turn, with the same number of threads.

Usage: compare_llama.py PROGRAM MODEL... [--threads N] [--alternations N] [--long] [--priority N] [--only CASE...]

PROGRAM: darkhorse. Needs `pip install llama-cpp-python`; with openvino-genai beside it, that runs too where it can open the
file. Each figure is the median of the alternations, in each of which every side runs in a process of its own. --long: with the
cases that take minutes on either side. --priority: run every side under `chrt -f N` (needs the right to), for a machine that
others work on, too.
"""

import argparse
import importlib.util
import json
import os
import statistics
import subprocess
import sys
import time

# name: (tokens of context, sequences, tokens decoded in each, whether it takes long)
CASES = {
    "512": (512, 1, 64, False),
    "32 sequences": (64, 32, 32, False),
    "4k": (4096, 1, 16, False),
    "8k": (8128, 1, 8, True),
}


def prompt_of(length, vocabulary):
    state, tokens = 1, []
    for _ in range(length):
        state = (state * 6364136223846793005 + 1442695040888963407) % 2**64
        tokens.append((state >> 33) % vocabulary)
    return tokens


def run_llama(model, length, sequences, new, threads):
    """One prompt, which all sequences share, and its continuation; no token is sampled: as llama-bench does it."""
    import llama_cpp as llama

    llama.llama_backend_init()
    llama.llama_log_set(QUIET := llama.llama_log_callback(lambda *_: None), None)
    begin = time.perf_counter()
    loaded = llama.llama_model_load_from_file(model.encode(), llama.llama_model_default_params())
    load = time.perf_counter() - begin
    vocabulary = llama.llama_vocab_n_tokens(llama.llama_model_get_vocab(loaded))
    params = llama.llama_context_default_params()
    params.n_ctx = (length + new + 2) * sequences
    params.n_batch, params.n_ubatch, params.n_seq_max = 2048, 512, sequences
    params.n_threads = params.n_threads_batch = threads
    params.kv_unified = True
    context = llama.llama_init_from_model(loaded, params)
    memory = llama.llama_get_memory(context)
    batch = llama.llama_batch_init(max(2048, sequences), 0, 1)

    def decode(entries):
        batch.n_tokens = len(entries)
        for i, (token, position, sequence, wanted) in enumerate(entries):
            batch.token[i], batch.pos[i], batch.n_seq_id[i] = token, position, 1
            batch.seq_id[i][0], batch.logits[i] = sequence, wanted
        if llama.llama_decode(context, batch) != 0:
            sys.exit("llama_decode failed")
        llama.llama_synchronize(context)

    prompt = prompt_of(length, vocabulary)
    decode([(prompt[0], 0, 0, True)])  # warms up
    llama.llama_memory_clear(memory, True)
    begin = time.perf_counter()
    for first in range(0, length, 2048):
        part = prompt[first : first + 2048]
        decode([(token, first + i, 0, first + i == length - 1) for i, token in enumerate(part)])
    prefill = length / (time.perf_counter() - begin)
    for sequence in range(1, sequences):
        llama.llama_memory_seq_cp(memory, 0, sequence, 0, -1)
    decode([(prompt[s % length], length, s, True) for s in range(sequences)])
    begin = time.perf_counter()
    for step in range(new):
        decode([(prompt[(s + step) % length], length + 1 + step, s, True) for s in range(sequences)])
    return {"load": load, "prefill": prefill, "decode": sequences * new / (time.perf_counter() - begin)}


def run_openvino(model, length, sequences, new, threads):
    import openvino
    import openvino_genai as genai

    begin = time.perf_counter()
    pipeline = genai.LLMPipeline(model, "CPU", INFERENCE_NUM_THREADS=threads)
    load = time.perf_counter() - begin
    config = genai.GenerationConfig(max_new_tokens=new + 2, ignore_eos=True, do_sample=False)
    import numpy

    def generate(first):  # prompts begin differently, for the pipeline may remember one
        prompt = numpy.array([[1 + (token + first) % 10000 for token in prompt_of(length, 10000)]] * sequences, dtype=numpy.int64)
        return pipeline.generate(genai.TokenizedInputs(openvino.Tensor(prompt), openvino.Tensor(numpy.ones_like(prompt))), config)

    generate(0)
    metrics = generate(1).perf_metrics
    return {
        "load": load,
        "prefill": length * sequences / (metrics.get_ttft().mean * 1e-3),
        "decode": sequences / (metrics.get_tpot().mean * 1e-3),
    }


def run_darkhorse(program, model, length, sequences, new, threads, before):
    command = [*before, program, "--threads", str(threads), "bench", model, "--json", "--rounds", "1", "--prompt-tokens",
               str(length), "--new-tokens", str(max(8, new)), "--batches", str(sequences)]
    result = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    return {
        "load": result["load_seconds"],
        "prefill": result["prefill_tokens_per_second"],
        "decode": result["decoding_tokens_per_second"][str(sequences)],
    }


def run_other(side, before, *case):
    command = [*before, sys.executable, __file__, "--side", side, *map(str, case)]
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        print(f"  {side}: {run.stderr.strip().splitlines()[-1:]}", file=sys.stderr)
        return None
    return json.loads(run.stdout.splitlines()[-1])


def main():
    if sys.argv[1:2] == ["--side"]:
        side, model, *numbers = sys.argv[2:]
        print(json.dumps({"llama": run_llama, "openvino": run_openvino}[side](model, *map(int, numbers))))
        return
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--alternations", type=int, default=3)
    parser.add_argument("--long", action="store_true")
    parser.add_argument("--priority", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=CASES)
    args = parser.parse_args()
    before = ["chrt", "-f", str(args.priority)] if args.priority else []
    others = ["llama"] + (["openvino"] if importlib.util.find_spec("openvino_genai") else [])
    print("| file | case | what | darkhorse | " + " | ".join(f"{o} | times" for o in others) + " |")
    print("|---" * (4 + 2 * len(others)) + "|")
    for model in args.models:
        for name, (length, sequences, new, long) in CASES.items():
            if (args.only and name not in args.only) or (long and not args.long):
                continue
            case = (model, length, sequences, new, args.threads)
            runs = {side: [] for side in ["darkhorse", *others]}
            for _ in range(args.alternations):
                runs["darkhorse"].append(run_darkhorse(args.program, *case, before))
                for side in others:
                    runs[side].append(run_other(side, before, *case))
            for what in ("prefill", "decode", "load"):
                if what == "load" and name != "512":
                    continue
                median = {side: statistics.median(run[what] for run in values) if all(values) else None
                          for side, values in runs.items()}
                ours = median["darkhorse"]
                cells = [f"{ours:.4g}"]
                for side in others:
                    theirs = median[side]
                    ratio = None if not theirs else theirs / ours if what == "load" else ours / theirs
                    cells += [f"{theirs:.4g}", f"{ratio:.2f}"] if theirs else ["–", "–"]
                unit = "seconds" if what == "load" else "tokens/s"
                print(f"| {os.path.basename(model)} | {name} | {what}, {unit} | " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
