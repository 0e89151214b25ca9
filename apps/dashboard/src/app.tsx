import type { Session } from "@loom/client";
import { useCallback, useEffect, useState } from "react";
import { LoginPage } from "./account/login-page.tsx";
import { SessionProvider } from "./account/session.tsx";
import { hub, isLoggedOut } from "./hub.ts";
import { createLive, type Live } from "./live/live.ts";
import { LiveProvider } from "./live/live-context.tsx";
import { Failure, Loading } from "./parts/notice.tsx";
import { Shell } from "./shell.tsx";

/** Interval between requests to a hub that does not answer. */
const RETRY_MS = 3_000;

type Login = { session: Session } | "unknown" | "none" | { error: unknown };

/** Finds the session, then shows the pages; shows the login page if there is no session. */
export function App() {
  const [login, setLogin] = useState<Login>("unknown");
  const [live, setLive] = useState<Live>();

  const askSession = useCallback(() => {
    hub.getSession().then(
      (session) => setLogin({ session }),
      (error: unknown) => setLogin(isLoggedOut(error) ? "none" : { error }),
    );
  }, []);
  useEffect(askSession, [askSession]);

  const hasFailed = typeof login === "object" && "error" in login;
  useEffect(() => {
    if (!hasFailed) return;
    const timer = setInterval(askSession, RETRY_MS);
    return () => clearInterval(timer);
  }, [hasFailed, askSession]);

  const isLoggedIn = typeof login === "object" && "session" in login;
  const session = isLoggedIn ? login.session : undefined;
  useEffect(() => {
    if (!session) return;
    const opened = createLive({ session, onLoggedOut: () => setLogin("none") });
    setLive(opened);
    return () => opened.close();
  }, [session]);

  if (login === "none") return <LoginPage onLoggedIn={(session) => setLogin({ session })} />;
  if (hasFailed) {
    return (
      <main className="alone">
        <Failure error={login.error} onRetry={askSession} />
      </main>
    );
  }
  if (!isLoggedIn || !live) {
    return (
      <main className="alone">
        <Loading />
      </main>
    );
  }
  return (
    <SessionProvider value={{ ...login.session, logOut: () => setLogin("none") }}>
      <LiveProvider value={live}>
        <Shell />
      </LiveProvider>
    </SessionProvider>
  );
}
