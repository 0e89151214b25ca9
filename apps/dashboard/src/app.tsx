import type { Session } from "@loom/hub/client";
import { useCallback, useEffect, useState } from "react";
import { hub, isLoggedOut } from "./hub.ts";
import { createLive, type Live } from "./live/live.ts";
import { LiveProvider } from "./live/live-context.tsx";
import { LoginPage } from "./pages/login-page.tsx";
import { Failure, Loading } from "./parts/notice.tsx";
import { SessionProvider } from "./session-context.tsx";
import { Shell } from "./shell.tsx";

/** Between two looks at a hub that did not answer. */
const RETRY_MS = 3_000;

type Door = { session: Session } | "unknown" | "closed" | { error: unknown };

/** Who asks, first: everything else is behind the door. */
export function App() {
  const [door, setDoor] = useState<Door>("unknown");
  const [live, setLive] = useState<Live>();

  const knock = useCallback(() => {
    hub.getSession().then(
      (session) => setDoor({ session }),
      (error: unknown) => setDoor(isLoggedOut(error) ? "closed" : { error }),
    );
  }, []);
  useEffect(knock, [knock]);

  const hasFailed = typeof door === "object" && "error" in door;
  useEffect(() => {
    if (!hasFailed) return;
    const timer = setInterval(knock, RETRY_MS);
    return () => clearInterval(timer);
  }, [hasFailed, knock]);

  const isIn = typeof door === "object" && "session" in door;
  useEffect(() => {
    if (!isIn) return;
    const opened = createLive({ onLoggedOut: () => setDoor("closed") });
    setLive(opened);
    return () => opened.close();
  }, [isIn]);

  if (door === "closed") return <LoginPage onLoggedIn={(session) => setDoor({ session })} />;
  if (hasFailed) {
    return (
      <main className="alone">
        <Failure error={door.error} onRetry={knock} />
      </main>
    );
  }
  if (!isIn || !live) {
    return (
      <main className="alone">
        <Loading />
      </main>
    );
  }
  return (
    <SessionProvider value={{ ...door.session, logOut: () => setDoor("closed") }}>
      <LiveProvider value={live}>
        <Shell />
      </LiveProvider>
    </SessionProvider>
  );
}
