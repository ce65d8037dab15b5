"""A headless Chromium, driven by WebDriver's protocol: what page_test.py needs of it."""

import base64
import http.client
import json
import pathlib
import shutil
import subprocess
import time

PATIENCE = 60
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"
TOOLS = ("chromium", "chromedriver")
KEYS = {"Enter": "\ue007", "Escape": "\ue00c", "Up": "\ue013", "Shift": "\ue008", "Control": "\ue009"}


def missing():
    return [tool for tool in TOOLS if not shutil.which(tool)]


class Browser:
    """One window, in an empty profile below `folder`, where its downloads go, too."""

    def __init__(self, folder, language="en-US", size=(1200, 900)):
        self.folder = pathlib.Path(folder)
        self.driver = subprocess.Popen(["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        for line in self.driver.stdout:
            if "successfully on port" in line:
                self.port = int(line.rstrip().rstrip(".").rsplit(" ", 1)[1])
                break
        else:
            raise AssertionError("chromedriver did not start")
        arguments = ["--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu", f"--lang={language}",
                     f"--accept-lang={language}", f"--user-data-dir={self.folder / 'profile'}", f"--window-size={size[0]},{size[1]}",
                     "--disable-background-networking", "--force-prefers-reduced-motion"]
        options = {"args": arguments, "prefs": {"intl.accept_languages": language, "download.default_directory": str(self.folder)}}
        self.session = ""
        capabilities = {"goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL", "performance": "ALL"}}
        self.session = self.ask("POST", "/session", {"capabilities": {"alwaysMatch": capabilities}})["sessionId"]
        self.command("Page.setDownloadBehavior", behavior="allow", downloadPath=str(self.folder))
        if language != "en-US":  # headless Chromium takes no notice of the flag
            self.command("Emulation.setLocaleOverride", locale=language)

    def close(self):
        try:
            self.ask("DELETE", f"/session/{self.session}")
        finally:
            self.driver.terminate()
            self.driver.wait()
            self.driver.stdout.close()

    def ask(self, method, path, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=2 * PATIENCE)
        connection.request(method, path, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
        value = json.loads(connection.getresponse().read())["value"]
        connection.close()
        if isinstance(value, dict) and "error" in value:
            raise AssertionError(f"{path}: {value['error']}: {value['message']}")
        return value

    def here(self, method, path, body=None):
        return self.ask(method, f"/session/{self.session}{path}", body)

    def command(self, name, **parameters):
        return self.here("POST", "/goog/cdp/execute", {"cmd": name, "params": parameters})

    def open(self, address):
        self.here("POST", "/url", {"url": address})

    def reload(self):
        self.here("POST", "/refresh", {})

    def run(self, script, *arguments):
        """What a script returns; it may wait for promises."""
        return self.here("POST", "/execute/sync", {"script": f"return (async () => {{ {script} }})()", "args": list(arguments)})

    def wait(self, script, *arguments):
        """What a script returns once that is something."""
        deadline = time.monotonic() + PATIENCE
        while not (value := self.run(script, *arguments)):
            assert time.monotonic() < deadline, f"never true: {script}\n{self.run('return document.body.innerText')[:2000]}"
            time.sleep(0.05)
        return value

    def find(self, selector):
        return self.here("POST", "/element", {"using": "css selector", "value": selector})[ELEMENT]

    def click(self, selector):
        self.here("POST", f"/element/{self.find(selector)}/click", {})

    def type(self, selector, text):
        self.here("POST", f"/element/{self.find(selector)}/value", {"text": text})

    def press(self, *keys):
        """Keys held down one after the other, then let go."""
        keys = [KEYS.get(key, key) for key in keys]
        actions = [{"type": "keyDown", "value": key} for key in keys] + [{"type": "keyUp", "value": key} for key in reversed(keys)]
        self.here("POST", "/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def text(self, selector):
        return self.run("return document.querySelector(arguments[0])?.innerText", selector)

    def label(self, element):
        return self.here("GET", f"/element/{element}/computedlabel")

    def all(self, selector):
        found = self.here("POST", "/elements", {"using": "css selector", "value": selector})
        return [element[ELEMENT] for element in found]

    def complaints(self):
        """What the browser held against the page: errors, and what its policy forbade, since it was asked last."""
        log = self.here("POST", "/se/log", {"type": "browser"})
        return [entry["message"] for entry in log if entry["level"] == "SEVERE"]

    def addresses(self):
        """What was asked for over the network since this was asked last."""
        log = [json.loads(entry["message"])["message"] for entry in self.here("POST", "/se/log", {"type": "performance"})]
        return [entry["params"]["request"]["url"] for entry in log if entry["method"] == "Network.requestWillBeSent"]

    def narrow(self, width, height):
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=True)

    def widen(self):
        self.command("Emulation.clearDeviceMetricsOverride")

    def picture(self, path):
        pathlib.Path(path).write_bytes(base64.b64decode(self.here("GET", "/screenshot")))
