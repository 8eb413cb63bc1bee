"""Opens the page in a headless browser and uses it as a person does: looks, types, presses.

Usage: browser.py URL TOKEN DIRECTORY. Leaves light.png and dark.png in the directory; the exit code is
not 0 if the page does not do what it says, or if the browser's console has an error.
"""

import base64
import json
import subprocess
import sys
import tempfile
import time
import urllib.request

import websocket

DEADLINE = 30.0


class Browser:
    """One page of a browser, driven over its debugging protocol."""

    def __init__(self, profile):
        self.process = subprocess.Popen(
            [
                "chromium", "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                "--remote-debugging-port=0", "--remote-allow-origins=*", "--window-size=1200,1400",
                f"--user-data-dir={profile}", "about:blank",
            ],
            stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True,
        )
        for line in self.process.stderr:
            if "DevTools listening on ws://" in line:
                address = line.split("ws://")[1].split("/")[0]
                break
        else:
            raise SystemExit("the browser does not start")
        with urllib.request.urlopen(f"http://{address}/json") as answer:
            pages = [page for page in json.load(answer) if page["type"] == "page"]
        self.socket = websocket.create_connection(pages[0]["webSocketDebuggerUrl"], timeout=DEADLINE)
        self.number = 0
        self.errors = []
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")

    def call(self, method, **params):
        self.number += 1
        self.socket.send(json.dumps({"id": self.number, "method": method, "params": params}))
        while True:
            told = json.loads(self.socket.recv())
            self.note(told)
            if told.get("id") == self.number:
                if "error" in told:
                    raise SystemExit(f"{method}: {told['error']}")
                return told["result"]

    def note(self, told):
        """Keeps what the console complains of, and requests that leave the server."""
        params = told.get("params", {})
        if told.get("method") == "Runtime.exceptionThrown":
            self.errors.append(json.dumps(params["exceptionDetails"])[:400])
        elif told.get("method") == "Runtime.consoleAPICalled" and params["type"] in ("error", "warning"):
            self.errors.append(json.dumps(params["args"])[:400])
        elif told.get("method") == "Log.entryAdded" and params["entry"]["level"] in ("error", "warning"):
            self.errors.append(json.dumps(params["entry"])[:400])
        elif told.get("method") == "Network.requestWillBeSent":
            url = params["request"]["url"]
            if not url.startswith((self.home, "data:", "about:")):
                self.errors.append(f"a request elsewhere: {url}")

    home = "about:"

    def value(self, script):
        result = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        if "exceptionDetails" in result:
            raise SystemExit(f"{script}: {result['exceptionDetails']}")
        return result["result"].get("value")

    def wait_for(self, script, what):
        deadline = time.monotonic() + DEADLINE
        while not self.value(script):
            if time.monotonic() > deadline:
                raise SystemExit(f"not in time: {what}\n{self.value('document.body.innerText')}")
            time.sleep(0.05)

    def press(self, key):
        for kind in ("keyDown", "keyUp"):
            text = {"text": key} if kind == "keyDown" and len(key) == 1 else {}
            self.call("Input.dispatchKeyEvent", type=kind, key=key, **text)

    def shoot(self, file):
        # The whole page, however long.
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        clip = {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}
        shot = self.call("Page.captureScreenshot", format="png", clip=clip, captureBeyondViewport=True)
        with open(file, "wb") as out:
            out.write(base64.b64decode(shot["data"]))

    def end(self):
        self.process.terminate()
        self.process.wait(10)


def main(url, token, directory):
    with tempfile.TemporaryDirectory() as profile:
        browser = Browser(profile)
        browser.home = url
        try:
            use(browser, url, token, directory)
        finally:
            browser.end()
    if browser.errors:
        raise SystemExit("the console has errors:\n" + "\n".join(browser.errors))


