// One dialogue or pair: lanes, transport, the words under the playhead, what the model reads, what effects drew.
"use strict";
View.Dialogue = class {
  // source: {sound(side)}: bytes of FLAC. notice: shows an error.
  constructor(place, shown, source, player) {
    Object.assign(this, {
      place,
      shown,
      source,
      player,
      lanes: null,
      grids: {},
      words: [],
      rows: [],
      pixels: 0,
      gone: false,
    });
    place.dataset.length = String(shown.length_s);
  }

  async draw() {
    const { el } = View;
    const { shown } = this;
    this.lanePlace = el("div", { class: "lanes" });
    this.caption = Object.fromEntries(
      ["user", "assistant"].map((channel) => [channel, el("p", { class: `caption ${channel}` })]),
    );
    this.place.replaceChildren(
      this.head(),
      this.transport(),
      this.lanePlace,
      this.kindLegend(),
      el("div", { class: "captions" }, this.caption.user, this.caption.assistant),
      el("div", { class: "columns" }, this.transcript(), this.gridPanel()),
      this.acoustics() || "",
    );
    this.place.dataset.shown = "";
    this.lanePlace.append(
      el("p", {
        class: "waiting",
        text: shown.sound.state === "decoded" ? "Decoding the sound …" : "Loading the sound …",
      }),
    );
    this.grids[shown.lanes[0].side].grid.at(0, true);
    const buffers = await this.buffers();
    if (this.gone) return;
    this.lanePlace.replaceChildren();
    this.lanes = new View.Lanes(this.lanePlace, shown, buffers, this.player);
    this.frame = () => this.at(this.player.currentTime);
    for (const name of ["frame", "timeupdate", "seeked", "pause", "ended"])
      this.player.addEventListener(name, this.frame);
    for (const name of ["play", "pause"]) this.player.addEventListener(name, this.button);
    this.at(0);
    this.place.dataset.shown = String(shown.number);
  }

  async buffers() {
    const { shown } = this;
    if (shown.sound.state === "none") return shown.lanes.map(() => null);
    const sides = [...new Set(shown.lanes.map((lane) => lane.side))];
    try {
      const decoded = await Promise.all(
        sides.map(async (side) => View.decode(await this.source.sound(side), shown.sample_rate)),
      );
      return shown.lanes.map((lane) => decoded[sides.indexOf(lane.side)][lane.channel === "user" ? 0 : 1]);
    } catch (error) {
      this.soundNote.textContent = `No sound: ${error.message}`;
      this.soundNote.classList.add("problem");
      return shown.lanes.map(() => null);
    }
  }

  head() {
    const { el } = View;
    const { shown } = this;
    const about = [
      shown.source,
      shown.language,
      View.words(shown.scenario),
      `${shown.length_s.toFixed(1)} s`,
      `layout ${shown.layout}`,
    ];
    this.soundNote = el("p", { class: "sound", text: shown.sound.says });
    const pair =
      shown.kind === "dialogues"
        ? null
        : el(
            "p",
            { class: "mistake" },
            el("b", { text: View.words(shown.mistake) }),
            ` in the reply of event ${shown.event}: chosen ${shown.chosen_delay_s.toFixed(2)} s, rejected ${shown.rejected_delay_s.toFixed(2)} s` +
              (shown.capped ? ", less than was drawn: there was no room for more" : ""),
          );
    return el(
      "div",
      { class: "head" },
      el("h2", { text: shown.id }),
      el("p", { class: "about", text: about.filter(Boolean).join(" · ") }),
      pair,
      this.soundNote,
    );
  }

  transport() {
    const { el } = View;
    const { shown, player } = this;
    this.play = el("button", { type: "button", class: "play", text: "▶ play", on: { click: () => player.toggle() } });
    this.button = () => (this.play.textContent = player.paused ? "▶ play" : "❚❚ pause");
    this.clock = el("output", { class: "clock", text: View.time(0) });
    const speed = el(
      "select",
      { title: "Speed", on: { change: (event) => (player.playbackRate = Number(event.target.value)) } },
      ...[0.5, 0.75, 1, 1.5, 2].map((rate) =>
        el("option", { value: String(rate), text: `${rate}×`, selected: rate === player.rate }),
      ),
    );
    const zoom = el(
      "span",
      { class: "zoom" },
      el("button", { type: "button", text: "−", title: "Zoom out", on: { click: () => this.zoom(0.5) } }),
      el("button", {
        type: "button",
        text: "fit",
        title: "Show the whole dialogue",
        on: { click: () => this.zoom(0) },
      }),
      el("button", { type: "button", text: "+", title: "Zoom in", on: { click: () => this.zoom(2) } }),
    );
    const sides = [...new Set(shown.lanes.map((lane) => lane.side))].filter(Boolean);
    this.sides = sides.map((side, number) =>
      el("button", {
        type: "button",
        class: `side ${side}`,
        text: side,
        data: { side },
        "aria-pressed": String(number === 0),
        on: { click: () => this.hear(side) },
      }),
    );
    const compare = sides.length ? el("span", { class: "compare" }, "listen to ", ...this.sides) : null;
    return el(
      "div",
      { class: "transport" },
      this.play,
      this.clock,
      el("span", { class: "of", text: `of ${View.time(shown.length_s)}` }),
      compare,
      speed,
      zoom,
    );
  }

  kindLegend() {
    const { el } = View;
    const kinds = [...new Set(this.shown.events.map((event) => event.kind))];
    const entry = (kind) =>
      el("span", {}, el("i", { style: { background: `var(--kind-${View.kindClass(kind)})` } }), View.words(kind));
    const gaps = this.shown.events.some((event) => event.pauses.length)
      ? el("span", {}, el("i", { class: "gap" }), "pause within a turn")
      : null;
    const cut = this.shown.events.some((event) => event.cut_by !== null)
      ? el("span", {}, el("i", { class: "cut" }), "cut")
      : null;
    const active = this.shown.activity.length
      ? el("span", {}, el("i", { class: "active" }), "voice activity, before effects")
      : null;
    const drawn = new Set((this.shown.acoustics?.marks || []).map((mark) => mark.effect));
    const marks = [...drawn].map((effect) =>
      el("span", {}, el("i", { class: effect === "bursts" ? "burst" : "clip" }), `${View.words(effect)}, as drawn`),
    );
    const differs = this.shown.events.some((event) => event.differs)
      ? el("span", {}, el("i", { class: "cut" }), "where the sides differ")
      : null;
    return el("p", { class: "legend kinds" }, ...kinds.map(entry), gaps, cut, differs, active, ...marks);
  }

  transcript() {
    const { el } = View;
    const list = el("ol", { class: "transcript" });
    this.rows = this.shown.events.map((event) => {
      const said = el("p", { class: "said" });
      this.words.push(...this.spoken(event, said));
      const facts = [`${View.time(event.start_s)} – ${View.time(event.end_s)}`, event.voice];
      const quality = Object.entries(event.quality)
        .map(([name, value]) => `${View.words(name)} ${View.number(value)}`)
        .join(" · ");
      const row = el(
        "li",
        {
          class: event.channel,
          data: { event: `${event.side}-${event.index}` },
          on: { click: () => (this.player.currentTime = event.start_s) },
        },
        el(
          "p",
          { class: "who" },
          el("i", { style: { background: `var(--kind-${View.kindClass(event.kind)})` } }),
          el("b", { text: event.side ? `${event.channel}, ${event.side}` : event.channel }),
          event.kind === "turn" ? null : el("span", { class: "kind", text: View.words(event.kind) }),
          el("span", { text: facts.filter(Boolean).join("  ") }),
        ),
        said,
        event.cut_by === null
          ? null
          : el("p", { class: "fact", text: `Cut by ${this.nameOf(event.cut_by)}. The rest was not heard.` }),
        quality ? el("p", { class: "fact", text: quality }) : null,
      );
      list.append(row);
      return { event, row };
    });
    return el("section", { class: "panel" }, el("h3", { text: "What is said" }), list);
  }

  nameOf(index) {
    const event = this.shown.events[index];
    return event ? `what the ${event.channel} says at ${View.time(event.start_s)}` : `event ${index}`;
  }

  // The words of an event, each with its element; where their times are not known, the whole text is one.
  spoken(event, place) {
    const whole = [[event.spoken_text, event.start_s, event.end_s]];
    const words = event.words.length ? event.words : whole;
    const spaced = event.words.length < 2 || event.text.includes(`${event.words[0][0]} `);
    const found = words.map(([text, start, end]) => {
      const element = View.el("span", {
        text,
        class: event.words.length ? "word" : "word whole",
        on: { click: (click) => (click.stopPropagation(), (this.player.currentTime = start)) },
      });
      place.append(element, spaced ? " " : "");
      return { element, text, start, end, event, spaced };
    });
    const unsaid = event.text.slice(event.spoken_text.length);
    if (event.cut_by !== null && unsaid) place.append(View.el("s", { text: unsaid }));
    return found;
  }

  gridPanel() {
    const { el } = View;
    const panel = el("section", { class: "panel" }, el("h3", { text: "What the model reads" }));
    for (const [side, grid] of Object.entries(this.shown.grids)) {
      const place = el("div", { class: "grid", data: { side }, hidden: side !== this.shown.lanes[0].side });
      panel.append(place);
      this.grids[side] = { place, grid: View.grid(place, grid, (seconds) => (this.player.currentTime = seconds)) };
    }
    return panel;
  }

  acoustics() {
    const { el } = View;
    const { acoustics } = this.shown;
    if (!acoustics) return null;
    const cells = Object.values(View.grouped(acoustics.values));
    const lists = cells.map((ones) =>
      el(
        "div",
        {},
        el("h4", { text: ones[0].effect }),
        el(
          "ul",
          {},
          ...ones.map((one) =>
            el("li", {
              text: `${one.number ? `${one.number}: ` : ""}${Object.entries(one.values)
                .map(([name, value]) => `${View.words(name)} ${View.number(value)}`)
                .join(", ")}`,
            }),
          ),
        ),
      ),
    );
    return el(
      "section",
      { class: "panel acoustics" },
      el("h3", { text: "What effects did to the user's channel" }),
      el("p", { class: "fact", text: acoustics.says }),
      ...(lists.length ? lists : [el("p", { text: "Nothing was drawn for this dialogue." })]),
    );
  }

  hear(side) {
    if (!this.lanes) return;
    this.lanes.hear(side);
    this.sides.forEach((button) => button.setAttribute("aria-pressed", String(button.dataset.side === side)));
    for (const [of, { place }] of Object.entries(this.grids)) place.hidden = of !== side;
    this.at(this.player.currentTime);
  }

  otherSide() {
    const other = this.sides.find((button) => button.dataset.side !== this.lanes?.heardSide);
    if (other) this.hear(other.dataset.side);
  }

  zoom(factor) {
    const fits = this.lanePlace.querySelector(".wave").clientWidth / this.shown.length_s;
    this.pixels = factor ? Math.min(800, Math.max(fits, (this.pixels || fits) * factor)) : 0;
    this.lanes?.zoom(this.pixels <= fits ? 0 : this.pixels, Math.max(fits, this.pixels));
  }

  at(seconds) {
    if (!this.lanes) return;
    this.clock.textContent = View.time(seconds);
    this.place.dataset.time = seconds.toFixed(3);
    this.lanes.meters();
    const side = this.lanes.heardSide;
    const now = { user: [], assistant: [] };
    for (const word of this.words) {
      const current = word.start <= seconds && seconds < word.end && (!word.event.side || word.event.side === side);
      if (current !== word.element.classList.contains("now")) word.element.classList.toggle("now", current);
      if (current) now[word.event.channel].push(word);
    }
    for (const [channel, words] of Object.entries(now)) this.tell(channel, words);
    for (const { event, row } of this.rows) {
      row.toggleAttribute(
        "aria-current",
        event.start_s <= seconds && seconds < event.end_s && (!event.side || event.side === side),
      );
    }
    this.grids[side].grid.at(seconds, !this.player.paused || seconds === 0);
  }

  // The words around the playhead on one channel, the current one marked.
  tell(channel, words) {
    const key = words.map((word) => `${word.event.index} ${word.start}`).join();
    const place = this.caption[channel];
    if (place.dataset.words === key) return;
    place.dataset.words = key;
    place.replaceChildren(View.el("b", { class: "channel", text: channel }));
    for (const word of words) {
      const all = this.words.filter((one) => one.event === word.event);
      const at = all.indexOf(word);
      for (const one of all.slice(Math.max(0, at - 5), at + 6)) {
        place.append(
          View.el(one === word && word.event.words.length ? "mark" : "span", { text: one.text.slice(0, 200) }),
          one.spaced ? " " : "",
        );
      }
    }
  }

  destroy() {
    this.gone = true;
    if (!this.lanes) return;
    for (const name of ["frame", "timeupdate", "seeked", "pause", "ended"])
      this.player.removeEventListener(name, this.frame);
    for (const name of ["play", "pause"]) this.player.removeEventListener(name, this.button);
    this.player.pause();
    this.lanes.destroy();
  }
};

View.grouped = (values) =>
  values.reduce((groups, one) => ((groups[one.effect] ||= []).push(one), groups), Object.create(null));
