#!/usr/bin/env python3
"""`darkhorse serve` under load, as `darkhorse bench serve` and clients that misbehave make it, and
`darkhorse chat --url`.

serve_load_test.py PROGRAM"""

import concurrent.futures
import json
import signal
import socket
import subprocess
import threading
import unittest

import serve_test
from serve_test import PATIENCE, PROGRAM, Server

setUpModule = serve_test.setUpModule


def command(*words):
    return [PROGRAM, *map(str, words)]


class Loaded(serve_test.Serving):
    def bench(self, server, *flags, code=0):
        run = subprocess.run(command("bench", "serve", f"http://127.0.0.1:{server.port}", *flags, "--json"),
                             capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(run.returncode, code, run.stderr)
        return json.loads(run.stdout), run.stderr

    def test_every_stream_of_many_is_what_it_is_alone(self):
        with Server(self.model, "--slots", 6, "--queue", 64, "--prefill-rows", 16) as server:
            result, _ = self.bench(server, "--clients", 32, "--requests", 48, "--prompt-tokens", "1:40",
                                   "--new-tokens", "2:30", "--shared-prefix", 20, "--verify")
            self.assertEqual((result["answered"], result["failed"], result["different_from_alone"]), (48, 0, 0))
            self.assertGreaterEqual(result["prompt_tokens"], 48 * 21)
            self.assertLessEqual(result["prompt_tokens"], 48 * 60)
            self.assertGreater(result["prompt_tokens_cached"], 0)
            self.assertGreaterEqual(result["answer_tokens"], 48 * 2)
            for quantiles in ("seconds_to_first_token", "seconds_between_tokens", "seconds_to_end"):
                values = list(result[quantiles].values())
                self.assertEqual(values, sorted(values))
                self.assertGreaterEqual(values[0], 0)
            self.assertEqual(set(result["server_memory_bytes"]), {"before", "halfway", "after"})
            # Answers go on to their length.
            self.assertEqual(self.bench(server, "--requests", 5, "--new-tokens", 7)[0]["answer_tokens"], 35)

    def test_failures_are_told(self):
        with Server(self.model, "--slots", 1, "--queue", 1) as server:
            result, said = self.bench(server, "--clients", 8, "--requests", 8, "--new-tokens", 500, code=1)
            self.assertEqual(result["failures"], {"HTTP 429: too many requests wait already; try again later": result["failed"]})
            self.assertIn(f"requests that failed: {result['failed']} of 8", said)
            keys = self.folder / "one-key"
            keys.write_text("sk-right\n")
        with Server(self.model, "--key-file", keys) as server:
            self.bench(server, "--requests", 2, "--key-file", keys)
            refused = subprocess.run(command("bench", "serve", f"127.0.0.1:{server.port}"), capture_output=True, text=True)
            self.assertEqual(refused.returncode, 1)
            self.assertIn("HTTP 401: a key is needed", refused.stderr)

    def test_what_others_do_wrong_changes_nobody_s_answer(self):
        with Server(self.model, "--slots", 4, "--queue", 200) as server:
            over = threading.Event()

            def until_over(what):
                def loop():
                    while not over.is_set():
                        what()
                thread = threading.Thread(target=loop)
                thread.start()
                return thread

            def vanish():
                connection, response = server.begin_stream(max_tokens=2000)
                connection.sock and connection.sock.setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")  # closes at once, with a reset
                response.close()
                connection.close()

            def raw(data, pause):
                try:
                    with socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE) as s:
                        for byte in data:
                            s.sendall(bytes([byte]))
                            if over.wait(pause):
                                return
                except OSError:  # the server has had enough of it
                    pass

            misbehave = [until_over(vanish), until_over(vanish),
                         until_over(lambda: raw(b"POST /v1/completions HTTP/1.1\r\nHost: localhost\r\n", 0.2)),
                         until_over(lambda: raw(b"\x16\x03\x01\x00 garbage\r\n\r\n" * 20, 0))]
            try:
                result, _ = self.bench(server, "--clients", 24, "--requests", 24, "--seconds", 3, "--prompt-tokens", "1:30",
                                       "--new-tokens", "2:30", "--verify")
            finally:
                over.set()
                for thread in misbehave:
                    thread.join()
            self.assertEqual((result["failed"], result["different_from_alone"]), (0, 0))
            self.assertGreater(server.metric("clients_left_total"), 0)
            server.wait_for("completions_running", 0)

    def test_each_request_is_a_line_of_the_log(self):
        log = self.folder / "requests.jsonl"
        with Server(self.model, "--log", log) as server:
            server.text("a secret", max_tokens=2)
            server.ask("GET", "/nowhere?a-secret")
            server.process.send_signal(signal.SIGTERM)
            self.assertEqual(server.process.wait(PATIENCE), 0)
        text = log.read_text()
        self.assertNotIn("secret", text)
        self.assertEqual([(line["method"], line["path"], line["status"], line["client"], line["left"])
                          for line in map(json.loads, text.splitlines())],
                         [("POST", "/v1/completions", 200, "127.0.0.1", False), ("GET", "/nowhere", 404, "127.0.0.1", False)])

    def test_a_server_that_ends_under_load_ends_every_stream(self):
        with Server(self.model, "--slots", 2, "--queue", 64, "--grace", 600) as server:
            with concurrent.futures.ThreadPoolExecutor(12) as clients:
                streams = [server.begin_stream(max_tokens=3000) for _ in range(2)]  # they hold the slots
                asked = [clients.submit(server.ask, "POST", "/v1/completions",
                                        {"prompt": "make 3", "max_tokens": 20, "ignore_eos": True}) for _ in range(12)]
                server.wait_for("completions_waiting", 12)
                server.process.send_signal(signal.SIGTERM)
                for connection, response in streams:
                    self.assertTrue(response.read().decode().endswith("data: [DONE]\n\n"))
                    connection.close()
                for answer in asked:
                    status, _, body = answer.result(PATIENCE)
                    self.assertEqual((status, body["usage"]["completion_tokens"]), (200, 20))
            self.assertEqual(server.process.wait(PATIENCE), 0)


