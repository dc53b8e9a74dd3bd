// The theme that was chosen, set before the page is drawn: a classic script, so that nothing flashes in the wrong one.
"use strict";
(() => {
  const KEY = "nodeset.theme";
  const WORDS = { auto: "as the system", light: "light", dark: "dark" };
  const root = document.documentElement;

  function read() {
    try {
      const kept = localStorage.getItem(KEY);
      return kept in WORDS ? kept : "auto";
    } catch {
      return "auto"; // Storage may be forbidden: the theme is then the system's.
    }
  }

  function show(theme) {
    if (theme === "auto") root.removeAttribute("data-theme");
    else root.setAttribute("data-theme", theme);
  }

  function label(theme) {
    const button = document.getElementById("theme");
    button.setAttribute("aria-label", `Theme: ${WORDS[theme]}`);
    document.getElementById("theme-word").textContent = theme[0].toUpperCase() + theme.slice(1);
  }

  show(read());
  addEventListener("DOMContentLoaded", () => {
    let theme = read();
    label(theme);
    document.getElementById("theme").addEventListener("click", () => {
      const all = Object.keys(WORDS);
      theme = all[(all.indexOf(theme) + 1) % all.length];
      try {
        localStorage.setItem(KEY, theme);
      } catch {
        // Kept for this page alone.
      }
      show(theme);
      label(theme);
      dispatchEvent(new Event("nodeset-theme"));
    });
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => dispatchEvent(new Event("nodeset-theme")));
  });
})();
