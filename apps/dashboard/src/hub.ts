import { createHubClient, HubError } from "@loom/hub/client";

/** The hub that served this page: the browser's cookie says who asks. */
export const hub = createHubClient({ url: location.origin, retries: 0 });

/** A second client, for the one request that carries a token. */
export const logIn = (token: string) =>
  createHubClient({ url: location.origin, token, retries: 0 }).openSession();

/** Whether the hub wants to know who asks. */
export const isLoggedOut = (error: unknown): boolean =>
  error instanceof HubError && error.status === 401;

/** Whether this hub has no such thing: an older one, or a name that does not exist. */
export const isMissing = (error: unknown): boolean =>
  error instanceof HubError && error.status === 404;
