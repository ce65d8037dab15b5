#!/usr/bin/env python3
"""`darkhorse serve` beyond answers: embeddings, probabilities of prompts, filling in, adapters that requests choose, keys
with limits, and OpenAI's own client.

serve_api_test.py PROGRAM"""

import base64
import concurrent.futures
import json
import random
import struct
import subprocess
import time
import unittest

import serve_test
from serve_test import CONTEXT, PATIENCE, PROGRAM, SPECIAL, Server, Serving, events

setUpModule = serve_test.setUpModule


class Teachers(Serving):
    def test_a_teacher_behind_a_url_says_what_it_says_here(self):
        problems = self.folder / "problems.jsonl"
        problems.write_text("".join(json.dumps({"problem": f"make {i}", "answer": str(i)}) + "\n" for i in range(6)))

        def sample(teacher, out, *more):
            command = [PROGRAM, "sample", "--model", teacher, "--problems", problems, "--rule", "numeric", "--out", self.folder / out,
                       "--set", "problems.held_out_share=0", "--set", "sample.samples=2", "--set", "sample.temperature=0",
                       "--set", "sample.max_tokens=24", "--json", *more]
            return subprocess.run([*map(str, command)], capture_output=True, text=True, timeout=PATIENCE)

        def answers(out):
            lines = (self.folder / out / "samples.jsonl").read_text().splitlines()
            return [(line["asked"], [(a["text"].replace("</think>", ""), a["tokens"], a["cut_off"]) for a in line["samples"]])
                    for line in map(json.loads, lines)]

        self.assertEqual(sample(self.model, "here").returncode, 0)
        key = self.folder / "key"
        key.write_text("sk-right\n")
        with Server(self.model, "--slots", 2, "--queue", 2, "--key-file", key) as server:  # a short queue: it is asked again
            url = f"http://127.0.0.1:{server.port}/v1"
            there = sample(url, "there", "--set", f"sample.key_file={key}")
            self.assertEqual(there.returncode, 0, there.stderr)
            self.assertEqual(answers("there"), answers("here"))
            self.assertEqual(len(answers("there")), 6)
            # A stage of a run, too.
            recipe = self.folder / "list.toml"
            recipe.write_text(f"""[[stage]]
kind = "sample"
from = "{url}"
[stage.sample]
samples = 2
temperature = 0
max_tokens = 24
key_file = "{key}"
[stage.problems]
file = "{problems}"
rule = "numeric"
held_out_share = 0
""")
            run = subprocess.run([PROGRAM, "run", recipe, "--out", self.folder / "list"], capture_output=True, text=True, timeout=PATIENCE)
            self.assertEqual(run.returncode, 0, run.stderr)
            self.assertEqual(answers("list/sample"), answers("here"))
            refused = sample(url, "refused")
            self.assertEqual(refused.returncode, 1)
            self.assertIn(f"{url}: HTTP 401: ", refused.stderr)
            self.assertNotIn("again", refused.stderr)
        away = sample(url, "away", "--set", "sample.key_file=" + str(key))
        self.assertEqual(away.returncode, 1)
        self.assertIn(f"cannot reach http://127.0.0.1:{server.port}", away.stderr.splitlines()[-1])
        self.assertIn("asked 3 times in vain", away.stderr.splitlines()[-1])
        self.assertFalse((self.folder / "away").exists())


