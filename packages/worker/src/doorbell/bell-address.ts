/** Where a doorbell is. */
export interface BellAddress {
  /** IP address in the tailnet, or a loopback one. */
  address: string;
  port: number;
}

/** A doorbell, and how to get there. */
export interface BellRoute extends BellAddress {
  /** One's own address to ring from: without the way that leads from there, nobody is rung, and no stranger. */
  from?: string | undefined;
}

/** What a ring is: a request that says nothing, except perhaps where to ring back. */
export const BELL_PATH = "/bell";

// A header and not a body: no web page can make a browser send it without asking first.
export const RING_BACK_HEADER = "loom-ring-back";

/** In the answer: the clock of the bell's machine, in milliseconds since 1970. */
export const CLOCK_HEADER = "loom-clock";
