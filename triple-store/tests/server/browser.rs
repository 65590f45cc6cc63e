//! Chromium without a window, controlled over a pipe (the Chrome `DevTools` Protocol).

use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Write};
use std::path::Path;
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};
use tempfile::TempDir;

/// A window with one page.
pub(crate) struct Browser {
    child: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
    session: Option<String>,
    sent: u64,
    /// Events that the browser sent.
    events: Vec<Value>,
    profile: TempDir,
}

/// The modifier keys of [`Browser::press`].
pub(crate) const ALT: u8 = 1;
pub(crate) const CTRL: u8 = 2;
pub(crate) const SHIFT: u8 = 8;

impl Browser {
    /// Returns `None` and prints a message if Chromium is not installed. `CHROMIUM` names a program outside of `PATH`.
    pub(crate) fn start() -> Option<Self> {
        let chosen = std::env::var("CHROMIUM").ok();
        let names = chosen.as_deref().into_iter().chain(["chromium", "chromium-browser", "google-chrome"]);
        let is_there =
            |name: &&str| Command::new(name).arg("--version").output().is_ok_and(|o| o.status.success());
        let Some(name) = names.into_iter().find(is_there) else {
            eprintln!("skipped: the tests of the page need Chromium; CHROMIUM can name its program");
            return None;
        };
        let profile = tempfile::tempdir().unwrap();
        let mut child = Command::new("sh")
            .args(["-c", "exec \"$0\" \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1", name])
            .args(["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-pipe"])
            // No name resolves, so every request of the page to another server fails and is reported.
            .arg("--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1")
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (child.stdin.take().unwrap(), BufReader::new(child.stdout.take().unwrap()));
        let mut browser = Self { child, input, output, session: None, sent: 0, events: Vec::new(), profile };
        let target = browser.call("Target.createTarget", json!({ "url": "about:blank" }))["targetId"].take();
        let attach = json!({ "targetId": target, "flatten": true });
        let session = browser.call("Target.attachToTarget", attach)["sessionId"].take();
        browser.session = Some(session.as_str().unwrap().to_owned());
        for part in ["Page", "Runtime", "Network", "Log"] {
            browser.call(&format!("{part}.enable"), json!({}));
        }
        let downloads = json!({ "behavior": "allow", "downloadPath": browser.profile.path() });
        browser.call("Page.setDownloadBehavior", downloads);
        Some(browser)
    }

    pub(crate) fn call(&mut self, method: &str, parameters: Value) -> Value {
        self.sent += 1;
        let mut message = json!({ "id": self.sent, "method": method });
        message["params"] = parameters;
        if let Some(session) = &self.session {
            message["sessionId"] = json!(session);
        }
        self.input.write_all(format!("{message}\0").as_bytes()).unwrap();
        loop {
            let mut bytes = Vec::new();
            assert_ne!(self.output.read_until(0, &mut bytes).unwrap(), 0, "{method}: the browser has ended");
            bytes.pop();
            let mut message: Value = serde_json::from_slice(&bytes).unwrap();
            if message["id"] == self.sent {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].take();
            }
            self.events.push(message);
        }
    }

    /// The value of a JavaScript expression.
    pub(crate) fn evaluate(&mut self, script: &str) -> Value {
        let parameters = json!({ "expression": script, "awaitPromise": true, "returnByValue": true });
        let mut result = self.call("Runtime.evaluate", parameters);
        assert!(result["exceptionDetails"].is_null(), "{script}: {result}");
        result["result"]["value"].take()
    }

    /// Waits until a condition holds, for at most one minute.
    pub(crate) fn until(&mut self, condition: &str) {
        let look = format!(
            "new Promise((resolve) => {{ let left = 6000; const look = () => ({condition}) ? resolve('') : left-- \
             ? setTimeout(look, 10) : resolve(document.body.innerText); look(); }})"
        );
        let shown = self.evaluate(&look);
        assert_eq!(shown, "", "never: {condition}");
    }

    /// Opens an address in a fresh page.
    pub(crate) fn open(&mut self, address: &str) {
        self.call("Page.navigate", json!({ "url": "about:blank" }));
        self.until("location.href === 'about:blank'");
        self.call("Page.navigate", json!({ "url": address }));
        self.until("location.href !== 'about:blank' && 'ready' in (document.body?.dataset ?? {})");
    }

    pub(crate) fn write(&mut self, text: &str) {
        self.call("Input.insertText", json!({ "text": text }));
    }

    /// Presses a key, by its name and number, together with modifiers.
    pub(crate) fn press(&mut self, key: &str, number: u8, with: u8) {
        let event =
            |kind| json!({ "type": kind, "key": key, "windowsVirtualKeyCode": number, "modifiers": with });
        self.call("Input.dispatchKeyEvent", event("rawKeyDown"));
        self.call("Input.dispatchKeyEvent", event("keyUp"));
    }

    /// The content of a file that the page has the browser download.
    pub(crate) fn downloaded(&mut self, name: &str) -> String {
        let path = self.profile.path().join(name);
        for _ in 0..6000 {
            if let Ok(content) = std::fs::read_to_string(&path) {
                return content;
            }
            self.evaluate("new Promise((resolve) => setTimeout(resolve, 10))");
        }
        panic!("no {name} was downloaded");
    }

    /// Saves a picture of the page, if `TRIPLES_PAGE_PICTURES` names a folder.
    pub(crate) fn picture(&mut self, name: &str) {
        let Ok(folder) = std::env::var("TRIPLES_PAGE_PICTURES") else { return };
        let picture = self.call("Page.captureScreenshot", json!({}))["data"].take();
        std::fs::write(Path::new(&folder).join(format!("{name}.png")), decoded(picture.as_str().unwrap()))
            .unwrap();
    }

    /// Checks that the page sent requests only to the server, and reported no error.
    pub(crate) fn assert_quiet(&mut self, address: &str) {
        self.evaluate("0");
        for event in &self.events {
            let parameters = &event["params"];
            match event["method"].as_str().unwrap() {
                "Network.requestWillBeSent" => {
                    let url = parameters["request"]["url"].as_str().unwrap();
                    let is_ours =
                        [address, "about:", "blob:", "data:"].iter().any(|start| url.starts_with(start));
                    assert!(is_ours, "a request to {url}");
                }
                "Runtime.exceptionThrown" | "Runtime.consoleAPICalled" => panic!("{parameters}"),
                // The browser also logs responses that are not successful there.
                "Log.entryAdded" if parameters["entry"]["source"] != "network" => panic!("{parameters}"),
                _ => {}
            }
        }
    }
}

/// The bytes of base64.
fn decoded(text: &str) -> Vec<u8> {
    let digit = |char: u8| match char {
        b'A'..=b'Z' => char - b'A',
        b'a'..=b'z' => char - b'a' + 26,
        b'0'..=b'9' => char - b'0' + 52,
        b'+' => 62,
        _ => 63,
    };
    let digits: Vec<u8> = text.trim_end_matches('=').bytes().map(digit).collect();
    let bytes = |four: &[u8]| {
        let bits =
            four.iter().fold(0, |bits: u32, digit| bits << 6 | u32::from(*digit)) << (6 * (4 - four.len()));
        bits.to_be_bytes()[1..four.len()].to_vec()
    };
    digits.chunks(4).flat_map(bytes).collect()
}

impl Drop for Browser {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
