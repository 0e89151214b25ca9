import type { ExchangeAnswer } from "../../exchange/exchange.ts";
import type { Settlement, SettlementAnswer } from "../../exchange/settlements.ts";
import type { Queue } from "../../queue.ts";
import { type Breach, isFinal, type Violation } from "./history.ts";

/**
 * Checks the calls of all clients of a queue for answers that no client may get.
 *
 * @param calls - In any order, as `recordCalls` records them; calls without an answer count for nothing.
 * @returns Every violation, rule by rule.
 */
export function verifyCalls(calls: readonly RecordedCall[]): CallsViolation[] {
  return Object.entries(RULES).flatMap(([name, rule]) =>
    Array.from(rule(calls), (breach) => ({ rule: name as CallsRule, ...breach })),
  );
}

export type CallsRule = keyof typeof RULES;
export type CallsViolation = Violation<CallsRule>;

const METHODS = [
  "hello",
  "claim",
  "settle",
  "saveCheckpoint",
  "decideApproval",
  "enqueue",
  "startRun",
  "getJob",
  "getRun",
] as const;
type Method = (typeof METHODS)[number];

/** A call as its client saw it. */
interface Recorded<Name extends Method> {
  method: Name;
  args: Parameters<Queue[Name]>;
  /** Null: it failed, or its answer was lost. */
  answer: Awaited<ReturnType<Queue[Name]>> | null;
  /** Milliseconds, of one clock for all calls. */
  startedAt: number;
  endedAt: number;
}

export type RecordedCall = { [Name in Method]: Recorded<Name> }[Method];

/** A call whose answer came. */
type Answered<Name extends Method> = Recorded<Name> & { answer: Awaited<ReturnType<Queue[Name]>> };

/** The calls of one method whose answers came, in the order in which they began. */
function answered<Name extends Method>(
  calls: readonly RecordedCall[],
  method: Name,
): Answered<Name>[] {
  return calls
    .filter((call) => call.method === method && call.answer !== null)
    .toSorted((a, b) => a.startedAt - b.startedAt) as unknown as Answered<Name>[];
}

const now = (): number => performance.timeOrigin + performance.now();

/** Returns the same queue, which records each call for `verifyCalls` when the call ends. */
export function recordCalls(queue: Queue, record: (call: RecordedCall) => void): Queue {
  const recording = { ...queue };
  for (const method of METHODS) {
    const call = queue[method] as (...args: unknown[]) => Promise<unknown>;
    const watched = async (...args: unknown[]): Promise<unknown> => {
      const startedAt = now();
      let answer: unknown = null;
      try {
        answer = await call(...args);
        return answer;
      } finally {
        // Arguments and answer are those of the method, whichever it is.
        record({ method, args, answer, startedAt, endedAt: now() } as RecordedCall);
      }
    };
    Object.assign(recording, { [method]: watched });
  }
  // One call that settles and claims counts as both.
  recording.exchange = async (session, wishes) => {
    const startedAt = now();
    let answer: ExchangeAnswer | null = null;
    try {
      answer = await queue.exchange(session, wishes);
      return answer;
    } finally {
      const times = { startedAt, endedAt: now() };
      const { claim, settle } = wishes;
      if (settle?.length) {
        const args: Parameters<Queue["settle"]> = [session.node, settle];
        record({ method: "settle", args, answer: answer?.settled ?? null, ...times });
      }
      if (claim) {
        record({
          method: "claim",
          args: [session, claim],
          answer: answer?.claim ?? null,
          ...times,
        });
      }
    }
  };
  return recording;
}

/** Looks for one kind of wrong answer. */
type CallRule = (calls: readonly RecordedCall[]) => Iterable<Breach>;

/** An item that was recorded: accepted, or salvaged. */
interface SettledItem {
  node: string;
  item: Settlement;
  answer: SettlementAnswer;
  endedAt: number;
}

/** Every item of every settle that was recorded. */
const recordedItems = (calls: readonly RecordedCall[]): SettledItem[] =>
  answered(calls, "settle").flatMap(({ args: [node, items], answer: answers, endedAt }) =>
    items.flatMap((item, index) => {
      const answer = answers[index];
      return answer?.answer === "accepted" || answer?.answer === "salvaged"
        ? { node, item, answer, endedAt }
        : [];
    }),
  );

/** One settle of each claim is recorded. */
const settledOncePerClaim: CallRule = function* (calls) {
  const claims = Map.groupBy(recordedItems(calls), ({ item }) => `${item.id}#${item.fence}`);
  for (const [claim, [first, ...others]] of claims) {
    for (const { node, item } of others) {
      const message = `${claim} was recorded as ${first?.item.outcome}, and as ${item.outcome}`;
      yield { message, node, jobId: item.id };
    }
  }
};

/** A job succeeds once. */
const succeededOnce: CallRule = function* (calls) {
  const successes = recordedItems(calls).filter(({ item }) => item.outcome === "succeeded");
  for (const [jobId, [first, ...others]] of Map.groupBy(successes, ({ item }) => item.id)) {
    for (const { node, item } of others) {
      const message = `it succeeded with fence ${first?.item.fence}, and with ${item.fence}`;
      yield { message, node, jobId };
    }
  }
};

