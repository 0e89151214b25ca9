import { createHubClient, HubError } from "@loom/client";

/** The client of the hub that served this page; the browser's cookie authenticates it. */
export const hub = createHubClient({ url: location.origin, retries: 0 });

/** Opens a session. This is the only request that carries a token. */
export const logIn = (token: string) =>
  createHubClient({ url: location.origin, token, retries: 0 }).openSession();

/** Whether the hub requires a login. */
export const isLoggedOut = (error: unknown): boolean =>
  error instanceof HubError && error.status === 401;

/** Whether the hub has no such resource: the name does not exist, or the hub is too old. */
export const isMissing = (error: unknown): boolean =>
  error instanceof HubError && error.status === 404;
