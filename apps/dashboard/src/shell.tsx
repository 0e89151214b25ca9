import { useEffect, useState } from "react";
import { DoctorSign } from "./doctor/doctor-sign.tsx";
import { type Examined, useDoctor } from "./doctor/use-doctor.ts";
import { ConnectionSign } from "./live/connection-sign.tsx";
import { useLive, useLiveState } from "./live/live-context.tsx";
import { DoctorPage } from "./pages/doctor-page.tsx";
import { ExplainPage } from "./pages/explain-page.tsx";
import { LoomPage } from "./pages/loom-page.tsx";
import { MeshPage } from "./pages/mesh-page.tsx";
import { NodePage } from "./pages/node-page.tsx";
import { NodesPage } from "./pages/nodes-page.tsx";
import { QueuePage } from "./pages/queue-page.tsx";
import { RunPage } from "./pages/run-page.tsx";
import { RunsPage } from "./pages/runs-page.tsx";
import { SchedulesPage } from "./pages/schedules-page.tsx";
import { SettingsPage } from "./pages/settings-page.tsx";
import { WorkflowPage } from "./pages/workflow-page.tsx";
import { WorkflowsPage } from "./pages/workflows-page.tsx";
import { Notice } from "./parts/notice.tsx";
import { Link, navigate, useAddress } from "./router.tsx";
import { ThemeSwitch } from "./theme-switch.tsx";
import type { Asked } from "./use-hub.ts";
import { Wordmark } from "./wordmark.tsx";

/** Every page of the menu: its address, its name, and the key that opens it after `g`. */
const MENU = [
  {
    href: "/",
    name: "Loom",
    key: "l",
    icon: "M4 4v16M12 4v16M20 4v16M1 9h6q3 0 5-3t5 3h6M1 16h6q3 0 5 3t5-3h6",
  },
  { href: "/runs", name: "Runs", key: "r", icon: "M3 6h12M3 12h18M3 18h9" },
  { href: "/workflows", name: "Workflows", key: "w", icon: "M4 4h6v6H4zM14 14h6v6h-6zM7 10v7h7" },
  { href: "/nodes", name: "Nodes", key: "n", icon: "M3 5h18v6H3zM3 14h18v6H3zM7 8h.01M7 17h.01" },
  { href: "/queue", name: "Queue", key: "q", icon: "M12 3a9 9 0 1 0 9 9M12 7v5l3 3" },
  {
    href: "/explain",
    name: "Explain",
    key: "x",
    icon: "M9 9a3 3 0 1 1 4.5 2.6Q12 12.500 12 14M12 18h.01M3 12a9 9 0 1 0 18 0 9 9 0 0 0-18 0",
  },
  { href: "/schedules", name: "Schedules", key: "s", icon: "M4 6h16v14H4zM4 10h16M8 3v4M16 3v4" },
  {
    href: "/mesh",
    name: "Mesh",
    key: "m",
    icon: "M5 6a2 2 0 1 0 .01 0M19 6a2 2 0 1 0 .01 0M12 18a2 2 0 1 0 .01 0M7 8h10M6 10l5 8M18 10l-5 8",
  },
  { href: "/doctor", name: "Doctor", key: "d", icon: "M3 12h4l2-6 4 12 2-6h6" },
  {
    href: "/settings",
    name: "Settings",
    key: "e",
    icon: "M4 7h10M18 7h2M4 17h2M10 17h10M16 5v4M8 15v4",
  },
] as const;

/** The frame around every page. */
export function Shell() {
  const { path } = useAddress();
  const doctor = useDoctor();
  useShortcuts();
  const section = path[0] ?? "";
  useEffect(() => {
    const item = MENU.find(({ href }) => href === `/${section}`);
    document.title = item && section !== "" ? `${item.name} · Loom` : "Loom";
    // On a narrow screen the menu is longer than what is seen of it.
    document.querySelector(".menu [aria-current]")?.scrollIntoView({ block: "nearest" });
  }, [section]);

  return (
    <div className="shell">
      <a className="skip" href="#page">
        Skip to the page
      </a>
      <header className="top">
        <Link href="/" className="brand" aria-label="Loom, the map">
          <Wordmark />
        </Link>
        <DoctorSign examined={doctor.data} />
        <ConnectionSign />
        <ThemeSwitch />
      </header>
      <nav className="menu" aria-label="Pages">
        {MENU.map(({ href, name, key, icon }) => (
          <Link
            key={href}
            href={href}
            aria-current={href === `/${section}` ? "page" : undefined}
            aria-keyshortcuts={`g ${key}`}
          >
            <svg viewBox="0 0 24 24" aria-hidden="true">
              <path d={icon} />
            </svg>
            <span>{name}</span>
          </Link>
        ))}
      </nav>
      <main id="page" tabIndex={-1}>
        <Page path={path} doctor={doctor} />
      </main>
    </div>
  );
}

function Page({ path, doctor }: { path: readonly string[]; doctor: Asked<Examined> }) {
  const [section, name] = path;
  if (path.length > 2) return <NoSuchPage />;
  switch (section) {
    case undefined:
      return <LoomPage />;
    case "runs":
      return name === undefined ? <RunsPage /> : <RunPage key={name} id={name} />;
    case "workflows":
      return name === undefined ? <WorkflowsPage /> : <WorkflowPage key={name} name={name} />;
    case "nodes":
      return name === undefined ? <NodesPage /> : <NodePage key={name} name={name} />;
    case "queue":
      return <QueuePage />;
    case "explain":
      return <ExplainPage />;
    case "mesh":
      return <MeshPage />;
    case "doctor":
      return <DoctorPage doctor={doctor} />;
    case "schedules":
      return <SchedulesPage />;
    case "settings":
      return <SettingsPage />;
    default:
      return <NoSuchPage />;
  }
}

const NoSuchPage = () => (
  <Notice title="There is no such page">
    <p>
      <Link href="/">The map</Link> shows what is going on.
    </p>
  </Notice>
);

/** `g` and a letter opens a page, `p` pauses; never while something is being typed. */
function useShortcuts(): void {
  const live = useLive();
  const { connection } = useLiveState();
  const [isGoing, setGoing] = useState(false);
  useEffect(() => {
    const onKey = (event: KeyboardEvent) => {
      const { target, key } = event;
      const isTyping =
        target instanceof Element && target.closest("input, textarea, select, dialog");
      if (isTyping || event.metaKey || event.ctrlKey || event.altKey) return;
      const item = MENU.find((one) => one.key === key);
      if (isGoing && item) navigate(item.href);
      else if (key === "p" && !isGoing) {
        if (connection === "paused") live.resume();
        else live.pause();
      }
      setGoing(key === "g");
    };
    addEventListener("keydown", onKey);
    return () => removeEventListener("keydown", onKey);
  }, [isGoing, connection, live]);
}