def use(browser, url, token, directory):
    # Without a script, everything is there.
    browser.call("Emulation.setScriptExecutionDisabled", value=True)
    browser.call("Page.navigate", url=url + "/?q=lang%3Apython")
    time.sleep(1)
    browser.call("Emulation.setScriptExecutionDisabled", value=False)
    browser.wait_for("document.querySelector('#answer li a') !== null", "an answer without a script")
    browser.wait_for("document.querySelector('.spark path') !== null", "the pictures without a script")

    browser.call("Page.navigate", url=url + "/")
    browser.wait_for("document.readyState === 'complete' && !document.getElementById('admin').hidden", "the page")
    browser.wait_for("document.getElementById('badge').textContent.startsWith('fresh')", "freshness")

    # A slash goes to the query box, and what is typed is answered.
    browser.press("/")
    browser.wait_for("document.activeElement.id === 'q'", "the key / goes to the query box")
    for letter in "lang:python":
        browser.press(letter)
    browser.wait_for("document.querySelector('#answer li a') !== null", "live results")
    for letter in " (":
        browser.press(letter)
    browser.wait_for("document.querySelector('#answer mark') !== null", "the bad place of a query")
    browser.value("document.getElementById('q').value = 'lang:python';"
                  "document.getElementById('q').dispatchEvent(new Event('input'))")
    browser.wait_for("document.querySelector('#answer li a') !== null", "results again")
    browser.value("document.querySelector('#answer details').open = true")

    # Buttons come with the token, and say what they will do before they do it.
    browser.value("document.getElementById('admin').open = true")
    assert browser.value("document.querySelectorAll('#buttons button').length") == 0
    browser.value(f"document.getElementById('token').value = {json.dumps(token)};"
                  "document.getElementById('unlock').requestSubmit()")
    browser.wait_for("document.querySelectorAll('#buttons button').length >= 4", "the buttons")
    press_it = "document.querySelector('#buttons button').click()"
    browser.value(press_it)
    browser.wait_for("document.querySelector('#buttons button').textContent.endsWith('Really?')", "a second thought")
    # A double click is no second thought.
    browser.value(press_it)
    assert browser.value("document.querySelector('#buttons button').textContent.endsWith('Really?')")
    time.sleep(0.6)
    browser.value(press_it)
    browser.wait_for("document.getElementById('outcome').textContent.includes('incremental')", "the outcome")

    # Whoever reads in a piece keeps it, and sees that it is held; a pause is no freshness either.
    browser.value("document.querySelector('#live').setAttribute('tabindex', '-1');"
                  "document.querySelector('#live').focus()")
    browser.wait_for("document.getElementById('state').textContent === 'held'", "a piece that is held back")
    browser.value("document.activeElement.blur()")
    browser.wait_for("document.getElementById('state').textContent === 'fresh'", "freshness again")
    browser.value("document.getElementById('pause').click()")
    browser.wait_for("document.getElementById('badge').className === 'badge '", "a pause")
    browser.value("document.getElementById('pause').click()")
    browser.wait_for("document.getElementById('state').textContent === 'fresh'", "no pause any more")
    # A server that is gone, or takes the token no more, leaves no green badge behind.
    browser.value("window.real = window.fetch;"
                  "window.fetch = async () => new Response('{\"detail\": \"no token\"}', {status: 401})")
    browser.wait_for("document.getElementById('badge').className === 'badge unhealthy'", "a refusal")
    assert browser.value("document.getElementById('badge').textContent").endswith("no token")
    browser.value("window.fetch = window.real")
    browser.wait_for("document.getElementById('state').textContent === 'fresh'", "freshness after that")
    # Two more samples make a line.
    time.sleep(5)
    for scheme in ("light", "dark"):
        browser.call("Emulation.setEmulatedMedia",
                     features=[{"name": "prefers-color-scheme", "value": scheme}])
        time.sleep(0.3)
        browser.shoot(f"{directory}/{scheme}.png")
    print(f"the page works; {directory}/light.png and dark.png show it")


if __name__ == "__main__":
    main(*sys.argv[1:])
