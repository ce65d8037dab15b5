// The conversation that is shown: its turns, the message that is written, and the answers that run.
import { answer } from "./answer.js";
import { $, tell } from "./dom.js";
import { draw } from "./icons.js";
import { saveChat } from "./store.js";
import { add, goTo, newChat, shown } from "./tree.js";
import { turnView } from "./turn.js";
import { name, say } from "./words.js";

let chat = newChat();
let views = new Map();           // of its turns that are shown, by place
const running = new Map();       // answers by their conversation's id: {place, abort}
let changedChat = () => {};      // who keeps the list of conversations

export const currentChat = () => chat;
export const isRunning = id => running.has(id);
// Told of a conversation that has more.
export function onChatChanged(call) { changedChat = call; }

export function openChat(next) {
  chat = next;
  redraw();
}

export function keep(which) {
  if (which.removed) return;
  changedChat(which);
  if (!saveChat(which)) tellError(say("full"));
}

export function tellError(text) {
  tell(text);
  const line = document.createElement("p");
  line.className = "error";
  line.textContent = text;
  $("log").append(line);
  $("log").scrollTop = $("log").scrollHeight;
}

const acts = {
  isRunning: place => running.get(chat.id)?.place === place,
  // What was changed stands beside what it was.
  edit(place, content) {
    stop();
    const { parent, role } = chat.turns[place];
    add(chat, { parent, role, content });
    keep(chat);
    redraw();
    if (role === "user") ask();
  },
  // Another answer in the place of this one, or to this message.
  retry(place) {
    stop();
    const { parent, role } = chat.turns[place];
    chat.at = role === "user" ? place : parent;
    ask();
  },
  show(place) {
    goTo(chat, place);
    keep(chat);
    redraw();
  },
};

export function redraw() {
  views = new Map();
  const places = shown(chat);
  for (const place of places) views.set(place, turnView(chat, place, acts));
  $("log").replaceChildren(...[...views.values()].map(view => view.element));
  if (!places.length) {
    const empty = document.createElement("p");
    empty.className = "empty";
    empty.textContent = say("empty");
    $("log").append(empty);
  }
  $("log").scrollTop = $("log").scrollHeight;
  showButton();
}

function showButton() {
  const word = running.has(chat.id) ? "stop" : "send";
  draw($("send"), word);
  name($("send"), word);
}

export function stop(which = chat) {
  running.get(which.id)?.abort.abort();
  running.delete(which.id);
}

// Shows what has become of an answer, as often as that is cheap: a long one takes longer to lay out.
function painter(which, place) {
  let due = false, cost = 0;
  const paint = () => {
    due = false;
    if (which !== chat || !views.has(place)) return;
    const log = $("log"), follows = log.scrollHeight - log.scrollTop - log.clientHeight < 80;
    const began = performance.now();
    views.get(place).update();
    cost = performance.now() - began;
    if (follows) log.scrollTop = log.scrollHeight;
  };
  return {
    paint,
    later() {
      if (due) return;
      due = true;
      setTimeout(() => requestAnimationFrame(paint), 3 * cost);
    },
  };
}

// Answers the conversation as it is shown.
async function ask() {
  const which = chat, before = shown(which).map(place => which.turns[place]);
  const turn = { parent: which.at, role: "assistant", content: "" };
  const place = add(which, turn), abort = new AbortController();
  running.set(which.id, { place, abort });
  redraw();
  const { paint, later } = painter(which, place);
  let kept = performance.now();
  await answer(turn, before, abort.signal, () => {
    later();
    if (performance.now() - kept < 2000) return;
    kept = performance.now();
    if (!which.removed) saveChat(which);
  });
  if (running.get(which.id)?.place === place) running.delete(which.id);
  keep(which);
  paint();
  if (which !== chat) return;
  showButton();
  tell(turn.error ?? say(turn.finish === "stopped" ? "stopped" : "answered"));
}

function send() {
  const area = $("ask"), content = area.value.trim();
  if (!content) return;
  area.value = "";
  fit();
  add(chat, { parent: chat.at, role: "user", content });
  chat.title ||= content.split("\n")[0].slice(0, 60);
  keep(chat);
  ask();
}

function fit() {
  const area = $("ask");
  area.style.height = "auto";
  area.style.height = `${area.scrollHeight + 2}px`;
}

function editLast() {
  const last = shown(chat).findLast(place => chat.turns[place].role === "user");
  if (last !== undefined) views.get(last).edit();
}

export function startChat() {
  $("composer").onsubmit = event => {
    event.preventDefault();
    if (running.has(chat.id)) stop();
    else send();
  };
  $("ask").oninput = fit;
  $("ask").onkeydown = event => {
    if (event.isComposing) return;
    if (event.key === "Enter" && !event.shiftKey) {
      event.preventDefault();
      if (!running.has(chat.id)) send();
    } else if (event.key === "ArrowUp" && !$("ask").value && !running.has(chat.id)) {
      event.preventDefault();
      editLast();
    }
  };
}
