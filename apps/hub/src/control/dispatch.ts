import { isDeepStrictEqual } from "node:util";
import { toScoredJob, toScoredNode } from "@loom/explain";
import {
  type Node,
  type Offer,
  type OpenJob,
  QueueRequestError,
  type Refusal,
  type WaitingJob,
} from "@loom/queue";
import { type Placement, place } from "@loom/scheduler";
import { untraced } from "@loom/worker";
import type { HubContext } from "../hub-context.ts";
import { createFaults } from "./faults.ts";

/** Offers waiting jobs to nodes. */
export interface Dispatcher {
  /**
   * Decides for waiting jobs, and writes offers and reasons.
   *
   * @param placing.nodes - Read at the same time as the jobs, or later: then a slot that was filled in between counts
   *   as taken.
   */
  place(placing: { waiting: readonly WaitingJob[]; nodes: readonly Node[] }): Promise<Placed>;
}

/**
 * What full nodes may take by themselves: a slot that becomes free gets its next job without a round. There is none while
 * a slot is free, while a job waits for one that is not open to the nodes, and where none is open.
 */
export interface Supply {
  /** The number of open jobs. */
  open: number;
  /** How many of them this round has opened. */
  opened: number;
}

/** The result of placing. */
interface Placed {
  /** The nodes that got an offer. */
  offered: Set<string>;
  /** The number of offers that were decided. The database may have refused some. */
  wanted: number;
  /** Whether a node could take more. */
  hasFreeSlots: boolean;
  supply: Supply | null;
}

/**
 * Creates a dispatcher over a queue.
 *
 * Any number of hubs may dispatch at once: an offer is written only for a job that still waits. A job or node
 * that cannot be evaluated, and a decision that the database refuses, is skipped and noted as a fault.
 */
