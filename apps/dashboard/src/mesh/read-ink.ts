import type { Ink } from "./painter.ts";
import { STRAND_STYLES } from "./strand.ts";

/** The theme's colours, as the style sheet resolves them: a canvas knows no custom properties. */
export function readInk(within: Element): Ink {
  const probe = document.createElement("span");
  probe.hidden = true;
  within.append(probe);
  const colour = (name: string): string => {
    probe.className = name;
    return getComputedStyle(probe).color;
  };
  const ink: Ink = {
    strands: Array.from({ length: STRAND_STYLES }, (_, strand) => colour(`strand-${strand}`)),
    succeeded: colour("ink-succeeded"),
    failed: colour("ink-failed"),
    lost: colour("ink-lost"),
    text: colour("ink-text"),
  };
  probe.remove();
  return ink;
}
