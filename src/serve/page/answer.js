// Asks the model for an answer, and fills a turn with it as it comes.
import { stream } from "./api.js";
import { settings } from "./store.js";

// What the settings say of an answer, as fields of a request.
function fields() {
  const given = {};
  if (settings.model) given.model = settings.model;
  for (const name of ["temperature", "top_p", "max_tokens"])
    if (settings[name] !== "") given[name] = Number(settings[name]);
  if (settings.thinking) given.thinking = { type: settings.thinking === "on" ? "enabled" : "disabled" };
  if (hasBudget()) given.max_reasoning_tokens = Number(settings.budget);
  return given;
}

function hasBudget() {
  return settings.budget !== "" && settings.thinking !== "off";
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
  // usage: the server's count.
  conclude(usage) {
    const { stats } = this;
    stats.seconds = this.seconds();
    if (!usage) return;
    stats.tokens = usage.completion_tokens;
    stats.prompt = usage.prompt_tokens;
    stats.cached = usage.prompt_tokens_details?.cached_tokens ?? 0;
    stats.thoughtTokens = usage.completion_tokens_details?.reasoning_tokens ?? 0;
    if (stats.seconds > stats.first) stats.rate = Math.max(stats.tokens - 1, 0) / (stats.seconds - stats.first);
  }
}

// Fills `turn`, an answer to `turns`. Calls `changed` whenever there is more of it. Never throws.
export async function answer(turn, turns, signal, changed) {
  const measure = new Measure(turn.stats = {});
  let usage = null;
  try {
    for await (const event of stream("v1/chat/completions", { messages: messagesOf(turns), ...fields() }, signal)) {
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
    }
  } catch (error) {
    if (error.name === "AbortError") turn.finish = "stopped";
    else turn.error = error.message;
  }
  measure.conclude(usage);
  // A thought that ends by itself takes no more than its budget and its tags; the server's ending is a line and the tag behind it.
  if (hasBudget() && turn.finish === "stop" && turn.stats.thoughtTokens >= Number(settings.budget) + 2) turn.finish = "budget";
}
