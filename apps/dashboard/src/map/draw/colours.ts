import { THREAD_STYLES } from "./thread-style.ts";

/** The current theme's colours in the form that a canvas takes. */
export interface Colours {
  /** By the number of a thread's style. */
  threads: readonly string[];
  succeeded: string;
  failed: string;
  lost: string;
  text: string;
}

/** Reads the theme's colours from the style sheet: a canvas cannot use custom properties. */
export function readColours(within: Element): Colours {
  const probe = document.createElement("span");
  probe.hidden = true;
  within.append(probe);
  const colour = (name: string): string => {
    probe.className = name;
    return getComputedStyle(probe).color;
  };
  const colours: Colours = {
    threads: Array.from({ length: THREAD_STYLES }, (_, style) => colour(`thread-${style}`)),
    succeeded: colour("colour-succeeded"),
    failed: colour("colour-failed"),
    lost: colour("colour-lost"),
    text: colour("colour-text"),
  };
  probe.remove();
  return colours;
}