export function createDispatcher({
  queue,
  log,
  faults = createFaults({ log }),
  onOffered = () => {},
  tracing = untraced,
}: Pick<HubContext, "queue" | "log"> &
  Partial<Pick<HubContext, "faults" | "tracing">> & {
    /** Called with each node that got an offer. */
    onOffered?: (node: Node) => void;
  }): Dispatcher {
  /** Logs and traces each offer. Many runs share a round, so each job has a span of its own. */
  async function record(offers: readonly Offer[], waiting: readonly WaitingJob[], since: number) {
    const jobs = new Map(waiting.map((job) => [job.id, job]));
    for (const { job: jobId, node } of offers) {
      const { runId = null, traceparent: parent = null } = jobs.get(jobId) ?? {};
      log.info({ jobId, runId, node }, "job offered");
      if (parent === null) continue;
      const attributes = { "loom.job": jobId, "loom.node": node };
      await tracing.span("place", { parent, attributes, since }, async () => {});
    }
  }

  /** Decides for every job, without the nodes that cannot be evaluated. A job that cannot be evaluated is refused. */
  function placeEach(waiting: readonly WaitingJob[], nodes: readonly Node[]): Decision[] {
    const decide = (jobs: readonly WaitingJob[], among: readonly Node[]) => {
      const placements = place(jobs.map(toScoredJob), among.map(toScoredNode), {
        keep: RECORDED_NODES,
      });
      return placements.map((placement, index): Decision => [jobs[index] as WaitingJob, placement]);
    };
    try {
      return decide(waiting, nodes);
    } catch (error) {
      faults.note({ loop: "place", subject: "round" }, error);
      // A bad node fails with every job, and a bad job fails with every node.
      const evaluated = nodes.filter(
        (node) => failureOf(`node ${node.name}`, () => decide(waiting, [node])) === null,
      );
      const among = evaluated.length > 0 ? evaluated : nodes;
      const refused: Decision[] = [];
      const good = waiting.filter((job) => {
        const failure = failureOf(`job ${job.id}`, () => decide([job], among));
        if (failure === null) return true;
        const summary = `no node is sought for it, because its needs cannot be evaluated: ${failure}`;
        refused.push([job, { placed: false, refusal: { code: "not_evaluated", summary } }]);
        return false;
      });
      return [...decide(good, among), ...refused];
    }
  }

  /** The message of what an evaluation throws, which is noted; null where it throws nothing. */
  function failureOf(subject: string, evaluate: () => unknown): string | null {
    try {
      evaluate();
      return null;
    } catch (error) {
      faults.note({ loop: "place", subject }, error);
      return toReason(error);
    }
  }

  /** Writes the decisions together, or one by one when the database refuses them. Without them, no job is open. */
  async function write({ offers, refusals, open }: Decisions): Promise<number[]> {
    try {
      return await queue.place({ offers, refusals, open });
    } catch (error) {
      if (!(error instanceof QueueRequestError)) throw error;
    }
    const placed: number[] = [];
    const one = async (job: number, decision: { offers: Offer[]; refusals: Refusal[] }) => {
      const item = { loop: "place", subject: `job ${job}` };
      placed.push(...((await faults.isolate(item, () => queue.place(decision))) ?? []));
    };
    for (const offer of offers) await one(offer.job, { offers: [offer], refusals: [] });
    for (const refusal of refusals) await one(refusal.job, { offers: [], refusals: [refusal] });
    return placed;
  }

  return {
    async place({ waiting, nodes }) {
      const began = Date.now();
      const placements = placeEach(waiting, nodes);
      const offers: Offer[] = [];
      const refusals: Refusal[] = [];
      /** Jobs that wait for a slot of a node that fits. */
      const inLine: { job: WaitingJob; nodes: readonly string[]; turn: number }[] = [];
      for (const [job, placement] of placements) {
        if (placement.placed) {
          offers.push(toOffer(job, placement));
          continue;
        }
        // A reason is written only when it has changed.
        if (!isDeepStrictEqual(job.waitingReason, placement.refusal)) {
          refusals.push({ job: job.id, reason: placement.refusal });
        }
        const { whenFree = [], turn = 0 } = placement;
        if (whenFree.length > 0) inLine.push({ job, nodes: whenFree, turn });
      }
      const closed = inLine.filter(({ job }) => !job.isOpen);
      const open = closed
        .filter(({ job }) => job.concurrency === null)
        .sort((one, other) => one.turn - other.turn)
        .map(({ job, nodes }): OpenJob => ({ job: job.id, nodes: nodes.slice(0, OPEN_TO) }));
      const hasFreeSlots = countFree(nodes) > offers.length;
      const isSupplied = !hasFreeSlots && inLine.length > 0 && open.length === closed.length;
      const supply = isSupplied ? { open: inLine.length, opened: open.length } : null;
      if (offers.length === 0 && refusals.length === 0 && open.length === 0) {
        return { offered: new Set(), wanted: 0, hasFreeSlots, supply };
      }

      const placed = new Set(await write({ offers, refusals, open }));
      const taken = offers.filter(({ job }) => placed.has(job));
      const offered = new Set(taken.map(({ node }) => node));
      for (const node of nodes) if (offered.has(node.name)) onOffered(node);
      await record(taken, waiting, began);
      const waitsForTurn = new Set(inLine.map(({ job }) => job.id));
      for (const { job, reason } of refusals) {
        // A job that only waits for its turn is nothing to look at.
        log[waitsForTurn.has(job) ? "debug" : "info"](
          { jobId: job, ...reason },
          "job cannot be placed",
        );
      }
      return { offered, wanted: offers.length, hasFreeSlots, supply };
    },
  };
}

const countFree = (nodes: readonly Node[]): number =>
  nodes
    .filter(({ online, status }) => online && status === "active")
    .reduce((sum, { slots, running, offered }) => sum + Math.max(0, slots - running - offered), 0);

/** The decision about a job. A job that cannot be evaluated has a refusal that placing itself does not make. */
type Decision = [
  WaitingJob,
  (
    | Extract<Placement<number>, { placed: true }>
    | { placed: false; refusal: Refusal["reason"]; whenFree?: readonly string[]; turn?: number }
  ),
];

/** What one call writes. */
interface Decisions {
  offers: Offer[];
  refusals: Refusal[];
  open: OpenJob[];
}

/** To how many full nodes a job is open. One of so many is free soon. */
const OPEN_TO = 32;

/** A reason as the database stores it: bounded, and without NUL characters. */
const toReason = (error: unknown): string =>
  (error instanceof Error ? error.message : String(error))
    .replaceAll("\0", "\u{2400}")
    .slice(0, 1_900);

/** How many of the eligible nodes are recorded with a job, besides their number. */
const RECORDED_NODES = 8;

const toOffer = (
  { id }: WaitingJob,
  { node, score, record }: Extract<Placement, { placed: true }>,
): Offer => ({ job: id, node, placement: { node, score, ...record } });