/** A batch is answered item by item, in its order. */
const answeredInOrder: CallRule = function* (calls) {
  for (const { args, answer } of answered(calls, "enqueue")) {
    const [jobs] = args;
    if (answer.length !== jobs.length) {
      yield { message: `${jobs.length} new jobs got ${answer.length} answers` };
    }
  }
  for (const { args, answer } of answered(calls, "settle")) {
    const [node, items] = args;
    for (const [index, { id, fence }] of items.entries()) {
      const given = answer[index];
      // The answer to an unreadable item has no id and no fence.
      if (given?.answer === "invalid" || (given?.id === id && given.fence === fence)) continue;
      const message = `item ${id}#${fence} got the answer for ${given?.id}#${given?.fence}`;
      yield { message, node, jobId: id };
    }
  }
};

/** A read of a job after its outcome was recorded returns that outcome. */
const keptResult: CallRule = function* (calls) {
  const reads = [
    ...answered(calls, "getJob").map(({ answer, startedAt }) => ({ jobs: [answer], startedAt })),
    ...answered(calls, "getRun").map(({ answer, startedAt }) => ({ jobs: answer.jobs, startedAt })),
  ].toSorted((a, b) => a.startedAt - b.startedAt);
  const last = new Map(
    reads.flatMap(({ jobs, startedAt }) => jobs.map((job) => [job.id, { job, startedAt }])),
  );

  for (const { node, item, answer, endedAt } of recordedItems(calls)) {
    const read = last.get(item.id);
    if (!isFinal(answer.state) || !read || read.startedAt < endedAt) continue;
    const { job } = read;
    const isKept =
      job.state === answer.state &&
      (item.outcome !== "succeeded" ||
        (job.state === "succeeded" && JSON.stringify(job.result) === JSON.stringify(item.result)));
    if (!isKept) {
      const message = `fence ${item.fence} was recorded as ${answer.state}; later it is ${job.state}, or has another result`;
      yield { message, node, jobId: item.id };
    }
  }
};

/** The claims that brought jobs, each with its jobs as `id#fence`. */
const claims = (calls: readonly RecordedCall[]) =>
  answered(calls, "claim").flatMap(({ args: [session, { seq }], answer, startedAt, endedAt }) => {
    const jobs = answer.session === "live" ? answer.jobs : [];
    const names = jobs.map(({ id, fence }) => `${id}#${fence}`);
    const number = `claim ${seq} of ${session.node} in epoch ${session.epoch}`;
    // A claim without jobs has written nothing, so its number may bring jobs later.
    return names.length > 0
      ? { node: session.node, number, jobs: new Set(names), startedAt, endedAt }
      : [];
  });

