import { unmetClauses } from "../requirement/evaluate.ts";
import { anyJob, type Scorer } from "./rule.ts";

/**
 * Scores the share of the job's preferences, by weight, that a node meets; 1 without preferences.
 *
 * It counts more than all other scorers together, so a single preference decides even against an idle
 * node.
 */
export const prefers: Scorer = {
  name: "prefers",
  about: "ability",
  weight: 5,
  key: ({ prefers: preferences = [] }) =>
    preferences.length === 0
      ? ""
      : preferences.map(({ clause, weight }) => `${weight} ${clause}`).join("\n"),
  score({ prefers: preferences = [] }, node) {
    let met = 0;
    let all = 0;
    for (const { clause, weight } of preferences) {
      all += weight;
      if (unmetClauses([clause], node).length === 0) met += weight;
    }
    return all === 0 ? 1 : met / all;
  },
};

/** Scores the share of a node's slots that is free, so that work spreads. */
export const leastBusy: Scorer = {
  name: "least-busy",
  about: "availability",
  weight: 1,
  key: anyJob,
  score: (_job, { slots, busy }) => (busy < slots ? (slots - busy) / slots : 0),
};

/**
 * Scores how often the step recently succeeded on a node.
 *
 * It adds one success and one failure (Laplace's rule), so a node without history scores 0.5, and one
 * lucky attempt does not outweigh a long record.
 */
export const succeededHere: Scorer = {
  name: "succeeded-here",
  about: "ability",
  weight: 1,
  named: ({ history = [] }) => history.map(({ node }) => node),
  score({ history = [] }, { name }) {
    const { succeeded, failed } = history.find(({ node }) => node === name) ?? {
      succeeded: 0,
      failed: 0,
    };
    return (succeeded + 1) / (succeeded + failed + 2);
  },
};

const NOBODY: readonly string[] = [];

/** Scores nodes that have not given the job back, so that it is offered elsewhere first. */
export const notDeclined: Scorer = {
  name: "not-declined",
  about: "ability",
  weight: 1,
  named: ({ declinedBy = NOBODY }) => declinedBy,
  score: ({ declinedBy = NOBODY }, { name }) => (declinedBy.includes(name) ? 0 : 1),
};

const NOWHERE: readonly string[] = [];

/** Scores nodes where earlier steps of the run ran, because their files are still there. */
export const nearRun: Scorer = {
  name: "near-run",
  about: "ability",
  weight: 0.5,
  named: ({ ranOn = NOWHERE }) => ranOn,
  score: ({ ranOn = NOWHERE }, { name }) => (ranOn.includes(name) ? 1 : 0),
};

/** Scores nodes with a direct path above nodes behind a relay. */
export const directPath: Scorer = {
  name: "direct-path",
  about: "ability",
  weight: 0.5,
  key: anyJob,
  score: (_job, { path }) => (path === "direct" ? 1 : path === "relayed" ? 0 : 0.5),
};
