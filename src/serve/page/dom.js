// Short words for making elements.
import { draw } from "./icons.js";
import { name } from "./words.js";

export const $ = id => document.getElementById(id);

export function make(tag, className, ...children) {
  const element = document.createElement(tag);
  if (className) element.className = className;
  element.append(...children);
  return element;
}

// A button that shows a drawing and is called by a word of words.js.
export function iconButton(drawing, word, act) {
  const button = make("button", "bare");
  button.type = "button";
  draw(button, drawing);
  name(button, word);
  button.onclick = act;
  return button;
}

// Hands the user a file.
export function download(fileName, text) {
  const link = make("a");
  link.href = URL.createObjectURL(new Blob([text], { type: "application/json" }));
  link.download = fileName;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
}

export async function copy(text) {
  // The clipboard is there on this machine and over TLS alone.
  if (navigator.clipboard) return navigator.clipboard.writeText(text);
  const area = make("textarea");
  area.value = text;
  document.body.append(area);
  area.select();
  document.execCommand("copy");
  area.remove();
}

// What those hear who do not see the page.
export function tell(text) {
  $("status").textContent = text;
}
