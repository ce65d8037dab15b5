#!/usr/bin/env bash
# Pretrains size S on two real texts and, on the second, compares the mixture of experts with a dense model of the same active
# size, at equal steps (equal FLOPs) and at equal time. Results: docs/LOG.md.
#   bench/small_text.sh SHAKESPEARE.txt GSM8K.jsonl OUT [STEPS]
set -euo pipefail
shakespeare=$1 gsm8k=$2 out=$3 steps=${4:-60}
darkhorse=${DARKHORSE:-build/darkhorse}
mkdir -p "$out"

prepare() {  # name, then what data prepare and tokenizer train read
  local name=$1; shift
  [ -e "$out/$name.tokenizer.json" ] || "$darkhorse" tokenizer train "$@" --vocab-size 4096 --out "$out/$name.tokenizer.json"
  [ -e "$out/$name/train.bin" ] || "$darkhorse" data prepare "$@" --tokenizer "$out/$name.tokenizer.json" --validation-fraction 0.05 --out "$out/$name"
}
# A constant rate, so that every evaluation along the way compares like with like.
train() {  # run, data, steps, overrides
  local run=$1 data=$2 n=$3; shift 3
  "$darkhorse" pretrain s --data "$out/$data" --out "$out/$run" --resume --set train.steps="$n" --set train.tokens_per_step=8192 \
    --set train.evaluate_every=10 --set train.checkpoint_every="$n" --set train.router_bias_gamma=0.01 --set schedule.schedule=constant \
    --set schedule.warmup_steps=10 "$@"
}

prepare shakespeare "$shakespeare" --split-text
prepare gsm8k "$gsm8k" --format $'{question}\n{answer}'
train shakespeare-moe shakespeare "$steps"
train gsm8k-moe gsm8k "$steps"
# Every layer dense, as wide as the experts that a token visits: 2 routed + 1 shared of 256. Twice the steps: the end of the comparison
# at equal time lies where this run's seconds reach the other's.
train gsm8k-dense gsm8k $((steps * 2)) --set model.first_k_dense_replace=99 --set model.intermediate_size=768

for run in shakespeare-moe gsm8k-moe gsm8k-dense; do
  echo "== $run: step, held-out loss, seconds since the start"
  python3 - "$out/$run" <<'PYTHON'
import json, pathlib, sys
run = pathlib.Path(sys.argv[1])
seconds, total = {}, 0.0
for line in (run / "timings.jsonl").open():
    entry = json.loads(line)
    total += entry["seconds"]
    seconds[entry["step"]] = total
for line in (run / "metrics.jsonl").open():
    entry = json.loads(line)
    if "validation_loss" in entry:
        print(f'{entry["step"]:5d}  {entry["validation_loss"]:.4f}  {seconds[entry["step"]]:.0f}')
PYTHON
done
