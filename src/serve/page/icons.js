// Drawings on buttons, in a square of 24.
const drawings = {
  close: "M6 6l12 12M18 6L6 18",
  copy: "M9 9h11v11H9zM5 15H4V4h11v1",
  download: "M12 4v11m-5-5 5 5 5-5M4 20h16",
  edit: "M4 20h4L19 9l-4-4L4 16zM13 7l4 4",
  gear: "M4 7h9M17 7h3M15 5v4M4 17h3M11 17h9M9 15v4",
  left: "M14 6l-6 6 6 6",
  menu: "M4 6h16M4 12h16M4 18h16",
  plus: "M12 5v14M5 12h14",
  retry: "M19 12a7 7 0 1 1-2-5l2 2m0-5v5h-5",
  right: "M10 6l6 6-6 6",
  send: "M12 20V5m-6 6 6-6 6 6",
  stop: "M7 7h10v10H7z",
  trash: "M5 7h14M9 7V4h6v3M7 7l1 13h8l1-13",
  upload: "M12 15V4m-5 5 5-5 5 5M4 20h16",
};

// Puts a drawing before what the element holds, in place of one that is there.
export function draw(element, drawing) {
  element.querySelector(":scope > svg")?.remove();
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.classList.add("icon");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", drawings[drawing]);
  svg.append(path);
  element.prepend(svg);
}

export function drawAll() {
  for (const element of document.querySelectorAll("[data-icon]")) draw(element, element.dataset.icon);
}
