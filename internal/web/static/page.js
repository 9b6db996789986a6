// What makes the pages nicer; all of them work without it.
"use strict";

// Tables are copied as text with tabs, as spreadsheets take it.
for (const button of document.querySelectorAll("button.copy")) {
  button.hidden = false;
  button.addEventListener("click", () => {
    const text = [...document.getElementById(button.dataset.table).rows]
      .map((row) => [...row.cells].filter((cell) => !cell.classList.contains("chart"))
        .map((cell) => cell.innerText.trim().replace(/\s+/g, " ") + "\t".repeat(cell.colSpan - 1)).join("\t"))
      .join("\n");
    const area = document.createElement("textarea");
    area.value = text;
    area.className = "unseen";
    document.body.append(area);
    area.select();
    const copied = document.execCommand("copy"); // navigator.clipboard needs TLS
    area.remove();
    button.focus();
    if (copied) button.textContent = button.dataset.done;
  });
}

// Charts say what is under the pointer, in the words of the table that stands for them.
const tip = document.createElement("p");
tip.className = "tip";
tip.hidden = true;
tip.setAttribute("aria-hidden", "true");
document.body.append(tip);

function follow(svg, words) {
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const said = words((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
    tip.hidden = !said;
    if (!said) return;
    tip.textContent = said;
    const left = Math.min(Math.max(8, event.clientX - tip.offsetWidth / 2), document.documentElement.clientWidth - tip.offsetWidth - 8);
    tip.style.setProperty("left", `${left + scrollX}px`);
    tip.style.setProperty("top", `${event.clientY + scrollY - tip.offsetHeight - 14}px`);
  });
  svg.addEventListener("pointerleave", () => { tip.hidden = true; });
}

const row = (table, share) => table.tBodies[0].rows[Math.min(Math.floor(share * table.tBodies[0].rows.length), table.tBodies[0].rows.length - 1)];
const day = document.querySelector("#day table.figures");
if (day) {
  const heads = [...day.tHead.rows[0].cells].map((cell) => cell.innerText.trim() || cell.textContent.trim());
  for (const svg of document.querySelectorAll("svg.plot")) {
    follow(svg, (x) => {
      const cells = [...row(day, Math.max(0, x)).cells];
      return cells.map((cell, i) => (i > 0 && cells.length > 2 ? heads[i] + " " : "") + cell.textContent.trim()).join(" · ");
    });
  }
}
const heat = document.querySelector("table.dense");
if (heat) {
  for (const svg of document.querySelectorAll("svg.heat")) {
    follow(svg, (x, y) => {
      const heads = heat.tHead.rows[0].cells;
      const found = row(heat, Math.max(0, y));
      const column = Math.min(1 + Math.floor(Math.max(0, x) * (heads.length - 1)), heads.length - 1);
      return `${heads[column].textContent.trim()} ${found.cells[0].textContent.trim()} · ${found.cells[column].textContent.trim()}`;
    });
  }
}
