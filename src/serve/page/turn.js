// How a turn of a conversation looks, and its buttons.
import { copy, iconButton, make, tell } from "./dom.js";
import { fill } from "./markdown.js";
import { versions } from "./tree.js";
import { name, say } from "./words.js";

const fixed = (number, digits = 1) => number.toFixed(digits);

// The line below an answer: how much, how fast, and why it ended.
function noteOf(turn) {
  const { stats = {}, finish } = turn, parts = [];
  if (stats.tokens) parts.push(say("tokens", stats.tokens));
  if (stats.rate) parts.push(say("tokensSecond", fixed(stats.rate)));
  if (stats.seconds) parts.push(fixed(stats.seconds) + " s");
  if (stats.prompt) parts.push(say("cached", stats.cached ?? 0, stats.prompt));
  const ended = { length: "cut", stopped: "stopped", budget: "budgetEnded" }[finish];
  if (ended) parts.push(say(ended));
  return parts.join(" · ");
}

function thoughtTitle(turn, isRunning) {
  const { thoughtSeconds, thoughtTokens } = turn.stats ?? {};
  const parts = [say(isRunning && !turn.content ? "thinks" : "thought")];
  if (thoughtSeconds) parts.push(fixed(thoughtSeconds) + " s");
  if (thoughtTokens) parts.push(say("tokens", thoughtTokens));
  return parts.join(" · ");
}

// The element of the turn at a place, and `update` which shows what it has become. acts: {edit, retry,
// show, isRunning}, of which the first two take the place and what was written.
export function turnView(chat, place, acts) {
  const turn = chat.turns[place];
  const box = make("article", "turn " + turn.role);
  name(box, turn.role === "user" ? "message" : "answer");
  const summary = make("summary"), inner = make("div", "markdown");
  const thought = make("details", "thought", summary, inner);
  const content = make("div", turn.role === "user" ? "plain" : "markdown");
  const note = make("div", "note"), tools = make("div", "tools");
  if (turn.role === "assistant") box.append(thought);
  box.append(content, note, tools);
  thought.ontoggle = () => { if (thought.open) fill(inner, turn.thought ?? ""); };

  const edit = () => box.replaceWith(editor(turn, box, text => acts.edit(place, text)));

  function showTools(isRunning) {
    tools.replaceChildren();
    const all = versions(chat, place), which = all.indexOf(place);
    if (all.length > 1) {
      const left = iconButton("left", "previous", () => acts.show(all[which - 1]));
      const right = iconButton("right", "next", () => acts.show(all[which + 1]));
      left.disabled = which === 0;
      right.disabled = which === all.length - 1;
      const count = make("span", "branch", `${which + 1}/${all.length}`);
      count.setAttribute("aria-label", say("branch", which + 1, all.length));
      count.setAttribute("role", "img");
      tools.append(left, count, right);
    }
    if (isRunning) return;
    tools.append(iconButton("edit", "edit", edit), iconButton("retry", "retry", () => acts.retry(place)),
                 iconButton("copy", "copy", async () => { await copy(turn.content); tell(say("copied")); }));
  }

  function update() {
    const isRunning = acts.isRunning(place);
    thought.hidden = !turn.thought;
    summary.textContent = thoughtTitle(turn, isRunning);
    if (thought.open) fill(inner, turn.thought ?? "");
    if (turn.role === "user") content.textContent = turn.content;
    else fill(content, turn.content);
    note.textContent = noteOf(turn);
    if (isRunning && !turn.content && !turn.thought) note.textContent = say("waiting");
    if (turn.error) note.append(make("span", "error", turn.error));
    box.setAttribute("aria-busy", String(isRunning));
    showTools(isRunning);
  }
  update();
  return { element: box, update, edit };
}

// In the place of a turn: its text to be changed. Escape, or Cancel, brings `box` back.
function editor(turn, box, done) {
  const area = make("textarea");
  area.value = turn.content;
  area.rows = Math.min(20, turn.content.split("\n").length + 1);
  name(area, turn.role === "user" ? "message" : "answer");
  const form = make("form", "turn editor");
  const back = () => form.replaceWith(box);
  const cancel = make("button", "", say("cancel")), save = make("button", "main", say(turn.role === "user" ? "send" : "save"));
  cancel.type = "button";
  cancel.onclick = back;
  form.onsubmit = event => {
    event.preventDefault();
    if (area.value.trim() && (area.value !== turn.content || turn.role === "user")) done(area.value.trim());
    else back();
  };
  area.onkeydown = event => {
    if (event.key === "Escape") {
      event.stopPropagation();
      back();
    }
    const sends = event.ctrlKey || event.metaKey || (turn.role === "user" && !event.shiftKey);
    if (event.key === "Enter" && sends && !event.isComposing) {
      event.preventDefault();
      form.requestSubmit();
    }
  };
  form.append(area, make("div", "row end", cancel, save));
  queueMicrotask(() => area.focus());
  return form;
}
