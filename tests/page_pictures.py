"""The pictures of docs/serve.md, as tests of page_test.py that run with --pictures alone."""

import concurrent.futures
import time
import unittest

from page_case import PICTURES, PageCase, setUpModule  # noqa: F401

ASKED = "What is the sum of the first n numbers? Show me in Python, too."
SHOWN = r"""Pair the first with the last: each of the $\frac{n}{2}$ pairs has the sum $n + 1$, so

$$\sum_{i=1}^{n} i = \frac{n(n+1)}{2}.$$

```python
def sum_to(n):
    return n * (n + 1) // 2  # no loop
```
"""


@unittest.skipUnless(PICTURES, "no pictures were asked for")
class Pictures(PageCase):
    """What docs/serve.md shows: of a made-up answer, and of a server at work."""

    def setUp(self):
        super().setUp()
        self.page.command("Emulation.setDeviceMetricsOverride", width=960, height=620, deviceScaleFactor=1, mobile=False)

    def test_chat(self):
        self.answers(*[{"reasoning_content": "Add the first and the last. "}] * 20, {"content": SHOWN}, pause=40)
        self.send(ASKED)
        self.press_on(1, "Retry")
        self.settle()
        self.page.run("document.activeElement.blur()")
        self.page.picture(PICTURES / "page-chat.png")

    def test_server(self):
        self.page.click("#tab-server")

        until = time.monotonic() + 45

        def ask(seed):
            while time.monotonic() < until:
                self.server.text("make 3 from 1 2 0 " * seed, max_tokens=700 * seed, seed=seed, ignore_eos=True)
                time.sleep(seed)

        with concurrent.futures.ThreadPoolExecutor(5) as pool:
            for seed in range(1, 6):
                pool.submit(ask, seed)
            time.sleep(40)
            self.page.run("document.activeElement.blur()")
            self.page.picture(PICTURES / "page-server.png")
