"use strict";
(() => {
  const page = document.documentElement;

  // ── Language: both are in the page, one is shown ──────────────────────────────────────────────
  const isWords = (value) => "en" in value && "zh" in value && Object.keys(value).length === 2;
  const inLanguage = (value, language) => {
    if (Array.isArray(value)) return value.map((item) => inLanguage(item, language));
    if (value === null || typeof value !== "object") return value;
    if (isWords(value)) return value[language];
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, inLanguage(item, language)]));
  };
  const asked = new URLSearchParams(location.search).get("lang") || navigator.language || "en";
  let language = asked.toLowerCase().startsWith("zh") ? "zh" : "en";

  function speak(chosen) {
    language = chosen;
    page.lang = chosen === "zh" ? "zh-Hans" : "en";
    for (const button of document.querySelectorAll("[data-language]"))
      button.setAttribute("aria-pressed", String(button.dataset.language === chosen));
    for (const element of document.querySelectorAll("[data-label-zh]"))
      element.setAttribute("aria-label", chosen === "zh" ? element.dataset.labelZh : element.dataset.labelEn);
    drawAll();
  }

  // ── Charts: colours are CSS variables, so light, dark and paper need no second drawing ────────
  const font = getComputedStyle(document.body).fontFamily;
  const config = (width) => ({
    background: "transparent",
    font,
    padding: 2,
    view: { stroke: null },
    axis: {
      labelColor: "var(--soft)", titleColor: "var(--soft)", gridColor: "var(--line)", domainColor: "var(--muted)",
      tickColor: "var(--line)", labelFontSize: 11, titleFontSize: 12, titleFontWeight: 500, titlePadding: 8,
      labelOverlap: true, tickCount: width < 420 ? 4 : 6, titleLimit: width * 0.9,
    },
    axisY: { domain: false, ticks: false, labelPadding: 6, labelLimit: Math.min(220, width * 0.34), titleLimit: 300 },
    axisX: { grid: false, labelLimit: 110 },
    legend: {
      orient: "top", direction: "horizontal", columns: width < 420 ? 2 : 4, labelColor: "var(--soft)", labelFontSize: 12,
      labelLimit: width * 0.4, symbolType: "stroke", symbolStrokeWidth: 3, offset: 6, padding: 0,
    },
    line: { strokeWidth: 2, strokeJoin: "round", strokeCap: "round" },
    text: { color: "var(--ink)" },
  });

  async function draw(figure) {
    const drawing = figure.querySelector(".drawing");
    const width = Math.floor(drawing.clientWidth);
    const wanted = `${width} ${language}`;
    if (width === 0 || figure.dataset.drawn === wanted) return;
    figure.dataset.drawn = wanted;
    const spec = inLanguage(JSON.parse(figure.querySelector("script").textContent), language);
    const highest = Number(figure.dataset.height);
    const aspect = Number(figure.dataset.aspect);
    spec.width = width;
    spec.height = Math.floor(aspect ? Math.min(width * aspect, highest) : highest);
    spec.autosize = { type: "fit", contains: "padding" };
    try {
      const old = figure.view;
      // The interpreter of expressions (`ast`) needs no eval, which the page's policy forbids.
      const { view } = await vegaEmbed(drawing.firstElementChild, spec, {
        mode: "vega-lite", renderer: "svg", ast: true, actions: false, defaultStyle: false, config: config(width),
        tooltip: { disableDefaultStyle: true },
      });
      figure.view = view;
      if (old) old.finalize();
    } catch (error) {
      drawing.classList.add("failed");
      drawing.textContent = String(error);
      figure.querySelector("details").open = true;
    }
  }

  let waiting = Promise.resolve();
  function drawAll() {
    if (typeof vegaEmbed === "undefined") return;
    for (const figure of document.querySelectorAll(".chart")) waiting = waiting.then(() => draw(figure));
    waiting = waiting.then(() => { page.dataset.drawn = language; });
  }

  // A picture of a few pixels is drawn large: with edges, not as a blur.
  const sharpen = (image) => { if (image.naturalWidth && image.naturalWidth <= 64) image.classList.add("pixels"); };
  for (const image of document.querySelectorAll(".example img")) {
    sharpen(image);
    image.addEventListener("load", () => sharpen(image));
  }

  let timer = 0;
  new ResizeObserver(() => {
    clearTimeout(timer);
    timer = setTimeout(drawAll, 150);
  }).observe(document.querySelector("main"));
  for (const button of document.querySelectorAll("[data-language]"))
    button.addEventListener("click", () => speak(button.dataset.language));
  speak(language);
})();
