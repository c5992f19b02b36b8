// One lane per channel: its waveform, its events as coloured regions, solo and mute.
"use strict";
View.Lanes = class {
  // place: an element. shown: a dialogue of the server. buffers: one AudioBuffer per lane, or null.
  constructor(place, shown, buffers, player) {
    Object.assign(this, { shown, player, waves: [], muted: new Set(), soloed: new Set(), parts: [], heardSide: "" });
    this.heardSide = shown.lanes[0].side;
    const peaks = buffers.map((buffer) => View.peaks(buffer, shown.length_s));
    const loudest = Math.max(0.05, ...peaks.map((one) => one.loudest));
    this.addRuler(place);
    shown.lanes.forEach((lane, number) =>
      this.addLane(
        place,
        lane,
        number,
        peaks[number].peaks.map((p) => p / loudest),
      ),
    );
    player.load(
      buffers.map((buffer) => ({ buffer })),
      shown.length_s,
    );
    this.refresh();
  }

  surfer(container, peaks, options) {
    const surfer = WaveSurfer.create({
      container,
      media: this.player,
      peaks: [peaks],
      duration: this.shown.length_s,
      cspNonce: document.body.dataset.nonce,
      cursorColor: View.colour("--accent"),
      cursorWidth: 2,
      dragToSeek: { debounceTime: 0 },
      autoCenter: false,
      ...options,
    });
    surfer.on("scroll", (start, end, left) =>
      this.waves.forEach((other) => {
        if (other !== surfer && Math.abs(other.getScroll() - left) > 1) other.setScroll(left);
      }),
    );
    this.waves.push(surfer);
    return surfer;
  }

  // Seconds above the lanes; a lane of its own, so that no event covers them.
  addRuler(place) {
    const ruler = View.el("div", { class: "wave ruler" });
    place.append(View.el("div", { class: "lane" }, View.el("div", { class: "lane-head" }), ruler));
    this.timeline = WaveSurfer.Timeline.create({
      height: 19,
      insertPosition: "beforebegin",
      secondaryLabelOpacity: 0.9,
      style: { fontSize: "10px", color: "var(--quiet)" },
      formatTimeCallback: (seconds) => View.time(seconds, 0),
    });
    this.surfer(ruler, new Float32Array(2), {
      height: 20,
      waveColor: "transparent",
      progressColor: "transparent",
      cursorWidth: 0,
      hideScrollbar: true,
      plugins: [this.timeline],
    });
  }

  addLane(place, lane, number, peaks) {
    const { el } = View;
    const wave = el("div", { class: "wave" });
    const shared = lane.side && this.isShared(lane);
    const side = shared ? "both sides" : lane.side;
    const name = side ? `${lane.channel}, ${side}` : lane.channel;
    const press = (name) => () => {
      const set = this[name];
      if (!set.delete(number)) set.add(number);
      this.refresh();
    };
    const meter = el("i", { class: "level" });
    const solo = el("button", {
      type: "button",
      text: "S",
      title: `Solo: hear ${name} alone`,
      on: { click: press("soloed") },
    });
    const mute = el("button", { type: "button", text: "M", title: `Mute ${name}`, on: { click: press("muted") } });
    const head = el(
      "div",
      { class: "lane-head" },
      el("b", { text: View.words(lane.channel) }),
      side ? el("span", { class: `side ${shared ? "" : lane.side}`, text: side }) : null,
      el("span", { class: "switches" }, solo, mute),
      el("span", { class: "meter" }, meter),
    );
    const element = el(
      "div",
      { class: "lane", data: { channel: lane.channel, side: lane.side, lane: String(number) } },
      head,
      wave,
    );
    place.append(element);
    this.parts.push({ element, solo, mute, meter });
    const regions = WaveSurfer.Regions.create();
    const plugins = [
      regions,
      WaveSurfer.Hover.create({
        lineColor: "var(--accent)",
        labelBackground: "var(--ink)",
        labelColor: "var(--paper)",
        labelSize: "11px",
        formatTimeCallback: (seconds) => View.time(seconds),
      }),
    ];
    const surfer = this.surfer(wave, peaks, {
      height: 76,
      waveColor: View.colour("--wave"),
      progressColor: View.colour("--wave-past"),
      hideScrollbar: number + 1 < this.shown.lanes.length,
      plugins,
    });
    surfer.on("ready", () => this.draw(regions, lane, element));
  }

  draw(regions, lane, element) {
    regions.clearRegions();
    for (const event of this.shown.events) {
      if (event.channel === lane.channel && event.side === lane.side) regions.addRegion(this.region(event));
    }
    const { acoustics, activity } = this.shown;
    if (lane.channel === "user" && acoustics)
      acoustics.marks.forEach((mark) => regions.addRegion(View.Lanes.mark(mark)));
    activity
      .filter((one) => one.channel === lane.channel)
      .forEach((one) => regions.addRegion(View.Lanes.activity(one)));
    element.dataset.drawn = "true";
  }

  // An event is one region; its pauses are gaps in it, and what was cut away is not there.
  region(event) {
    const label = View.el("span", {
      text: event.kind === "turn" ? event.text : `${View.words(event.kind)}: ${event.text}`,
    });
    Object.assign(label.style, { position: "relative", zIndex: "1" });
    const content = View.el("div", {});
    const length = event.end_s - event.start_s || 1;
    Object.assign(content.style, {
      font: "11px/1.35 system-ui, sans-serif",
      padding: "2px 5px",
      height: "100%",
      boxSizing: "border-box",
      overflow: "hidden",
      whiteSpace: "nowrap",
      textOverflow: "ellipsis",
      color: "var(--ink)",
      position: "absolute",
      inset: "0",
      pointerEvents: "none",
      borderTop: `3px solid var(--kind-${View.kindClass(event.kind)})`,
    });
    for (const [start, end] of event.pauses) {
      const gap = View.el("span", { data: { gap: `${start} ${end}` } });
      Object.assign(gap.style, {
        position: "absolute",
        top: "-3px",
        bottom: "0",
        background: "var(--lane)",
        opacity: "0.93",
        left: `${(100 * (start - event.start_s)) / length}%`,
        width: `${(100 * (end - start)) / length}%`,
        borderLeft: "1px dashed var(--quiet)",
        borderRight: "1px dashed var(--quiet)",
        boxSizing: "border-box",
      });
      content.append(gap);
    }
    content.append(label);
    if (event.cut_by !== null || event.differs) {
      content.style.borderRight = `3px ${event.differs ? "double" : "solid"} var(--warn)`;
    }
    const colour = `color-mix(in srgb, var(--kind-${View.kindClass(event.kind)}) 24%, transparent)`;
    return {
      id: `event-${event.side}-${event.index}`,
      start: event.start_s,
      end: event.end_s,
      content,
      color: colour,
      drag: false,
      resize: false,
    };
  }

  static mark(mark) {
    const content = View.el("div", { title: mark.label });
    const burst = mark.effect === "bursts";
    Object.assign(content.style, {
      position: "absolute",
      bottom: "0",
      left: "0",
      right: "0",
      height: burst ? "12px" : "5px",
      background: burst ? "var(--warn)" : "repeating-linear-gradient(45deg, var(--quiet) 0 2px, transparent 2px 5px)",
    });
    return {
      id: `mark-${mark.label}`,
      start: mark.start_s,
      end: mark.end_s,
      content,
      color: "transparent",
      drag: false,
      resize: false,
    };
  }

  static activity(one) {
    const content = View.el("div", {});
    Object.assign(content.style, {
      position: "absolute",
      top: "auto",
      bottom: "6px",
      left: "0",
      right: "0",
      height: "2px",
      background: "var(--accent)",
    });
    return {
      id: `activity-${one.start_s}`,
      start: one.start_s,
      end: one.end_s,
      content,
      color: "transparent",
      drag: false,
      resize: false,
    };
  }

  // Of a pair, both sides may have the same user: then there is one lane for both.
  isShared(lane) {
    return this.shown.lanes.filter((one) => one.channel === lane.channel).length === 1;
  }

  audible(number) {
    const lane = this.shown.lanes[number];
    if (lane.side && lane.side !== this.heardSide && !this.isShared(lane)) return false;
    return this.soloed.size ? this.soloed.has(number) : !this.muted.has(number);
  }

  // Of a pair, one side is heard at a time: solo and mute move along with it.
  hear(side) {
    const moved = (set) => new Set([...set].map((number) => this.sameOn(number, side)));
    this.heardSide = side;
    this.soloed = moved(this.soloed);
    this.muted = moved(this.muted);
    this.refresh();
  }

  sameOn(number, side) {
    const { channel } = this.shown.lanes[number];
    const there = this.shown.lanes.findIndex((lane) => lane.channel === channel && lane.side === side);
    return there < 0 ? number : there;
  }

  soloChannel(channel) {
    const number = this.sameOn(
      this.shown.lanes.findIndex((lane) => lane.channel === channel),
      this.heardSide,
    );
    this.soloed = new Set(this.soloed.has(number) ? [] : [number]);
    this.refresh();
  }

  refresh() {
    this.parts.forEach((part, number) => {
      const audible = this.audible(number);
      this.player.setVolume(number, audible ? 1 : 0);
      part.element.dataset.audible = String(audible);
      part.solo.setAttribute("aria-pressed", String(this.soloed.has(number)));
      part.mute.setAttribute("aria-pressed", String(this.muted.has(number)));
    });
  }

  meters() {
    this.parts.forEach((part, number) => {
      const level = this.player.level(number);
      part.meter.style.width = `${Math.min(100, 100 * Math.sqrt(level))}%`;
      part.element.dataset.level = level.toFixed(4);
    });
  }

  // pixels: per second; shown: those that are drawn, which may be more.
  zoom(pixels, shown) {
    const step = [0.5, 1, 2, 5, 10, 30, 60].find((seconds) => seconds * shown >= 70) || 300;
    Object.assign(this.timeline.options, {
      timeInterval: step / 5,
      primaryLabelInterval: step,
      secondaryLabelInterval: step,
      formatTimeCallback: (seconds) => View.time(seconds, step < 1 ? 1 : 0),
    });
    this.waves.forEach((wave) => wave.getDecodedData() && wave.zoom(pixels));
  }

  recolour() {
    const colours = {
      cursorColor: View.colour("--accent"),
      waveColor: View.colour("--wave"),
      progressColor: View.colour("--wave-past"),
    };
    this.waves.slice(1).forEach((wave) => wave.setOptions(colours)); // the first is the ruler
  }

  destroy() {
    this.waves.forEach((wave) => wave.destroy());
  }
};
