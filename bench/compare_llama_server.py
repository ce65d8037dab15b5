#!/usr/bin/env python3
"""How darkhorse's server and llama.cpp's serve the same GGUF file, in turn, with the same number of threads.

Usage: compare_llama_server.py DARKHORSE LLAMA_SERVER MODEL... [--threads N] [--alternations N] [--clients N]

LLAMA_SERVER: llama.cpp's llama-server, built for this machine (bench/README.md). Figures are medians of the alternations, in each of
which every server is started anew and asked the same: by `darkhorse bench serve`, CLIENTS at once with prompts of 50 to 500 tokens
and answers of 100; the same beside one more client that asks with prompts of 2,048 tokens; and on the idle server two prompts
that share their first 2,048 tokens.
"""

import argparse
import contextlib
import json
import os
import random
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request

CONTEXT = 4096
LONG = 2048


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@contextlib.contextmanager
def serving(side, args, model):
    port, url = free_port(), None
    slots = args.clients + 1
    if side == "darkhorse":
        command = [args.darkhorse, "--threads", str(args.threads), "serve", model, "--port", str(port), "--slots", str(slots), "--context",
                   str(CONTEXT), "--queue", str(2 * slots)]
    else:
        command = [args.llama_server, "-m", model, "--port", str(port), "--threads", str(args.threads), "--threads-batch", str(args.threads),
                   "--parallel", str(slots), "--ctx-size", str(CONTEXT * slots)]
    with tempfile.TemporaryFile() as log:
        server = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        try:
            url = f"http://127.0.0.1:{port}"
            begin = time.monotonic()
            while True:
                try:
                    urllib.request.urlopen(url + "/health").read()
                    break
                except OSError:
                    if server.poll() is not None or time.monotonic() > begin + 120:
                        log.seek(0)
                        sys.exit(f"{side} does not serve {model}:\n{log.read().decode(errors='replace')[-2000:]}")
                    time.sleep(0.05)
            yield url
        finally:
            server.send_signal(signal.SIGINT)
            try:
                server.wait(20)
            except subprocess.TimeoutExpired:
                server.kill()
                server.wait()


def bench(args, url, *options):
    return [args.darkhorse, "bench", "serve", url, "--json", "--clients", str(args.clients), "--new-tokens", "100", *map(str, options)]


def result_of(command):
    run = subprocess.run(command, capture_output=True, text=True)
    if run.returncode != 0:
        sys.exit(f"{' '.join(command)}: {run.stderr[-1000:]}")
    return json.loads(run.stdout)


def seconds_to_first_token(url, prompt):
    """Of a stream that goes on for a few tokens; random ids are as good a prompt as any."""
    body = {"prompt": prompt, "max_tokens": 4, "stream": True, "temperature": 0, "ignore_eos": True}
    request = urllib.request.Request(url + "/v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
    begin, first = time.monotonic(), None
    with urllib.request.urlopen(request) as answer:
        for line in answer:
            if first is None and line.startswith(b"data: {"):
                first = time.monotonic() - begin
    return first


def measure(side, args, model):
    ids = random.Random(1)
    prompt = lambda length: [ids.randrange(1000, 20000) for _ in range(length)]
    with serving(side, args, model) as url:
        result_of(bench(args, url, "--requests", 4, "--prompt-tokens", 16))  # warms up
        load = result_of(bench(args, url, "--requests", 2 * args.clients, "--prompt-tokens", "50:500"))
        figures = {
            "answer tokens/s, all clients": load["answer_tokens_per_second"],
            "tokens/s, prompts too": load["answer_tokens_per_second"] + load["prompt_tokens_per_second"],
            "seconds between tokens, 95 in 100": load["seconds_between_tokens"]["p95"],
        }
        begin = prompt(LONG)
        figures["seconds to first token, 2k prompt, idle"] = seconds_to_first_token(url, begin + prompt(16))
        figures["the same with the prompt's first 2k seen before"] = seconds_to_first_token(url, begin + prompt(16))
        busy = subprocess.Popen(bench(args, url, "--seconds", "1000", "--requests", 8 * args.clients, "--prompt-tokens", "50:500", "--seed", 2),
                                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(args.settle)
        figures["seconds to first token, 2k prompt, under load"] = statistics.median(
            seconds_to_first_token(url, prompt(LONG)) for _ in range(3))
        busy.send_signal(signal.SIGINT)
        busy.wait()
    return figures


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("darkhorse")
    parser.add_argument("llama_server")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--alternations", type=int, default=3)
    parser.add_argument("--clients", type=int, default=32)
    parser.add_argument("--settle", type=float, default=20, help="seconds of load before the long prompts")
    args = parser.parse_args()
    print("| file | what | darkhorse | llama.cpp | ours / theirs |\n|---|---|---|---|---|")
    for model in args.models:
        runs = {"darkhorse": [], "llama.cpp": []}
        for _ in range(args.alternations):
            for side, values in runs.items():
                values.append(measure(side, args, model))
        for what in runs["darkhorse"][0]:
            ours, theirs = (statistics.median(run[what] for run in values) for values in runs.values())
            print(f"| {os.path.basename(model)} | {what} | {ours:.4g} | {theirs:.4g} | {ours / theirs:.3g} |", flush=True)


if __name__ == "__main__":
    main()