class Prompts(Serving):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(cls.model, "--slots", 4, "--queue", 200, "--prefill-rows", 16)
        cls.addClassCleanup(cls.server.__exit__)

    def test_probabilities_of_prompts(self):
        # What lm-evaluation-harness asks: how probable the last tokens of prompts are.
        drawn = self.server.text(max_tokens=12, seed=3, logprobs=2, logit_bias={"1": -100})["choices"][0]
        ids = [0, *self.server.post("/tokenize", {"content": "make 3" + drawn["text"]})["tokens"]]
        fields = {"temperature": 0, "max_tokens": 1, "logprobs": 1, "seed": 1234, "echo": True}
        answer = self.server.text([ids, ids[:5]], **fields)
        for choice, prompt in zip(answer["choices"], (ids, ids[:5])):
            told = choice["logprobs"]
            self.assertEqual(set(told), {"tokens", "token_logprobs", "top_logprobs", "text_offset"})
            for values in told.values():
                self.assertEqual(len(values), len(prompt) + 1)
            text = self.server.post("/detokenize", {"tokens": prompt})["content"]
            self.assertTrue(choice["text"].startswith(text))
            self.assertIsNone(told["token_logprobs"][0])
            self.assertIsNone(told["top_logprobs"][0])
            for logprob, top in zip(told["token_logprobs"][1:], told["top_logprobs"][1:]):
                self.assertEqual(len(top), 1)
                self.assertLessEqual(logprob, *top.values())
            self.assertEqual(told["token_logprobs"][-1], *told["top_logprobs"][-1].values())  # greedy
            for token, offset in zip(told["tokens"][:-1], told["text_offset"]):
                self.assertTrue(choice["text"][offset:].startswith(token), (token, offset))
            self.assertEqual(told["text_offset"][-1], len(text))
        # What was drawn is as probable in a prompt, where it is the same tokens again.
        told = answer["choices"][0]["logprobs"]
        if told["tokens"][-1 - len(drawn["logprobs"]["tokens"]):-1] == drawn["logprobs"]["tokens"]:
            self.assertEqual(told["token_logprobs"][-1 - len(drawn["logprobs"]["tokens"]):-1],
                             drawn["logprobs"]["token_logprobs"])
        # Of a string the mark that the server puts before it counts among the tokens, but is no text.
        string = self.server.text("make 3" + drawn["text"], **fields)["choices"][0]
        self.assertEqual({**string["logprobs"], "text_offset": None}, {**told, "text_offset": None})
        self.assertEqual(string["logprobs"]["text_offset"][:2], [0, 0])
        self.assertEqual(string["logprobs"]["text_offset"][-1], len("make 3" + drawn["text"]))
        # The prompt alone; several answers; a stream.
        alone = self.server.text(ids, **{**fields, "max_tokens": 0})
        self.assertEqual(alone["choices"][0]["logprobs"], {k: v[:-1] for k, v in told.items()})
        self.assertEqual(alone["choices"][0]["finish_reason"], "length")
        self.assertEqual(alone["usage"]["completion_tokens"], 0)
        for most in (0, 1, 5):
            several = self.server.text(ids, **{**fields, "max_tokens": most, "temperature": 1}, n=3)["choices"]
            for choice in several:
                self.assertEqual(choice["logprobs"]["token_logprobs"][:len(ids)], told["token_logprobs"][:-1])
            chunks = events(self.server.text(ids, **{**fields, "max_tokens": most, "temperature": 1}, n=3, stream=True))
            for i, choice in enumerate(several):
                parts = [c for chunk in chunks for c in chunk["choices"] if c["index"] == i]
                self.assertEqual("".join(part["text"] for part in parts), choice["text"])
                for name, values in choice["logprobs"].items():
                    self.assertEqual(sum((part["logprobs"][name] for part in parts), []), values)
        # The token that ends a text is told of, as all are that were drawn.
        ended = self.server.text(ids, **{**fields, "max_tokens": 5}, logit_bias={"1": 100})["choices"][0]
        self.assertEqual(ended["finish_reason"], "stop")
        self.assertEqual(ended["logprobs"]["tokens"][len(ids):], ["<｜end▁of▁sentence｜>"])
        self.assertEqual(ended["logprobs"]["token_logprobs"][:-1], told["token_logprobs"][:-1])
        self.refused(self.server.ask("POST", "/v1/completions", {"prompt": "a", "suffix": "b"}), 400,
                     "knows no tokens for filling in", "suffix")

    def test_embeddings(self):
        def embed(given, **fields):
            return self.server.post("/v1/embeddings", {"input": given, **fields})

        texts = ["make 3", "make 3 from 1 2 0", "<think>", "make 4 " * 30]
        answer = embed(texts, model="chatty")
        self.assertEqual((answer["object"], answer["model"]), ("list", "chatty"))
        self.assertEqual([(one["object"], one["index"]) for one in answer["data"]], [("embedding", i) for i in range(4)])
        vectors = [one["embedding"] for one in answer["data"]]
        for vector in vectors:
            self.assertEqual(len(vector), len(vectors[0]))
            self.assertAlmostEqual(sum(x * x for x in vector), 1, places=5)
        self.assertNotEqual(vectors[0], vectors[1])
        # Each alone, and as the tokens that the server makes of it: special tokens are text.
        ids = [[0, *self.server.post("/tokenize", {"content": text, "parse_special": False})["tokens"]] for text in texts]
        for text, tokens, vector in zip(texts, ids, vectors):
            self.assertEqual(embed(text)["data"][0]["embedding"], vector)
            self.assertEqual(embed(tokens)["data"][0]["embedding"], vector)
        self.assertEqual([one["embedding"] for one in embed(ids)["data"]], vectors)
        total = sum(map(len, ids))
        self.assertEqual(answer["usage"], {"prompt_tokens": total, "total_tokens": total})
        packed = embed(texts, encoding_format="base64", dimensions=len(vectors[0]))["data"]
        for one, vector in zip(packed, vectors):
            data = base64.b64decode(one["embedding"], validate=True)
            self.assertEqual(list(struct.unpack(f"<{len(vector)}f", data)), vector)

        def refused(body, says, param=None):
            self.refused(self.server.ask("POST", "/v1/embeddings", body), 400, says, param)

        refused({"input": "a", "dimensions": 3}, "this model's embeddings have", "dimensions")
        refused({"input": ""}, "an empty text", "input")
        refused({"input": [299, 300]}, "outside the model's vocabulary")
        refused({"input": [5] * (CONTEXT + 1)}, f"may have {CONTEXT}; shorten it")
        self.refused(self.server.ask("POST", "/v1/embeddings", {"input": "a", "model": "gpt"}), 404, "there is no model", "model")

    def test_openais_client(self):
        try:
            import openai
        except ImportError:
            self.skipTest("the package openai is not installed")
        client = openai.OpenAI(base_url=f"http://127.0.0.1:{self.server.port}/v1", api_key="none", timeout=PATIENCE)
        self.assertEqual([model.id for model in client.models.list()], ["chatty"])
        embedded = client.embeddings.create(model="chatty", input=["make 3", "make 4"])
        ours = self.server.post("/v1/embeddings", {"input": ["make 3", "make 4"]})
        # The client asks for base64 and makes floats of it, in single precision.
        self.assertEqual([[*one.embedding] for one in embedded.data], [one["embedding"] for one in ours["data"]])
        self.assertEqual(embedded.usage.prompt_tokens, ours["usage"]["prompt_tokens"])
        text = client.completions.create(model="chatty", prompt="make 3", max_tokens=5, seed=1)
        self.assertEqual(text.choices[0].text, self.server.text("make 3", max_tokens=5, seed=1)["choices"][0]["text"])


