#!/usr/bin/env python3
"""`darkhorse serve` as clients see it: answers and streams, many at once, those that leave, wrong and
hostile requests, keys, and how it ends.

serve_test.py PROGRAM"""

import concurrent.futures
import datetime
import gzip
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import unittest

PROGRAM = str(pathlib.Path(sys.argv.pop(1)).resolve())
SPECIAL = ["<｜begin▁of▁sentence｜>", "<｜end▁of▁sentence｜>", "<think>", "</think>"]
# Templates drop the line's end behind a block.
TEMPLATE = """{% if tools %}{{ tools | tojson }}<tool_call>{"name": ..., "arguments": ...}</tool_call>
{% endif %}{% for m in messages %}[{{ m.role }}]{{ m.content }}{% for c in m.tool_calls or [] %}<tool_call>{{ c.function | tojson }}</tool_call>{% endfor %}{{ "" if loop.last and not add_generation_prompt else "\\n" }}
{%- endfor %}{% if add_generation_prompt %}[assistant]{% endif %}
{%- if add_generation_prompt and (enable_thinking is not defined or enable_thinking) %}<think>{% endif %}"""
PATIENCE = 60
CONTEXT = 32768  # an answer that fills it takes seconds, whatever else the machine does


def setUpModule():
    folder = tempfile.TemporaryDirectory()
    unittest.addModuleCleanup(folder.cleanup)
    Serving.folder = pathlib.Path(folder.name)
    Serving.make_model()


class Server:
    """A running server; its address is read from what it says."""

    def __init__(self, model, *flags, context=CONTEXT):
        command = [PROGRAM, "serve", model, "--port", "0", "--context", context, *flags]
        self.process = subprocess.Popen([*map(str, command)], stderr=subprocess.PIPE, text=True)
        line = self.process.stderr.readline()
        if "http://" not in line:
            raise AssertionError(line + self.process.stderr.read())
        self.port = int(line.split("http://")[1].split("/")[0].rsplit(":", 1)[1])

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)

    def ask(self, method, path, body=None, headers=None):
        """Status, headers and body, which is parsed where it is JSON."""
        connection = self.connect()
        if body is not None and not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        connection.request(method, path, body, headers or {})
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        is_json = response.headers["Content-Type"] == "application/json"
        return response.status, response.headers, json.loads(text) if is_json else text

    def get(self, path):
        status, _, body = self.ask("GET", path)
        assert status == 200, (status, body)
        return body

    def post(self, path, body):
        status, _, answer = self.ask("POST", path, body)
        assert status == 200, (status, answer)
        return answer

    def chat(self, content="make 3", **fields):
        return self.post("/v1/chat/completions", {"messages": [{"role": "user", "content": content}], **fields})

    def text(self, prompt="make 3", **fields):
        return self.post("/v1/completions", {"prompt": prompt, **fields})

    def begin_stream(self, **fields):
        """A connection and response on which a stream has begun that takes a second at least."""
        connection = self.connect()
        body = {"prompt": "make 3", "stream": True, "max_tokens": CONTEXT - 100, "logit_bias": {"1": -100}, **fields}
        connection.request("POST", "/v1/completions", json.dumps(body))
        response = connection.getresponse()
        assert response.status == 200, response.read()
        assert response.readline().startswith(b"data: ")
        return connection, response

    def metric(self, name):
        lines = self.get("/metrics").splitlines()
        return next(float(line.split()[1]) for line in lines if line.startswith(f"darkhorse_{name} "))

    def wait_for(self, name, value):
        deadline = time.monotonic() + PATIENCE
        while self.metric(name) != value:
            assert time.monotonic() < deadline, (name, value, self.get("/metrics"))
            time.sleep(0.01)


def events(text):
    """The JSON of a stream's events, which must end as streams do."""
    whole = [event for event in text.split("\n\n") if event and not event.startswith(":")]
    assert whole[-1] == "data: [DONE]", whole[-1]
    return [json.loads(event.removeprefix("data: ")) for event in whole[:-1]]


def joined(chunks, field, index=0):
    deltas = [c["delta"] for chunk in chunks for c in chunk["choices"] if c["index"] == index]
    return "".join(delta.get(field) or "" for delta in deltas)


class Serving(unittest.TestCase):
    @classmethod
    def make_model(cls):
        cls.make_data("data", cls.make_tokenizer())
        cls.plain = cls.make_base("base")
        cls.model = cls.folder / "chatty"
        cls.model.symlink_to(cls.plain)  # the same, called otherwise
        (cls.plain / "chat_template.jinja").write_text(TEMPLATE)

    @classmethod
    def program(cls, *arguments):
        subprocess.run([PROGRAM, *map(str, arguments)], cwd=cls.folder, check=True, capture_output=True)

    @classmethod
    def make_data(cls, name, tokenizer):
        cls.program("data", "prepare", "--generate", "countdown:1", "--documents", 400, "--tokenizer", tokenizer,
                    "--out", name, "--recognise-special")

    @classmethod
    def make_base(cls, name, settings=None, data="data"):
        """A model that has hardly been trained."""
        settings = {"train.steps": 3, "train.tokens_per_step": 1024, "train.sequence_length": 64,
                    "train.evaluate_every": 0, "model.vocab_size": 300, "model.num_nextn_predict_layers": 0,
                    "model.max_position_embeddings": CONTEXT, "train.checkpoint_every": 3, **(settings or {})}
        sets = [word for key, value in settings.items() for word in ("--set", f"{key}={value}")]
        cls.program("pretrain", "tiny", "--data", data, "--out", name, *sets)
        return cls.folder / name / "checkpoints/step-00000003"

    @classmethod
    def make_tokenizer(cls, name="tokenizer.json", special=SPECIAL):
        rows = [json.dumps({"text": f"make {a + b} from {a} {b} 0\n"}) for a in range(1, 9) for b in range(1, 9)]
        (cls.folder / "corpus.jsonl").write_text("\n".join(rows) + "\n")
        cls.program("tokenizer", "train", "corpus.jsonl", "--out", name, "--vocab-size", 300, "--special-tokens", *special)
        return name

    def refused(self, answer, status, says, param=None):
        self.assertEqual(answer[0], status, answer[2])
        error = answer[2]["error"]
        self.assertEqual(set(error), {"message", "type", "param", "code"})
        self.assertIn(says, error["message"])
        self.assertEqual(error["param"], param)


