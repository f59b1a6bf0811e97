"use strict";
// One viewer for each series: what is shown is chosen by a slider, keys, the plot or a table.
const data = JSON.parse(document.getElementById("data").textContent);
const SVG = "http://www.w3.org/2000/svg";
const WIDTH = 1000, HEIGHT = 120;
let active;

function element(name, attributes) {
  const made = document.createElementNS(SVG, name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

class Viewer {
  constructor(section, series) {
    this.section = section;
    this.slices = series.slices;
    this.columns = series.columns;
    this.find = (name) => section.querySelector(`[data-${name}]`);
    this.slider = this.find("slice");
    this.slider.max = this.slices.length;
    this.slider.addEventListener("input", () => this.show(this.slider.value - 1));
    const opacity = this.find("opacity");
    const fade = () => { this.find("mask").style.opacity = opacity.value / 100; };
    opacity.addEventListener("input", fade);
    fade();
    this.find("previous").addEventListener("click", () => this.leap(-1));
    this.find("next").addEventListener("click", () => this.leap(1));
    for (const button of section.querySelectorAll("[data-go]"))
      button.addEventListener("click", () => {
        this.show(Number(button.dataset.go));
        this.find("stage").scrollIntoView({ block: "nearest" });
      });
    const choose = () => { active = this; };
    section.addEventListener("pointerdown", choose);
    section.addEventListener("focusin", choose);
    this.find("stage").addEventListener("wheel", (event) => {
      if (event.ctrlKey || document.activeElement !== this.find("stage")) return;
      event.preventDefault();
      this.show(this.at + Math.sign(event.deltaY));
    }, { passive: false });
    this.draw();
    this.show(series.first);
  }

  show(place) {
    this.at = Math.min(Math.max(place, 0), this.slices.length - 1);
    const slice = this.slices[this.at];
    this.slider.value = this.at + 1;
    this.slider.setAttribute("aria-valuetext", `slice ${this.at + 1} of ${this.slices.length}`);
    for (const name of ["picture", "mask"]) {
      this.find(name).hidden = !slice[name];
      if (slice[name]) this.find(name).src = slice[name];
    }
    this.find("where").textContent = `${this.at + 1} / ${this.slices.length}`;
    this.find("file").textContent = slice.file;
    const facts = this.find("facts");
    facts.replaceChildren();
    for (const [name, value] of slice.facts) {
      const term = document.createElement("dt"), text = document.createElement("dd");
      term.textContent = name;
      text.textContent = value;
      facts.append(term, text);
    }
    this.cursor.setAttribute("x", this.x(this.at) - this.cursor.getAttribute("width") / 2);
    for (const near of [this.at - 1, this.at + 1])
      if (this.slices[near]?.picture) new Image().src = this.slices[near].picture;
  }

  leap(step) {
    let place = this.at + step;
    while (this.slices[place] && !this.slices[place].matters) place += step;
    if (this.slices[place]) this.show(place);
  }

  x(place) {
    return (place + 0.5) * this.bar;
  }

  // The areas of the lesions as bars from below, the scores as lines from 0 to 1.
  draw() {
    const plot = this.find("plot");
    this.bar = WIDTH / this.slices.length;
    plot.setAttribute("viewBox", `0 0 ${WIDTH} ${HEIGHT}`);
    this.cursor = element("rect", { class: "cursor", width: Math.max(this.bar, 3), height: HEIGHT });
    plot.append(this.cursor);
    const largest = Math.max(1, ...this.slices.map((slice) => slice.area.reduce((a, b) => a + b, 0)));
    this.slices.forEach((slice, place) => {
      let y = HEIGHT;
      slice.area.forEach((area, kind) => {
        const height = (HEIGHT * area) / largest;
        y -= height;
        if (area) plot.append(element("rect", {
          class: `kind-${kind}`, x: this.x(place) - 0.45 * this.bar, y, height,
          width: 0.9 * this.bar,
        }));
      });
    });
    this.columns.forEach((name, column) => {
      const points = this.slices.map((slice, place) =>
        slice.scores[column] === null ? "" : `${this.x(place)},${HEIGHT * (1 - slice.scores[column])}`);
      plot.append(element("polyline", { class: `score-${column}`, points: points.join(" ") }));
    });
    plot.addEventListener("click", (event) => {
      const box = plot.getBoundingClientRect();
      this.show(Math.floor(((event.clientX - box.left) / box.width) * this.slices.length));
    });
  }
}

const STEPS = { ArrowLeft: -1, ArrowDown: -1, ArrowRight: 1, ArrowUp: 1, PageDown: -10, PageUp: 10 };
document.addEventListener("keydown", (event) => {
  if (!active || event.ctrlKey || event.metaKey || event.altKey) return;
  if (event.target.matches("input:not([data-slice]), textarea, select")) return;
  const isViewer = event.target.closest(".viewer");
  if (event.key === "n") active.leap(1);
  else if (event.key === "p") active.leap(-1);
  else if (!isViewer && !["ArrowLeft", "ArrowRight"].includes(event.key)) return;
  else if (event.key === "Home") active.show(0);
  else if (event.key === "End") active.show(active.slices.length - 1);
  else if (event.key in STEPS) active.show(active.at + STEPS[event.key]);
  else return;
  event.preventDefault();
});

const viewers = data.map((series, place) =>
  new Viewer(document.querySelectorAll("section.series")[place], series));
active = viewers[0];
document.body.classList.add("scripted");
