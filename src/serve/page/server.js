// The server's view: what /metrics tells, as numbers and as charts of the last minutes.
import { ask } from "./api.js";
import { chart } from "./chart.js";
import { $, make } from "./dom.js";
import { say } from "./words.js";

const kSeconds = 2, kPlaces = 150;  // between two looks; looks that are kept
let samples = [];                   // {at, values}, oldest first
let timer = null, looking = false;

// Prometheus' text: lines of a name, with labels or without, and a number.
function parse(text) {
  const values = new Map();
  for (const line of text.split("\n")) {
    const match = /^([a-z_]+(?:\{.*\})?) (\S+)$/.exec(line);
    if (match) values.set(match[1].replace(/^darkhorse_/, ""), Number(match[2]));
  }
  return values;
}

const whole = number => Math.round(number).toLocaleString();
const tenths = number => Number.isFinite(number) ? number.toLocaleString(undefined, { maximumFractionDigits: number < 100 ? 1 : 0 }) : "–";
const percent = share => Number.isFinite(share) ? `${Math.round(100 * share)} %` : "–";
const bytes = number => number < 2 ** 30 ? `${whole(number / 2 ** 20)} MiB` : `${(number / 2 ** 30).toFixed(2)} GiB`;

// How much a counter grew a second from the look before; NaN: there was none, or the server began anew.
function rate(name, i) {
  if (i < 1) return NaN;
  const grown = samples[i].values.get(name) - samples[i - 1].values.get(name);
  return grown < 0 ? NaN : grown / (samples[i].at - samples[i - 1].at);
}

// Of prompt tokens, how many had been computed before.
function cacheShare(values) {
  const cached = values.get("prompt_tokens_cached_total");
  return cached / (cached + values.get("prompt_tokens_total"));
}

const kTiles = [
  ["busy", (v, i) => percent(Math.min(1, rate("step_seconds_total", i)))],
  ["running", v => say("of", v.get("completions_running"), v.get("slots"))],
  ["queue", v => whole(v.get("completions_waiting"))],
  ["generatedRate", (v, i) => tenths(rate("generated_tokens_total", i))],
  ["generated", v => whole(v.get("generated_tokens_total"))],
  ["cacheHits", v => percent(cacheShare(v))],
  ["accepted", v => percent(v.get("accepted_tokens_total") / v.get("guessed_tokens_total"))],
  ["memory", v => bytes(v.get("process_resident_memory_bytes"))],
  ["answeredCount", v => whole(v.get("requests_answered_total"))],
  ["refusedCount", v => whole(v.get("requests_refused_total"))],
  ["leftCount", v => whole(v.get("clients_left_total"))],
  ["connections", v => whole(v.get("connections"))],
];
// The lines of each chart, as functions of a look, and how a number is written.
const kCharts = [
  ["generatedRate", tenths, [i => rate("generated_tokens_total", i)]],
  ["promptRate", tenths, [i => rate("prompt_tokens_total", i)]],
  ["busy", percent, [i => Math.min(1, rate("step_seconds_total", i))]],
  ["running", whole, [i => samples[i].values.get("completions_running")]],
  ["queue", whole, [i => samples[i].values.get("completions_waiting")]],
  ["memory", bytes, [i => samples[i].values.get("process_resident_memory_bytes")]],
];
const charts = kCharts.map(([word]) => chart(word));
const tiles = make("dl", "tiles"), failure = make("p", "error"), keys = make("table", "keys");

function draw() {
  if (!samples.length) return;
  const last = samples.length - 1, { values } = samples[last];
  const tile = (word, text) => make("div", "tile", make("dt", "", say(word)), make("dd", "", text));
  tiles.replaceChildren(...kTiles.map(([word, written]) => tile(word, written(values, last))));
  kCharts.forEach(([, written, lines], which) => {
    charts[which].draw(lines.map(line => samples.map((_, i) => line(i))), written);
  });
  const rows = [...values].flatMap(([name, value]) => {
    const match = /^key_tokens_total\{key="(.*)"\}$/.exec(name);
    return match ? [make("tr", "", make("th", "", match[1]), make("td", "", whole(value)))] : [];
  });
  keys.replaceChildren(...(rows.length ? [make("caption", "", say("keyTokens")), ...rows] : []));
}

async function look() {
  if (looking || document.hidden) return;
  looking = true;
  try {
    // A key that was refused is asked for once, not with every look.
    const text = await (await ask("metrics", { quiet: samples.length === 0 && failure.textContent !== "" })).text();
    samples.push({ at: performance.now() / 1000, values: parse(text) });
    samples = samples.slice(-kPlaces);
    failure.textContent = "";
    draw();
  } catch (error) {
    failure.textContent = error.message;
  }
  looking = false;
}

// Looks for as long as the view is shown.
export function showServer(on) {
  clearInterval(timer);
  timer = on ? setInterval(look, 1000 * kSeconds) : null;
  if (on) look();
}

export function redrawServer() { draw(); }

export function startServer() {
  $("server").append(failure, tiles, make("div", "charts", ...charts.map(({ element }) => element)), keys);
}
