import type { QueueEvent } from "@loom/queue";
import type { KnownJob } from "@loom/queue/verify";
import {
  cancelled,
  cancelRequested,
  claimed,
  created,
  dead,
  declined,
  expired,
  hello,
  historyOf,
  offerExpired,
  offered,
  RUN,
  ready,
  requeued,
  runFinished,
  runStarted,
  settled,
  skipped,
  type WrittenEvent,
} from "./story.ts";

/** The state machine of docs/job-lifecycle.md in memory: what may happen next, and what it writes. */
interface Job {
  known: KnownJob & { after: string[] };
  pinnedTo: string | null;
  state: string;
  offeredTo: string | null;
  claim: { node: string; epoch: number } | null;
  fence: number;
  isSettled: boolean;
  losses: number;
  isCancelRequested: boolean;
}

const NODES = ["forge", "oracle"];
const MAX_LOSSES = 2;
const often = (choice: () => void): (() => void)[] => Array(6).fill(choice);

const FINAL = ["succeeded", "failed", "cancelled", "skipped"];
const isOpen = ({ state }: Job): boolean => !FINAL.includes(state);

const newJob = (known: KnownJob & { after?: string[] }, pinnedTo: string | null = null): Job => {
  const { after = [] } = known;
  return {
    known: { maxCrashRestarts: MAX_LOSSES, ...known, after },
    pinnedTo,
    state: after.length > 0 ? "blocked" : pinnedTo ? "pending" : "waiting",
    offeredTo: null,
    claim: null,
    fence: 0,
    isSettled: false,
    losses: 0,
    isCancelRequested: false,
  };
};

const step = (id: number, name: string, ...after: string[]) =>
  newJob({ id, runId: RUN, step: name, after });

/**
 * Makes a legal history from numbers, one a decision, and then lets everything end: two jobs of
 * one key, a pinned one, a run of four steps, and at the end one that simply succeeds.
 */
