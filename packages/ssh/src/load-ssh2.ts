/**
 * The SSH client, once somebody connects: it takes megabytes, and whoever only has the code of a workflow
 * that deploys, as every agent does, never needs it.
 */
export const loadSsh2 = async () => (await import("ssh2")).default;