class FillingIn(Serving):
    def test_a_text_between_two(self):
        marks = ["<|fim_prefix|>", "<|fim_suffix|>", "<|fim_middle|>", "<|fim_pad|>"]
        self.make_data("filled", self.make_tokenizer("filling.json", [*SPECIAL, *marks]))
        with Server(self.make_base("filling", data="filled"), "--slots", 2) as server:
            fields = {"max_tokens": 9, "seed": 3}
            between = server.text(["make ", "make 3"], suffix=" 0\n", **fields)
            for choice, before in zip(between["choices"], ("make ", "make 3")):
                self.assertEqual(choice["index"], 0 if before == "make " else 1)
            composed = server.text("<|fim_prefix|>make <|fim_suffix|> 0\n<|fim_middle|>", **fields)
            self.assertEqual(between["choices"][0], composed["choices"][0])
            self.assertNotEqual(composed["choices"][0]["text"], server.text("make ", **fields)["choices"][0]["text"])
            self.assertEqual(server.text("make ", suffix="", **fields)["choices"], server.text("make ", **fields)["choices"])
            (pad,) = server.post("/tokenize", {"content": "<|fim_pad|>"})["tokens"]
            ended = server.text("make ", suffix=" 0", **fields, logit_bias={str(pad): 100})["choices"][0]
            self.assertEqual((ended["text"], ended["finish_reason"]), ("", "stop"))
            for body, says in (({"prompt": [1, 2], "suffix": "a"}, "prompts that are strings"),
                               ({"prompt": "a", "suffix": "a", "echo": True}, "together with 'echo'")):
                self.refused(server.ask("POST", "/v1/completions", body), 400, says, "suffix")


