import type { Log } from "../log.ts";
import type { PlannerRequest } from "./messages.ts";
import { PlannerBusyError } from "./planner.ts";
import {
  type Answered,
  type PlannerProcess,
  type PlannerProcessOptions,
  startPlannerProcess,
} from "./planner-process.ts";

/** The number of processes while some are slow. One suffices while the code answers quickly. */
const MAX_PROCESSES = 3;
/** After this time a process counts as slow, and requests of other modules get another process. */
const SLOW_PLAN_MS = 100;
/** The same for a process that still has to start, or that imports a module for the first time. */
const SLOW_START_MS = 500;
const SLOW_IMPORT_MS = 1_500;
/** How long a module that hung is served last. It keeps its process to itself during that time. */
const SUSPECT_MS = 60_000;
/** How often to check whether a busy process has become slow. */
const CHECK_EVERY_MS = 50;
/** How long a process beyond the first is kept while it is idle. */
const SPARE_MS = 10_000;
/** How long the last process is kept while it is idle, so that a quiet planner takes no memory. */
const IDLE_MS = 60_000;
/** How long a request for a plan waits for earlier ones. */
const MAX_WAIT_MS = 5_000;

/** Processes that run workflow authors' code. */
export interface PlannerPool {
  /**
   * Sends a request to a process. Requests of one module run one at a time, so a module that hangs
   * takes at most one process.
   *
   * @throws PlannerBusyError when a plan waits too long for earlier requests.
   */
  ask(module: string, request: PlannerRequest): Promise<Answered>;
  close(): Promise<void>;
}

interface Waiting {
  module: string;
  request: PlannerRequest;
  /**
   * The request needs a new process. It failed in the last one, perhaps because of another module.
   */
  isAlone: boolean;
  timer: NodeJS.Timeout | undefined;
  resolve: (answer: Answered) => void;
}

interface Member {
  process: PlannerProcess;
  /** The module whose request runs here, and the time from which it counts as slow. */
  busy: { module: string; slowAt: number } | undefined;
  idle: NodeJS.Timeout | undefined;
}

export function createPlannerPool({
  log,
  ...options
}: Omit<PlannerProcessOptions, "onStray"> & { log: Log }): PlannerPool {
  const members = new Set<Member>();
  const waiting: Waiting[] = [];
  /** Modules that hung, and until when they are served last. */
  const suspects = new Map<string, number>();
  let isClosed = false;
  let checkTimer: NodeJS.Timeout | undefined;

  const isSuspect = (module: string): boolean => (suspects.get(module) ?? 0) > performance.now();

  function start(): Member {
    const member: Member = {
      process: startPlannerProcess({
        ...options,
        onStray: (error) => log.warn({ error }, "workflow code threw where nobody catches it"),
      }),
      busy: undefined,
      idle: undefined,
    };
    members.add(member);
    return member;
  }

  /** Finds a process for a request, or starts one if the limit allows it. */
  function take({ module, isAlone }: Waiting): Member | undefined {
    const all = [...members].filter(({ process }) => !process.isOver);
    const idle = all.filter(({ busy }) => !busy);
    const fitting = idle.filter(({ process }) => !isAlone || process.modules.size === 0);
    const found =
      fitting.find(({ process }) => process.modules.has(module)) ??
      fitting.find(({ process }) => !process.isFull);
    if (found) return found;
    // Each bundle brings libraries of its own, so a process is replaced before it holds too many.
    if (fitting[0]) {
      leave(fitting[0]);
      return start();
    }
    const now = performance.now();
    const isSlow = all.every(({ busy }) => busy && (now >= busy.slowAt || isSuspect(busy.module)));
    if (all.length < MAX_PROCESSES && (isAlone || isSlow)) return start();
    // A process that has run other modules makes room for a new one.
    if (isAlone && idle[0]) {
      leave(idle[0]);
      return start();
    }
    return undefined;
  }

  function next(): void {
    clearTimeout(checkTimer);
    if (isClosed) return;
    const [good, suspected] = [false, true].map((is) =>
      waiting.filter(({ module }) => isSuspect(module) === is),
    ) as [Waiting[], Waiting[]];
    for (const request of [...good, ...suspected]) {
      const busy = [...members].flatMap((member) => member.busy?.module ?? []);
      if (busy.includes(request.module)) continue;
      const isRoomForOthers = busy.filter(isSuspect).length < MAX_PROCESSES - 1;
      if (isSuspect(request.module) && !isRoomForOthers) continue;
      const member = take(request);
      if (!member) continue;
      waiting.splice(waiting.indexOf(request), 1);
      void run(member, request);
    }
    // The processes that are busy now may have become slow by then.
    if (waiting.length > 0) checkTimer = setTimeout(next, CHECK_EVERY_MS);
  }

  async function run(member: Member, request: Waiting): Promise<void> {
    clearTimeout(request.timer);
    clearTimeout(member.idle);
    const { process } = member;
    const isNew = process.modules.size === 0;
    const isImport = request.request.type === "load";
    const slowMs = isImport ? SLOW_IMPORT_MS : isNew ? SLOW_START_MS : SLOW_PLAN_MS;
    member.busy = { module: request.module, slowAt: performance.now() + slowMs };
    const answer = await process.ask(request.request);
    member.busy = undefined;
    if (answer.type === "timed_out") {
      suspects.set(request.module, performance.now() + SUSPECT_MS);
    } else suspects.delete(request.module);
    const output = process.takeOutput();
    if (output !== "") log.info({ module: request.module, output }, "workflow code wrote");
    if (process.isOver) leave(member);
    else {
      const keptMs = members.size > 1 ? SPARE_MS : IDLE_MS;
      member.idle = setTimeout(() => leave(member), keptMs).unref();
    }
    // Another module's timer may have ended or blocked the process. The request is repeated alone,
    // where any failure is its own.
    const isOthers =
      answer.type === "ended" || (answer.type === "timed_out" && answer.call === null);
    if (isOthers && !isNew && !isClosed) waiting.unshift({ ...request, isAlone: true });
    else request.resolve(answer);
    next();
  }

  function leave(member: Member): void {
    clearTimeout(member.idle);
    members.delete(member);
    void member.process.end();
  }

  return {
    ask: (module, request) =>
      new Promise((resolve, reject) => {
        const entry: Waiting = { module, request, isAlone: false, timer: undefined, resolve };
        if (request.type !== "load") {
          entry.timer = setTimeout(() => {
            waiting.splice(waiting.indexOf(entry), 1);
            const reason = `workflow ${request.workflow} has not answered earlier requests`;
            reject(new PlannerBusyError(reason));
          }, MAX_WAIT_MS);
        }
        waiting.push(entry);
        next();
      }),

    async close() {
      isClosed = true;
      clearTimeout(checkTimer);
      const all = [...members];
      for (const { idle } of all) clearTimeout(idle);
      await Promise.all(all.map(({ process }) => process.end()));
      for (const { request, timer, resolve } of waiting.splice(0)) {
        clearTimeout(timer);
        resolve({
          type: "ended",
          call: null,
          how: `before it received the request "${request.type}"`,
        });
      }
    },
  };
}
