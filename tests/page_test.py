#!/usr/bin/env python3
"""The page of `darkhorse serve` in a headless Chromium. Skipped, and said, where there is none (Debian: chromium chromium-driver).

page_test.py PROGRAM [--pictures FOLDER]    # with it, also writes the pictures of docs/serve.md there"""

import json
import time
import unittest

import browser
from page_case import PageCase, serve_test, setUpModule  # noqa: F401; takes the program from the command line
from page_pictures import Pictures  # noqa: F401, which has tests of its own
from page_texts import HOSTILE, SAID, THOUGHT


class Chats(PageCase):
    def test_a_real_answer_streams_and_stops(self):
        self.set("max_tokens", "20000")
        self.go_on_and_on()
        self.send("make 3", waits=False)
        self.page.wait("return document.querySelector('.thought:not([hidden]) summary')?.innerText.includes('tokens')")
        self.assertEqual(self.page.run("return document.getElementById('send').ariaLabel"), "Stop")
        first = self.page.text(".assistant .note")
        self.page.wait("return document.querySelector('.assistant .note').innerText !== arguments[0]", first)
        self.page.press("Escape")
        self.settle()
        self.assertIn("stopped", self.page.text(".assistant .note"))
        self.server.wait_for("completions_running", 0)
        self.assertLess(self.server.metric("generated_tokens_total"), 20000)
        self.set("max_tokens", "12")
        self.go_on_and_on()
        self.send("make 4")
        self.assertEqual(self.count(), 4)
        self.assertIn("12 tokens", self.texts(".assistant .note")[1])
        self.assertRegex(self.texts(".assistant .note")[1], r"tokens/s · .* from the cache · cut off")

    def test_a_thought_is_folded_and_an_answer_is_set(self):
        self.answers({"reasoning_content": THOUGHT}, {"reasoning_content": " So."}, *({"content": c} for c in SAID))
        self.send("add\nthe numbers")
        self.assertFalse(self.page.run("return document.querySelector('.thought').open"))
        self.assertRegex(self.page.text(".thought summary"), r"Thought · .*33 tokens")
        self.assertEqual(self.page.text(".assistant .note").split(" · ")[0], "77 tokens")
        self.assertIn("16 of 20 prompt tokens from the cache", self.page.text(".assistant .note"))
        self.assertEqual(self.page.run("return document.querySelectorAll('.assistant > .markdown .katex').length"), 4)
        self.assertEqual(self.page.run("return document.querySelectorAll('.assistant > .markdown .katex-display').length"), 2)
        self.assertIn("for $5 or $6", self.page.text(".assistant > .markdown"))
        self.assertEqual(self.page.run("return document.querySelector('strong').innerText"), "the sum")
        self.assertEqual(self.texts(".hljs-keyword"), ["def", "return"])
        self.assertEqual(self.page.run("return document.querySelectorAll('td').length"), 2)
        # What KaTeX cannot read stays as it is.
        self.assertEqual(self.texts(".math-source"), ["$\\frac{$"])
        # The fonts came with the style.
        self.assertTrue(self.page.run("await document.fonts.ready; return document.fonts.check('16px KaTeX_Main') && "
                                      "[...document.fonts].some(f => f.family === 'KaTeX_Main' && f.status === 'loaded')"))
        self.page.run("document.querySelector('.thought summary').click()")
        self.page.wait("return document.querySelector('.thought .katex')")
        dim, bright = self.page.run("return ['.thought', '.assistant > .markdown'].map(s => getComputedStyle(document.querySelector(s)).color)")
        self.assertNotEqual(dim, bright)
        # Copying code.
        self.page.run("window.copied = null; Object.defineProperty(navigator, 'clipboard', "
                      "{ value: { writeText: async text => { window.copied = text; } } })")
        self.page.click(".code button")
        self.assertEqual(self.page.wait("return window.copied"), "def add(a, b):\n    return a + b  # a sum\n")
        self.assertEqual(self.page.wait("return document.querySelector('.code button').ariaLabel"), "Copied")

    def test_text_comes_while_it_is_written(self):
        self.answers(*({"content": f"w{i} "} for i in range(40)), pause=50)
        self.send("go", waits=False)
        self.page.wait("return document.querySelector('.assistant > .markdown').innerText.includes('w3')")
        self.assertNotIn("w39", self.page.text(".assistant > .markdown"))
        self.settle()
        self.assertIn("w39", self.page.text(".assistant > .markdown"))

    def test_edits_and_retries_are_branches(self):
        self.answers({"content": "first"})
        self.send("one")
        self.send("two")
        self.answers({"content": "second"})
        self.press_on(0, "Edit")
        self.page.run("document.querySelector('.editor textarea').value = 'uno'")
        self.page.press("Enter")
        self.settle()
        self.assertEqual(self.texts(".turn .plain, .turn > .markdown"), ["uno", "second"])
        self.assertEqual(self.texts(".branch"), ["2/2"])
        self.press_on(0, "Previous version")
        self.assertEqual(self.texts(".turn .plain, .turn > .markdown"), ["one", "first", "two", "first"])
        self.answers({"content": "third"})
        self.press_on(3, "Retry")
        self.settle()
        self.assertEqual(self.texts(".turn > .markdown"), ["first", "third"])
        self.assertEqual([m["content"] for m in self.page.run("return window.asked.at(-1).messages")], ["one", "first", "two"])
        self.assertEqual(self.texts(".branch"), ["1/2", "2/2"])
        # An answer that is edited asks for nothing, and is what the model has said from then on.
        self.press_on(1, "Edit")
        self.page.run("document.querySelector('.editor textarea').value = 'mended'")
        self.page.press("Control", "Enter")
        self.assertEqual(self.texts(".turn .plain, .turn > .markdown"), ["one", "mended"])
        self.page.reload()
        self.assertEqual(self.texts(".turn .plain, .turn > .markdown"), ["one", "mended"])
        self.press_on(1, "Previous version")
        self.assertEqual(self.texts(".turn > .markdown"), ["first", "third"])

    def test_conversations_are_kept_named_and_deleted(self):
        self.answers({"content": "first"})
        self.send("one")
        self.page.press("Control", "k")
        self.assertEqual(self.count(), 0)
        self.answers({"content": "other"})
        self.send("two")
        self.assertEqual(self.texts("#chats .title"), ["two", "one"])
        self.page.reload()
        self.assertEqual(self.texts(".turn .plain, .turn > .markdown"), ["two", "other"])
        self.page.click("#chats li:nth-child(2) .title")
        self.assertEqual(self.texts(".turn .plain, .turn > .markdown"), ["one", "first"])
        self.page.click("#chats li:nth-child(2) [aria-label=Rename]")
        self.page.run("document.getElementById('question-text').value = 'A <b>name</b>'")
        self.page.press("Enter")
        self.page.wait("return document.querySelector('#chats li:nth-child(2) .title').innerText === 'A <b>name</b>'")
        self.page.click("#chats li:nth-child(2) [aria-label=Delete]")
        self.page.click("#question-no")
        self.assertEqual(len(self.texts("#chats li")), 2)
        self.page.click("#chats li:nth-child(2) [aria-label=Delete]")
        self.page.click("#question-yes")
        self.page.wait("return document.querySelectorAll('#chats li').length === 1")
        self.page.reload()
        self.assertEqual(self.texts("#chats .title"), ["two"])

    def test_a_deleted_conversation_stays_away_when_its_answer_ends(self):
        self.answers(*({"content": "w "} for _ in range(200)), pause=50)
        self.send("one", waits=False)
        self.page.click("#chats li [aria-label=Delete]")
        self.page.click("#question-yes")
        self.page.wait("return document.querySelectorAll('#chats li').length === 0")
        time.sleep(0.3)
        self.page.reload()
        self.assertEqual(self.texts("#chats .title"), [])

    def test_export_and_import(self):
        self.answers({"reasoning_content": "hm"}, {"content": "first"})
        self.send("one")
        self.press_on(1, "Retry")
        self.settle()
        self.page.click("#export")
        path = self.folder / "darkhorse-chats.json"
        deadline = time.monotonic() + browser.PATIENCE
        while not path.exists() and time.monotonic() < deadline:
            time.sleep(0.05)
        told = json.loads(path.read_text())
        self.assertEqual(told["format"], "darkhorse conversations 1")
        self.assertEqual([(t["parent"], t["role"], t["content"]) for t in told["chats"][0]["turns"]],
                         [(-1, "user", "one"), (0, "assistant", "first"), (0, "assistant", "first")])
        self.page.run("localStorage.clear()")
        self.page.reload()
        self.assertEqual(self.count(), 0)
        self.page.type("#import-file", str(path))
        self.page.wait("return document.querySelectorAll('.turn').length === 2")
        self.assertEqual(self.texts(".branch"), ["2/2"])
        for wrong in ("nonsense", '{"format": "darkhorse conversations 1", "chats": [{"id": "a", "title": "", "turns": '
                                  '[{"parent": 0, "role": "user", "content": ""}]}]}'):
            (self.folder / "wrong.json").write_text(wrong)
            self.page.type("#import-file", str(self.folder / "wrong.json"))
            self.page.wait("return document.querySelector('#log .error')?.innerText.includes('wrong.json holds no')")
            self.assertEqual(len(self.texts("#chats li")), 1)

    def test_hostile_text_is_inert(self):
        for text in (HOSTILE, "> " + HOSTILE.replace("\n", "\n> "), f"| a |\n|---|\n| {' '.join(HOSTILE.split())} |"):
            self.take_in(text)
            self.assertEqual(self.page.run("""return [...document.querySelectorAll(
                '.assistant :is(img, script, iframe, form, input, style, object, embed, video, [onerror], [onload], [ontoggle], [onmouseover])')]
                .map(e => e.outerHTML)"""), [])
            links = self.page.run("return [...document.querySelectorAll('.assistant a')].map(a => [a.getAttribute('href'), a.rel])")
            self.assertIn("https://example.org/ok", [link[0] for link in links])
            for target, rel in links:
                self.assertTrue(target is None or target.startswith("https://"), target)
                self.assertIn("noopener", rel)
            self.page.run("document.querySelectorAll('.assistant a:not([href])').forEach(a => a.click())")
            # What it is made of is shown.
            self.assertIn("<script>window.harmed = 2</script>", self.page.text(".assistant"))
            time.sleep(0.2)
            self.assertIsNone(self.page.run("return window.harmed ?? null"))
        self.answers(*({"content": piece} for piece in HOSTILE.split("<")), {"content": HOSTILE})
        self.send(HOSTILE.splitlines()[0])
        self.assertIsNone(self.page.run("return window.harmed ?? null"))
        self.assertEqual(self.page.run("return document.querySelectorAll('.turn img').length"), 0)

    def test_settings_are_what_is_asked_with(self):
        self.page.press("Control", ",")
        self.page.wait("return document.getElementById('settings').open")
        self.assertEqual(self.texts("#set-model"), [])  # of one model there is no choice
        for name, value in (("system", "Be short."), ("temperature", "0.25"), ("top_p", "0.9"), ("thinking", "off"), ("max_tokens", "9")):
            self.page.run("""const field = document.getElementById("set-" + arguments[0]);
                field.value = arguments[1]; field.dispatchEvent(new Event("change"))""", name, value)
        self.page.run("const f = document.getElementById('set-temperature'); f.value = '7'; f.dispatchEvent(new Event('change'))")
        self.page.reload()
        self.answers({"content": "yes"})
        self.send("q")
        asked = self.page.run("return window.asked[0]")
        self.assertEqual(asked["messages"], [{"role": "system", "content": "Be short."}, {"role": "user", "content": "q"}])
        self.assertEqual({name: asked.get(name) for name in ("temperature", "top_p", "max_tokens", "thinking", "stream")},
                         {"temperature": 0.25, "top_p": 0.9, "max_tokens": 9, "thinking": {"type": "disabled"}, "stream": True})
        self.page.run("document.getElementById('settings').open || document.getElementById('gear').click()")
        self.page.run("const f = document.getElementById('set-theme'); f.value = 'dark'; f.dispatchEvent(new Event('change'))")
        self.assertEqual(self.page.run("return getComputedStyle(document.body).backgroundColor"), "rgb(22, 24, 28)")
        self.page.run("const f = document.getElementById('set-theme'); f.value = 'light'; f.dispatchEvent(new Event('change'))")
        self.assertEqual(self.page.run("return getComputedStyle(document.body).backgroundColor"), "rgb(255, 255, 255)")

    def test_light_and_dark_are_the_systems(self):
        for scheme, colour in (("dark", "rgb(22, 24, 28)"), ("light", "rgb(255, 255, 255)")):
            self.page.command("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])
            self.assertEqual(self.page.run("return getComputedStyle(document.body).backgroundColor"), colour)
        self.page.command("Emulation.setEmulatedMedia", features=[])

    def test_of_several_models_one_is_chosen(self):
        self.page.run("""const plain = window.fetch;
            window.fetch = (path, how) => path === "v1/models"
                ? Promise.resolve(Response.json({ data: [{ id: "one" }, { id: "one:law" }] })) : plain(path, how)""")
        change = """const field = document.getElementById("set-" + arguments[0]);
            field.value = arguments[1]; field.dispatchEvent(new Event("change"))"""
        self.page.click("#gear")
        self.page.run(change, "key", "")  # another key may see others
        self.page.wait("return document.getElementById('model').innerText === 'one'")
        self.page.press("Escape")
        self.page.click("#gear")
        self.page.run(change, "model", "one:law")
        self.page.press("Escape")
        self.assertEqual(self.page.text("#model"), "one:law")
        self.answers({"content": "yes"})
        self.send("q")
        self.assertEqual(self.page.run("return window.asked[0].model"), "one:law")

    def test_a_thought_ends_at_its_budget(self):
        self.set("budget", "10")
        self.set("max_tokens", "30")
        self.go_on_and_on()
        self.send("make 3")  # the model's own thought never ends
        self.assertIn("cut off", self.page.text(".assistant .note"))
        turn = json.loads(self.page.run("return Object.entries(localStorage).find(([k]) => k.startsWith('darkhorse.chat.'))[1]"))["turns"][1]
        self.assertTrue(turn["thought"])
        self.assertTrue(turn["content"])
        self.assertLessEqual(turn["stats"]["thoughtTokens"], 12)
        self.assertLessEqual(turn["stats"]["tokens"], 31)
        self.assertEqual(self.page.run("return window.asked.at(-1).max_reasoning_tokens"), 10)
        self.answers({"reasoning_content": "hm"}, {"content": "So."}, thought_tokens=12)
        self.send("and now")
        self.assertIn("its thought was ended at the budget", self.texts(".assistant .note")[1])
        self.answers({"reasoning_content": "hm"}, {"content": "So."}, thought_tokens=11)
        self.send("once more")  # a thought that ended by itself
        self.assertEqual(len(self.texts(".assistant .note")), 2)
        self.set("thinking", "off")
        self.answers({"content": "So."})
        self.send("without")
        self.assertNotIn("max_reasoning_tokens", self.page.run("return window.asked.at(-1)"))

    def test_an_error_is_told_and_can_be_retried(self):
        self.set("temperature", "1e9")
        self.send("q")
        self.assertIn("temperature", self.page.text(".assistant .error"))
        self.set("temperature", "")
        self.answers({"content": "well"})
        self.press_on(1, "Retry")
        self.settle()
        self.assertEqual(self.texts(".turn > .markdown"), ["well"])
        self.page.complaints()  # the server's 400 is among them

    def test_keys(self):
        self.answers({"content": "yes"})
        self.page.type("#ask", "a")
        self.page.press("Shift", "Enter")
        self.page.type("#ask", "b")
        self.assertEqual(self.count(), 0)
        self.page.press("Enter")
        self.settle()
        self.assertEqual(self.texts(".turn .plain"), ["a\nb"])
        self.page.press("Up")
        self.page.wait("return document.querySelector('.editor textarea')?.value === 'a\\nb'")
        self.page.press("Escape")
        self.assertEqual(self.texts(".turn .plain"), ["a\nb"])

    def test_every_control_has_a_name(self):
        self.answers({"reasoning_content": "hm"}, {"content": SAID})
        self.send("q")
        self.press_on(1, "Retry")
        self.settle()
        self.page.click("#gear")
        visible = "button, input:not([type=file]), select, textarea, summary, a[href], [role]"
        for opened in ("#settings", "body"):
            named = 0
            for element in self.page.all(f":is({opened}) :is({visible})"):
                if not self.page.run("return arguments[0].checkVisibility()", {browser.ELEMENT: element}):
                    continue
                named += 1
                self.assertTrue(self.page.label(element) or self.page.run("return arguments[0].role === 'status'", {browser.ELEMENT: element}),
                                self.page.run("return arguments[0].outerHTML", {browser.ELEMENT: element}))
            self.assertGreater(named, 8)
            self.page.run("document.getElementById('settings').close()")

    def test_a_phone(self):
        self.page.narrow(360, 740)
        self.take_in(SAID + "\n\n$$" + " + ".join(f"x_{{{i}}}" for i in range(60)) + "$$\n\n```\n" + "y" * 300 + "\n```\n\n" + "z" * 300
                     + "\n\n|" + " wide column |" * 12 + "\n|" + "---|" * 12)
        for view in ("chat", "server"):
            self.page.click("#tab-" + view)
            self.page.wait("return document.getElementById(arguments[0]).checkVisibility()", view)
            wide = self.page.run("""return [document.documentElement, document.body, document.getElementById('log'),
                document.getElementById('server')].map(e => e.scrollWidth - e.clientWidth)""")
            self.assertEqual(wide, [0, 0, 0, 0])
        self.page.click("#tab-chat")
        self.assertFalse(self.page.run("return document.getElementById('chats').checkVisibility({ visibilityProperty: true })"))
        self.page.click("#open-side")
        self.page.wait("return document.getElementById('chats').checkVisibility({ visibilityProperty: true })")
        self.page.click("#new")
        self.page.wait("return !document.getElementById('chats').checkVisibility({ visibilityProperty: true })")
        self.assertEqual(self.count(), 0)

    def test_the_server_is_shown(self):
        self.set("max_tokens", "5000")
        self.go_on_and_on()
        self.send("make 3", waits=False)
        self.page.click("#tab-server")
        tiles = "return Object.fromEntries([...document.querySelectorAll('.tile')].map(t => [...t.children].map(c => c.innerText)))"
        self.page.wait(tiles.replace("return ", "const t = ") + "; return Number(t['Generated tokens/s']) > 0 || "
                       "Number(t['Tokens generated']?.replace(/,/g, '')) > 0 && document.querySelector('.line-0[d*=L]')")
        told = self.page.run(tiles)
        self.assertRegex(told["Memory"], r"^[\d.,]+ [MG]iB$")
        self.assertRegex(told["Running"], r"^\d of 4$")
        self.assertEqual(len(self.texts(".chart h3")), 6)
        self.page.wait("return document.querySelectorAll('.line-0[d*=L]').length === 6")
        self.page.click("#tab-chat")
        self.settle()


class Chinese(PageCase):
    language = "zh-CN"

    def test_the_page_speaks_chinese_and_can_be_told_otherwise(self):
        self.assertEqual(self.page.run("return document.documentElement.lang"), "zh")
        self.assertEqual(self.page.text("#tab-server"), "服务器")
        self.assertEqual(self.page.run("return document.getElementById('ask').placeholder"), "请输入问题")
        self.page.click("#gear")
        self.page.run("const f = document.getElementById('set-language'); f.value = 'en'; f.dispatchEvent(new Event('change'))")
        self.assertEqual(self.page.text("#settings-title"), "Settings")
        self.page.reload()
        self.assertEqual(self.page.text("#tab-server"), "Server")


class Keys(PageCase):
    @classmethod
    def setUpClass(cls):
        keys = serve_test.Serving.folder / "page-keys"
        keys.write_text("sk-right name=ann\n")
        cls.flags = ("--key-file", keys)
        super().setUpClass()

    def test_a_key_is_asked_for_once_and_kept_for_the_session(self):
        for given in ("sk-wrong", "sk-right"):
            self.page.wait("return document.getElementById('question').open && document.getElementById('question-text').value === ''")
            self.page.type("#question-text", given)
            self.page.press("Enter")
        self.page.wait("return document.getElementById('model').innerText === 'chatty'")
        self.page.reload()
        self.page.wait("return document.getElementById('model').innerText === 'chatty'")
        self.set("max_tokens", "5")
        self.go_on_and_on()
        self.send("q")
        self.assertIn("5 tokens", self.page.text(".assistant .note"))
        self.assertFalse(self.page.run("return document.getElementById('question').open"))
        self.assertNotIn("sk-right", json.dumps(self.page.run("return { ...localStorage }")))
        self.page.click("#tab-server")
        self.page.wait("return document.querySelector('.keys')?.innerText.includes('ann')")




if __name__ == "__main__":
    unittest.main()
