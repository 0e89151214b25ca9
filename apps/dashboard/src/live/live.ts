import { type Event, everyPage, type JobQuery, type RunQuery, type Session } from "@loom/client";
import { hub, isLoggedOut } from "../hub.ts";
import type { MapState } from "../map/state/map-state.ts";
import type { Reading } from "../map/state/reading.ts";
import { createRecorder, type Recorder } from "../map/state/recorder.ts";
import { openConnection } from "./connection.ts";
import { createPollLoop } from "./poll-loop.ts";
import type { ConnectionState } from "./shared-stream.ts";

/** Interval of readings: events carry no heartbeats, reasons or changes by other hubs. */
const READ_EVERY_MS = 10_000;
/** The interval while a step waits: an event has only the code of a reason, and only when it changes. */
const READ_WAITING_MS = 2_000;
/** Delay of the reading after an event that lacks details: one reading serves several events. */
const READ_SOON_MS = 300;
/** Minimum time between readings: each takes eight of the hundred requests a second that a caller may make. */
const READ_APART_MS = 1_200;
/** Assumed delay of an event until the first one arrives. */
const MAX_DELAY_MS = 1_000;
/** Interval at which changes are rendered. Pulses do not wait for it. */
const RENDER_MS = 80;
/** Maximum number of jobs of each state in one reading. */
const MAX_JOBS = 600;

export interface LiveState {
  connection: ConnectionState;
  map: MapState;
  /** Whether the first reading is done. */
  isRead: boolean;
  /** How far the hub's clock is ahead of this one, in ms; a little less until the first event. */
  clockOffsetMs: number;
  /** Time of the hub's last message by this clock, in ms since the epoch. */
  heardAt: number;
}

export type EventListener = (event: Event, before: MapState, isPast: boolean) => void;

/** The page's connection to the hub and what it has learned from it. A hidden page has no connection and sends nothing. */
export interface Live {
  readonly state: LiveState;
  readonly recorder: Recorder;
  subscribe(onChange: () => void): () => void;
  /** `isPast`: the event happened before the stream was open, or while it was broken. */
  onEvent(listener: EventListener): () => void;
  /** Called after events that `onEvent` did not report: a stream began, or some were lost. */
  onMissedEvents(listener: () => void): () => void;
  pause(): void;
  resume(): void;
  close(): void;
}

export function createLive({
  session,
  onLoggedOut,
}: {
  session: Pick<Session, "who" | "expiresAt">;
  onLoggedOut: () => void;
}): Live {
  const recorder = createRecorder();
  const changeListeners = new Set<() => void>();
  const eventListeners = new Set<EventListener>();
  const missedEventsListeners = new Set<() => void>();
  let state: LiveState = {
    connection: "connecting",
    map: recorder.map,
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
    }, RENDER_MS);
  }

  function notifyMissedEvents(): void {
    for (const listener of missedEventsListeners) listener();
  }

  function take(event: Event, isPast: boolean): void {
    const before = recorder.map;
    for (const listener of eventListeners) listener(event, before, isPast);
    recorder.addEvent(event);
    const now = Date.now();
    // An event arrives after it happened, never before: the event with the smallest delay is the most exact.
    const clockOffsetMs = Math.max(state.clockOffsetMs, Date.parse(event.at) - now);
    set({ map: recorder.map, heardAt: now, clockOffsetMs });
    if (needsReading(event, recorder.map)) readings.within(READ_SOON_MS);
  }

  const readings = createPollLoop({ apartMs: READ_APART_MS }, async (signal) => {
    try {
      const reading = await readEverything(Date.now() + state.clockOffsetMs, signal);
      signal.throwIfAborted();
      recorder.addReading(reading);
      set({ map: recorder.map, isRead: true, heardAt: Date.now() });
    } catch (error) {
      if (isLoggedOut(error)) onLoggedOut();
      // The connection's state shows any other error, and the loop tries again.
    }
    const hasWaiting = [...recorder.map.jobs.values()].some((job) => job.state === "waiting");
    return hasWaiting ? READ_WAITING_MS : READ_EVERY_MS;
  });

  function open(): void {
    /** Events from before the page was opened; undefined once all have arrived. */
    let past: Event[] | undefined;
    close = openConnection({
      session,
      onState: (connection) => {
        set({ connection });
        if (connection === "refused") readings.within(0);
      },
      onStart() {
        past = [];
        recorder.restart();
        // The reading must be newer than the past events.
        readings.restart();
      },
      onEvent(event, isPast) {
        if (past) past.push(event);
        else take(event, isPast);
      },
      onNow() {
        if (!past) return;
        recorder.addPast(past);
        past = undefined;
        set({ map: recorder.map });
        notifyMissedEvents();
      },
      onGap() {
        readings.restart();
        notifyMissedEvents();
      },
    });
  }

  function stop(): void {
    close();
    close = () => {};
    readings.stop();
  }

  function onVisibility(): void {
    if (state.connection === "paused") return;
    stop();
    if (!document.hidden) open();
  }

  document.addEventListener("visibilitychange", onVisibility);
  if (!document.hidden) open();
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
    onMissedEvents(listener) {
      missedEventsListeners.add(listener);
      return () => missedEventsListeners.delete(listener);
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
    close() {
      document.removeEventListener("visibilitychange", onVisibility);
      stop();
    },
  };
}

/** Whether the map needs more than the event carries: names, requirements or reasons. */
const needsReading = ({ type, jobId }: Event, map: MapState): boolean =>
  type === "node.hello" ||
  type === "job.waiting" ||
  (jobId !== null && map.jobs.get(jobId)?.step === null);

async function readEverything(at: number, signal: AbortSignal): Promise<Reading> {
  const call = { signal };
  const listRuns = (query: RunQuery) => hub.listRuns(query, call);
  const listJobs = (query: JobQuery) => hub.listJobs(query, call);
  const unfinished = ["running", "mapping", "pending", "waiting", "suspended", "blocked"] as const;
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
