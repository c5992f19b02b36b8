// What the model reads, following the playhead: blocks one below the other, or a window of parallel streams.
"use strict";
View.grid = function (place, grid, seek) {
  const make = { blocks: View.blocks, streams: View.streams, lines: View.lines }[grid.type];
  return make(place, grid, seek);
};

// Blocks of BayLing-Duplex: N user codes, M text tokens, and N assistant codes of one block later.
View.blocks = function (place, grid, seek) {
  const { el } = View;
  const list = el("ol", { class: "blocks" });
  const codes = (values, speaks, channel) => {
    const known = grid.known.includes(channel);
    const cells = values.map((code, at) =>
      el("i", {
        class: known ? (speaks[at] ? "speech" : "silence") : "unknown",
        title: `${channel}, code ${code}`,
      }),
    );
    return el("span", { class: `codes ${channel}` }, ...cells);
  };
  const rows = grid.text.map((text, block) => {
    const words = text.map((sign, at) => el("b", { class: `text-${grid.text_kinds[block][at]}`, text: sign }));
    const row = el(
      "li",
      { data: { block: String(block) }, on: { click: () => seek(block * grid.block_s) } },
      el("span", { class: "at", text: String(block) }),
      el("span", { class: "at", text: View.time(block * grid.block_s, 1) }),
      codes(grid.user[block], grid.user_speaks[block], "user"),
      el("span", { class: "tokens", style: { "--tokens": grid.text_tokens } }, ...words),
      codes(grid.assistant[block], grid.assistant_speaks[block], "assistant"),
    );
    return row;
  });
  list.append(...rows);
  place.append(
    el(
      "p",
      { class: "grid-head" },
      el("span", { class: "at", text: "block" }),
      el("span", { class: "at", text: "start" }),
      el("span", { text: `user, ${grid.user_tokens} codes`, style: { "--cells": grid.user_tokens } }),
      el("span", { class: "tokens", text: `text, ${grid.text_tokens} tokens` }),
      el("span", { text: "assistant, one block later" }),
    ),
    list,
    el("p", {
      class: "legend",
      text: "· silence   [A] assistant starts   [P] text is written, speech goes on   [E] both are complete",
    }),
  );
  let current = -1;
  return {
    at(seconds, follow) {
      const block = Math.min(rows.length - 1, Math.floor(seconds / grid.block_s + 1e-6));
      if (block === current) return;
      if (rows[current]) rows[current].removeAttribute("aria-current");
      current = block;
      rows[block].setAttribute("aria-current", "true");
      if (follow) list.scrollTo({ top: rows[block].offsetTop - list.clientHeight / 2, behavior: "auto" });
    },
  };
};

// Streams of FLM-Audio and Moshi: a page of columns, and the ids of the current one beside the names.
View.streams = function (place, grid, seek) {
  const { el } = View;
  const columns = grid.ids[0].length;
  const shown = 48;
  const table = el("div", { class: "streams", style: { "--columns": String(shown) } });
  const values = grid.names.map(() => el("span", { class: "value" }));
  const cells = grid.names.map((name, stream) =>
    Array.from({ length: shown }, (_, at) =>
      el("i", {
        on: { click: () => seek(Math.max(0, (first + at - 1) * grid.column_s)) },
      }),
    ),
  );
  let [first, current] = [-1, -1];
  grid.names.forEach((name, stream) => {
    const parts = [
      el("span", { class: "name", text: name }),
      values[stream],
      el("span", { class: stream ? "row" : "row row-text" }, ...cells[stream]),
    ];
    if (name.endsWith(" 0")) parts.forEach((part) => part.classList.add("first"));
    table.append(...parts);
  });
  // Whether nobody speaks in a cell; codebooks above the first come later.
  const silent = (stream, column) => {
    const [channel, codebook] = grid.names[stream].split(" ");
    const frame = column - 1 - (Number(codebook) ? grid.delay : 0);
    return Boolean(grid.speaks[channel]) && grid.speaks[channel][frame] !== "1";
  };
  const written = el("p", { class: "written" });
  const where = el("p", { class: "where" });
  place.append(
    where,
    table,
    el("p", { class: "written-head", text: "what the text stream writes in these columns" }),
    written,
    el(
      "p",
      { class: "legend" },
      ...grid.kinds.map((kind) => el("span", {}, el("i", { class: `id-${kind}` }), View.words(kind))),
    ),
  );

  const turn = (page) => {
    first = page;
    cells.forEach((row, stream) =>
      row.forEach((cell, at) => {
        const column = first + at;
        const kind = column < columns ? grid.kinds[parseInt(grid.kind_of[stream][column], 36)] : "none";
        cell.className = `id-${kind}${stream && kind !== "none" && silent(stream, column) ? " silent" : ""}`;
        cell.title =
          column < columns
            ? `column ${column}, ${grid.names[stream]}: ${stream ? grid.ids[stream][column] : grid.text[column]}`
            : "";
        if (!stream) cell.textContent = column < columns ? grid.signs[column] || "t" : "";
      }),
    );
    written.replaceChildren();
    for (let column = first; column < Math.min(first + shown, columns); column += 1) {
      if (!grid.signs[column])
        written.append(el("b", { data: { column: String(column) }, text: grid.text[column] }), " ");
    }
  };
  return {
    at(seconds) {
      const column = Math.min(columns - 1, 1 + Math.floor(seconds / grid.column_s + 1e-6));
      if (column === current) return;
      const page = Math.floor(column / shown) * shown;
      if (page !== first) turn(page);
      cells.forEach((row, stream) => {
        if (row[current - first]) row[current - first].classList.remove("now");
        row[column - first].classList.add("now");
        values[stream].textContent = stream ? String(grid.ids[stream][column]) : grid.text[column];
      });
      written.querySelectorAll(".now").forEach((word) => word.classList.remove("now"));
      const word = written.querySelector(`[data-column="${column}"]`);
      if (word) word.classList.add("now");
      where.textContent = `column ${column} of ${columns}, frame ${column - 1}; codebooks 1 and above run ${grid.delay} later`;
      table.dataset.column = String(column);
      current = column;
    },
  };
};

// Any other layout, as `inspect` shows it.
View.lines = function (place, grid) {
  place.append(View.el("pre", { class: "lines", text: grid.lines.join("\n") }));
  return { at() {} };
};
