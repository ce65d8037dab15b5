// The list of conversations: new, rename, delete, export and import.
import { currentChat, isRunning, onChatChanged, openChat, stop, tellError } from "./chat.js";
import { $, download, iconButton, make, tell } from "./dom.js";
import { askText } from "./question.js";
import { onOtherWindow, readChats, removeChat, saveChat } from "./store.js";
import { checked, newChat } from "./tree.js";
import { say } from "./words.js";

const kFormat = "darkhorse conversations 1";
let chats = readChats();

const titleOf = chat => chat.title || say("untitled");

export function redrawList() {
  $("chats").replaceChildren(...chats.map(chat => {
    const open = make("button", "title", titleOf(chat));
    if (chat.id === currentChat().id) open.setAttribute("aria-current", "true");
    open.onclick = () => choose(chat);
    return make("li", "", open, iconButton("edit", "rename", () => rename(chat)),
                iconButton("download", "export", () => exportChats([chat], titleOf(chat))),
                iconButton("trash", "delete", () => remove(chat)));
  }));
}

function choose(chat) {
  openChat(chat);
  redrawList();
  showList(false);
  $("ask").focus();
}

export function startNewChat() {
  choose(currentChat().turns.length ? newChat() : currentChat());
}

async function rename(chat) {
  const title = (await askText(say("rename"), { text: titleOf(chat), yes: "save" }))?.trim();
  if (!title) return;
  chat.title = title.slice(0, 200);
  saveChat(chat);
  redrawList();
}

async function remove(chat) {
  if (await askText(say("deleteSure", titleOf(chat)), { yes: "delete" }) === null) return;
  stop(chat);
  chat.removed = true;
  removeChat(chat);
  chats = chats.filter(other => other !== chat);
  if (chat.id === currentChat().id) choose(newChat());
  redrawList();
}

function exportChats(which, title) {
  const name = title.replace(/[^\p{L}\p{N}]+/gu, "-").slice(0, 60) || "chat";
  download(`${name}.json`, JSON.stringify({ format: kFormat, chats: which }, null, 1) + "\n");
}

async function importFile(file) {
  try {
    const content = JSON.parse(await file.text());
    if (content?.format !== kFormat || !Array.isArray(content.chats)) throw new Error(kFormat);
    const added = content.chats.map(checked);
    for (const chat of added) {
      // What is here already stays as it is.
      if (chats.some(other => other.id === chat.id)) chat.id = newChat().id;
      chats.unshift(chat);
      if (!saveChat(chat)) throw new Error(say("full"));
    }
    if (added.length) choose(added[0]);
    tell(say("imported", added.length));
  } catch (error) {
    tellError(say("importWrong", file.name, error.message));
  }
}

// On a narrow screen the list lies over the page, when it is asked for.
export function showList(on) {
  document.body.classList.toggle("listing", on);
  $("shade").hidden = !on;
  $("open-side").setAttribute("aria-expanded", String(on));
}

export function startChats() {
  onChatChanged(chat => {
    chats = [chat, ...chats.filter(other => other !== chat)].sort((a, b) => b.updated - a.updated);
    redrawList();
  });
  onOtherWindow(() => {
    chats = readChats().map(chat => isRunning(chat.id) ? chats.find(other => other.id === chat.id) ?? chat : chat);
    const same = chats.find(chat => chat.id === currentChat().id);
    if (same && same !== currentChat()) openChat(same);
    redrawList();
  });
  $("new").onclick = startNewChat;
  $("export").onclick = () => exportChats(chats, "darkhorse-chats");
  $("import").onclick = () => $("import-file").click();
  $("import-file").onchange = async event => {
    for (const file of event.target.files) await importFile(file);
    event.target.value = "";
  };
  $("open-side").onclick = () => { showList(true); $("close-side").focus(); };
  $("close-side").onclick = () => { showList(false); $("open-side").focus(); };
  $("shade").onclick = () => showList(false);
  openChat(chats[0] ?? newChat());
  redrawList();
}
