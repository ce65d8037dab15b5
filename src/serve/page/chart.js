// A small chart of the last minutes: one line or two over time, from 0 up.
import { make } from "./dom.js";
import { say } from "./words.js";

const kWide = 300, kHigh = 60, kLeastPlaces = 30;
const svgElement = tag => document.createElementNS("http://www.w3.org/2000/svg", tag);

// A chart called by a word, and `draw`, which takes a list of numbers for each line (NaN: not known)
// and how one is written.
export function chart(word) {
  const svg = svgElement("svg"), title = make("h3"), range = make("p", "range");
  svg.setAttribute("viewBox", `0 0 ${kWide} ${kHigh}`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("role", "img");
  return {
    element: make("figure", "chart", title, svg, range),
    draw(lines, written) {
      const known = lines.flat().filter(Number.isFinite), most = Math.max(0, ...known);
      svg.replaceChildren(...lines.map((line, which) => {
        const path = svgElement("path");
        path.setAttribute("class", "line line-" + which);
        path.setAttribute("d", pathOf(line, most || 1));
        return path;
      }));
      const last = lines[0].at(-1);
      title.textContent = say(word);
      range.textContent = Number.isFinite(last) ? `${say("now", written(last))} · ${say("most", written(most))}` : "–";
      svg.setAttribute("aria-label", `${say(word)}: ${range.textContent}`);
    },
  };
}

function pathOf(line, most) {
  const places = Math.max(kLeastPlaces, line.length);
  let d = "", pen = "M";
  line.forEach((value, i) => {
    if (!Number.isFinite(value)) {
      pen = "M";
      return;
    }
    const x = (i + places - line.length) / (places - 1) * kWide, y = kHigh - 2 - value / most * (kHigh - 4);
    d += `${pen}${x.toFixed(1)} ${y.toFixed(1)}`;
    pen = "L";
  });
  return d;
}
