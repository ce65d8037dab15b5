"""What the tests of page_test.py begin with: a server, a browser that has its page open, and words for what people do there."""

import json
import pathlib
import sys
import tempfile
import unittest

PICTURES = None
if "--pictures" in sys.argv:
    at = sys.argv.index("--pictures")
    PICTURES = pathlib.Path(sys.argv[at + 1])
    del sys.argv[at:at + 2]

import browser
import serve_test  # takes the program from the command line


def setUpModule():
    if missing := browser.missing():
        raise unittest.SkipTest(f"no {', '.join(missing)} here, so the page was not opened (Debian: chromium chromium-driver)")
    serve_test.setUpModule()


# In the place of the model's answer: events as the server sends them, at a pace.
ANSWERS = """
  window.asked ??= [];
  window.realFetch ??= window.fetch;
  const pieces = arguments[0], pause = arguments[1], thoughtTokens = arguments[2];
  window.fetch = async (path, how) => {
    if (!/completions$/.test(path)) return window.realFetch(path, how);
    window.asked.push(JSON.parse(how.body));
    const encoder = new TextEncoder();
    const event = value => encoder.encode(`data: ${JSON.stringify(value)}\\n\\n`);
    return new Response(new ReadableStream({
      async start(out) {
        how.signal.onabort = () => out.error(new DOMException("left", "AbortError"));
        for (const delta of pieces) {
          await new Promise(next => setTimeout(next, pause));
          if (how.signal.aborted) return;
          out.enqueue(event({ model: "m", choices: [{ index: 0, delta, text: delta.content }] }));
        }
        out.enqueue(event({ model: "m", choices: [{ index: 0, delta: {}, text: "", finish_reason: "stop" }] }));
        out.enqueue(event({ choices: [], usage: { prompt_tokens: 20, completion_tokens: 77,
          prompt_tokens_details: { cached_tokens: 16 }, completion_tokens_details: { reasoning_tokens: thoughtTokens } } }));
        out.enqueue(encoder.encode("data: [DONE]\\n\\n"));
        out.close();
      },
    }));
  };
"""


class PageCase(unittest.TestCase):
    language = "en-US"
    flags = ()

    @classmethod
    def setUpClass(cls):
        cls.server = serve_test.Server(serve_test.Serving.model, "--slots", 4, *cls.flags)
        cls.addClassCleanup(cls.server.__exit__)
        cls.address = f"http://127.0.0.1:{cls.server.port}/"
        folder = tempfile.TemporaryDirectory(ignore_cleanup_errors=True)
        cls.addClassCleanup(folder.cleanup)
        cls.folder = pathlib.Path(folder.name)
        cls.page = browser.Browser(cls.folder, cls.language)
        cls.addClassCleanup(cls.page.close)
        cls.page.open(cls.address)

    def setUp(self):
        self.addCleanup(self.start_anew)

    def start_anew(self):
        self.page.run("localStorage.clear(); sessionStorage.clear()")
        self.page.widen()
        self.page.open("about:blank")
        self.page.open(self.address)

    def tearDown(self):
        # Whatever a test did: nothing was asked of another origin, and no rule of the policy was broken.
        others = [address for address in self.page.addresses()
                  if not address.startswith((self.address, "data:", f"blob:{self.address}", "about:", "chrome:"))]
        self.assertEqual(others, [])
        self.assertEqual([line for line in self.page.complaints() if "401 (" not in line], [])

    def set(self, name, value):
        self.page.run("""localStorage.setItem("darkhorse.settings", JSON.stringify({
            ...JSON.parse(localStorage.getItem("darkhorse.settings") ?? "{}"), [arguments[0]]: arguments[1] }))""", name, value)
        self.page.reload()

    def answers(self, *pieces, pause=1, thought_tokens=33):
        self.page.run(ANSWERS, list(pieces), pause, thought_tokens)

    def go_on_and_on(self):
        """Lets the model's answers end by their length alone."""
        self.page.run("""const plain = window.fetch;
            window.fetch = (path, how) => plain(path, how?.body ? { ...how, body: how.body.replace(/}$/, ',"ignore_eos":true}') } : how)""")

    def send(self, text, waits=True):
        before = self.count()
        self.page.type("#ask", text)
        self.page.press("Enter")
        self.page.wait("return document.querySelectorAll('.turn').length > arguments[0]", before)
        if waits:
            self.settle()

    def settle(self):
        self.page.wait("return !document.querySelector('[aria-busy=true]') && "
                       "document.getElementById('send').ariaLabel !== 'Stop' && document.querySelector('.assistant')")

    def count(self):
        return self.page.run("return document.querySelectorAll('.turn').length")

    def texts(self, selector):
        return self.page.run("return [...document.querySelectorAll(arguments[0])].map(e => e.innerText)", selector)

    def press_on(self, turn, label):
        self.page.run("document.querySelectorAll('.turn')[arguments[0]].querySelector(`[aria-label='${arguments[1]}']`).click()",
                      turn, label)

    def take_in(self, content):
        """Imports a conversation of a question and an answer."""
        chat = {"id": "given", "title": "Given", "updated": 1, "at": 1,
                "turns": [{"parent": -1, "role": "user", "content": "?"}, {"parent": 0, "role": "assistant", "content": content}]}
        path = self.folder / "in.json"
        path.write_text(json.dumps({"format": "darkhorse conversations 1", "chats": [chat]}))
        self.page.type("#import-file", str(path))
        self.page.wait("return document.querySelector('.assistant .markdown > *')")
