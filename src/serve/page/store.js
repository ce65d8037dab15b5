// What the browser keeps: settings, and each conversation under a name of its own.
import { checked } from "./tree.js";

const kSettings = "darkhorse.settings", kChat = "darkhorse.chat.";

// As they are where the user chose nothing; "" leaves a matter to the server or the browser.
export const standard = {
  system: "", temperature: "", top_p: "", max_tokens: "2048", thinking: "", budget: "", model: "", theme: "", language: "",
};

function read(name) {
  try {
    return JSON.parse(localStorage.getItem(name));
  } catch {
    return null;  // forbidden, or not ours
  }
}

export const settings = { ...standard };
for (const [name, value] of Object.entries(read(kSettings) ?? {}))
  if (name in standard && typeof value === "string") settings[name] = value;

export function setSetting(name, value) {
  settings[name] = value;
  try {
    localStorage.setItem(kSettings, JSON.stringify(settings));
  } catch { /* they hold until the page is left */ }
}

// All conversations, the last one first.
export function readChats() {
  const chats = [];
  for (const name of Object.keys(localStorage)) {
    if (!name.startsWith(kChat)) continue;
    try {
      chats.push(checked(read(name)));
    } catch { /* not ours */ }
  }
  return chats.sort((a, b) => b.updated - a.updated);
}

// Whether there was room for it.
export function saveChat(chat) {
  try {
    localStorage.setItem(kChat + chat.id, JSON.stringify(chat));
    return true;
  } catch {
    return false;
  }
}

export const removeChat = chat => localStorage.removeItem(kChat + chat.id);

// Calls when another window of this page has changed a conversation.
export function onOtherWindow(call) {
  addEventListener("storage", event => { if (!event.key || event.key.startsWith(kChat)) call(); });
}
