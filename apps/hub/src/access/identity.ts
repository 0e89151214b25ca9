import type { Scope } from "@loom/queue";

/** Who a request comes from, and what that allows. */
export interface Identity {
  /** For the record: `token ci`, `ada@example.org`. Requests of one `who` share a rate limit. */
  who: string;
  scopes: readonly Scope[];
  /** The token or session in the database, where it is one of those. */
  tokenId: string | null;
  isSession: boolean;
  expiresAt: Date | null;
}

/** Whether an identity may do what needs a scope: `admin` may do everything. */
export const allows = ({ scopes }: Pick<Identity, "scopes">, scope: Scope): boolean =>
  scopes.includes(scope) || scopes.includes("admin");