class Adapters(Serving):
    """Adapters that requests choose by the model's name."""

    @classmethod
    def setUpClass(cls):
        cls.grouped = {f"model.{name}": 0 for name in ("kv_lora_rank", "qk_nope_head_dim", "qk_rope_head_dim", "v_head_dim",
                                                       "n_shared_experts", "first_k_dense_replace")}
        cls.grouped |= {"model.model_type": "qwen3_moe", "model.num_key_value_heads": 2, "model.head_dim": 16,
                        "model.qk_norm": "true", "model.rope_interleave": "false", "model.scoring_func": "softmax",
                        "model.topk_method": "greedy", "model.routed_scaling_factor": 1}
        cls.base = cls.make_base("grouped", cls.grouped)
        for seed, name in enumerate(("law", "verse")):
            cls.make_adapter(cls.folder / name, cls.base, seed)
        (cls.folder / "verse/chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}!{% endfor %}")
        cls.flags = ["--adapter", f"law={cls.folder / 'law'}", "--adapter", f"verse={cls.folder / 'verse'}"]

    @classmethod
    def make_adapter(cls, folder, base, seed, rank=4):
        """As PEFT writes one, of numbers large enough to change every answer."""
        folder.mkdir()
        config = json.loads((base / "config.json").read_text())
        hidden, keys = config["hidden_size"], 2 * config["head_dim"]
        random_numbers, shapes = random.Random(seed), {}
        for layer in range(config["num_hidden_layers"]):
            names = [("self_attn.k_proj", keys, hidden)]
            names += [(f"mlp.experts.{e}.up_proj", config["moe_intermediate_size"], hidden)
                      for e in range(config["num_experts"])]
            for name, out, into in names:
                stem = f"base_model.model.model.layers.{layer}.{name}.lora_"
                shapes[stem + "A.weight"], shapes[stem + "B.weight"] = (rank, into), (out, rank)
        header, data = {}, b""
        for name, shape in shapes.items():
            numbers = [random_numbers.gauss(0, 0.5) for _ in range(shape[0] * shape[1])]
            packed = struct.pack(f"<{len(numbers)}f", *numbers)
            header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(packed)]}
            data += packed
        text = json.dumps(header).encode()
        text += b" " * (-len(text) % 8)
        (folder / "adapter_model.safetensors").write_bytes(struct.pack("<Q", len(text)) + text + data)
        (folder / "adapter_config.json").write_text(json.dumps({
            "peft_type": "LORA", "base_model_name_or_path": str(base), "r": rank, "lora_alpha": rank}))

    def test_each_request_gets_what_its_model_alone_gives(self):
        def asks(ask):
            return [ask(prompt=[2, 30 + i, 40, *range(50, 50 + 9 * i)], max_tokens=20, seed=i, logprobs=2) for i in range(4)]

        def told(answer):
            return answer["choices"]

        alone = {}
        for name, path in (("grouped", self.base), ("grouped:law", self.folder / "law"), ("grouped:verse", self.folder / "verse")):
            with Server(path) as server:
                alone[name] = [told(server.text(**fields)) for fields in asks(dict)]
        self.assertNotEqual(alone["grouped"], alone["grouped:law"])
        self.assertNotEqual(alone["grouped:verse"], alone["grouped:law"])
        with Server(self.base, "--slots", 6, "--name", "grouped", *self.flags) as server:
            models = server.get("/v1/models")["data"]
            self.assertEqual([m["id"] for m in models], list(alone))
            self.assertEqual([m.get("parent") for m in models], [None, "grouped", "grouped"])
            requests = [(name, fields) for fields in asks(dict) for name in alone]
            # All at once, then with what is remembered.
            for _ in range(2):
                with concurrent.futures.ThreadPoolExecutor(len(requests)) as clients:
                    answers = list(clients.map(lambda r: server.text(model=r[0], **r[1]), requests))
                for (name, fields), answer in zip(requests, answers):
                    self.assertEqual(told(answer), alone[name][fields["seed"]], name)
                    self.assertEqual(answer["model"], name)
            self.assertEqual(told(server.text(**asks(dict)[1])), alone["grouped"][1])  # who names none
            self.refused(server.ask("POST", "/v1/completions", {"prompt": "a", "model": "grouped:ode"}), 404,
                         "this server has 'grouped', 'grouped:law', 'grouped:verse'", "model")

    def test_what_one_computed_serves_no_other(self):
        with Server(self.base, "--slots", 8, "--name", "grouped", *self.flags) as server:
            def cached(name):
                usage = server.text(model=name, prompt=list(range(20, 60)), max_tokens=1)["usage"]
                return usage["prompt_cache_hit_tokens"]

            names = ["grouped", "grouped:law", "grouped:verse"]
            self.assertEqual([cached(name) for name in names], [0, 0, 0])
            self.assertEqual([cached(name) for name in names], [39, 39, 39])

    def test_an_adapter_may_have_a_template_of_its_own(self):
        with Server(self.base, "--name", "grouped", *self.flags) as server:
            messages = [{"role": "user", "content": "make 3"}]
            prompts = [server.post("/apply-template", {"messages": messages, "model": name})["prompt"]
                       for name in ("grouped", "grouped:law", "grouped:verse")]
            self.assertEqual(prompts, [prompts[0], prompts[0], "make 3!"])
            self.assertNotEqual(prompts[0], prompts[2])

    def test_wrong_ones(self):
        def says(*flags, model=self.base):
            run = subprocess.run([PROGRAM, "serve", model, "--port", "0", *map(str, flags)], capture_output=True,
                                 text=True, timeout=PATIENCE)
            return run.returncode, run.stderr

        for flag in ("law", "=law", "law=", "a law=x"):
            code, error = says("--adapter", flag)
            self.assertEqual(code, 2)
            self.assertIn("must be NAME=FOLDER", error)
        code, error = says(*self.flags, "--adapter", f"law={self.folder / 'verse'}")
        self.assertEqual((code, "two are called 'law'" in error), (2, True), error)
        code, error = says("--adapter", f"x={self.base}")
        self.assertEqual((code, "is no adapter's folder" in error), (1, True), error)
        code, error = says(*self.flags, model=self.model)
        self.assertEqual((code, "latent attention" in error), (1, True), error)
        other = self.make_base("narrower", {**self.grouped, "model.num_key_value_heads": 1})
        code, error = says(*self.flags, model=other)
        self.assertEqual((code, "it is an adapter of another model" in error), (1, True), error)


