import type { Layout } from "./layout.ts";
import type { MeshRun } from "./mesh.ts";
import { durationOf, type LivePulse, paintPulse } from "./paint-pulse.ts";
import type { Pulse } from "./pulse.ts";
import { strandOf } from "./strand.ts";
import { threadOf } from "./thread.ts";

/** Pulses that are drawn one by one; more are counted at where they go. */
const MAX_PULSES = 300;
/** How long the thread of a finished run fades. */
const GHOST_MS = 30_000;
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
export interface Scene {
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

/** Draws threads and pulses. Its loop sleeps while nothing moves. */
export function createPainter(canvas: HTMLCanvasElement, options: { isStill: boolean }): Painter {
  const context = canvas.getContext("2d");
  let scene: Scene | undefined;
  let ink: Ink | undefined;
  let pulses: LivePulse[] = [];
  let frame: number | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;

  function wake(): void {
    frame ??= requestAnimationFrame(draw);
  }

  function draw(at: number): void {
    frame = undefined;
    if (!context || !scene || !ink) return;
    pulses = pulses.filter((pulse) => at - pulse.beganAt < durationOf(pulse));
    const isFading = drawThreads(context, scene, ink);
    for (const pulse of pulses) paintPulse(context, scene.layout, ink, pulse, at);
    clearTimeout(timer);
    if (pulses.length > 0) wake();
    else if (isFading) timer = setTimeout(wake, FADE_STEP_MS);
  }

  /** Nothing that happened while nobody looked is shown later, all at once. */
  const onVisibility = () => {
    pulses = [];
    wake();
  };
  document.addEventListener("visibilitychange", onVisibility);

  return {
    show(next) {
      scene = next;
      fit(canvas, context, next.layout);
      wake();
    },
    addPulse(pulse) {
      if (document.hidden || options.isStill) return;
      if (pulses.length >= MAX_PULSES) pulses.shift();
      pulses.push({ ...pulse, beganAt: performance.now() });
      wake();
    },
    setInk(next) {
      ink = next;
      wake();
    },
    stop() {
      document.removeEventListener("visibilitychange", onVisibility);
      clearTimeout(timer);
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