export function makeHistory(decisions: readonly number[]): {
  events: QueueEvent[];
  jobs: KnownJob[];
} {
  const jobs = [
    newJob({ id: 1, concurrencyKey: "gpu", concurrencyLimit: 1 }),
    newJob({ id: 2, concurrencyKey: "gpu", concurrencyLimit: 1 }),
    newJob({ id: 3 }, "forge"),
    step(4, "a"),
    step(5, "b", "a"),
    step(6, "c", "a"),
    step(7, "d", "b", "c"),
  ];
  const last = newJob({ id: 8 });
  const sessions = new Map(NODES.map((node) => [node, { epoch: 1, isDead: false }]));
  const written: (WrittenEvent | WrittenEvent[])[] = [
    ...NODES.map((node) => hello(node)),
    [runStarted, ...jobs.map(birth)],
  ];

  const isLive = (node: string) => sessions.get(node)?.isDead === false;
  const isLost = ({ claim }: Job) =>
    claim !== null && (!isLive(claim.node) || sessions.get(claim.node)?.epoch !== claim.epoch);
  const hasRoom = ({ known }: Job) =>
    known.concurrencyKey === undefined ||
    !jobs.some(
      (job) => job.state === "running" && job.known.concurrencyKey === known.concurrencyKey,
    );

  /** Writes one transaction: a change of a job, and what follows when that ended it. */
  function write(job: Job, state: string, event: WrittenEvent): void {
    job.state = state;
    if (state !== "pending") job.offeredTo = null;
    written.push([ofItsRun(job, event), ...(isOpen(job) ? [] : consequences(job))]);
  }

  function consequences({ known: { runId } }: Job): WrittenEvent[] {
    if (!runId) return [];
    const steps = jobs.filter(({ known }) => known.runId === runId);
    const stateOf = (name: string) => steps.find(({ known }) => known.step === name)?.state ?? "";
    const followed = steps.flatMap((job): WrittenEvent[] => {
      if (job.state !== "blocked") return [];
      const needs = job.known.after.map(stateOf);
      if (needs.every((state) => state === "succeeded")) job.state = "waiting";
      else if (needs.some((state) => FINAL.includes(state) && state !== "succeeded"))
        job.state = "skipped";
      else return [];
      const { id } = job.known;
      return [ofItsRun(job, job.state === "skipped" ? skipped(id) : ready(id))];
    });
    if (steps.some(isOpen)) return followed;
    const status = ["failed", "cancelled"].find((state) =>
      steps.some((job) => job.state === state),
    );
    return [...followed, runFinished(status)];
  }

  const settle = (job: Job, state: string, detail = "accepted") => {
    job.isSettled = true;
    write(
      job,
      state,
      settled(job.known.id, job.claim?.node ?? "", { fence: job.fence, state, detail }),
    );
  };
  const back = ({ pinnedTo }: Job) => (pinnedTo === null ? "waiting" : "pending");

  function giveBack(job: Job): void {
    const { losses, isCancelRequested } = job;
    const state = isCancelRequested ? "cancelled" : losses < MAX_LOSSES ? back(job) : "failed";
    job.losses += 1;
    write(job, state, requeued(job.known.id, job.claim?.node ?? "", job.fence, state));
  }

  function claim(job: Job, node: string): void {
    const epoch = sessions.get(node)?.epoch ?? 0;
    Object.assign(job, { fence: job.fence + 1, claim: { node, epoch }, isSettled: false });
    write(job, "running", claimed(job.known.id, node, job.fence, epoch));
  }

  function offer(job: Job, node: string): void {
    job.offeredTo = node;
    write(job, "pending", offered(job.known.id, node));
  }

  /** All that may happen to a job in its state; more often what leads on than what ends it. */
  function choices(job: Job): (() => void)[] {
    const { id } = job.known;
    const { state, offeredTo, pinnedTo } = job;
    const cancel = () => write(job, "cancelled", cancelled(id));
    if (state === "blocked") return [cancel];
    if (state === "running") {
      if (isLost(job)) return often(() => giveBack(job));
      return [
        () => settle(job, "succeeded"),
        () => settle(job, job.isCancelRequested ? "cancelled" : "failed"),
        ...(job.isCancelRequested ? [] : often(() => settle(job, back(job)))),
        ...(job.isCancelRequested ? [] : [() => requestCancel(job)]),
      ];
    }
    const target = pinnedTo ?? offeredTo;
    return [
      cancel,
      () => write(job, "failed", expired(id)),
      ...(state === "waiting" ? NODES.flatMap((node) => often(() => offer(job, node))) : []),
      ...(offeredTo ? [() => write(job, "waiting", offerExpired(id, offeredTo))] : []),
      ...(offeredTo ? [() => write(job, "waiting", declined(id, offeredTo))] : []),
      ...(target && isLive(target) && hasRoom(job) ? often(() => claim(job, target)) : []),
      ...(job.claim && !job.isSettled ? often(() => settle(job, "succeeded", "salvaged")) : []),
    ];
  }

  function requestCancel(job: Job): void {
    job.isCancelRequested = true;
    write(job, "running", cancelRequested(job.known.id, job.claim?.node ?? "", job.fence));
  }

  const sayHello = (node: string, epoch: number) => () => {
    sessions.set(node, { epoch, isDead: false });
    written.push(hello(node, epoch));
  };
  const nodeChoices = (node: string): (() => void)[] => {
    const { epoch, isDead } = sessions.get(node) ?? { epoch: 0, isDead: true };
    if (isDead) return often(sayHello(node, epoch + 1));
    const die = () => {
      sessions.set(node, { epoch, isDead: true });
      written.push(dead(node, epoch));
    };
    return [sayHello(node, epoch), sayHello(node, epoch + 1), die];
  };

  for (const decision of decisions) {
    const possible = [...jobs.filter(isOpen).flatMap(choices), ...NODES.flatMap(nodeChoices)];
    possible[decision % possible.length]?.();
  }

  written.push(birth(last));
  jobs.push(last);
  for (const node of NODES) sayHello(node, (sessions.get(node)?.epoch ?? 0) + 1)();
  // One job after the other, so that there is always room; steps come after those they need.
  for (const job of [...jobs.filter(({ state }) => state === "running"), ...jobs]) {
    if (job.state === "waiting") offer(job, "oracle");
    if (job.state === "pending") claim(job, job.pinnedTo ?? job.offeredTo ?? "");
    if (job.state === "running") settle(job, "succeeded");
  }
  return {
    events: historyOf(...written),
    jobs: jobs.map(({ known, state }) => ({ ...known, state })),
  };
}

const birth = (job: Job): WrittenEvent =>
  ofItsRun(job, created(job.known.id, job.state, job.pinnedTo));
const ofItsRun = ({ known }: Job, event: WrittenEvent): WrittenEvent => ({
  ...event,
  runId: known.runId ?? null,
});
