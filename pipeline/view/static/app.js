// Joins the parts: asks the server, or reads the dialogue that stands in this file, and listens to the keyboard.
"use strict";
(function () {
  const player = new View.Player();
  const get = (id) => document.getElementById(id);
  const inline = get("data");
  const notice = (text) => {
    get("notice").textContent = text;
    get("notice").hidden = !text;
  };
  let [dialogue, table, opened] = [null, null, 0];

  async function ask(path, fields) {
    const query = new URLSearchParams(fields || {}).toString();
    const answer = await (await fetch(query ? `${path}?${query}` : path)).json();
    if (answer.error) throw new Error(answer.error);
    return answer;
  }

  const guarded =
    (work) =>
    async (...given) => {
      try {
        return await work(...given);
      } catch (error) {
        notice(
          error instanceof TypeError
            ? `The viewer does not answer: is it still running? (${error.message})`
            : error.message,
        );
        return undefined;
      }
    };

  async function show(shown, source) {
    if (dialogue) dialogue.destroy();
    notice("");
    document.body.classList.toggle("is-pair", shown.kind !== "dialogues");
    dialogue = new View.Dialogue(get("dialogue"), shown, source, player);
    await dialogue.draw();
  }

  const open = guarded(async (number) => {
    const turn = ++opened;
    table.mark(number);
    history.replaceState(null, "", `#${number}`);
    tab("dialogues");
    const sound = async (side) => {
      const answer = await fetch(`/api/sound/${number}${side ? `/${side}` : ""}`);
      if (!answer.ok) throw new Error((await answer.json()).error);
      return answer.arrayBuffer();
    };
    try {
      const shown = await ask(`/api/dialogue/${number}`);
      if (turn === opened) await show(shown, { sound });
    } catch (error) {
      if (turn !== opened) return;
      if (dialogue) dialogue.destroy();
      dialogue = null;
      get("dialogue").replaceChildren(View.el("p", { class: "problem", text: error.message }));
    }
  });

  function tab(name) {
    for (const button of get("tabs").children) button.setAttribute("aria-pressed", String(button.dataset.tab === name));
    for (const id of ["dialogue", "rejected", "figures"]) get(id).hidden = id !== name.replace("dialogues", "dialogue");
    get("list").hidden = name !== "dialogues";
    get("main").dataset.tab = name;
  }

  async function serve() {
    const summary = await ask("/api/dataset");
    document.title = `${summary.name} – duplexgen view`;
    get("set-name").textContent = summary.name;
    const what = summary.kind === "dialogues" ? "dialogues" : `pairs of ${summary.of}`;
    get("set-about").textContent =
      `${summary.rows.toLocaleString("en")} ${what} · ${summary.hours.toFixed(2)} hours · ${View.words(summary.scenario)} · layout ${summary.layout} · licence ${summary.license}`;
    const rejected = new View.Rejected(get("rejected"), summary, guarded(ask));
    get("tabs").querySelector("[data-tab=rejected]").textContent =
      `Rejected (${summary.rejected.toLocaleString("en")})`;
    get("tabs").addEventListener(
      "click",
      guarded(async (event) => {
        const name = event.target.dataset.tab;
        if (!name) return;
        player.pause();
        tab(name);
        if (name === "rejected") await rejected.draw();
        if (name === "figures") View.figures(get("figures"), summary);
      }),
    );
    table = new View.Table(summary, ask, open);
    table.load = guarded(table.load.bind(table));
    await table.load(0);
    if (summary.missing.length)
      notice(
        `This data set is damaged: ${summary.missing.slice(0, 3).join("; ")}. \`duplexgen verify\` says what else is.`,
      );
    const asked = () => (/^#[0-9]{1,15}$/.test(location.hash) ? Number(location.hash.slice(1)) : table.rows[0]?.number);
    addEventListener("hashchange", () => open(asked()));
    const wanted = asked();
    if (wanted !== undefined)
      open(wanted); // its sound may take long to decode; the filters do not wait for it
    else
      get("dialogue").replaceChildren(
        View.el("p", { class: "fact", text: "This data set has no rows. See which dialogues were rejected, and why." }),
      );
    await guarded(() => table.facets())();
  }

  function bytes(base64) {
    return Uint8Array.from(atob(base64), (character) => character.charCodeAt(0)).buffer;
  }

  async function standalone() {
    const { dialogue: shown, sounds } = JSON.parse(inline.textContent);
    document.body.classList.add("standalone");
    get("set-name").textContent = shown.set;
    get("set-about").textContent =
      `dialogue ${shown.number} · licence ${shown.license} · made with duplexgen and wavesurfer.js`;
    document.title = `${shown.id} – ${shown.set}`;
    await show(shown, { sound: async (side) => bytes(sounds[side]) });
  }

  const keys = {
    " ": () => player.toggle(),
    j: () => table?.step(1),
    k: () => table?.step(-1),
    ArrowLeft: () => (player.currentTime -= 2),
    ArrowRight: () => (player.currentTime += 2),
    u: () => dialogue?.lanes?.soloChannel("user"),
    a: () => dialogue?.lanes?.soloChannel("assistant"),
    x: () => dialogue?.otherSide(),
    "+": () => dialogue?.zoom(2),
    "-": () => dialogue?.zoom(0.5),
  };
  document.addEventListener(
    "keydown",
    guarded(async (event) => {
      if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName))
        return;
      if (event.key === " " && event.target.tagName === "BUTTON") event.target.blur();
      const does = keys[event.key];
      if (!does) return;
      event.preventDefault();
      await does();
    }),
  );
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dialogue?.lanes?.recolour());
  guarded(inline ? standalone : serve)();
})();
