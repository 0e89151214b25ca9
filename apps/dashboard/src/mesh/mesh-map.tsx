import { useEffect, useMemo, useRef, useState } from "react";
import { Link } from "../router.tsx";
import { THEME_CHANGED } from "../theme-switch.tsx";
import { useMedia, useWidth } from "../use-size.ts";
import { type Layout, layOut } from "./layout.ts";
import { isWaiting, type Mesh } from "./mesh.ts";
import { NodeGlyph } from "./node-glyph.tsx";
import { createPainter, type Painter } from "./painter.ts";
import type { Pulse } from "./pulse.ts";
import { readInk } from "./read-ink.ts";

/** Tells a map what to show moving. */
export type PulseSource = (listener: (pulse: Pulse) => void) => () => void;

/**
 * The map: nodes at their places, a thread for every run, a pulse for every event. What it shows is
 * also in `MeshTable`, in words.
 */
export function MeshMap({
  mesh,
  focus,
  now,
  pulses,
}: {
  mesh: Mesh;
  focus: string | null;
  now: () => number;
  pulses: PulseSource;
}) {
  const stage = useRef<HTMLDivElement>(null);
  const threads = useRef<HTMLCanvasElement>(null);
  const moving = useRef<HTMLCanvasElement>(null);
  const painter = useRef<Painter>(undefined);
  const width = useWidth(stage);
  const names = [...mesh.nodes.keys()].sort().join("\n");
  const layout = useMemo(
    () => layOut(names === "" ? [] : names.split("\n"), width, heightOf(width)),
    [names, width],
  );
  const [missed, setMissed] = useState(0);
  const isStill = useMedia("(prefers-reduced-motion: reduce)");

  useEffect(() => {
    if (!threads.current || !moving.current || !stage.current) return;
    const sheets = { threads: threads.current, pulses: moving.current };
    const created = createPainter(sheets, { isStill, onMissed: setMissed });
    const within = stage.current;
    const takeInk = () => created.setInk(readInk(within));
    takeInk();
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", takeInk);
    addEventListener(THEME_CHANGED, takeInk);
    painter.current = created;
    const stopPulses = pulses(created.addPulse);
    return () => {
      stopPulses();
      scheme.removeEventListener("change", takeInk);
      removeEventListener(THEME_CHANGED, takeInk);
      created.stop();
      // What was missed the next painter has not missed.
      setMissed(0);
    };
  }, [isStill, pulses]);

  useEffect(() => {
    painter.current?.show({ layout, runs: [...mesh.runs.values()], focus, now });
  });

  return (
    <div className="stage" ref={stage} style={{ height: layout.height }}>
      {/* What they show is in the lists beside it, in words. */}
      <canvas ref={threads} />
      <canvas ref={moving} className="pulses" />
      {/* biome-ignore lint/a11y/noSvgWithoutTitle: a group of links, each with a name of its own */}
      <svg width={width} height={layout.height}>
        <Knot layout={layout} count={[...mesh.jobs.values()].filter(isWaiting).length} />
        <Nodes mesh={mesh} layout={layout} />
      </svg>
      {missed > 0 && <p className="missed">+{missed} pulses a second, not drawn</p>}
    </div>
  );
}

const heightOf = (width: number): number => Math.round(Math.max(340, Math.min(580, width * 0.58)));

function Nodes({ mesh, layout }: { mesh: Mesh; layout: Layout }) {
  const running = new Map<string, string[]>();
  for (const { state, node, runId, id } of mesh.jobs.values()) {
    if (state !== "running" || node === null) continue;
    running.set(node, [...(running.get(node) ?? []), runId ?? `job-${id}`]);
  }
  return [...layout.nodes].map(([name, place]) => {
    const node = mesh.nodes.get(name);
    return (
      node && (
        <NodeGlyph
          key={name}
          node={node}
          place={place}
          ring={layout.ring}
          runs={(running.get(name) ?? []).join(" ")}
        />
      )
    );
  });
}

/** Where runs begin, and where steps wait that no node has taken. */
function Knot({ layout: { knot }, count }: { layout: Layout; count: number }) {
  return (
    <Link
      href="/queue"
      className={count > 0 ? "knot knot-tied" : "knot"}
      aria-label={`${count} waiting for a node`}
    >
      <g transform={`translate(${knot.x} ${knot.y})`}>
        <circle className="node-focus" r="26" />
        <path className="knot-rope" d="M-13 5C-13-9 4-12 7-2S-6 13-9 2 6-13 13-3" />
        {count > 0 && (
          <text className="knot-count" y="32">
            {count} waiting
          </text>
        )}
      </g>
    </Link>
  );
}
