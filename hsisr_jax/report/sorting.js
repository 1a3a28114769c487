// Tables of scores can be sorted by a click, or Enter, on a column's name: best, worst, as it was.

function sortable(table) {
  const body = table.tBodies[0];
  const original = [...body.rows];
  if (original.length < 3) return;
  const heads = [...table.tHead.rows[0].cells];
  const value = (row, i) => {
    const cell = row.cells[i];
    if (cell?.dataset.value !== undefined) return Number(cell.dataset.value);
    return i === 0 ? cell.textContent : null;
  };
  heads.forEach((head, i) => {
    const known = original.map((row) => value(row, i)).filter((v) => v !== null);
    if (!known.length) return;
    const name = head.textContent.replace(/[↑↓]/g, "").trim();
    const press = html("button", {type: "button", className: "sort", title: `Sort by ${name}`});
    press.append(...head.childNodes);
    head.replaceChildren(press);
    const first = head.textContent.includes("↑") ? "descending" : "ascending";
    const second = first === "ascending" ? "descending" : "ascending";
    press.addEventListener("click", () => {
      const next = {[first]: second, [second]: "none"}[head.getAttribute("aria-sort")] ?? first;
      for (const other of heads) other.removeAttribute("aria-sort");
      if (next !== "none") head.setAttribute("aria-sort", next);
      const sign = next === "descending" ? -1 : 1;
      const order = next === "none" ? original : [...original].sort((a, b) => {
        const [x, y] = [value(a, i), value(b, i)];
        if (x === null || y === null) return (x === null) - (y === null); // without a value: last
        return sign * (typeof x === "string" ? x.localeCompare(y) : x - y);
      });
      body.append(...order);
    });
  });
}
