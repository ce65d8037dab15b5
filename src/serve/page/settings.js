// The window of settings, and the models that are served.
import { ask, key, setKey } from "./api.js";
import { $, make } from "./dom.js";
import { setSetting, settings } from "./store.js";
import { say, setLanguage } from "./words.js";

let models = [];
let changed = () => {};  // what shows words anew

const kThemes = { "": "automatic", light: "light", dark: "dark" };
const kThinking = { "": "standard", on: "on", off: "off" };

export function applyTheme() {
  document.documentElement.dataset.theme = settings.theme;
}

// Each field: its name in the store, its word, and a control that shows and takes its value.
function fields() {
  const number = range => () => Object.assign(make("input"), { type: "number", ...range });
  const choice = choices => () => {
    const select = make("select");
    for (const [value, text] of choices()) select.append(new Option(text, value));
    return select;
  };
  const said = words => () => Object.entries(words).map(([value, word]) => [value, say(word)]);
  return [
    ["model", "model", choice(() => models.map((model, i) => [i ? model : "", model]))],
    ["system", "system", () => Object.assign(make("textarea"), { rows: 3 })],
    ["temperature", "temperature", number({ min: 0, max: 2, step: 0.05 })],
    ["top_p", "topP", number({ min: 0.01, max: 1, step: 0.01 })],
    ["max_tokens", "maxTokens", number({ min: 1, step: 1 })],
    ["thinking", "thinking", choice(said(kThinking))],
    ["budget", "budget", number({ min: 1, step: 1 })],
    ["theme", "theme", choice(said(kThemes))],
    ["language", "language", choice(() => [["", say("automatic")], ["en", "English"], ["zh", "中文"]])],
  ];
}

function fieldRow(name, word, makeControl) {
  const label = make("label", "", say(word)), control = makeControl();
  label.htmlFor = control.id = "set-" + name;
  control.value = settings[name];
  control.onchange = () => {
    if (!control.reportValidity()) return;
    setSetting(name, control.value);
    if (name === "theme") applyTheme();
    if (name === "model") showModel();
    if (name === "language") {
      setLanguage(settings.language);
      changed();
      fill();
      $("set-language").focus();
    }
  };
  return [label, control];
}

function keyRow() {
  const label = make("label", "", say("key")), control = make("input");
  label.htmlFor = control.id = "set-key";
  control.type = "password";
  control.autocomplete = "off";
  control.value = key();
  control.onchange = () => { setKey(control.value.trim()); readModels(); };
  return [label, control];
}

function fill() {
  const rows = fields().filter(([name]) => name !== "model" || models.length > 1);
  $("fields").replaceChildren(...rows.flatMap(row => fieldRow(...row)), ...keyRow());
  const keys = [["Enter", "keySend"], ["Shift+Enter", "keyLine"], ["Esc", "keyStop"], ["Ctrl+K", "keyNew"], ["↑", "keyEdit"],
                ["Ctrl+,", "keySettings"]];
  $("keys").replaceChildren(...keys.flatMap(([stroke, word]) => [make("dt", "", make("kbd", "", stroke)), make("dd", "", say(word))]));
}

export function openSettings() {
  if ($("settings").open) return;
  fill();
  $("settings").showModal();
}

export function showModel() {
  const model = settings.model || models[0] || "";
  $("model").textContent = model;
  document.title = model ? `${model} · darkhorse` : "darkhorse";
}

// What is served; a model that was chosen and is no more gives way to the first.
export async function readModels() {
  try {
    models = (await (await ask("v1/models")).json()).data.map(model => model.id);
    if (settings.model && !models.includes(settings.model)) setSetting("model", "");
  } catch { /* the next question will tell */ }
  showModel();
}

export function startSettings(redraw) {
  changed = redraw;
  $("gear").onclick = openSettings;
}
