import { useEffect, useState } from "react";
import { SettingsPage } from "./account/settings-page.tsx";
import { ApprovalsPage } from "./approvals/approvals-page.tsx";
import { usePending } from "./approvals/use-approvals.ts";
import { DoctorPage } from "./doctor/doctor-page.tsx";
import { type Examined, useDoctor } from "./doctor/use-doctor.ts";
import { ExplainPage } from "./explain/explain-page.tsx";
import { useLive, useLiveState } from "./live/live-context.tsx";
import type { ConnectionState } from "./live/shared-stream.ts";
import { MapPage } from "./map/map-page.tsx";
import { AddMachinePage } from "./nodes/add-machine-page.tsx";
import { MeshPage } from "./nodes/mesh-page.tsx";
import { NodePage } from "./nodes/node-page.tsx";
import { NodesPage } from "./nodes/nodes-page.tsx";
import { HookPage } from "./notifications/hook-page.tsx";
import { NotificationsPage } from "./notifications/notifications-page.tsx";
import { Notice } from "./parts/notice.tsx";
import { ThemeSwitch } from "./parts/theme-switch.tsx";
import { formatDuration, useNow } from "./parts/time.tsx";
import { Wordmark } from "./parts/wordmark.tsx";
import { QueuePage } from "./queue/queue-page.tsx";
import { Link, navigate, useAddress } from "./router.tsx";
import { RunPage } from "./runs/run-page.tsx";
import { RunsPage } from "./runs/runs-page.tsx";
import type { HubQuery } from "./use-hub.ts";
import { SchedulesPage } from "./workflows/schedules-page.tsx";
import { WorkflowPage } from "./workflows/workflow-page.tsx";
import { WorkflowsPage } from "./workflows/workflows-page.tsx";

/** The pages of the menu; `g` and then `key` opens a page. */
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
  { href: "/approvals", name: "Approvals", key: "a", icon: "M4 5h16v14H4zM8 12l3 3 5-6" },
  { href: "/queue", name: "Queue", key: "q", icon: "M12 3a9 9 0 1 0 9 9M12 7v5l3 3" },
  {
    href: "/explain",
    name: "Explain",
    key: "x",
    icon: "M9 9a3 3 0 1 1 4.5 2.6Q12 12.500 12 14M12 18h.01M3 12a9 9 0 1 0 18 0 9 9 0 0 0-18 0",
  },
  { href: "/schedules", name: "Schedules", key: "s", icon: "M4 6h16v14H4zM4 10h16M8 3v4M16 3v4" },
  {
    href: "/notifications",
    name: "Notifications",
    key: "t",
    icon: "M6 17V11a6 6 0 0 1 12 0v6M4 17h16M10 20h4",
  },
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

/** A page of its own, under "Nodes". */
const ADD_MACHINE = "add-machine";

/** The frame around every page. */
export function Shell() {
  const { path } = useAddress();
  const doctor = useDoctor();
  const pending = usePending().data;
  useShortcuts();
  const section = path[0] ?? "";
  const menuSection = section === ADD_MACHINE ? "nodes" : section;
  useEffect(() => {
    const item = MENU.find(({ href }) => href === `/${section}`);
    const name = section === ADD_MACHINE ? "Add a machine" : item?.name;
    document.title = name && section !== "" ? `${name} · Loom` : "Loom";
    // On a narrow screen the menu scrolls.
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
            aria-current={href === `/${menuSection}` ? "page" : undefined}
            aria-keyshortcuts={`g ${key}`}
          >
            <svg viewBox="0 0 24 24" aria-hidden="true">
              <path d={icon} />
            </svg>
            <span>{name}</span>
            {href === "/approvals" && pending && pending.data.length > 0 && (
              <span className="menu-count">
                {pending.data.length}
                {pending.next !== null && "+"}
                <span className="visually-hidden"> to decide</span>
              </span>
            )}
          </Link>
        ))}
      </nav>
      <main id="page" tabIndex={-1}>
        <Page path={path} doctor={doctor} />
      </main>
    </div>
  );
}

function Page({ path, doctor }: { path: readonly string[]; doctor: HubQuery<Examined> }) {
  const [section, name] = path;
  if (path.length > 2) return <NoSuchPage />;
  switch (section) {
    case undefined:
      return <MapPage />;
    case "runs":
      return name === undefined ? <RunsPage /> : <RunPage key={name} id={name} />;
    case "workflows":
      return name === undefined ? <WorkflowsPage /> : <WorkflowPage key={name} name={name} />;
    case "nodes":
      return name === undefined ? <NodesPage /> : <NodePage key={name} name={name} />;
    case ADD_MACHINE:
      return <AddMachinePage />;
    case "approvals":
      return name === undefined ? <ApprovalsPage /> : <NoSuchPage />;
    case "queue":
      return <QueuePage />;
    case "explain":
      return <ExplainPage />;
    case "notifications":
      return name === undefined ? <NotificationsPage /> : <HookPage key={name} name={name} />;
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

/** `g` and a letter opens a page, `p` pauses. Typing in a field triggers nothing. */
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

const CONNECTION_WORDS: Readonly<Record<ConnectionState, string>> = {
  connecting: "connecting",
  live: "live",
  reconnecting: "reconnecting",
  paused: "paused",
  refused: "hub unavailable",
};

/** Whether the page is up to date, and the button that pauses it. */
function ConnectionSign() {
  const live = useLive();
  const { connection, heardAt } = useLiveState();
  useNow();
  const isPaused = connection === "paused";
  const isCut = connection === "reconnecting" || connection === "refused";
  return (
    <div className={`connection connection-${connection}`}>
      <span className="connection-word" role="status">
        <span className="dot" aria-hidden="true" />
        {CONNECTION_WORDS[connection]}
      </span>
      {isCut && (
        <span className="muted hide-narrow">as of {formatDuration(Date.now() - heardAt)} ago</span>
      )}
      <button
        type="button"
        className="quiet"
        aria-keyshortcuts="p"
        onClick={() => (isPaused ? live.resume() : live.pause())}
      >
        {isPaused ? "Resume" : "Pause"}
      </button>
    </div>
  );
}

/** A link to the doctor, shown while a check fails. */
function DoctorSign({ examined }: { examined: Examined | undefined }) {
  const failed = examined?.checks.filter(({ status }) => status === "fail").length ?? 0;
  if (failed === 0) return null;
  return (
    <Link href="/doctor" className="doctor-sign">
      <span aria-hidden="true">✕</span> {failed}{" "}
      <span className="doctor-words">{failed === 1 ? "check fails" : "checks fail"}</span>
    </Link>
  );
}
