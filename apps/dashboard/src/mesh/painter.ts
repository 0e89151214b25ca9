import { createCrowd } from "./crowd.ts";
import type { Layout } from "./layout.ts";
import type { MeshRun } from "./mesh.ts";
import { durationOf, type LivePulse, paintPulse } from "./paint-pulse.ts";
import type { Pulse } from "./pulse.ts";
import { GHOST_MS } from "./reduce.ts";
import { strandOf } from "./strand.ts";
import { threadOf } from "./thread.ts";

/** Pulses under way. So many take more than 120 events a second. */
const MAX_PULSES = 300;
/** A fading thread is drawn anew this often: nobody sees more. */
const FADE_STEP_MS = 500;

/** Colours as the canvas wants them, of the theme that is on. */
export interface Ink {
  strands: readonly string[];
  succeeded: string;
  failed: string;
  lost: string;
  text: string;
}

/** What is drawn: threads, until the next change. */
interface Scene {
  layout: Layout;
  runs: readonly MeshRun[];
  /** The run that is pointed at; the others are dimmed. */
  focus: string | null;
  /** Now, by the hub's clock, in ms since the epoch. */
  now: () => number;
}

export interface Painter {
  show(scene: Scene): void;
  addPulse(pulse: Pulse): void;
  setInk(ink: Ink): void;
  stop(): void;
}

/** Where it is drawn: what moves lies over what stands still, so that a frame draws little. */
export interface Sheets {
  threads: HTMLCanvasElement;
  pulses: HTMLCanvasElement;
}

/** Draws threads and pulses. Its loop sleeps while nothing moves. */
export function createPainter(
  sheets: Sheets,
  options: {
    isStill: boolean;
    /** Called with how many pulses of the last second were not drawn to their end. */
    onMissed: (count: number) => void;
  },
): Painter {
  const threads = sheets.threads.getContext("2d");
  const moving = sheets.pulses.getContext("2d");
  let scene: Scene | undefined;
  let ink: Ink | undefined;
  const crowd = createCrowd<LivePulse>({ limit: MAX_PULSES, onMissed: options.onMissed });
  let areThreadsOld = false;
  let frame: number | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;

  function wake(): void {
    frame ??= requestAnimationFrame(draw);
  }

  function drawAnew(): void {
    areThreadsOld = true;
    wake();
  }

  function draw(at: number): void {
    frame = undefined;
    if (!threads || !moving || !scene || !ink) return;
    const { layout } = scene;
    if (areThreadsOld) {
      areThreadsOld = false;
      clearTimeout(timer);
      if (drawThreads(threads, scene, ink)) timer = setTimeout(drawAnew, FADE_STEP_MS);
    }
    const pulses = crowd.at(at);
    moving.clearRect(0, 0, layout.width, layout.height);
    for (const pulse of pulses) paintPulse(moving, layout, ink, pulse, at);
    if (pulses.length > 0) wake();
  }

  /** Nothing that happened while nobody looked is shown later, all at once. */
  const onVisibility = () => {
    crowd.clear();
    options.onMissed(0);
    drawAnew();
  };
  document.addEventListener("visibilitychange", onVisibility);

  return {
    show(next) {
      scene = next;
      fit(sheets.threads, threads, next.layout);
      fit(sheets.pulses, moving, next.layout);
      drawAnew();
    },
    addPulse(pulse) {
      if (document.hidden || options.isStill) return;
      const beganAt = performance.now();
      crowd.add({ ...pulse, beganAt, endsAt: beganAt + durationOf(pulse) });
      wake();
    },
    setInk(next) {
      ink = next;
      drawAnew();
    },
    stop() {
      document.removeEventListener("visibilitychange", onVisibility);
      clearTimeout(timer);
      crowd.clear();
      if (frame !== undefined) cancelAnimationFrame(frame);
    },
  };
}

/** As many pixels as the screen has. */
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

/** @returns whether a thread is fading, and has to be drawn again. */
function drawThreads(context: CanvasRenderingContext2D, scene: Scene, ink: Ink): boolean {
  const { layout, runs, focus } = scene;
  const now = scene.now();
  context.clearRect(0, 0, layout.width, layout.height);
  context.lineCap = "round";
  let isFading = false;
  // Many threads are thin, so that the map stays readable.
  const width = runs.length > 60 ? 1 : runs.length > 20 ? 1.5 : 2;
  for (const { id, path, finishedAt } of runs) {
    const age = finishedAt === null ? 0 : (now - Date.parse(finishedAt)) / GHOST_MS;
    if (age >= 1) continue;
    isFading ||= finishedAt !== null;
    const strand = strandOf(id);
    context.globalAlpha = alphaOf(finishedAt === null, Math.max(0, age), focus, id);
    context.strokeStyle = ink.strands[strand] ?? ink.text;
    context.lineWidth = focus === id ? width + 1.5 : width;
    context.setLineDash(strand % 2 === 0 ? [] : [7, 5]);
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
