import { type Filter, fits, refuses } from "../rule.ts";

/** Keeps the node that a job is pinned to, and every node for a job that is not. */
export const isHost: Filter = {
  name: "is-host",
  about: "ability",
  key: ({ host }) => host ?? "",
  named: ({ host }) => (host == null ? [] : [host]),
  check: ({ host }, { name }) =>
    host == null || host === name
      ? fits
      : refuses("wrong_host", `is not ${host}, which the step is pinned to`),
  mend: (_job, { name }) => ({ action: `pin the step to ${name}`, job: { host: name } }),
};