/** A job with a fence is given to one claim only, however often that is repeated. */
const claimNamesOneOwner: CallRule = function* (calls) {
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
 * A repeated claim brings the same jobs again, except jobs that ended in between. If two claims overlap, either may
 * have come first.
 */
const repeatedClaimAgrees: CallRule = function* (calls) {
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

/** The checkpoints that were accepted. */
const checkpoints = (calls: readonly RecordedCall[]) =>
  answered(calls, "saveCheckpoint").flatMap(({ args: [claim, { seq, json }], answer, ...times }) =>
    answer === "accepted" ? [{ ...claim, seq, json, ...times }] : [],
  );

/** Each job that a claim brought, with the node and the times of that call. */
const claimedJobs = (calls: readonly RecordedCall[]) =>
  answered(calls, "claim").flatMap(({ args: [{ node }], answer, startedAt, endedAt }) =>
    answer.session === "live" ? answer.jobs.map((job) => ({ job, node, startedAt, endedAt })) : [],
  );

/** Only the attempt that holds a job keeps something for it. */
const checkpointIsTheOwners: CallRule = function* (calls) {
  const claims = Map.groupBy(claimedJobs(calls), ({ job }) => job.id);
  const settled = Map.groupBy(recordedItems(calls), ({ item }) => `${item.id}#${item.fence}`);
  for (const { node, id, fence, startedAt } of checkpoints(calls)) {
    const newer = claims
      .get(id)
      ?.find(({ job, endedAt }) => job.fence > fence && endedAt < startedAt);
    const owner = claims.get(id)?.find(({ job }) => job.fence === fence)?.node;
    const end = settled.get(`${id}#${fence}`)?.find(({ endedAt }) => endedAt < startedAt);
    const problem =
      (newer && `fence ${newer.job.fence} had claimed it`) ??
      (owner !== undefined && owner !== node ? `${owner} holds it` : undefined) ??
      (end && `it was settled as ${end.answer.state}`);
    if (problem) {
      yield {
        message: `a checkpoint of fence ${fence} was accepted, and ${problem}`,
        node,
        jobId: id,
      };
    }
  }
};

/** A claim brings the newest checkpoint. */
const checkpointIsKept: CallRule = function* (calls) {
  const saved = Map.groupBy(checkpoints(calls), ({ id }) => id);
  const isNewer = (a: { fence: number; seq: number }, b: { fence: number; seq: number }) =>
    a.fence - b.fence || a.seq - b.seq;
  for (const { job, node, startedAt, endedAt } of claimedJobs(calls)) {
    const before = (saved.get(job.id) ?? []).filter(
      (each) => each.fence < job.fence && each.startedAt < endedAt,
    );
    const newest = before
      .filter((each) => each.endedAt < startedAt)
      .toSorted(isNewer)
      .at(-1);
    if (!newest) continue;
    const possible = before.filter((each) => isNewer(each, newest) >= 0);
    const brought = JSON.stringify(job.checkpoint);
    if (!possible.some(({ json }) => JSON.stringify(JSON.parse(json)) === brought)) {
      const message = `fence ${job.fence} got the checkpoint ${brought}, and ${newest.json} was kept`;
      yield { message, node, jobId: job.id };
    }
  }
};

/** An approval is decided about what was shown, by one who may, and one way. */
const decidedAsShown: CallRule = function* (calls) {
  const decisions = answered(calls, "decideApproval").map(
    ({ args: [jobId, decision], answer }) => ({
      ...{ jobId, ...decision, shown: answer.digest, who: answer.who },
    }),
  );
  for (const { jobId, digest, names, shown, who } of decisions) {
    if (digest !== shown) yield { message: `${digest} was decided, and ${shown} was shown`, jobId };
    if (who.length > 0 && !who.some((name) => names.includes(name))) {
      yield { message: `${names.join(", ")} decided, and ${who.join(", ")} may`, jobId };
    }
  }
  for (const [jobId, of] of Map.groupBy(decisions, (each) => each.jobId)) {
    const ways = new Set(of.map(({ decision, by }) => `${decision} by ${by}`));
    if (ways.size > 1) yield { message: `it was ${[...ways].join(", and ")}`, jobId };
  }
};

/** The answers to calls with or without a key. */
interface Named {
  key: string | null;
  id: number | string;
  returned: "created" | "existing";
}

const named = (calls: readonly RecordedCall[]): Named[] => [
  ...answered(calls, "enqueue").flatMap(({ args: [jobs], answer }) =>
    answer.map(({ id, returned }, index) => {
      const { workflow = "", key } = jobs[index] ?? {};
      return { key: key === undefined ? null : `job ${key} of ${workflow}`, id, returned };
    }),
  ),
  ...answered(calls, "startRun").map(({ args: [plan, options], answer }) => ({
    key: options?.key === undefined ? null : `run ${options.key} of ${plan.workflow}`,
    id: answer.runId,
    returned: answer.returned,
  })),
];

/** A key names one job or run of its workflow, which is created once and has a new id. */
const keyNamesOne: CallRule = function* (calls) {
  const answers = named(calls);
  for (const [key, of] of Map.groupBy(answers, (answer) => answer.key)) {
    const ids = new Set(of.map(({ id }) => id));
    if (key !== null && ids.size > 1) {
      yield about([...ids][0], `${key} names ${[...ids].join(" and ")}`);
    }
  }
  const created = answers.filter(({ returned }) => returned === "created");
  for (const [id, of] of Map.groupBy(created, (answer) => answer.id)) {
    if (of.length > 1) yield about(id, `it was created ${of.length} times`);
  }
};

const about = (id: number | string | undefined, message: string): Breach => ({
  message,
  ...(typeof id === "number" && { jobId: id }),
  ...(typeof id === "string" && { runId: id }),
});

/** An epoch of a node belongs to one start of one agent. */
const epochNamesOneAgent: CallRule = function* (calls) {
  const opened = answered(calls, "hello").map(({ args: [{ name, incarnation }], answer }) => ({
    epoch: `epoch ${answer.epoch} of ${name}`,
    incarnation,
  }));
  for (const [epoch, of] of Map.groupBy(opened, (session) => session.epoch)) {
    const agents = new Set(of.map(({ incarnation }) => incarnation));
    if (agents.size > 1) yield { message: `${epoch} was given to ${[...agents].join(" and ")}` };
  }
};

/** Every rule of recorded calls, by the name that a violation carries. To add one, list it here. */
const RULES = {
  "answered-in-order": answeredInOrder,
  "claim-names-one-owner": claimNamesOneOwner,
  "repeated-claim-agrees": repeatedClaimAgrees,
  "checkpoint-is-the-owners": checkpointIsTheOwners,
  "checkpoint-is-kept": checkpointIsKept,
  "decided-as-shown": decidedAsShown,
  "settled-once-per-claim": settledOncePerClaim,
  "succeeded-once": succeededOnce,
  "key-names-one": keyNamesOne,
  "epoch-names-one-agent": epochNamesOneAgent,
  "result-is-kept": keptResult,
} as const satisfies Readonly<Record<string, CallRule>>;
