import type { CallRule } from "../call-rule.ts";
import { answered, type RecordedCall } from "../recorded-call.ts";

/** The claims that brought something, each with the jobs as `id#fence`. */
const claims = (calls: readonly RecordedCall[]) =>
  answered(calls, "claim").flatMap(({ args: [session, { seq }], answer, startedAt, endedAt }) => {
    const jobs = answer.session === "live" ? answer.jobs : [];
    const names = jobs.map(({ id, fence }) => `${id}#${fence}`);
    const number = `claim ${seq} of ${session.node} in epoch ${session.epoch}`;
    // What brought nothing has written nothing: its number may bring something later.
    return names.length > 0
      ? { node: session.node, number, jobs: new Set(names), startedAt, endedAt }
      : [];
  });

/** A job with a fence is given to one claim only, however often that is repeated. */
export const claimNamesOneOwner: CallRule = function* (calls) {
  const given = claims(calls).flatMap(({ jobs, ...claim }) =>
    [...jobs].map((job) => ({ job, ...claim })),
  );
  for (const [job, of] of Map.groupBy(given, (claim) => claim.job)) {
    const numbers = new Set(of.map(({ number }) => number));
    if (numbers.size > 1) yield { message: `${job} was given to ${[...numbers].join(", ")}` };
  }
};

const isWithin = (part: ReadonlySet<string>, whole: ReadonlySet<string>): boolean =>
  [...part].every((item) => whole.has(item));

/**
 * A repeated claim brings the same jobs again, less those that ended in between. Of two that were
 * under way together either may have come first.
 */
export const repeatedClaimAgrees: CallRule = function* (calls) {
  for (const [number, repeats] of Map.groupBy(claims(calls), (claim) => claim.number)) {
    for (const [index, first] of repeats.entries()) {
      for (const second of repeats.slice(index + 1)) {
        const areTogether = second.startedAt <= first.endedAt;
        if (isWithin(second.jobs, first.jobs)) continue;
        if (areTogether && isWithin(first.jobs, second.jobs)) continue;
        const message = `${number} brought ${[...first.jobs].join(", ")}, and then ${[...second.jobs].join(", ")}`;
        yield { message, node: first.node };
      }
    }
  }
};
