// A question in a window over the page.
import { $ } from "./dom.js";
import { say } from "./words.js";

// The text that was given; null: none. `text` undefined asks for yes or no alone.
export function askText(title, { text, secret = false, yes = "done" } = {}) {
  const dialog = $("question"), input = $("question-text");
  const asksText = text !== undefined;
  $("question-title").textContent = title;
  $("question-yes").textContent = say(yes);
  input.hidden = !asksText;
  input.type = secret ? "password" : "text";
  input.value = text ?? "";
  dialog.returnValue = "";
  dialog.showModal();
  if (asksText) input.select();
  // Enter in the field is a yes, though the first button is the one that cancels.
  input.onkeydown = event => {
    if (event.key !== "Enter" || event.isComposing) return;
    event.preventDefault();
    dialog.close("yes");
  };
  return new Promise(resolve => {
    dialog.onclose = () => {
      resolve(dialog.returnValue === "yes" ? (asksText ? input.value : "") : null);
      input.value = "";
    };
  });
}
