// Asks the model for an answer, and fills a turn with it as it comes.
import { ask, stream } from "./api.js";
import { settings } from "./store.js";

// What the settings say of an answer, as fields of a request.
function fields() {
  const given = {};
  if (settings.model) given.model = settings.model;
  for (const name of ["temperature", "top_p", "max_tokens"])
    if (settings[name] !== "") given[name] = Number(settings[name]);
  return given;
}

function thinking() {
  return settings.thinking ? { thinking: { type: settings.thinking === "on" ? "enabled" : "disabled" } } : {};
}

// The conversation before an answer, as messages. Answers that failed say nothing.
function messagesOf(turns) {
  const messages = turns.filter(turn => turn.content).map(({ role, content }) => ({ role, content }));
  if (settings.system) messages.unshift({ role: "system", content: settings.system });
  return messages;
}

// Seconds and tokens, counted as the events come: one has about a token. The server's own count
// takes their place at the end.
class Measure {
  constructor(stats) {
    this.stats = stats;
    this.began = performance.now();
    Object.assign(stats, { tokens: 0, thoughtTokens: 0, seconds: 0 });
  }
  seconds() {
    return (performance.now() - this.began) / 1000;
  }
  count(isThought) {
    const { stats } = this, now = this.seconds();
    stats.first ??= now;
    stats.tokens += 1;
    stats.seconds = now;
    if (isThought) {
      stats.thoughtTokens += 1;
      stats.thoughtSeconds = now - stats.first;
    }
    if (now > stats.first) stats.rate = (stats.tokens - 1) / (now - stats.first);
  }
  // usage: the server's count; before: tokens of an earlier request for the same answer.
  conclude(usage, before) {
    const { stats } = this;
    stats.seconds = this.seconds();
    if (!usage) return;
    stats.tokens = before + usage.completion_tokens;
    if (!before) {
      stats.prompt = usage.prompt_tokens;
      stats.cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
      stats.thoughtTokens = usage.completion_tokens_details?.reasoning_tokens ?? 0;
    }
    if (stats.seconds > stats.first) stats.rate = Math.max(stats.tokens - 1, 0) / (stats.seconds - stats.first);
  }
}

// Fills `turn`, an answer to `turns`. Calls `changed` whenever there is more of it. Never throws.
export async function answer(turn, turns, signal, changed) {
  const measure = new Measure(turn.stats = {});
  try {
    const messages = messagesOf(turns);
    if (!await think(turn, messages, measure, signal, changed)) return;
    turn.budgeted = true;
    await goOn(turn, messages, measure, signal, changed);
  } catch (error) {
    if (error.name === "AbortError") turn.finish = "stopped";
    else turn.error = error.message;
    measure.conclude(null, 0);
  } finally {
    if (turn.budgeted && turn.finish !== "stopped") turn.finish = turn.finish === "length" ? "length" : "budget";
    delete turn.budgeted;
  }
}

// The answer from its beginning. Returns true where the thought has reached its budget.
async function think(turn, messages, measure, signal, changed) {
  const budget = settings.budget === "" || settings.thinking === "off" ? Infinity : Number(settings.budget);
  const cut = new AbortController();
  const both = AbortSignal.any([signal, cut.signal]);
  let usage = null;
  for await (const event of stream("v1/chat/completions", { messages, ...fields(), ...thinking() }, both)) {
    usage = event.usage ?? usage;
    turn.model = event.model ?? turn.model;
    const choice = event.choices[0];
    if (!choice) continue;
    const { reasoning_content: thought, content } = choice.delta;
    if (thought) turn.thought = (turn.thought ?? "") + thought;
    if (content) turn.content += content;
    if (thought || content) measure.count(!content);
    if (choice.finish_reason) turn.finish = choice.finish_reason;
    changed();
    if (!turn.content && !turn.finish && measure.stats.thoughtTokens >= budget) {
      cut.abort();
      return true;
    }
  }
  measure.conclude(usage, 0);
  return false;
}

// The answer behind a thought that is ended here: the prompt as the model was given it, the thought,
// its end, and what the model says then.
async function goOn(turn, messages, measure, signal, changed) {
  const { model } = fields();
  const response = await ask("apply-template", { body: { messages, model, ...thinking() }, signal });
  const before = (await response.json()).prompt;
  const opened = /<think>\s*$/.test(before) ? before : before + "<think>\n";
  const used = measure.stats.tokens, given = fields();
  if (given.max_tokens !== undefined) given.max_tokens = Math.max(1, given.max_tokens - used);
  const prompt = await promptOf(`${opened}${turn.thought.trimEnd()}\n</think>\n\n`, signal);
  let usage = null;
  for await (const event of stream("v1/completions", { prompt, ...given }, signal)) {
    usage = event.usage ?? usage;
    const choice = event.choices[0];
    if (!choice) continue;
    turn.content += choice.text;
    if (choice.text) measure.count(false);
    if (choice.finish_reason) turn.finish = choice.finish_reason;
    changed();
  }
  measure.conclude(usage, used);
}

// A text as /v1/completions is to be given it. The server puts a beginning mark before a string; one
// whose template has written the mark itself goes as tokens.
async function promptOf(text, signal) {
  if (!/^<(?:[|｜](?:begin|start)|s>|bos>)/.test(text)) return text;
  return (await (await ask("tokenize", { body: { content: text }, signal })).json()).tokens;
}
