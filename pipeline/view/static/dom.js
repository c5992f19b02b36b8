// Builds elements. Text of a data set goes through textContent alone, so that it never becomes markup.
"use strict";
const View = {};

View.el = function (tag, options, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(options || {})) {
    if (value === undefined || value === null) continue;
    if (name === "class") element.className = value;
    else if (name === "text") element.textContent = value;
    else if (name === "on") for (const [event, does] of Object.entries(value)) element.addEventListener(event, does);
    else if (name === "data") Object.assign(element.dataset, value);
    else if (name === "style") for (const [key, of] of Object.entries(value)) element.style.setProperty(key, of);
    else if (name in element && name !== "list") element[name] = value;
    else element.setAttribute(name, value);
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
};

View.words = (name) => String(name).replaceAll("_", " ");

View.counted = (count, name) => `${count} ${View.words(name)}${count === 1 ? "" : "s"}`;

View.time = function (seconds, digits = 2) {
  const minutes = Math.floor(seconds / 60);
  const rest = (seconds - 60 * minutes).toFixed(digits);
  return `${minutes}:${rest.padStart(digits ? 3 + digits : 2, "0")}`;
};

View.number = (value) => (Number.isInteger(value) ? value.toLocaleString("en") : String(Number(value.toPrecision(3))));

View.kindClass = function (kind) {
  const known = [
    "turn",
    "barge_in",
    "follow_up",
    "negation",
    "repetition",
    "topic_switch",
    "silence_request",
    "backchannel",
    "bystander",
    "side_talk",
  ];
  return known.includes(kind) ? kind : "other";
};

// The page's own colours, which canvases cannot name.
View.colour = (name) => getComputedStyle(document.body).getPropertyValue(name).trim();
