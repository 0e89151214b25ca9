import { useEffect, useState } from "react";
import { ConnectionSign } from "./live/connection-sign.tsx";
import { useLive, useLiveState } from "./live/live-context.tsx";
import { LoomPage } from "./pages/loom-page.tsx";
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
  { href: "/schedules", name: "Schedules", key: "s", icon: "M4 6h16v14H4zM4 10h16M8 3v4M16 3v4" },
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
  useShortcuts();
  const section = path[0] ?? "";
  useEffect(() => {
    const item = MENU.find(({ href }) => href === `/${section}`);
    document.title = item && section !== "" ? `${item.name} · Loom` : "Loom";
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
        <Page path={path} />
      </main>
    </div>
  );
}

function Page({ path }: { path: readonly string[] }) {
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
