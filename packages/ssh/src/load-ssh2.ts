/**
 * Loads the SSH client on the first connection. It takes megabytes of memory, and every agent
 * imports workflows that may never connect.
 */
export const loadSsh2 = async () => (await import("ssh2")).default;
