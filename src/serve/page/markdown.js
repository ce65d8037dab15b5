// Text of a model as a document: Markdown, mathematics and code. Nothing of it can act: markup that
// it holds is shown as text, what Markdown becomes is sanitised, and nothing is loaded.
/* global DOMPurify, hljs, katex, marked */
import { copy, iconButton, make } from "./dom.js";
import { name } from "./words.js";

const escaped = text => text.replace(/[&<>"']/g, c => `&#${c.charCodeAt(0)};`);

// Tags that stay markup, where they have no attributes.
const kHarmless = /^<\/?(?:br|sub|sup|b|i|em|strong|kbd|mark|s|u|details|summary)\s*\/?>$/i;

// What DOMPurify lets through.
const kAllowed = {
  ALLOWED_TAGS: ["a", "b", "blockquote", "br", "code", "del", "details", "em", "h1", "h2", "h3", "h4", "h5", "h6", "hr", "i",
                 "kbd", "li", "mark", "ol", "p", "pre", "s", "span", "strong", "sub", "summary", "sup", "table", "tbody", "td",
                 "th", "thead", "tr", "u", "ul"],
  ALLOWED_ATTR: ["align", "class", "href", "start", "title"],
  ALLOWED_URI_REGEXP: /^(?:https?:|mailto:)/i,
  ALLOW_DATA_ATTR: false,
  ALLOW_ARIA_ATTR: false,
};

// `$x$` as pandoc has it: no space within, no digit behind.
const kInline = [
  [/^\$\$([^]+?)\$\$/, true],
  [/^\\\[([^]+?)\\\]/, true],
  [/^\\\(([^]+?)\\\)/, false],
  [/^\$(?![\s$])((?:\\[^]|[^\\$\n])*?(?:\\[^]|[^\s\\$]))\$(?!\d)/, false],
];
const kBlock = [/^ {0,3}\$\$([^]+?)\$\$[ \t]*(?:\n|$)/, /^ {0,3}\\\[([^]+?)\\\][ \t]*(?:\n|$)/];

const renderer = ({ tex, display }) => `<span class="${display ? "math-block" : "math"}">${escaped(tex)}</span>`;
const mathematics = [
  {
    name: "math",
    level: "inline",
    start: text => { const at = text.search(/\$|\\[([]/); return at < 0 ? undefined : at; },
    tokenizer(text) {
      for (const [form, display] of kInline) {
        const match = form.exec(text);
        if (match) return { type: "math", raw: match[0], tex: match[1], display };
      }
      return undefined;
    },
    renderer,
  },
  {
    name: "mathBlock",
    level: "block",
    start: text => { const at = text.search(/^ {0,3}(?:\$\$|\\\[)/m); return at < 0 ? undefined : at; },
    tokenizer(text) {
      const match = kBlock.map(form => form.exec(text)).find(Boolean);
      return match && { type: "mathBlock", raw: match[0], tex: match[1], display: true };
    },
    renderer: token => `<p>${renderer(token)}</p>`,
  },
];

let ready = false;
function prepare() {
  if (ready) return;
  ready = true;
  marked.use({
    gfm: true,
    mangle: false,
    headerIds: false,
    extensions: mathematics,
    renderer: {
      html: html => kHarmless.test(html.trim()) ? html : escaped(html),
      // A picture is a link: the page loads nothing from elsewhere.
      image: (address, title, text) => `<a href="${escaped(address ?? "")}">${text || escaped(address ?? "")}</a>`,
      checkbox: checked => checked ? "☑ " : "☐ ",
    },
  });
}

// Shows `text` in `holder`.
export function fill(holder, text) {
  prepare();
  holder.replaceChildren(DOMPurify.sanitize(marked.parse(text), { ...kAllowed, RETURN_DOM_FRAGMENT: true }));
  for (const link of holder.querySelectorAll("a")) {
    link.target = "_blank";
    link.rel = "noopener noreferrer nofollow";
  }
  for (const span of holder.querySelectorAll(".math, .math-block")) setMath(span);
  for (const code of holder.querySelectorAll("pre > code")) setCode(code);
  for (const table of holder.querySelectorAll("table")) {
    const frame = make("div", "frame");
    table.replaceWith(frame);
    frame.append(table);
  }
}

// Mathematics that KaTeX cannot read, or not yet, stays as it was written.
function setMath(span) {
  const displayMode = span.classList.contains("math-block"), tex = span.textContent;
  try {
    katex.render(tex, span, { displayMode, strict: "ignore", trust: false, maxSize: 20, maxExpand: 500 });
  } catch {
    span.className = "math-source";
    span.textContent = displayMode ? `$$${tex}$$` : `$${tex}$`;
  }
}

function setCode(code) {
  const language = /(?:^| )language-(\S+)/.exec(code.className)?.[1] ?? "";
  const text = code.textContent;
  if (hljs.getLanguage(language)) {
    const markup = hljs.highlight(language, text, true).value;
    code.replaceChildren(DOMPurify.sanitize(markup, { ALLOWED_TAGS: ["span"], ALLOWED_ATTR: ["class"], RETURN_DOM_FRAGMENT: true }));
  }
  const button = iconButton("copy", "copyCode", async () => {
    await copy(text);
    name(button, "copied");
    setTimeout(() => name(button, "copyCode"), 1500);
  });
  const box = make("div", "code");
  code.parentElement.replaceWith(box);
  box.append(make("div", "code-head", make("span", "", language), button), make("pre", "", code));
  box.lastChild.tabIndex = 0;  // it scrolls, by keys too
}