class Keys(Serving):
    def test_keys_have_limits(self):
        keys = self.folder / "limited"
        keys.write_text("sk-ann name=ann concurrent=1\nsk-bob name=bob tokens-per-minute=40\nsk-free\n")
        with Server(self.model, "--key-file", keys, "--slots", 3) as server:
            def ask(key, path="/v1/completions", **fields):
                return server.ask("POST", path, {"prompt": "make 3", "max_tokens": 1, **fields}, {"X-Api-Key": key})

            def refused(answer, says, wait):
                self.refused(answer, 429, says)
                self.assertEqual((answer[2]["error"]["type"], answer[2]["error"]["code"]), ("rate_limit_error", "rate_limit_exceeded"))
                self.assertIn(int(answer[1]["Retry-After"]), wait)

            connection = server.connect()
            body = {"prompt": "make 3", "stream": True, "max_tokens": CONTEXT - 100, "logit_bias": {"1": -100}}
            connection.request("POST", "/v1/completions", json.dumps(body), {"X-Api-Key": "sk-ann"})
            response = connection.getresponse()
            response.readline()
            refused(ask("sk-ann"), "key 'ann' may have 1 request at once", [1])
            refused(ask("sk-ann", "/v1/embeddings", input="make 3"), "at once", [1])
            self.assertEqual(ask("sk-free")[0], 200)
            self.assertEqual(server.ask("GET", "/v1/models", headers={"X-Api-Key": "sk-ann"})[0], 200)
            response.close()
            connection.close()
            deadline = time.monotonic() + PATIENCE
            while ask("sk-ann")[0] != 200:  # once the server has seen that the client has left
                self.assertLess(time.monotonic(), deadline)
            # More than the minute's tokens: those after it wait for a minute or more.
            self.assertEqual(ask("sk-bob", prompt=[5] * 100)[0], 200)
            used = [line for line in server.ask("GET", "/metrics", headers={"X-Api-Key": "sk-free"})[2].splitlines()
                    if line.startswith('darkhorse_key_tokens_total{key="bob"}')]
            self.assertEqual([float(line.split()[1]) for line in used], [101])
            refused(ask("sk-bob"), "key 'bob' may use 40 tokens a minute", range(60, 95))
            self.assertEqual(ask("sk-free")[0], 200)


if __name__ == "__main__":
    unittest.main()