class Answers(Serving):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(cls.model, "--slots", 4, "--queue", 200, "--prefill-rows", 16)
        cls.addClassCleanup(cls.server.__exit__)

    def test_what_is_served(self):
        self.assertEqual(self.server.get("/health"), {"status": "ok"})
        models = self.server.get("/v1/models")
        self.assertEqual([(m["id"], m["context_length"]) for m in models["data"]], [("chatty", CONTEXT)])

    def test_the_page_and_its_files(self):
        status, headers, page = self.server.ask("GET", "/")
        self.assertEqual((status, headers["Content-Type"]), (200, "text/html; charset=utf-8"))
        self.assertTrue(page.startswith("<!doctype html>"))
        self.assertIn("default-src 'none'; script-src 'self'; style-src 'self';", headers["Content-Security-Policy"])
        self.assertNotIn("://", page)
        files = set(re.findall(r'(?:src|href)="(page/[^"]+)"', page))
        scripts = {name for name in files if name.endswith(".js")}
        # Modules bring others.
        while more := {f"page/{other}" for name in scripts for other in re.findall(r'from "./(.+?)"', self.server.get(f"/{name}"))} - scripts:
            scripts |= more
        files |= scripts
        self.assertGreater(len(files), 20)
        total = len(page)
        for name in files:
            status, headers, text = self.server.ask("GET", f"/{name}")
            kind = {"js": "text/javascript", "css": "text/css", "txt": "text/plain"}[name.rsplit(".", 1)[1]]
            self.assertEqual((status, headers["Content-Type"]), (200, f"{kind}; charset=utf-8"), name)
            total += len(text.encode())
            # A browser that has it is not sent it again.
            status, again, nothing = self.server.ask("GET", f"/{name}", headers={"If-None-Match": headers["ETag"]})
            self.assertEqual((status, nothing, again["ETag"], again["Content-Length"]), (304, "", headers["ETag"], None), name)
            self.assertEqual(self.server.ask("GET", f"/{name}", headers={"If-None-Match": '"other"'})[0], 200)
        self.assertLess(total, 1_500_000)
        self.check_that_it_comes_compressed("/page/main.js")
        self.assertEqual(self.server.ask("HEAD", "/page/main.js")[0], 200)
        self.refused(self.server.ask("POST", "/page/main.js", "{}"), 405, "takes GET")
        for wrong in ("/page/", "/page/none.js", "/page/../server.cc"):
            self.refused(self.server.ask("GET", wrong), 404, "there is no")

    def check_that_it_comes_compressed(self, name):
        text = self.server.get(name)
        connection = self.server.connect()
        connection.request("GET", name, headers={"Accept-Encoding": "deflate, gzip, br"})
        response = connection.getresponse()
        packed = response.read()
        connection.close()
        self.assertEqual((response.headers["Content-Encoding"], response.headers["Vary"]), ("gzip", "Accept-Encoding"))
        self.assertEqual(gzip.decompress(packed).decode(), text)

    def test_a_chat_answer(self):
        fields = {"max_tokens": 12, "seed": 5, "model": "chatty"}
        answer = self.server.chat(**fields)
        self.assertEqual((answer["object"], answer["model"]), ("chat.completion", "chatty"))
        choice = answer["choices"][0]
        self.assertEqual(choice["message"]["role"], "assistant")
        self.assertIn(choice["finish_reason"], ("stop", "length"))
        # The template opened the thought, which an untrained model does not close.
        self.assertTrue(choice["message"]["reasoning_content"])
        self.assertEqual(choice["message"]["content"], "")
        usage = answer["usage"]
        prompt = self.server.post("/apply-template", {"messages": [{"role": "user", "content": "make 3"}]})["prompt"]
        self.assertEqual(prompt, "[user]make 3\n[assistant]<think>")
        tokens = self.server.post("/tokenize", {"content": prompt})["tokens"]
        self.assertEqual(usage["prompt_tokens"], len(tokens) + 1)  # it begins with the beginning mark
        self.assertEqual(usage["completion_tokens_details"]["reasoning_tokens"], usage["completion_tokens"])
        self.assertEqual(usage["total_tokens"], usage["prompt_tokens"] + usage["completion_tokens"])
        self.assertEqual(usage["prompt_cache_hit_tokens"] + usage["prompt_cache_miss_tokens"], usage["prompt_tokens"])
        self.assertEqual(self.server.chat(**fields)["choices"], answer["choices"])
        self.assertNotEqual(self.server.chat(**{**fields, "seed": 6})["choices"], answer["choices"])

    def test_thoughts_and_content_are_apart(self):
        close = self.server.post("/tokenize", {"content": "</think>"})["tokens"]
        self.assertEqual(len(close), 1)
        # Of a thought that is closed at once nothing remains; the closing tags behind it are content.
        answer = self.server.chat(max_tokens=3, logit_bias={str(close[0]): 100}, temperature=0)
        message = answer["choices"][0]["message"]
        self.assertEqual((message["content"], message.get("reasoning_content")), ("</think></think>", None))
        self.assertEqual(answer["usage"]["completion_tokens_details"]["reasoning_tokens"], 1)
        for off in ({"thinking": {"type": "disabled"}}, {"reasoning_effort": "none"},
                    {"chat_template_kwargs": {"enable_thinking": False}}):
            message = self.server.chat(max_tokens=5, seed=1, **off)["choices"][0]["message"]
            self.assertNotIn("reasoning_content", message)
            self.assertTrue(message["content"])

    def test_a_thought_ends_at_its_budget(self):
        tag = self.server.post("/tokenize", {"content": "</think>"})["tokens"][0]
        fields = {"max_tokens": 40, "seed": 5, "ignore_eos": True, "logit_bias": {str(tag): -100}}
        free = self.server.chat(**fields)["choices"][0]["message"]
        self.assertEqual(free["content"], "")
        close = len(self.server.post("/tokenize", {"content": "\n</think>"})["tokens"])
        for budget in (0, 7):
            answer = self.server.chat(**fields, max_reasoning_tokens=budget)
            message = answer["choices"][0]["message"]
            self.assertTrue(free["reasoning_content"].startswith(message.get("reasoning_content", "")))
            self.assertTrue(message["content"])
            self.assertEqual(answer["usage"]["completion_tokens_details"]["reasoning_tokens"], budget + close)
            stream = self.server.chat(**fields, max_reasoning_tokens=budget, stream=True)
            self.assertEqual(joined(events(stream), "content"), message["content"])
        self.assertEqual(self.server.chat(**fields, max_reasoning_tokens=40)["choices"][0]["message"], free)
        # The model may open the thought, too, and an answer may be held to a form behind it.
        opens = self.server.post("/tokenize", {"content": "<think>"})["tokens"][0]
        for seed in range(4):
            answer = self.server.chat(max_tokens=60, seed=seed, logit_bias={str(opens): 100}, thinking={"type": "enabled"},
                                      response_format={"type": "json_object"}, max_reasoning_tokens=4,
                                      chat_template_kwargs={"enable_thinking": seed % 2 == 0})
            if seed % 2 == 0:
                self.assertEqual(answer["usage"]["completion_tokens_details"]["reasoning_tokens"], 4 + close)
            self.assertTrue(answer["choices"][0]["message"]["content"].lstrip().startswith("{"), answer)

    def test_a_chat_in_the_terminal_has_the_budget_too(self):
        def chat(*flags):
            result = subprocess.run([PROGRAM, "chat", "--json", "--max-tokens", "40", "--seed", "5", *map(str, flags)], input="make 3\n",
                                    capture_output=True, text=True, check=True)
            return json.loads(result.stdout)

        for whom in ([self.model], ["--url", f"http://127.0.0.1:{self.server.port}"]):
            self.assertGreater(len(chat(*whom)["thought"].encode()), 10)
            brief = chat(*whom, "--max-reasoning-tokens", 0)
            self.assertNotIn("thought", brief)
            self.assertTrue(brief["answer"])

    def test_a_stream_says_what_an_answer_does(self):
        for thinking in ("enabled", "disabled"):
            fields = {"max_tokens": 30, "seed": 3, "n": 2, "thinking": {"type": thinking}}
            whole = self.server.chat(**fields)
            text = self.server.chat(**fields, stream=True, stream_options={"include_usage": True})
            chunks = events(text)
            self.assertEqual({chunk["object"] for chunk in chunks}, {"chat.completion.chunk"})
            self.assertEqual(len({chunk["id"] for chunk in chunks}), 1)
            for index, choice in enumerate(whole["choices"]):
                self.assertEqual(joined(chunks, "role", index), "assistant")
                self.assertEqual(joined(chunks, "content", index), choice["message"]["content"])
                self.assertEqual(joined(chunks, "reasoning_content", index),
                                 choice["message"].get("reasoning_content", ""))
                finishes = [c["finish_reason"] for chunk in chunks for c in chunk["choices"]
                            if c["index"] == index and c["finish_reason"]]
                self.assertEqual(finishes, [choice["finish_reason"]])
            self.assertEqual(chunks[-1]["choices"], [])
            for usage in (chunks[-1]["usage"], whole["usage"]):
                usage.pop("prompt_tokens_details"), usage.pop("prompt_cache_hit_tokens")
                usage.pop("prompt_cache_miss_tokens")
            self.assertEqual(chunks[-1]["usage"], whole["usage"])
            self.assertNotIn("usage", events(self.server.chat(**fields, stream=True))[-1])

    def test_texts(self):
        answer = self.server.text(max_tokens=6, seed=2, n=2)
        self.assertEqual([choice["index"] for choice in answer["choices"]], [0, 1])
        first = answer["choices"][0]["text"]
        self.assertEqual(self.server.text(max_tokens=6, seed=2, echo=True)["choices"][0]["text"], "make 3" + first)
        chunks = events(self.server.text(max_tokens=6, seed=2, stream=True))
        self.assertEqual("".join(chunk["choices"][0]["text"] for chunk in chunks), first)
        several = self.server.text(["make 3", "make 4"], max_tokens=6, temperature=0)["choices"]
        self.assertEqual([c["text"] for c in several],
                         [self.server.text(p, max_tokens=6, temperature=0)["choices"][0]["text"]
                          for p in ("make 3", "make 4")])
        ids = self.server.post("/tokenize", {"content": "make 3"})["tokens"]
        self.assertEqual(self.server.post("/detokenize", {"tokens": ids})["content"], "make 3")
        foreign = self.server.ask("POST", "/detokenize", {"tokens": [ids[0], 1 << 20]})
        self.refused(foreign, 400, "1048576 is no token: the vocabulary has", "tokens")
        self.assertEqual(self.server.text([0, *ids], max_tokens=6, seed=2)["choices"][0]["text"], first)

    def test_an_answer_goes_on_where_the_model_would_end(self):
        end = self.server.post("/tokenize", {"content": SPECIAL[1]})["tokens"]
        fields = {"max_tokens": 5, "temperature": 0, "logit_bias": {str(end[0]): 100}}
        for ignores, tokens, finish in ((False, 1, "stop"), (True, 5, "length")):
            answer = self.server.text(**fields, ignore_eos=ignores)
            self.assertEqual((answer["choices"][0]["text"], answer["choices"][0]["finish_reason"]), ("", finish))
            self.assertEqual(answer["usage"]["completion_tokens"], tokens)
        refused = self.server.ask("POST", "/v1/completions", {
            "prompt": "a", "ignore_eos": True, "response_format": {"type": "json_object"}})
        self.refused(refused, 400, "ends where the form does", "ignore_eos")

    def test_stops(self):
        text = self.server.text(max_tokens=40, temperature=0)["choices"][0]["text"]
        stop = text[5:8]
        at = text.index(stop)
        for stream in (False, True):
            answer = self.server.text(max_tokens=40, temperature=0, stop=["\x00never", stop], stream=stream)
            choices = [c for chunk in events(answer) for c in chunk["choices"]] if stream else answer["choices"]
            self.assertEqual("".join(choice["text"] for choice in choices), text[:at])
            self.assertEqual(choices[-1]["finish_reason"], "stop")

    def test_probabilities(self):
        answer = self.server.text(max_tokens=4, temperature=0, logprobs=2)["choices"][0]["logprobs"]
        self.assertEqual(len(answer["tokens"]), 4)
        for logprob, top in zip(answer["token_logprobs"], answer["top_logprobs"]):
            self.assertEqual(max(top.values()), logprob)  # greedy
        chat = self.server.chat(max_tokens=4, temperature=0, logprobs=True, top_logprobs=3,
                                thinking={"type": "disabled"})["choices"][0]
        content = chat["logprobs"]["content"]
        self.assertEqual(bytes(b for entry in content for b in entry["bytes"]).decode(errors="replace"),
                         chat["message"]["content"])
        self.assertEqual([len(entry["top_logprobs"]) for entry in content], [3] * 4)
        self.assertEqual(content[0]["top_logprobs"][0]["logprob"], content[0]["logprob"])

    def test_answers_of_a_form(self):
        # An untrained model would write no JSON. What ends strings, lists and thoughts is made likely, so that it comes to an end.
        likely = {str(t): 9 for sign in ('"', "}", "]", "</think>") for t in self.server.post("/tokenize", {"content": sign})["tokens"]}
        fields = {"max_tokens": 2000, "temperature": 1, "logit_bias": likely}
        person = {"type": "object", "properties": {
            "name": {"type": "string", "maxLength": 5}, "age": {"type": "integer"}, "kind": {"enum": ["a", "b"]},
            "friends": {"type": "array", "items": {"$ref": "#"}, "maxItems": 2}}, "required": ["name", "kind", "friends"],
            "additionalProperties": False}
        as_schema = {"type": "json_schema", "json_schema": {"name": "person", "strict": True, "schema": person}}

        def check_person(value):
            self.assertLessEqual(set(value), set(person["properties"]))
            self.assertLessEqual(len(value["name"]), 5)
            self.assertIn(value["kind"], ("a", "b"))
            self.assertIsInstance(value.get("age", 0), int)
            self.assertLessEqual(len(value["friends"]), 2)
            for friend in value["friends"]:
                check_person(friend)

        spelt = {"type": "object", "required": ["day", "code"], "additionalProperties": False,
                 "properties": {"day": {"type": "string", "format": "date"}, "code": {"type": "string", "pattern": "^[A-Z]{2,3}-\\d+$", "maxLength": 9}}}
        for seed in range(4):
            answer = self.server.chat(max_tokens=80, seed=seed, temperature=1, thinking={"type": "disabled"}, response_format={
                "type": "json_schema", "json_schema": {"name": "spelt", "schema": spelt}})
            value = json.loads(answer["choices"][0]["message"]["content"])
            self.assertRegex(value["code"], r"\A[A-Z]{2,3}-[0-9]+\Z")
            datetime.date.fromisoformat(value["day"])

        ended = 0
        for seed in range(8):
            for thinking in ("enabled", "disabled"):
                for response_format in ({"type": "json_object"}, as_schema):
                    stream = seed % 2 == 1
                    answer = self.server.chat(**fields, seed=seed, response_format=response_format, stream=stream,
                                              thinking={"type": thinking})
                    if stream:
                        chunks = events(answer)
                        content, finish = joined(chunks, "content"), chunks[-1]["choices"][0]["finish_reason"]
                    else:
                        choice = answer["choices"][0]
                        content, finish = choice["message"]["content"], choice["finish_reason"]
                    if finish == "length":  # cut, in a thought mostly
                        continue
                    ended += 1
                    value = json.loads(content)
                    self.assertIsInstance(value, dict)
                    if response_format is as_schema:
                        check_person(value)
        self.assertGreater(ended, 12)
        text = self.server.text(**fields, seed=1, response_format={"type": "json_schema", "json_schema": {"schema": {"enum": [12]}}})
        self.assertEqual(text["choices"][0]["text"].strip(), "12")
        self.assertEqual(text["choices"][0]["finish_reason"], "stop")
        cut = self.server.chat(max_tokens=3, seed=1, response_format={"type": "json_object"}, thinking={"type": "disabled"})
        self.assertEqual(cut["choices"][0]["finish_reason"], "length")
        # A message that is continued counts as the form's beginning.
        begun = [{"role": "user", "content": "make 3"}, {"role": "assistant", "content": '{"name":"x","kind":"a",', "prefix": True}]
        body = {**fields, "seed": 2, "response_format": as_schema}
        continued = self.server.post("/v1/chat/completions", {"messages": begun, **body})["choices"][0]
        self.assertTrue(continued["message"]["content"].strip().startswith('"friends"'))
        begun[1]["content"] = "no JSON"
        self.refused(self.server.ask("POST", "/v1/chat/completions", {"messages": begun, **body}), 400, "does not begin", "messages")

    def test_tools(self):
        add = {"type": "function", "function": {"name": "add", "parameters": {
            "type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}}}
        nothing = {"type": "function", "function": {"name": "nothing", "parameters": {"type": "object", "properties": {}}}}
        fields = {"max_tokens": 500, "tools": [add, nothing], "thinking": {"type": "disabled"}, "temperature": 1}
        for choice, names in (("required", {"add", "nothing"}), ({"type": "function", "function": {"name": "add"}}, {"add"})):
            for seed in range(4):
                body = {**fields, "seed": seed, "tool_choice": choice, "parallel_tool_calls": False}
                whole = self.server.chat(**body)["choices"][0]
                self.assertEqual(whole["finish_reason"], "tool_calls")
                self.assertIsNone(whole["message"]["content"])
                (call,) = whole["message"]["tool_calls"]
                self.assertEqual((call["type"], call["id"][:5]), ("function", "call_"))
                self.assertIn(call["function"]["name"], names)
                arguments = json.loads(call["function"]["arguments"])
                self.assertEqual(list(arguments), ["a"] if call["function"]["name"] == "add" else [])
                chunks = events(self.server.chat(**body, stream=True))
                deltas = [d for chunk in chunks for c in chunk["choices"] for d in c["delta"].get("tool_calls", [])]
                self.assertEqual([(d["index"], d["function"]) for d in deltas], [(0, call["function"])])
                self.assertEqual(joined(chunks, "content"), "")
                self.assertEqual(chunks[-1]["choices"][0]["finish_reason"], "tool_calls")
        free = self.server.chat(**{**fields, "max_tokens": 5}, seed=1)["choices"][0]
        self.assertTrue(free["message"]["content"])
        self.assertNotIn("tool_calls", free["message"])
        # What was called and what came of it, as the template is given it.
        talk = [{"role": "user", "content": "make 3"},
                {"role": "assistant", "content": None, "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": "{\"a\": 1}"}}]},
                {"role": "tool", "tool_call_id": "call_1", "content": "3"}]
        prompt = self.server.post("/apply-template", {"messages": talk, "tools": [add], "thinking": {"type": "disabled"}})["prompt"]
        self.assertTrue(prompt.startswith('[{"type": "function", "function": {"name": "add"'), prompt)
        self.assertIn('<tool_call>{"name": "add", "arguments": {"a": 1}}</tool_call>\n[tool]3\n[assistant]', prompt)
        without = self.server.post("/apply-template", {"messages": talk, "tools": [add], "tool_choice": "none"})["prompt"]
        self.assertTrue(without.startswith("[user]"), without)

    def test_a_last_message_is_continued(self):
        messages = [{"role": "user", "content": "make 3"}, {"role": "assistant", "content": "it is", "prefix": True}]
        self.assertEqual(self.server.post("/apply-template", {"messages": messages})["prompt"],
                         "[user]make 3\n[assistant]it is")
        answer = self.server.post("/v1/chat/completions", {"messages": messages, "max_tokens": 4, "seed": 1})
        self.assertTrue(answer["choices"][0]["message"]["content"])

    def test_what_was_computed_before_is_not_computed_again(self):
        with Server(self.model, "--slots", 2, "--prefill-rows", 16) as server:
            def ask(messages):
                answer = server.post("/v1/chat/completions", {"messages": messages, "max_tokens": 6, "seed": 1,
                                                              "thinking": {"type": "disabled"}})
                usage = answer["usage"]
                self.assertEqual(usage["prompt_tokens_details"]["cached_tokens"], usage["prompt_cache_hit_tokens"])
                self.assertEqual(usage["prompt_cache_hit_tokens"] + usage["prompt_cache_miss_tokens"],
                                 usage["prompt_tokens"])
                return answer["choices"][0]["message"]["content"], usage

            talk = [{"role": "user", "content": "make 3 from " * 20}]
            first, usage = ask(talk)
            self.assertEqual(usage["prompt_cache_hit_tokens"], 0)
            again, second = ask(talk)
            self.assertEqual(again, first)
            self.assertEqual(second["prompt_cache_miss_tokens"], 1)
            talk += [{"role": "assistant", "content": first}, {"role": "user", "content": "and 4?"}]
            goes_on, third = ask(talk)
            self.assertGreaterEqual(third["prompt_cache_hit_tokens"], usage["prompt_tokens"])
            self.assertGreater(server.metric("prompt_tokens_cached_total"), 2 * usage["prompt_tokens"] - 2)
        with Server(self.model, "--slots", 1) as server:  # which has computed nothing before
            fresh = server.post("/v1/chat/completions", {"messages": talk, "max_tokens": 6, "seed": 1,
                                                         "thinking": {"type": "disabled"}})
            self.assertEqual(fresh["choices"][0]["message"]["content"], goes_on)

    def test_a_small_cache_changes_no_answer(self):
        # Four answers of one request begin together, and grow to twice the pages that there are.
        requests = [{"prompt": f"make {i} from 1 2", "max_tokens": 200, "seed": i, "n": 4, "ignore_eos": True, "logprobs": 1} for i in range(3)]
        alone = [self.server.post("/v1/completions", request)["choices"] for request in requests]
        with Server(self.model, "--slots", 4, "--cache-tokens", 400, context=240) as server:
            with concurrent.futures.ThreadPoolExecutor(3) as pool:
                answers = list(pool.map(lambda request: server.post("/v1/completions", request)["choices"], requests))
            self.assertEqual(answers, alone)
            self.assertGreater(server.metric("preempted_total"), 0)
            self.assertEqual(server.metric("cache_tokens"), 400)
            self.assertEqual(self.server.metric("cache_tokens"), 4 * CONTEXT)
            # Of the whole process, in bytes.
            name = "process_resident_memory_bytes "
            told = next(float(line.removeprefix(name)) for line in server.get("/metrics").splitlines()
                        if line.startswith(name))
            status = pathlib.Path(f"/proc/{server.process.pid}/status").read_text()
            resident = 1024 * int(re.search(r"VmRSS:\s+(\d+) kB", status)[1])
            self.assertTrue(resident / 2 < told < 2 * resident, (told, resident))
        little = subprocess.run([PROGRAM, "serve", self.model, "--port", "0", "--slots", "999", "--cache-tokens", "1000000"],
                                capture_output=True, text=True, env={**os.environ, "DARKHORSE_MEMORY": "50000000"})
        self.assertEqual(little.returncode, 1)
        self.assertIn("for 1000000 tokens, needs", little.stderr)
        self.assertIn("lower --slots, --context or --cache-tokens", little.stderr)
        room = int(re.search(r"there is room for (\d+) tokens in all", little.stderr)[1])
        self.assertLess(room, 50_000_000 / (977 * 1024**2 / 1_000_000))  # what fits without the weights
        refused = subprocess.run([PROGRAM, "serve", self.model, "--context", "99", "--cache-tokens", "98"], capture_output=True, text=True)
        self.assertEqual(refused.returncode, 2)
        self.assertIn("give as many at least, or lower --context", refused.stderr)

    def test_guesses_change_no_answer(self):
        # Where it says the same word again and again, what comes next is easily looked up.
        asked = [{"prompt": "make 3 from ", "max_tokens": 200, "temperature": 0.5, "seed": 3, "logprobs": 2,
                  "logit_bias": bias} for bias in ({}, {"50": 100})]
        with Server(self.model) as server, Server(self.model, "--speculate", "off") as plain:
            for body in asked:
                answers = [s.post("/v1/completions", body)["choices"] for s in (server, plain)]
                self.assertEqual(*answers)
            self.assertGreater(server.metric("accepted_tokens_total"), 50)
            self.assertGreaterEqual(server.metric("guessed_tokens_total"), server.metric("accepted_tokens_total"))
            self.assertLess(server.metric("steps_total"), plain.metric("steps_total") - 50)
            self.assertEqual(plain.metric("guessed_tokens_total"), 0)

    def test_many_at_once_get_what_each_gets_alone(self):
        requests = [{"content": f"make {i}" * (1 + i % 7), "max_tokens": 5 + i % 40, "seed": i,
                     "thinking": {"type": "disabled"}} for i in range(24)]
        alone = [self.server.chat(**request)["choices"] for request in requests]

        def one(i):
            if i % 3 == 1:
                chunks = events(self.server.chat(**requests[i], stream=True))
                return joined(chunks, "content")
            if i % 3 == 2:  # a neighbour that leaves
                connection, _ = self.server.begin_stream()
                connection.close()
            return self.server.chat(**requests[i])["choices"][0]["message"]["content"]

        with concurrent.futures.ThreadPoolExecutor(24) as clients:
            got = list(clients.map(one, range(len(requests))))
        self.assertEqual(got, [choices[0]["message"]["content"] for choices in alone])

    def test_a_client_that_leaves_frees_its_slot(self):
        before = self.server.metric("clients_left_total")
        for _ in range(5):  # more than there are slots
            connection, response = self.server.begin_stream(n=2)
            response.close()
            connection.close()
        self.server.wait_for("clients_left_total", before + 5)
        self.server.wait_for("completions_running", 0)

    def test_wrong_requests(self):
        def post(body, path="/v1/chat/completions"):
            return self.server.ask("POST", path, body)

        hi = [{"role": "user", "content": "Hi"}]
        self.refused(post("{"), 400, "not valid JSON")
        self.refused(post({}), 400, "'messages' must be", "messages")
        self.refused(post({"messages": hi, "temperature": "hot"}), 400, "must be a number", "temperature")
        self.refused(post({"messages": hi, "model": "gpt"}), 404, "this server has 'chatty'", "model")
        self.refused(post({"messages": hi, "tools": [{}]}), 400, "must hold", "tools")
        self.refused(post({"messages": hi, "response_format": {"type": "json_schema", "json_schema": {"schema": {"items": {
            "pattern": "a\\b"}}}}}), 400, "at #/items: 'pattern' has '\\b' at character 3", "response_format")
        unsuitable = [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {"format": "x"}}}}}]
        self.refused(post({"messages": hi, "tools": unsuitable, "tool_choice": "required"}), 400,
                     "the parameters of 'f' at #/properties/a: 'format' is 'x', which is not supported", "tools")
        self.refused(post({"messages": [{"role": "user", "content": "make 3 " * CONTEXT}]}), 400, f"may have {CONTEXT}; shorten it")
        # What cannot fit is not tokenized first.
        long = "a" * (3 << 20)
        self.refused(post({"messages": [{"role": "user", "content": long}]}), 400, f"the text has 3145728 bytes; {CONTEXT} tokens have")
        self.refused(post({"prompt": [long]}, "/v1/completions"), 400, "the text has 3145728 bytes")
        self.refused(post({"content": long}, "/tokenize"), 400, "the text has 3145728 bytes")
        self.refused(post({"prompt": [299, 300]}, "/v1/completions"), 400, "outside the model's vocabulary")
        self.refused(post({"prompt": "a", "logit_bias": {"300": 1}}, "/v1/completions"), 400, "logit_bias")
        self.refused(self.server.ask("GET", "/nowhere"), 404, "there is no /nowhere")
        self.refused(self.server.ask("GET", "/v1/completions"), 405, "takes POST")
        self.refused(self.server.ask("DELETE", "/v1/models"), 405, "takes GET")
        self.refused(post(b"\xff" * 100), 400, "not valid JSON")
        self.refused(post("[" * 100000), 400, "nests deeper")
        self.refused(post(b"a" * (9 << 20)), 413, "larger than")
        self.refused(self.server.ask("GET", "/health", headers={"X": "a" * 20000}), 431, "headers")
        self.refused(self.server.ask("GET", "/health", headers={"Host": "evil.example"}), 403, "--host-name")
        self.refused(self.server.ask("GET", "/health", headers={"Origin": "http://evil.example"}), 403, "other sites")
        status, headers, _ = self.server.ask("GET", "/health", headers={"Origin": f"http://127.0.0.1:{self.server.port}"})
        self.assertEqual(status, 200)
        self.assertFalse([name for name in headers if name.lower().startswith("access-control")])
        self.assertEqual(self.server.get("/health"), {"status": "ok"})

    def test_a_client_that_says_no_more_is_answered(self):
        for version in (b"1.1", b"1.0"):
            body = json.dumps({"prompt": "make 3", "max_tokens": 200, "ignore_eos": True}).encode()
            with socket.create_connection(("127.0.0.1", self.server.port), timeout=PATIENCE) as raw:
                raw.sendall(b"POST /v1/completions HTTP/%s\r\nHost: localhost\r\nContent-Length: %d\r\n\r\n%s" % (version, len(body), body))
                raw.shutdown(socket.SHUT_WR)
                response = http.client.HTTPResponse(raw)  # which reads over "100 Continue"
                response.begin()
                self.assertEqual(json.loads(response.read())["usage"]["completion_tokens"], 200)

    def test_a_client_that_leaves_before_its_answer_frees_its_slot(self):
        before = self.server.metric("clients_left_total")
        connection = self.server.connect()
        connection.request("POST", "/v1/completions", json.dumps({"prompt": "make 3", "max_tokens": CONTEXT - 100, "ignore_eos": True}))
        self.server.wait_for("completions_running", 1)
        connection.close()
        self.server.wait_for("clients_left_total", before + 1)
        self.server.wait_for("completions_running", 0)

    def test_garbage(self):
        for garbage in (b"\x00" * 1000, b"GET\r\n\r\n", b"\x16\x03\x01" * 50 + b"\r\n\r\n",
                        b"POST /v1/completions HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"):
            with socket.create_connection(("127.0.0.1", self.server.port), timeout=PATIENCE) as raw:
                raw.sendall(garbage)
                raw.shutdown(socket.SHUT_WR)
                answer = b""
                while piece := raw.recv(4096):
                    answer += piece
                self.assertTrue(answer == b"" or answer.startswith(b"HTTP/1.1 4"), answer)
        self.assertEqual(self.server.get("/health"), {"status": "ok"})


