// The table of dialogues with its filters, and the table of those that were rejected. The server finds and pages.
"use strict";
View.PAGE = 50;

View.Table = class {
  // ask(path, fields): an answer of the server. open(number): shows a dialogue.
  constructor(summary, ask, open) {
    Object.assign(this, { summary, ask, open, offset: 0, rows: [], found: 0, current: -1, asked: 0 });
    const get = (id) => document.getElementById(id);
    Object.assign(this, { form: get("filters"), list: get("rows"), says: get("found") });
    get("previous").addEventListener("click", () => this.turn(-1));
    get("next").addEventListener("click", () => this.turn(1));
    this.form.addEventListener("submit", (event) => event.preventDefault());
    this.form.addEventListener("input", () => {
      clearTimeout(this.waiting);
      this.waiting = setTimeout(() => this.load(0), 200);
    });
  }

  async facets() {
    const facets = await this.ask("/api/facets");
    this.fill(facets);
    if (facets.searched < facets.rows) setTimeout(() => this.facets(), 700);
  }

  fill(facets) {
    const { el } = View;
    const kept = Object.fromEntries(new FormData(this.form));
    const pick = (name, label, values) =>
      el(
        "label",
        {},
        el("span", { text: label }),
        el(
          "select",
          { name },
          el("option", { value: "", text: "any" }),
          ...values.map(([value, count]) =>
            el("option", {
              value,
              text: `${["kind", "mistake", "scenario"].includes(name) ? View.words(value) : value} (${count.toLocaleString("en")})`,
              selected: kept[name] === value,
            }),
          ),
        ),
      );
    const picks = Object.entries(facets.tags)
      .filter(([name, values]) => values.length > 1 || ["kind", "voice", "source"].includes(name))
      .map(([name, values]) => pick(name, View.words(name), values));
    const field = (name, hint) =>
      el("input", { name, placeholder: hint, inputMode: "decimal", value: kept[name] || "" });
    const figures = Object.keys(facets.ranges);
    const quality = figures.length
      ? el(
          "label",
          { class: "wide" },
          el("span", { text: "quality" }),
          el(
            "select",
            { name: "figure" },
            el("option", { value: "", text: "any" }),
            ...figures.map((name) =>
              el("option", { value: name, text: View.words(name), selected: kept.figure === name }),
            ),
          ),
          field("least", "from"),
          field("most", "to"),
        )
      : null;
    if (quality)
      quality.title = figures
        .map((name) => `${View.words(name)}: ${facets.ranges[name].map(View.number).join(" to ")}`)
        .join("\n");
    const text = el(
      "label",
      { class: "wide" },
      el("span", { text: "id" }),
      el("input", { name: "text", type: "search", placeholder: "part of an id", value: kept.text || "" }),
    );
    const focused =
      document.activeElement && this.form.contains(document.activeElement) ? document.activeElement.name : null;
    this.form.replaceChildren(text, ...picks, quality || "");
    if (focused) this.form.elements[focused]?.focus();
    this.form.dataset.ready = String(facets.searched === facets.rows);
  }

  fields() {
    return Object.fromEntries([...new FormData(this.form)].filter(([, value]) => value !== ""));
  }

  async load(offset) {
    const asked = ++this.asked;
    const answer = await this.ask("/api/dialogues", { ...this.fields(), offset, limit: View.PAGE });
    if (asked !== this.asked) return;
    Object.assign(this, { offset, rows: answer.rows, found: answer.found });
    this.draw(answer);
    if (answer.searched < answer.of) this.waiting = setTimeout(() => this.load(offset), 500);
  }

  draw(answer) {
    const so_far = answer.searched < answer.of ? `, in ${answer.searched.toLocaleString("en")} rows so far` : "";
    this.says.textContent = `${answer.found.toLocaleString("en")} of ${answer.of.toLocaleString("en")}${so_far}`;
    this.list.replaceChildren(...this.rows.map((row) => this.row(row)));
    const last = Math.min(this.offset + View.PAGE, this.found);
    document.getElementById("page").textContent = this.found ? `${this.offset + 1} – ${last}` : "";
    document.getElementById("previous").disabled = !this.offset;
    document.getElementById("next").disabled = last >= this.found;
    this.mark(this.current);
  }

  row(row) {
    const { el } = View;
    const head = el("b", { text: row.problem ? `row ${row.number}` : row.id });
    const item = el("li", { data: { number: String(row.number) }, on: { click: () => this.open(row.number) } }, head);
    if (row.problem) {
      item.append(el("span", { class: "problem", text: row.problem }));
      return item;
    }
    const kinds = Object.entries(row.tags.kind || {}).map(([kind, count]) =>
      el(
        "span",
        { class: "tag", title: View.counted(count, kind) },
        el("i", { style: { background: `var(--kind-${View.kindClass(kind)})` } }),
        View.counted(count, kind),
      ),
    );
    const numbers = row.numbers;
    const ends = numbers.ends_s === undefined ? "" : `${numbers.ends_s.toFixed(1)} s`;
    const pair = row.tags.mistake
      ? `${View.words(Object.keys(row.tags.mistake)[0])}: ${numbers.chosen_delay_s.toFixed(2)} s, rejected ${numbers.rejected_delay_s.toFixed(2)} s`
      : "";
    const figures = ["wer", "dnsmos"]
      .filter((name) => numbers[name] !== undefined)
      .map((name) => `${name} ${View.number(numbers[name])}`);
    item.append(
      el("span", { class: "length", text: ends }),
      el("span", { class: "opening", text: row.opening || pair }),
      el("span", { class: "tags" }, ...kinds, ...figures.map((text) => el("span", { class: "tag", text }))),
    );
    return item;
  }

  mark(number) {
    this.current = number;
    for (const item of this.list.children) {
      const here = Number(item.dataset.number) === number;
      item.toggleAttribute("aria-current", here);
      if (here) item.scrollIntoView({ block: "nearest" });
    }
  }

  async turn(pages) {
    const offset = this.offset + pages * View.PAGE;
    if (offset >= 0 && offset < this.found) await this.load(offset);
  }

  // The next dialogue of the table, or the previous one, over the edge of a page too.
  async step(by) {
    const at = this.rows.findIndex((row) => row.number === this.current);
    if (this.rows[at + by]) return this.open(this.rows[at + by].number);
    const before = this.offset;
    await this.turn(by);
    if (this.offset !== before) this.open(this.rows[by > 0 ? 0 : this.rows.length - 1].number);
  }
};

