/** No workflow of this name is known to the hub. */
export class UnknownWorkflowError extends Error {
  override readonly name = "UnknownWorkflowError";
  readonly code = "UNKNOWN_WORKFLOW";
  readonly known: readonly string[];
  readonly suggestions: string[];
  constructor(workflow: string, known: readonly string[], suggestions: string[]) {
    const meant = suggestions.length > 0 ? `; did you mean ${suggestions.join(" or ")}?` : "";
    super(`there is no workflow ${workflow}${meant}`);
    this.known = known;
    this.suggestions = suggestions;
  }
}

/** The hub's settings are wrong; every problem is in the message. */
export class EnvError extends Error {
  override readonly name = "EnvError";
  readonly code = "ENV";
}

const LISTEN_ADVICE: Readonly<Record<string, string>> = {
  EADDRINUSE: "it is in use; set PORT to another one, or to 0 for any that is free",
  EACCES: "this user may not have it; set PORT to one above 1023",
  EADDRNOTAVAIL: "this machine has no such address; set LOOM_BIND to one that it has",
  ENOTFOUND: "there is no such host; set LOOM_BIND to an address of this machine",
};

/** The hub's address or port cannot be had. */
export class ListenError extends Error {
  override readonly name = "ListenError";
  readonly code = "LISTEN";
  readonly bind: string;
  readonly port: number;
  constructor(
    { bind, port }: { bind: string; port: number },
    { cause }: { cause: NodeJS.ErrnoException },
  ) {
    const advice = LISTEN_ADVICE[cause.code ?? ""] ?? cause.message;
    super(`cannot listen on port ${port} of ${bind}: ${advice}`, { cause });
    this.bind = bind;
    this.port = port;
  }
}

/** The database at `DATABASE_URL` could not be brought up to date; it is as it was. */
export class MigrationError extends Error {
  override readonly name = "MigrationError";
  readonly code = "MIGRATION";
}
