// Runs before anything is drawn: copies light or dark mode, colours and the font from the page around the frame.
(() => {
  const root = document.documentElement;
  const host = window.parent !== window ? parent.document.documentElement : null;
  const system = matchMedia("(prefers-color-scheme: dark)");
  const borrowed = {
    "--bg": "--chakra-colors-bg",
    "--fg": "--chakra-colors-fg",
    "--muted": "--chakra-colors-fg-muted",
    "--border": "--chakra-colors-border",
    "--subtle": "--chakra-colors-bg-subtle",
    "--hover": "--chakra-colors-bg-muted",
    "--link": "--chakra-colors-fg-info",
    "--font": "--chakra-fonts-body",
    "--mono": "--chakra-fonts-mono",
  };

  function isDark() {
    if (host && /\b(dark|light)\b/.test(host.className)) return host.classList.contains("dark");
    const chosen = localStorage.getItem("theme");
    return chosen === "dark" || (chosen !== "light" && system.matches);
  }

  function apply() {
    const dark = isDark();
    root.classList.toggle("dark", dark);
    root.style.colorScheme = dark ? "dark" : "light";
    if (host) {
      const style = getComputedStyle(host);
      for (const [ours, theirs] of Object.entries(borrowed)) {
        const value = style.getPropertyValue(theirs).trim();
        if (value) root.style.setProperty(ours, value);
      }
    }
    // Charts on a canvas must be drawn again: CSS variables do not reach them.
    window.dispatchEvent(new Event("themechange"));
  }

  apply();
  system.addEventListener("change", apply);
  if (host)
    new MutationObserver(apply).observe(host, { attributes: true, attributeFilter: ["class", "style"] });
})();
