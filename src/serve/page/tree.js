// A conversation: {id, title, updated, turns, at}. A turn is edited or retried by another turn of
// the same parent, so turns are a tree. They lie in a list in the order in which they were made;
// `parent` is a place in it, before the turn's own, or -1; `at` is the last turn that is shown, or -1.
//
// A turn: {parent, role, content}, and of answers {thought, model, error, finish, stats}.

export function newChat() {
  return { id: crypto.getRandomValues(new Uint32Array(2)).join("-"), title: "", updated: Date.now(), turns: [], at: -1 };
}

// The places of the turns that are shown, first to last.
export function shown(chat, at = chat.at) {
  const path = [];
  for (; at >= 0; at = chat.turns[at].parent) path.unshift(at);
  return path;
}

// The places of a turn and those that stand for it, oldest first.
export function versions(chat, at) {
  const { parent } = chat.turns[at];
  return chat.turns.flatMap((turn, place) => turn.parent === parent ? [place] : []);
}

// Adds a turn, and shows it.
export function add(chat, turn) {
  chat.updated = Date.now();
  chat.at = chat.turns.push(turn) - 1;
  return chat.at;
}

// Shows a turn and what came last behind it.
export function goTo(chat, at) {
  for (;;) {
    const next = chat.turns.findLastIndex(turn => turn.parent === at);
    if (next < 0) break;
    at = next;
  }
  chat.at = at;
}

const isText = value => typeof value === "string";

// The conversation that a value from a file or the browser's storage is. Throws where it is none.
export function checked(value) {
  const wrong = what => { throw new Error(what); };
  if (!isText(value?.id) || !isText(value.title) || !Array.isArray(value.turns)) wrong("id, title, turns");
  const turns = value.turns.map((turn, place) => {
    if (!Number.isInteger(turn?.parent) || turn.parent < -1 || turn.parent >= place) wrong(`turns[${place}].parent`);
    if (turn.role !== "user" && turn.role !== "assistant") wrong(`turns[${place}].role`);
    if (!isText(turn.content)) wrong(`turns[${place}].content`);
    const kept = { parent: turn.parent, role: turn.role, content: turn.content };
    for (const field of ["thought", "model", "error", "finish"])
      if (isText(turn[field])) kept[field] = turn[field];
    if (turn.stats && typeof turn.stats === "object") {
      kept.stats = Object.fromEntries(Object.entries(turn.stats).filter(([, number]) => Number.isFinite(number)));
    }
    return kept;
  });
  const at = value.at ?? turns.length - 1;
  if (!Number.isInteger(at) || at < -1 || at >= turns.length) wrong("at");
  return { id: value.id, title: value.title, updated: Number(value.updated) || 0, turns, at };
}