class Limits(Serving):
    def test_a_full_queue_is_told(self):
        with Server(self.model, "--slots", 1, "--queue", 0) as server:
            connection, response = server.begin_stream()
            refusal = server.ask("POST", "/v1/completions", {"prompt": "make 3", "max_tokens": 1})
            self.refused(refusal, 429, "try again")
            self.assertEqual(refusal[1]["Retry-After"], "1")
            response.close()
            connection.close()
            server.wait_for("completions_running", 0)
            server.text(max_tokens=1)

    def test_many_answers_of_one_request_shut_nobody_out(self):
        with Server(self.model, "--slots", 2, "--queue", 1) as server:
            connection, response = server.begin_stream(n=128, max_tokens=500)
            self.assertEqual(server.text(max_tokens=2, ignore_eos=True)["usage"]["completion_tokens"], 2)
            server.wait_for("completions_running", 2)  # the others go on
            response.close()
            connection.close()

    def test_a_log_that_cannot_be_written_is_told_once(self):
        with Server(self.model, "--log", "/dev/full") as server:
            for _ in range(3):
                server.get("/health")
            server.process.send_signal(signal.SIGTERM)
            said = server.process.stderr.read()
            self.assertEqual(said.count("/dev/full: cannot append to it: No space left on device"), 1, said)
            self.assertEqual(server.process.wait(PATIENCE), 0)
        with Server(self.model, "--log", "-") as server:
            server.process.stderr.close()  # its reader has gone
            for _ in range(3):
                server.get("/health")

    def test_the_log_tells_the_tokens_of_answers(self):
        log = self.folder / "tokens.log"
        with Server(self.model, "--log", log) as server:
            usage = [server.text(max_tokens=3, ignore_eos=True, n=2)["usage"]]
            server.ask("POST", "/v1/completions", {"prompt": "make 3", "stream": True, "max_tokens": 4, "ignore_eos": True})
            server.post("/v1/embeddings", {"input": "make 3"})
            server.get("/health")
            server.process.send_signal(signal.SIGTERM)
            self.assertEqual(server.process.wait(PATIENCE), 0)
        lines = [json.loads(line) for line in log.read_text().splitlines()]
        lines = [{name: line[name] for name in line if name.endswith("_tokens")} for line in lines]
        prompt = usage[0]["prompt_tokens"]
        self.assertEqual(lines[0], {"prompt_tokens": prompt, "cached_tokens": 0, "completion_tokens": 6, "reasoning_tokens": 0})
        self.assertEqual(lines[1:3], [{**lines[0], "cached_tokens": prompt - 1, "completion_tokens": 4},
                                      {"prompt_tokens": lines[2]["prompt_tokens"]}])
        self.assertGreater(lines[2]["prompt_tokens"], 0)
        self.assertEqual(lines[3], {})

    def test_keys(self):
        keys = self.folder / "keys"
        keys.write_text("# of tests\nsk-right\n")
        with Server(self.model, "--key-file", keys) as server:
            self.assertEqual(server.get("/health"), {"status": "ok"})
            for headers in ({}, {"Authorization": "Bearer sk-wrong"}, {"X-Api-Key": ""}):
                for path in ("/v1/models", "/metrics", "/nowhere"):
                    self.refused(server.ask("GET", path, headers=headers), 401, "a key is needed")
                self.refused(server.ask("POST", "/v1/completions", b"a" * 1000000, headers), 401, "a key is needed")
            for headers in ({"Authorization": "Bearer sk-right"}, {"X-Api-Key": "sk-right"}):
                self.assertEqual(server.ask("GET", "/v1/models", headers=headers)[0], 200)

    def test_what_is_open_to_all_must_be_asked_for(self):
        def run(*flags):
            return subprocess.run([PROGRAM, "serve", self.model, *map(str, flags)], capture_output=True, text=True,
                                  timeout=PATIENCE, env={**os.environ, "DARKHORSE_MEMORY": str(1 << 30)})

        refused = run("--host", "0.0.0.0")
        self.assertEqual(refused.returncode, 2)
        self.assertIn("give --key-file, or --no-key", refused.stderr)
        with Server(self.model, "--host", "0.0.0.0", "--no-key") as server:
            self.assertEqual(server.get("/health"), {"status": "ok"})
            taken = run("--port", server.port, "--adapter", "x=nowhere")  # told before anything is loaded
            self.assertEqual(taken.returncode, 1)
            self.assertIn(f"cannot listen on 127.0.0.1 port {server.port}", taken.stderr)
        large = run("--port", 0, "--slots", 65536, "--context", CONTEXT)
        self.assertEqual(large.returncode, 1)
        self.assertIn("lower --slots or --context", large.stderr)
        self.assertIn("no numeric address", run("--host", "localhost", "--no-key").stderr)

    def test_a_model_without_a_template_takes_questions_as_its_tasks_word_them(self):
        template = self.plain / "chat_template.jinja"
        template.rename(template.with_suffix(".aside"))
        try:
            with Server(self.plain, "--name", "plain") as server:
                tools = [{"type": "function", "function": {"name": "f"}}]
                body = {"messages": [{"role": "user", "content": "make 3"}], "tools": tools}
                self.refused(server.ask("POST", "/v1/chat/completions", body), 400, "shows no tools", "tools")
                asked = server.chat(max_tokens=8, temperature=0)
                self.assertEqual(asked["model"], "plain")
                text = server.text("make 3\n", max_tokens=8, temperature=0)
                self.assertEqual(asked["usage"]["prompt_tokens"], text["usage"]["prompt_tokens"])
        finally:
            template.with_suffix(".aside").rename(template)

    def test_templates_of_deepseek_get_arguments_as_their_text(self):
        # They write it as it is; of an object they would write Python's spelling.
        template = self.plain / "chat_template.jinja"
        template.rename(template.with_suffix(".aside"))
        talk = [{"role": "user", "content": "make 3"},
                {"role": "assistant", "content": None, "tool_calls": [
                    {"id": "call_1", "type": "function", "function": {"name": "add", "arguments": "{\"a\": 1}"}}]},
                {"role": "tool", "tool_call_id": "call_1", "content": "3"}]
        try:
            for before, behind in (("function<｜tool▁sep｜>add\n```json\n", "\n```"), ("add<｜tool▁sep｜>", "")):
                call = f"<｜tool▁call▁begin｜>{before}%s{behind}<｜tool▁call▁end｜>"
                template.write_text("{% for m in messages %}{{ m.content }}{% for c in m.tool_calls or [] %}" +
                                    call % "{{ c.function.arguments }}" + "{% endfor %}{% endfor %}")
                with Server(self.plain) as server:
                    prompt = server.post("/apply-template", {"messages": talk})["prompt"]
                self.assertIn(call % "{\"a\": 1}", prompt)
        finally:
            template.with_suffix(".aside").replace(template)


