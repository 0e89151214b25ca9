import { type Filter, fits } from "../filter.ts";

/** Keeps the node that a step is pinned to, and every node for a step that is not. */
export const isHost: Filter = {
  name: "is-host",
  about: "ability",
  check: ({ host }, { name }) =>
    host == null || host === name
      ? fits
      : { fits: false, code: "wrong_host", reason: `is not ${host}, which the step is pinned to` },
};
