// Requests to the server, with the key of this session where it asks for one.
import { askText } from "./question.js";
import { say } from "./words.js";

const kKey = "darkhorse.key";
let asking = null;  // the question for a key, while it is open

export const key = () => sessionStorage.getItem(kKey) ?? "";
export function setKey(value) {
  if (value) sessionStorage.setItem(kKey, value);
  else sessionStorage.removeItem(kKey);
}

function askKey() {
  asking ??= askText(say(key() ? "keyWrong" : "keyAsk"), { text: "", secret: true })
      .finally(() => { asking = null; });
  return asking;
}

// The response, which is a good one. `body`: what is posted; none: GET. Throws what the server says
// against it. quiet: a missing key is an error, not a question.
export async function ask(path, { body, signal, quiet = false } = {}) {
  for (;;) {
    const used = key(), headers = {};
    if (used) headers.Authorization = "Bearer " + used;
    if (body) headers["Content-Type"] = "application/json";
    const response = await fetch(path, {
      method: body ? "POST" : "GET", headers, body: body && JSON.stringify(body), signal,
    }).catch(error => {
      throw error.name === "AbortError" ? error : new Error(say("unreachable"));
    });
    if (response.ok) return response;
    const said = (await response.json().catch(() => null))?.error?.message ?? `HTTP ${response.status}`;
    if (response.status !== 401 || quiet) throw new Error(said);
    if (key() !== used) continue;  // given meanwhile
    const given = await askKey();
    if (!given) throw new Error(said);
    setKey(given);
  }
}

// The events of a stream of completions.
export async function* stream(path, body, signal) {
  const response = await ask(path, { body: { ...body, stream: true, stream_options: { include_usage: true } }, signal });
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let held = "";
  for (;;) {
    const { value, done } = await reader.read();
    if (done) return;
    const whole = (held + value).split("\n\n");
    held = whole.pop();
    for (const text of whole) {
      if (text === "data: [DONE]") return;
      if (!text.startsWith("data: ")) continue;  // a heartbeat
      const event = JSON.parse(text.slice(6));
      if (event.error) throw new Error(event.error.message);
      yield event;
    }
  }
}
