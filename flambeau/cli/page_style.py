"""The page's style and its script: what is shown when, and which things are marked together."""

STYLE = """
:root { color-scheme: light dark; --back: #fbfaf7; --ink: #24211c; --pale: #77705f;
  --line: #ded8ca; --warm: #c2570c; --tint: #f9dcc0; --bar: 0%; --share: 0%; }
@media (prefers-color-scheme: dark) {
  :root { --back: #191816; --ink: #e9e4d8; --pale: #9d9687; --line: #3a3731; --warm: #f59f4c;
    --tint: #4b331d; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 1800px; padding: 0 16px 40px; background: var(--back);
  color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
header, .tabs, .programs { display: flex; flex-wrap: wrap; gap: 4px 8px; align-items: baseline; }
h1 { font-size: 20px; margin: 14px 12px 6px 0; } h2 { font-size: 16px; margin: 10px 0 4px; }
h3, h4 { font-size: 13px; margin: 10px 0 2px; color: var(--pale); font-weight: 600; }
.scripted .view h2 { display: none; }
.facts, .words, footer, .same { color: var(--pale); margin: 4px 0 8px; max-width: 110ch; }
button { font: inherit; color: inherit; background: none; border: 1px solid var(--line);
  border-radius: 6px; padding: 2px 9px; cursor: pointer; }
button[aria-pressed="true"] { background: var(--tint); border-color: var(--warm); }
:focus-visible { outline: 2px solid var(--warm); outline-offset: 1px; }
.columns { display: grid; grid-template-columns: minmax(300px, 2fr) 5fr; gap: 20px; }
.columns > * { min-width: 0; }
@media (max-width: 1000px) { .columns { grid-template-columns: 1fr; } }
.lines { position: sticky; top: 0; align-self: start; max-height: 100vh; overflow: auto; }
@media (max-width: 1000px) { .lines { position: static; max-height: 45vh; } }
pre, code, .row, .code { font: 12.5px/1.5 ui-monospace, Menlo, Consolas, monospace; }
pre { overflow-x: auto; margin: 0; padding: 8px; border: 1px solid var(--line);
  border-radius: 6px; }
pre span { display: inline-block; min-width: 100%; }
.code { list-style: none; margin: 0; padding: 0; }
.code li { display: flex; gap: 8px; white-space: pre; padding: 0 4px; color: var(--pale); }
.code code { overflow: hidden; text-overflow: ellipsis; flex: 1; }
.code .n { min-width: 4ch; text-align: right; }
.code .made { color: var(--ink); cursor: pointer;
  background: linear-gradient(90deg, var(--tint) var(--share), transparent var(--share)); }
.code .t { color: var(--pale); }
.on, .code .made.on { box-shadow: inset 3px 0 var(--warm); background: var(--tint); }
.row { display: grid; align-items: baseline; gap: 8px; padding: 2px 6px; cursor: pointer;
  grid-template-columns: 3ch minmax(7ch, 15ch) minmax(10ch, 20ch) 1fr repeat(2, 8ch) 9ch 14ch 9ch; }
.row span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.row span:nth-child(n + 5), .row span:first-child { text-align: right; }
.row.head { color: var(--pale); cursor: default; border-bottom: 1px solid var(--line); }
.kernel { border-bottom: 1px solid var(--line); }
.kernel > summary { list-style: none;
  background: linear-gradient(90deg, var(--tint) var(--bar), transparent var(--bar)); }
.inside { padding: 2px 8px 12px; } .inside summary { cursor: pointer; margin-top: 6px; }
.plan { width: 100%; height: auto; border: 1px solid var(--line); border-radius: 6px;
  margin-bottom: 8px; font: 11px ui-monospace, monospace; }
.plan .axis { fill: var(--pale); stroke: none; } .plan line.axis { stroke: var(--line); }
.plan .box rect { stroke: var(--back); } .plan .box text { fill: #191816; }
.plan .box:hover rect { stroke: var(--ink); } .plan .unused { opacity: 0.3; }
.plan .c0 rect { fill: #e8a15c; } .plan .c1 rect { fill: #8fb8a8; }
.plan .c2 rect { fill: #d98a8a; } .plan .c3 rect { fill: #9fb0d6; }
.plan .c4 rect { fill: #cfc17a; } .plan .c5 rect { fill: #b79ac8; }
[hidden] { display: none !important; }
"""

SCRIPT = """
document.documentElement.classList.add("scripted");
const all = (where, what) => [...where.querySelectorAll(what)];
const numbers = (element, name) => (element.dataset[name] || "").split(" ").filter(Boolean);

function show(where, kind, wanted) {
  for (const one of all(where, "section[data-" + kind + "], main[data-" + kind + "]"))
    one.hidden = one.dataset[kind] !== wanted;
  for (const one of all(where, "button[data-" + kind + "]"))
    one.setAttribute("aria-pressed", one.dataset[kind] === wanted);
}

function mark(program, calls, kernels) {
  for (const one of all(program, ".on")) one.classList.remove("on");
  for (const one of all(program, "[data-call]"))
    one.classList.toggle("on", calls.has(one.dataset.call));
  for (const one of all(program, ".made"))
    one.classList.toggle("on", numbers(one, "calls").some(n => calls.has(n)));
  for (const one of all(program, ".kernel"))
    one.classList.toggle("on", kernels.has(one.dataset.kernel));
}

for (const program of all(document, "main.program")) {
  show(program, "view", "kernels");
  for (const button of all(program, ".tabs button"))
    button.addEventListener("click", () => show(program, "view", button.dataset.view));
  for (const line of all(program, ".made")) {
    const choose = () => {
      mark(program, new Set(numbers(line, "calls")), new Set(numbers(line, "kernels")));
      const first = all(program, "section.view:not([hidden]) .on")[0];
      if (first) first.scrollIntoView({block: "nearest"});
    };
    line.addEventListener("click", choose);
    line.addEventListener("keydown", event => {
      if (event.key !== "Enter" && event.key !== " ") return;
      event.preventDefault();
      choose();
    });
  }
  for (const kernel of all(program, ".kernel"))
    kernel.querySelector("summary").addEventListener("click", () =>
      mark(program, new Set(numbers(kernel, "calls")), new Set([kernel.dataset.kernel])));
  for (const row of all(program, "[data-call]"))
    row.addEventListener("click", () => {
      const kernels = all(program, ".kernel").filter(
        one => numbers(one, "calls").includes(row.dataset.call));
      mark(program, new Set([row.dataset.call]), new Set(kernels.map(one => one.dataset.kernel)));
    });
}
show(document, "program", "0");
for (const button of all(document, ".programs button"))
  button.addEventListener("click", () => show(document, "program", button.dataset.program));
"""

__all__ = ["SCRIPT", "STYLE"]
