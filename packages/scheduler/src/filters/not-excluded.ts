import { type Filter, fits, refuses } from "../rule.ts";

const MAX_DECLINES = 3;
const MAX_CRASHES = 2;

/** Keeps nodes that have not given the job back three times, and were not lost twice while running it. */
export const notExcluded: Filter = {
  name: "not-excluded",
  about: "ability",
  key: ({ declinedBy = [], crashedOn = [] }) =>
    declinedBy.length + crashedOn.length === 0 ? "" : JSON.stringify([declinedBy, crashedOn]),
  named: ({ declinedBy = [], crashedOn = [] }) =>
    crashedOn.length === 0 ? declinedBy : [...declinedBy, ...crashedOn],
  check: ({ declinedBy = [], crashedOn = [] }, { name }) => {
    const declines = count(declinedBy, name);
    if (declines >= MAX_DECLINES) return refuses("excluded", `declined it ${declines} times`);
    const crashes = count(crashedOn, name);
    if (crashes < MAX_CRASHES) return fits;
    return refuses("excluded", `was lost ${crashes} times while running it`);
  },
  mend: ({ declinedBy = [], crashedOn = [] }, { name }) => ({
    action: `retry the job, which gives ${name} another chance`,
    job: {
      declinedBy: declinedBy.filter((each) => each !== name),
      crashedOn: crashedOn.filter((each) => each !== name),
    },
  }),
};

const count = (names: readonly string[], name: string): number =>
  names.reduce((sum, each) => (each === name ? sum + 1 : sum), 0);
