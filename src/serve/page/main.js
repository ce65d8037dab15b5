// Brings the page up: its views, its keys, its language.
import { isRunning, currentChat, redraw, startChat, stop } from "./chat.js";
import { redrawList, showList, startChats, startNewChat } from "./chats.js";
import { $ } from "./dom.js";
import { drawAll } from "./icons.js";
import { redrawServer, showServer, startServer } from "./server.js";
import { applyTheme, openSettings, readModels, startSettings } from "./settings.js";
import { settings } from "./store.js";
import { setLanguage } from "./words.js";

const kViews = ["chat", "server"];

function show(view) {
  for (const name of kViews) {
    const tab = $("tab-" + name), chosen = name === view;
    $(name).hidden = !chosen;
    tab.setAttribute("aria-selected", String(chosen));
    tab.tabIndex = chosen ? 0 : -1;
  }
  showServer(view === "server");
}

function startViews() {
  kViews.forEach((name, i) => {
    const tab = $("tab-" + name);
    tab.onclick = () => show(name);
    tab.onkeydown = event => {
      if (event.key !== "ArrowLeft" && event.key !== "ArrowRight") return;
      const other = kViews[(i + 1) % kViews.length];
      show(other);
      $("tab-" + other).focus();
    };
  });
}

document.addEventListener("keydown", event => {
  if (document.querySelector("dialog[open]")) return;
  const control = event.ctrlKey || event.metaKey;
  if (event.key === "Escape" && document.body.classList.contains("listing")) {
    showList(false);
  } else if (event.key === "Escape" && isRunning(currentChat().id)) {
    stop();
  } else if (control && event.key.toLowerCase() === "k") {
    event.preventDefault();
    show("chat");
    startNewChat();
  } else if (control && event.key === ",") {
    event.preventDefault();
    openSettings();
  }
});

applyTheme();
drawAll();
setLanguage(settings.language);
startViews();
startServer();
startSettings(() => { redraw(); redrawList(); redrawServer(); });
startChat();
startChats();
readModels();