class Chatting(serve_test.Serving):
    @classmethod
    def setUpClass(cls):
        cls.server = Server(cls.model)
        cls.addClassCleanup(cls.server.__exit__)

    def chat(self, stdin, *flags, code=0):
        run = subprocess.run(command("chat", "--url", f"http://127.0.0.1:{self.server.port}/v1", *flags), input=stdin,
                             capture_output=True, text=True, timeout=PATIENCE)
        self.assertEqual(run.returncode, code, run.stderr)
        return run.stdout, run.stderr

    def test_a_conversation_is_what_the_server_s_api_answers(self):
        flags = ("--max-tokens", 9, "--seed", 4, "--thinking", "off", "--system", "be kind", "--top-p", "0.9")
        said, _ = self.chat("make 3\nand 4?\n/clear\nmake 5\n", *map(str, flags), "--json")
        exchanges = [json.loads(line) for line in said.splitlines()]
        system = {"role": "system", "content": "be kind"}
        messages = [system]
        for turn, (question, exchange) in enumerate(zip(("make 3", "and 4?", "make 5"), exchanges, strict=True)):
            if question == "make 5":
                messages = [system]
            messages.append({"role": "user", "content": question})
            answer = self.server.post("/v1/chat/completions", {
                "messages": messages, "max_tokens": 9, "seed": 4 + turn, "temperature": 0.6, "top_p": 0.9,
                "thinking": {"type": "disabled"}})
            content = answer["choices"][0]["message"]["content"]
            self.assertEqual((exchange["question"], exchange["answer"]), (question, content))
            self.assertEqual(exchange["tokens"], answer["usage"]["completion_tokens"])
            messages.append({"role": "assistant", "content": content})

    def test_thoughts_are_dimmed(self):
        said, _ = self.chat("make 3\n", "--max-tokens", "9", "--color", "always")
        self.assertIn("\x1b[2m", said)
        exchange = json.loads(self.chat("make 3\n", "--max-tokens", "9", "--json")[0])
        self.assertTrue(exchange["thought"])
        self.assertEqual(exchange["answer"], "")

    def test_what_goes_wrong_is_told(self):
        said, notes = self.chat("a " * serve_test.CONTEXT + "\nmake 3\n", "--max-tokens", "2", "--json", code=1)
        long, short = [json.loads(line) for line in said.splitlines()]
        self.assertIn("HTTP 400: ", long["error"])
        self.assertIn("answer", short)
        self.assertIn("questions without an answer: 1", notes)
        self.assertIn("HTTP 404: there is no model 'other'", self.chat("a\n", "--model", "other", code=1)[1])
        for flags, says in ((("--weights", "q8"), "--weights: with --url"), (("--context", "9"), "--context: with --url")):
            self.assertIn(says, self.chat("a\n", *flags, code=2)[1])
        for words, code, says in ((("chat",), 2, "name a model, or with --url a server"),
                                  (("chat", self.model, "--key-file", "x"), 2, "--key-file is for a server's key"),
                                  (("chat", "--url", "https://a"), 2, "only http:// is spoken"),
                                  (("chat", "--url", "127.0.0.1:1"), 1, "is a server running there?")):
            run = subprocess.run(command(*words), capture_output=True, text=True, stdin=subprocess.DEVNULL)
            self.assertEqual(run.returncode, code)
            self.assertIn(says, run.stderr)


if __name__ == "__main__":
    unittest.main()