View.Rejected = class {
  constructor(place, summary, ask) {
    Object.assign(this, { place, summary, ask, offset: 0, found: 0, stage: "", reason: "", text: "", asked: 0 });
  }

  draw() {
    const { el } = View;
    const reasons = this.summary.ledger.flatMap((stage) =>
      Object.entries(stage.reasons).map(([reason, count]) => ({ stage: stage.stage, reason, count })),
    );
    const choose = (stage, reason) => () => {
      Object.assign(this, { stage, reason, offset: 0 });
      this.draw();
    };
    const ledger = el(
      "table",
      { class: "ledger" },
      el("tr", {}, ...["stage", "planned", "emitted", "rejected"].map((text) => el("th", { text }))),
      ...this.summary.ledger.map((stage) =>
        el(
          "tr",
          {},
          ...[stage.stage, stage.planned, stage.emitted, stage.rejected].map((value) =>
            el("td", { text: typeof value === "number" ? value.toLocaleString("en") : value }),
          ),
        ),
      ),
    );
    const chips = el(
      "p",
      { class: "chips" },
      el("button", {
        type: "button",
        text: `all (${this.summary.rejected.toLocaleString("en")})`,
        "aria-pressed": String(!this.reason),
        on: { click: choose("", "") },
      }),
      ...reasons.map((one) =>
        el("button", {
          type: "button",
          data: { reason: one.reason },
          "aria-pressed": String(this.reason === one.reason && this.stage === one.stage),
          text: `${one.stage}: ${View.words(one.reason)} (${one.count.toLocaleString("en")})`,
          on: { click: choose(one.stage, one.reason) },
        }),
      ),
    );
    const search = el("input", {
      type: "search",
      placeholder: "part of an id or a detail",
      value: this.text,
      on: {
        input: (event) => {
          clearTimeout(this.waiting);
          this.waiting = setTimeout(() => {
            this.text = event.target.value;
            this.offset = 0;
            this.load();
          }, 200);
        },
      },
    });
    this.rows = el("table", { class: "rejections" });
    this.says = el("p", { role: "status" });
    const move = (by) => () => {
      this.offset = Math.max(0, this.offset + by);
      this.load();
    };
    this.earlier = el("button", { type: "button", text: "← previous", on: { click: move(-View.PAGE) } });
    this.later = el("button", { type: "button", text: "next →", on: { click: move(View.PAGE) } });
    this.place.replaceChildren(
      el("h2", { text: "Rejected dialogues" }),
      el("p", {
        class: "fact",
        text: "Every dialogue is counted: planned = emitted + rejected. These have no sound, as the build stopped at the stage that is named.",
      }),
      ledger,
      ...(this.summary.rejected
        ? [chips, search, this.says, this.rows, el("p", {}, this.earlier, " ", this.later)]
        : [el("p", { text: "None was rejected." })]),
    );
    return this.summary.rejected ? this.load() : null;
  }

  async load() {
    const { el } = View;
    const asked = ++this.asked;
    const { stage, reason, text, offset } = this;
    const answer = await this.ask("/api/rejected", { stage, reason, text, offset, limit: View.PAGE });
    if (asked !== this.asked) return;
    const last = Math.min(offset + View.PAGE, answer.found);
    this.says.textContent = answer.found
      ? `${offset + 1} – ${last} of ${answer.found.toLocaleString("en")}`
      : "None was rejected.";
    this.earlier.disabled = !offset;
    this.later.disabled = last >= answer.found;
    this.rows.replaceChildren(
      el("tr", {}, ...["dialogue", "stage", "reason", "detail"].map((head) => el("th", { text: head }))),
      ...answer.rows.map((row) =>
        el(
          "tr",
          {},
          ...["dialogue_id", "stage", "reason", "detail"].map((name) =>
            el("td", { text: name === "reason" ? View.words(row[name]) : row[name] }),
          ),
        ),
      ),
    );
    this.rows.dataset.reason = reason;
  }
};
