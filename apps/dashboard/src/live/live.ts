import type { Event, JobQuery, RunQuery } from "@loom/hub/client";
import { everyPage } from "@loom/hub/client";
import { hub, isLoggedOut } from "../hub.ts";
import type { Mesh } from "../mesh/mesh.ts";
import type { Reading } from "../mesh/read-mesh.ts";
import { createRecorder, REPLAY_MS, type Recorder } from "../mesh/recorder.ts";
import { type ConnectionState, openConnection } from "./connection.ts";
import { createRounds } from "./rounds.ts";

/** How often what no event tells is read again: heartbeats, reasons, other hubs' changes. */
const READ_EVERY_MS = 10_000;
/** And while something waits: of its reason an event tells the code, and only when that changes. */
const READ_WAITING_MS = 2_000;
/** What an event does not tell is read once for all that come close together. */
const READ_SOON_MS = 300;
/** However much is news: a reading takes eight requests, of the hundred a second that one may make. */
const READ_APART_MS = 1_200;
/** How long an event takes to get here, at most, as long as none has. */
const MAX_DELAY_MS = 1_000;
/** Changes are told together, however many there are: nobody reads faster. Pulses do not wait for it. */
const TELL_MS = 80;
/** Jobs that one reading takes, of each state. */
const MAX_JOBS = 600;

export interface LiveState {
  connection: ConnectionState;
  mesh: Mesh;
  /** Whether everything has been read once. */
  isRead: boolean;
  /** How far the hub's clock is ahead of this one's; a little less while no event has told. */
  clockOffsetMs: number;
  /** When something was last heard of the hub, by this clock. */
  heardAt: number;
}

export type EventListener = (event: Event, before: Mesh, isPast: boolean) => void;

/** The one connection of this page, and what is known by it. */
export interface Live {
  readonly state: LiveState;
  readonly recorder: Recorder;
  subscribe(onChange: () => void): () => void;
  /** `isPast`: it happened before the stream was open, or while it was broken. */
  onEvent(listener: EventListener): () => void;
  pause(): void;
  resume(): void;
  close(): void;
}

export function createLive({ onLoggedOut }: { onLoggedOut: () => void }): Live {
  const recorder = createRecorder();
  const changeListeners = new Set<() => void>();
  const eventListeners = new Set<EventListener>();
  let state: LiveState = {
    connection: "connecting",
    mesh: recorder.mesh,
    isRead: false,
    clockOffsetMs: -MAX_DELAY_MS,
    heardAt: Date.now(),
  };
  let isScheduled = false;
  let close = () => {};

  function set(change: Partial<LiveState>): void {
    state = { ...state, ...change };
    if (isScheduled) return;
    isScheduled = true;
    setTimeout(() => {
      isScheduled = false;
      for (const listener of changeListeners) listener();
    }, TELL_MS);
  }

  function take(event: Event, isPast: boolean): void {
    const before = recorder.mesh;
    for (const listener of eventListeners) listener(event, before, isPast);
    recorder.addEvent(event);
    const now = Date.now();
    // An event comes some time after it happened, never before: the least delay tells most.
    const clockOffsetMs = Math.max(state.clockOffsetMs, Date.parse(event.at) - now);
    set({ mesh: recorder.mesh, heardAt: now, clockOffsetMs });
    if (isNews(event, recorder.mesh)) readings.within(READ_SOON_MS);
  }

  const readings = createRounds({ apartMs: READ_APART_MS }, async (signal) => {
    try {
      const reading = await readEverything(Date.now() + state.clockOffsetMs, signal);
      signal.throwIfAborted();
      recorder.addReading(reading);
      set({ mesh: recorder.mesh, isRead: true, heardAt: Date.now() });
    } catch (error) {
      if (isLoggedOut(error)) onLoggedOut();
      // Anything else shows in the connection's state, and is tried again.
    }
    const hasWaiting = [...recorder.mesh.jobs.values()].some((job) => job.state === "waiting");
    return hasWaiting && !document.hidden ? READ_WAITING_MS : READ_EVERY_MS;
  });

  function open(): void {
    /** What happened before the page was there, until all of it has come. */
    let past: Event[] | undefined;
    close = openConnection({
      url: `/api/loom/events?pastMs=${REPLAY_MS}`,
      onState: (connection) => {
        set({ connection });
        if (connection === "refused") readings.within(0);
      },
      onStart() {
        past = [];
        recorder.restart();
        // A reading from before is none to begin with.
        readings.startOver();
      },
      onEvent(event, isPast) {
        if (past) past.push(event);
        else take(event, isPast);
      },
      onNow() {
        if (!past) return;
        recorder.addPast(past);
        past = undefined;
        set({ mesh: recorder.mesh });
      },
      onGap: readings.startOver,
    });
  }

  function stop(): void {
    close();
    readings.stop();
  }

  open();
  return {
    get state() {
      return state;
    },
    recorder,
    subscribe(onChange) {
      changeListeners.add(onChange);
      return () => changeListeners.delete(onChange);
    },
    onEvent(listener) {
      eventListeners.add(listener);
      return () => eventListeners.delete(listener);
    },
    pause() {
      stop();
      set({ connection: "paused" });
    },
    resume() {
      if (state.connection !== "paused") return;
      set({ connection: "connecting" });
      open();
    },
    close: stop,
  };
}

/** Whether an event tells less than is shown of what it is about: names, needs, reasons. */
const isNews = ({ type, jobId }: Event, mesh: Mesh): boolean =>
  type === "node.hello" ||
  type === "job.waiting" ||
  (jobId !== null && mesh.jobs.get(jobId)?.step === null);

async function readEverything(at: number, signal: AbortSignal): Promise<Reading> {
  const call = { signal };
  const listRuns = (query: RunQuery) => hub.listRuns(query, call);
  const listJobs = (query: JobQuery) => hub.listJobs(query, call);
  const unfinished = ["running", "pending", "waiting", "blocked"] as const;
  const [nodes, recent, running, newest, ...jobs] = await Promise.all([
    hub.listNodes(call),
    listRuns({ limit: 50 }),
    collect(everyPage(listRuns, { status: "running", limit: 200 }), MAX_JOBS),
    listJobs({ limit: 100 }),
    ...unfinished.map((state) => collect(everyPage(listJobs, { state, limit: 200 }), MAX_JOBS)),
  ]);
  const runs = new Map([...recent.data, ...running].map((run) => [run.id, run]));
  return { at, nodes: nodes.data, runs: [...runs.values()], jobs: [newest.data, ...jobs].flat() };
}

async function collect<Item>(items: AsyncIterable<Item>, limit: number): Promise<Item[]> {
  const collected: Item[] = [];
  for await (const item of items) {
    collected.push(item);
    if (collected.length >= limit) break;
  }
  return collected;
}
