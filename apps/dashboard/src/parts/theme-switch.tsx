import { useState } from "react";

const THEMES = ["system", "light", "dark"] as const;
type Theme = (typeof THEMES)[number];

/** Event on `window` after the theme changed: a canvas must read its colours again. */
export const THEME_CHANGED = "loom-theme";

const chosen = (): Theme =>
  THEMES.find((theme) => theme === document.documentElement.dataset.theme) ?? "system";

/** Selects the theme: the system's, light or dark. `public/theme.js` applies the choice before the first paint. */
export function ThemeSwitch() {
  const [theme, setTheme] = useState(chosen);
  const choose = (next: Theme) => {
    setTheme(next);
    if (next === "system") {
      delete document.documentElement.dataset.theme;
      localStorage.removeItem("loom.theme");
    } else {
      document.documentElement.dataset.theme = next;
      localStorage.setItem("loom.theme", next);
    }
    dispatchEvent(new Event(THEME_CHANGED));
  };
  return (
    <label className="theme">
      <span className="visually-hidden">Theme</span>
      <select value={theme} onChange={({ target }) => choose(target.value as Theme)}>
        {THEMES.map((one) => (
          <option key={one} value={one}>
            {one === "system" ? "auto" : one}
          </option>
        ))}
      </select>
    </label>
  );
}
