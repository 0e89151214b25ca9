import type { Scorer } from "../rule.ts";

/**
 * Scores how often the step succeeded on a node lately.
 *
 * One success and one failure are taken as given (Laplace's rule), so that a node without history
 * scores 0.5, and one lucky attempt does not outweigh a long record.
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
