import type { MapRun } from "../state/map-state.ts";
import { FADE_MS } from "../state/reduce.ts";
import type { Pulse } from "../state/transitions.ts";
import type { Colours } from "./colours.ts";
import { type Layout, threadOf } from "./layout.ts";
import { durationOf, type LivePulse, paintPulse } from "./paint-pulse.ts";
import { createPulseQueue } from "./pulse-queue.ts";
import { threadStyleOf } from "./thread-style.ts";

/** Maximum number of pulses under way; reached at more than 120 events a second. */
const MAX_PULSES = 300;
/** Interval at which fading threads are redrawn. */
const FADE_STEP_MS = 500;

/** The picture that the map draws until something changes. */
interface Scene {
  layout: Layout;
  runs: readonly MapRun[];
  /** The run under the pointer; the others are dimmed. */
  focus: string | null;
  /** Now by the hub's clock, in ms since the epoch. */
  now: () => number;
}

export interface Painter {
  show(scene: Scene): void;
  addPulse(pulse: Pulse): void;
  setColours(colours: Colours): void;
  stop(): void;
}

/** The two canvases. Pulses have their own, so that a frame redraws only what moves. */
export interface Sheets {
  threads: HTMLCanvasElement;
  pulses: HTMLCanvasElement;
}

/** Draws threads and pulses. Its frame loop sleeps while nothing moves. */
export function createPainter(
  sheets: Sheets,
  options: {
    isStill: boolean;
    /** Called with the number of pulses that were dropped in the last second. */
    onOverflow: (count: number) => void;
  },
): Painter {
  const threads = sheets.threads.getContext("2d");
  const moving = sheets.pulses.getContext("2d");
  let scene: Scene | undefined;
  let colours: Colours | undefined;
  const queue = createPulseQueue<LivePulse>({ limit: MAX_PULSES, onOverflow: options.onOverflow });
  let areThreadsOld = false;
  let frame: number | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;

  function requestFrame(): void {
    frame ??= requestAnimationFrame(draw);
  }

  function redraw(): void {
    areThreadsOld = true;
    requestFrame();
  }

  function draw(at: number): void {
    frame = undefined;
    if (!threads || !moving || !scene || !colours) return;
    const { layout } = scene;
    if (areThreadsOld) {
      areThreadsOld = false;
      clearTimeout(timer);
      if (drawThreads(threads, scene, colours)) timer = setTimeout(redraw, FADE_STEP_MS);
    }
    const pulses = queue.at(at);
    moving.clearRect(0, 0, layout.width, layout.height);
    for (const pulse of pulses) paintPulse(moving, layout, colours, pulse, at);
    if (pulses.length > 0) requestFrame();
  }

  /** Pulses of a hidden tab are dropped, so that they do not all show at once later. */
  const onVisibility = () => {
    queue.clear();
    options.onOverflow(0);
    redraw();
  };
  document.addEventListener("visibilitychange", onVisibility);

  return {
    show(next) {
      scene = next;
      fit(sheets.threads, threads, next.layout);
      fit(sheets.pulses, moving, next.layout);
      redraw();
    },
    addPulse(pulse) {
      if (document.hidden || options.isStill) return;
      const beganAt = performance.now();
      queue.add({ ...pulse, beganAt, endsAt: beganAt + durationOf(pulse) });
      requestFrame();
    },
    setColours(next) {
      colours = next;
      redraw();
    },
    stop() {
      document.removeEventListener("visibilitychange", onVisibility);
      clearTimeout(timer);
      queue.clear();
      if (frame !== undefined) cancelAnimationFrame(frame);
    },
  };
}

/** Gives the canvas as many pixels as the screen has, up to two for each CSS pixel. */
function fit(
  canvas: HTMLCanvasElement,
  context: CanvasRenderingContext2D | null,
  { width, height }: Layout,
): void {
  const scale = Math.min(devicePixelRatio, 2);
  if (canvas.width === Math.round(width * scale) && canvas.height === Math.round(height * scale)) {
    return;
  }
  canvas.width = Math.round(width * scale);
  canvas.height = Math.round(height * scale);
  context?.setTransform(scale, 0, 0, scale, 0, 0);
}

/** @returns whether a thread is fading and must be redrawn. */
function drawThreads(context: CanvasRenderingContext2D, scene: Scene, colours: Colours): boolean {
  const { layout, runs, focus } = scene;
  const now = scene.now();
  context.clearRect(0, 0, layout.width, layout.height);
  context.lineCap = "round";
  let isFading = false;
  // Many threads are drawn thin, so that the map stays readable.
  const width = runs.length > 60 ? 1 : runs.length > 20 ? 1.5 : 2;
  for (const { id, path, finishedAt } of runs) {
    const age = finishedAt === null ? 0 : (now - Date.parse(finishedAt)) / FADE_MS;
    if (age >= 1) continue;
    isFading ||= finishedAt !== null;
    const style = threadStyleOf(id);
    context.globalAlpha = alphaOf(finishedAt === null, Math.max(0, age), focus, id);
    context.strokeStyle = colours.threads[style] ?? colours.text;
    context.lineWidth = focus === id ? width + 1.5 : width;
    context.setLineDash(style % 2 === 0 ? [] : [7, 5]);
    context.beginPath();
    for (const { from, bend, to } of threadOf(layout, id, path)) {
      context.moveTo(from.x, from.y);
      context.quadraticCurveTo(bend.x, bend.y, to.x, to.y);
    }
    context.stroke();
  }
  context.setLineDash([]);
  context.globalAlpha = 1;
  return isFading;
}

function alphaOf(isRunning: boolean, age: number, focus: string | null, id: string): number {
  if (focus !== null && focus !== id) return 0.08;
  if (focus === id) return 1;
  return isRunning ? 0.75 : 0.45 * (1 - age);
}