class Ending(Serving):
    def test_what_runs_is_finished_and_nothing_new_begun(self):
        with Server(self.model, "--slots", 1) as server:
            connection, response = server.begin_stream(max_tokens=8000)
            kept = server.connect()
            kept.request("GET", "/health")
            kept.getresponse().read()
            server.process.send_signal(signal.SIGTERM)
            server.process.stderr.readline()  # it says so
            kept.request("POST", "/v1/completions", json.dumps({"prompt": "a", "max_tokens": 1}))
            refusal = kept.getresponse()
            self.assertEqual(refusal.status, 503)
            self.assertIn("shutting down", refusal.read().decode())
            self.assertTrue(response.read().decode().endswith("data: [DONE]\n\n"))
            connection.close()
            kept.close()
            self.assertEqual(server.process.wait(PATIENCE), 0)

    def test_grace_ends(self):
        with Server(self.model, "--slots", 1, "--grace", 0) as server:
            connection, response = server.begin_stream()
            whole = server.connect()
            whole.request("POST", "/v1/completions", json.dumps({"prompt": "make 3", "max_tokens": 8000}))
            server.wait_for("completions_waiting", 1)
            server.process.send_signal(signal.SIGINT)
            self.assertIn("shutting down", response.read().decode())
            refusal = whole.getresponse()
            self.assertEqual(refusal.status, 503)
            self.assertIn("shutting down", refusal.read().decode())
            connection.close()
            whole.close()
            self.assertEqual(server.process.wait(PATIENCE), 0)


if __name__ == "__main__":
    unittest.main()
