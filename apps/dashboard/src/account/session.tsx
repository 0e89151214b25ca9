import type { Scope, Session } from "@loom/client";
import { createContext, useContext } from "react";

interface OpenSession extends Session {
  /** Shows the login page. */
  logOut: () => void;
}

const SessionContext = createContext<OpenSession | undefined>(undefined);
export const SessionProvider = SessionContext.Provider;

export function useSession(): OpenSession {
  const session = useContext(SessionContext);
  if (!session) throw new Error("useSession needs a SessionProvider above the component");
  return session;
}

const ORDER: readonly Scope[] = ["read", "run", "operate", "admin"];

/** Whether the session has a scope: each of these includes those before it. `exec` stands beside them, and no page needs it. */
export function useHasScope(scope: Scope): boolean {
  const { scopes } = useSession();
  return scopes.some((held) => ORDER.indexOf(held) >= ORDER.indexOf(scope));
}

/** Shown in place of content that the session may not see. */
export const NotAllowed = ({ scope }: { scope: Scope }) => (
  <p className="muted">
    You need the scope <code>{scope}</code> to see this.
  </p>
);
