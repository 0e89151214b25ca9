import { useEffect, useMemo, useRef, useState } from "react";
import { THEME_CHANGED } from "../parts/theme-switch.tsx";
import { useMedia, useWidth } from "../parts/use-size.ts";
import { Link } from "../router.tsx";
import { readColours } from "./draw/colours.ts";
import { type Layout, layOut } from "./draw/layout.ts";
import { createPainter, type Painter } from "./draw/painter.ts";
import { NodeGlyph } from "./node-glyph.tsx";
import { isWaiting, type MapState } from "./state/map-state.ts";
import type { Pulse } from "./state/transitions.ts";

/** Subscribes to the pulses that a map shows; returns the unsubscriber. */
export type PulseSource = (listener: (pulse: Pulse) => void) => () => void;

/**
 * The map: nodes at their places, a thread for each run, a pulse for each event. `MapTable` shows the
 * same in words.
 */
export function NodeMap({
  map,
  focus,
  now,
  pulses,
}: {
  map: MapState;
  focus: string | null;
  now: () => number;
  pulses: PulseSource;
}) {
  const stage = useRef<HTMLDivElement>(null);
  const threads = useRef<HTMLCanvasElement>(null);
  const moving = useRef<HTMLCanvasElement>(null);
  const painter = useRef<Painter>(undefined);
  const width = useWidth(stage);
  const names = [...map.nodes.keys()].sort().join("\n");
  const layout = useMemo(
    () => layOut(names === "" ? [] : names.split("\n"), width, heightOf(width)),
    [names, width],
  );
  const [overflow, setOverflow] = useState(0);
  const isStill = useMedia("(prefers-reduced-motion: reduce)");

  useEffect(() => {
    if (!threads.current || !moving.current || !stage.current) return;
    const sheets = { threads: threads.current, pulses: moving.current };
    const created = createPainter(sheets, { isStill, onOverflow: setOverflow });
    const within = stage.current;
    const takeColours = () => created.setColours(readColours(within));
    takeColours();
    const scheme = matchMedia("(prefers-color-scheme: dark)");
    scheme.addEventListener("change", takeColours);
    addEventListener(THEME_CHANGED, takeColours);
    painter.current = created;
    const stopPulses = pulses(created.addPulse);
    return () => {
      stopPulses();
      scheme.removeEventListener("change", takeColours);
      removeEventListener(THEME_CHANGED, takeColours);
      created.stop();
      // The next painter starts with an empty queue.
      setOverflow(0);
    };
  }, [isStill, pulses]);

  useEffect(() => {
    painter.current?.show({ layout, runs: [...map.runs.values()], focus, now });
  });

  return (
    <div className="stage" ref={stage} style={{ height: layout.height }}>
      {/* The lists beside the map say the same in words. */}
      <canvas ref={threads} />
      <canvas ref={moving} className="pulses" />
      {/* biome-ignore lint/a11y/noSvgWithoutTitle: a group of links, each with a name of its own */}
      <svg width={width} height={layout.height}>
        <WaitingArea layout={layout} count={[...map.jobs.values()].filter(isWaiting).length} />
        <Nodes map={map} layout={layout} />
      </svg>
      {overflow > 0 && <p className="overflow">+{overflow} pulses a second, not drawn</p>}
    </div>
  );
}

const heightOf = (width: number): number => Math.round(Math.max(340, Math.min(580, width * 0.58)));

function Nodes({ map, layout }: { map: MapState; layout: Layout }) {
  const running = new Map<string, string[]>();
  for (const { state, node, runId, id } of map.jobs.values()) {
    if (state !== "running" || node === null) continue;
    running.set(node, [...(running.get(node) ?? []), runId ?? `job-${id}`]);
  }
  return [...layout.nodes].map(([name, place]) => {
    const node = map.nodes.get(name);
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

/** Where runs begin, and where steps wait for a node. */
function WaitingArea({ layout: { waiting }, count }: { layout: Layout; count: number }) {
  return (
    <Link
      href="/queue"
      className={count > 0 ? "waiting-area has-waiting" : "waiting-area"}
      aria-label={`${count} waiting for a node`}
    >
      <g transform={`translate(${waiting.x} ${waiting.y})`}>
        <circle className="node-focus" r="26" />
        <path className="waiting-area-loop" d="M-13 5C-13-9 4-12 7-2S-6 13-9 2 6-13 13-3" />
        {count > 0 && (
          <text className="waiting-area-count" y="32">
            {count} waiting
          </text>
        )}
      </g>
    </Link>
  );
}
