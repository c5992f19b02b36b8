// Histograms of the data set as small drawings, and the figures of people where there are some.
"use strict";
View.figures = function (place, summary) {
  const { el } = View;
  const people = summary.people.length
    ? el(
        "table",
        { class: "people" },
        el("tr", {}, ...["", "here", "people", "source"].map((text) => el("th", { text }))),
        ...summary.people.map((cells) => el("tr", {}, ...cells.map((text) => el("td", { text })))),
      )
    : null;
  place.replaceChildren(
    el("h2", { text: "Figures" }),
    el("p", { class: "fact", text: summary.description }),
    people
      ? el("h3", { text: "Timing beside people's, measured by voice activity on the audio before any effect" })
      : "",
    people || "",
    el(
      "div",
      { class: "histograms" },
      ...[...summary.histograms].sort((one, other) => Boolean(other.curve) - Boolean(one.curve)).map(View.histogram),
    ),
  );
};

View.histogram = function (one) {
  const { el } = View;
  const [width, height, foot] = [320, 110, 14];
  const svg = (tag, attributes, text) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const merge = Math.max(1, Math.round(one.bins.length / 90));
  const merged = (values) =>
    Array.from({ length: Math.ceil(values.length / merge) }, (_, at) =>
      values.slice(at * merge, (at + 1) * merge).reduce((sum, value) => sum + value, 0),
    );
  const bins = merged(one.bins);
  const curve = one.curve ? merged(one.curve) : null;
  const filled = bins
    .map((count, at) => (count || (curve && curve[at] > 0.02 * Math.max(...curve)) ? at : -1))
    .filter((at) => at >= 0);
  const [first, last] = [Math.max(0, filled[0] - 1), Math.min(bins.length - 1, filled[filled.length - 1] + 1)];
  const step = ((one.high - one.low) / one.bins.length) * merge;
  const x = (value) => (((value - one.low) / step - first) / (last + 1 - first)) * width;
  const most = Math.max(...bins, ...(curve || []));
  const y = (count) => height - (count / most) * (height - 6);
  const drawing = svg("svg", { viewBox: `0 0 ${width} ${height + foot}`, role: "img", "aria-label": one.title });
  if (one.band)
    drawing.append(
      svg("rect", { class: "band", x: x(one.band[0]), y: 0, width: x(one.band[1]) - x(one.band[0]), height }),
    );
  for (let at = first; at <= last; at += 1) {
    if (bins[at])
      drawing.append(
        svg("rect", {
          class: "bar",
          x: ((at - first) / (last + 1 - first)) * width + 0.3,
          y: y(bins[at]),
          width: width / (last + 1 - first) - 0.6,
          height: height - y(bins[at]),
        }),
      );
  }
  if (curve)
    drawing.append(
      svg("polyline", {
        class: "curve",
        points: curve
          .slice(first, last + 1)
          .map((count, at) => `${((at + 0.5) / (last + 1 - first)) * width},${y(count)}`)
          .join(" "),
      }),
    );
  drawing.append(svg("line", { class: "axis", x1: 0, y1: height, x2: width, y2: height }));
  const [low, high] = [one.low + first * step, one.low + (last + 1) * step];
  for (const [anchor, at, value] of [
    ["start", 0, low],
    ["middle", width / 2, (low + high) / 2],
    ["end", width, high],
  ]) {
    drawing.append(
      svg("text", { x: at, y: height + foot - 3, "text-anchor": anchor }, View.number(Number(value.toFixed(2)))),
    );
  }
  const unit = one.unit ? ` ${one.unit}` : "";
  const [, median] = one.quantiles;
  const note = one.curve
    ? el(
        "span",
        { class: "note" },
        el("i", { class: "band" }),
        " most frequent between people  ",
        el("i", { class: "curve" }),
        "people, by the profile of timing that ships",
      )
    : null;
  return el(
    "figure",
    { data: { name: one.name } },
    el("figcaption", { text: one.title + (one.unit ? ` (${one.unit})` : "") }),
    drawing,
    el("p", {
      class: "fact",
      text: `${one.count.toLocaleString("en")} values · mean ${View.number(one.mean)}${unit} · median ${View.number(median)}${unit} · 5 to 95 %: ${View.number(one.quantiles[0])} to ${View.number(one.quantiles[2])}${unit}`,
    }),
    note,
  );
};
