import type { Scope, Session } from "@loom/hub/client";
import { createContext, useContext } from "react";

interface OpenSession extends Session {
  /** Shows the login page. */
  logOut: () => void;
}

const SessionContext = createContext<OpenSession | undefined>(undefined);
export const SessionProvider = SessionContext.Provider;

export function useSession(): OpenSession {
  const session = useContext(SessionContext);
  if (!session) throw new Error("there is no session around this component");
  return session;
}

const ORDER: readonly Scope[] = ["read", "run", "operate", "admin"];

/** Whether whoever is logged in may do something: every scope holds those before it. */
export function useMay(scope: Scope): boolean {
  const { scopes } = useSession();
  return scopes.some((held) => ORDER.indexOf(held) >= ORDER.indexOf(scope));
}
