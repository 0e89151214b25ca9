import type { Pulse, PulseKind } from "../state/transitions.ts";
import type { Colours } from "./colours.ts";
import { type Curve, curveBetween, type Layout, type Place, placeOf, pointAt } from "./layout.ts";
import { threadStyleOf } from "./thread-style.ts";

/** A pulse under way. */
export interface LivePulse extends Pulse {
  readonly beganAt: number;
  readonly endsAt: number;
}

const TRAVEL_MS = 700;
const DURATIONS: Partial<Record<PulseKind, number>> = {
  start: 600,
  success: 900,
  failure: 2_400,
  stop: 900,
  join: 1_200,
  leave: 2_400,
  hold: 1_200,
  lost: 1_200,
};

/** How long a pulse is visible. None blinks: nothing on the map changes faster than three times a second. */
export const durationOf = ({ kind }: Pulse): number => DURATIONS[kind] ?? TRAVEL_MS;

const ease = (share: number): number => 1 - (1 - share) ** 3;

/** Draws a pulse as it looks at `at`, on the clock of `performance.now()`. */
export function paintPulse(
  context: CanvasRenderingContext2D,
  layout: Layout,
  colours: Colours,
  pulse: LivePulse,
  at: number,
): void {
  const share = Math.max(0, Math.min(1, (at - pulse.beganAt) / durationOf(pulse)));
  const colour = colourOf(pulse, colours);
  context.strokeStyle = colour;
  context.fillStyle = colour;
  const place = placeOf(layout, pulse.to);
  const radius = pulse.to === null ? 20 : layout.ring;
  switch (pulse.kind) {
    case "dispatch":
    case "retry":
    case "back":
    case "lost":
      paintTravel(
        context,
        curveBetween(layout, pulse.from, pulse.to, pulse.runId ?? ""),
        share,
        pulse.kind === "lost",
      );
      break;
    case "failure":
      paintWave(context, place, radius, share);
      paintCross(context, place, radius, share);
      break;
    case "start":
    case "hold":
    case "wait":
      paintWave(context, place, radius - 12, share, -1);
      break;
    default:
      paintWave(context, place, radius, share);
  }
  context.globalAlpha = 1;
}

function colourOf({ kind, runId }: Pulse, colours: Colours): string {
  if (kind === "failure") return colours.failed;
  if (kind === "lost" || kind === "leave" || kind === "hold" || kind === "wait")
    return colours.lost;
  if (kind === "success" || kind === "join") return colours.succeeded;
  return runId === null ? colours.text : (colours.threads[threadStyleOf(runId)] ?? colours.text);
}

/** A bead with a tail; the tail of a lost step frays. */
function paintTravel(
  context: CanvasRenderingContext2D,
  curve: Curve,
  share: number,
  frays: boolean,
): void {
  const head = ease(share);
  for (let bead = 9; bead >= 0; bead -= 1) {
    const behind = head - bead * 0.022;
    if (behind < 0) continue;
    const { x, y } = pointAt(curve, behind);
    const away = frays ? Math.sin(bead * 2.4) * share * 14 : 0;
    context.globalAlpha = (1 - bead / 10) * (share > 0.85 ? (1 - share) / 0.15 : 1);
    context.beginPath();
    context.arc(x + away, y - away, 5.5 - bead * 0.42, 0, 2 * Math.PI);
    context.fill();
  }
}

/** A ring that grows and fades; with `direction` -1 it shrinks. */
function paintWave(
  context: CanvasRenderingContext2D,
  { x, y }: Place,
  radius: number,
  share: number,
  direction = 1,
): void {
  const grown = direction > 0 ? ease(share) * 26 : (1 - ease(share)) * 34;
  context.globalAlpha = (1 - share) * 0.9;
  context.lineWidth = 3;
  context.beginPath();
  context.arc(x, y, Math.max(2, radius + 4 + grown), 0, 2 * Math.PI);
  context.stroke();
}

function paintCross(
  context: CanvasRenderingContext2D,
  { x, y }: Place,
  radius: number,
  share: number,
): void {
  const arm = 7;
  const at = { x: x + radius, y: y - radius };
  context.globalAlpha = 1 - share ** 3;
  context.lineWidth = 3.5;
  context.beginPath();
  context.moveTo(at.x - arm, at.y - arm);
  context.lineTo(at.x + arm, at.y + arm);
  context.moveTo(at.x + arm, at.y - arm);
  context.lineTo(at.x - arm, at.y + arm);
  context.stroke();
}
