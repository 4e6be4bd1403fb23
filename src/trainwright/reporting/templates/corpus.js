"use strict";
(() => {
  // Both languages are in the page, one is shown.
  const page = document.documentElement;
  const buttons = document.querySelectorAll("[data-language]");
  function speak(chosen) {
    page.lang = chosen === "zh" ? "zh-Hans" : "en";
    for (const button of buttons) button.setAttribute("aria-pressed", String(button.dataset.language === chosen));
  }
  for (const button of buttons) button.addEventListener("click", () => speak(button.dataset.language));
  const asked = new URLSearchParams(location.search).get("lang") || navigator.language || "en";
  speak(asked.toLowerCase().startsWith("zh") ? "zh" : "en");
})();
