/** How the agent is to run as a service. */
export interface ServiceSettings {
  /** The program and its arguments, as absolute paths. */
  argv: readonly string[];
  /** Whom it runs as; undefined for a service of the user's own. */
  runAs: string | undefined;
  envFile: string;
  keyFile: string;
  /** How long running steps may go on when it stops. */
  graceMs: number;
}

/** What systemd waits for beyond the grace: steps that ignore their abort, and last outcomes. */
const LAST_WORDS_S = 30;

/**
 * The unit of the agent's service.
 *
 * SIGTERM goes to the agent alone (`KillMode=mixed`), which ends its steps; what is left of the
 * control group when it has ended is killed. A wrong environment or a refused key is not
 * tried again.
 */
export function systemdUnit({ argv, runAs, envFile, keyFile, graceMs }: ServiceSettings): string {
  const forSystem = runAs !== undefined;
  return `[Unit]
Description=Loom agent: runs steps of workflows on this machine
Wants=network-online.target tailscale-online.target
After=network-online.target tailscaled.service tailscale-online.target
StartLimitIntervalSec=0

[Service]
Type=exec
${forSystem ? `User=${runAs}\n` : ""}ExecStart=${argv.map((argument) => quote(argument.replaceAll("$", "$$$$"))).join(" ")}
ExecReload=/bin/kill -HUP $MAINPID
EnvironmentFile=${escapeSpecifiers(envFile)}
${
  forSystem
    ? `LoadCredential=node-key:${escapeSpecifiers(keyFile)}`
    : `Environment=${quote(`LOOM_NODE_KEY_FILE=${keyFile}`)}`
}
KillMode=mixed
KillSignal=SIGTERM
TimeoutStopSec=${Math.ceil(graceMs / 1_000) + LAST_WORDS_S}
Restart=always
RestartSec=5
RestartPreventExitStatus=2 4
UMask=0077
NoNewPrivileges=yes
${forSystem ? "StateDirectory=loom-agent\nStateDirectoryMode=0700\nPrivateTmp=yes\n" : ""}
[Install]
WantedBy=${forSystem ? "multi-user.target" : "default.target"}
`;
}

const escapeSpecifiers = (text: string): string => text.replaceAll("%", "%%");

/** A word as systemd reads it: systemd.syntax(7), "Quoting". */
const quote = (word: string): string => {
  const escaped = escapeSpecifiers(word);
  if (/^[\w@%+=:,./$-]+$/.test(escaped)) return escaped;
  return `"${escaped.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
};

/** Variables as lines of an `EnvironmentFile=`: systemd.exec(5). */
export const environmentFile = (variables: Readonly<Record<string, string>>): string =>
  Object.entries(variables)
    .map(([name, value]) => `${name}="${value.replaceAll(/[\\"$`]/g, "\\$&")}"\n`)
    .join("");
