import path from "node:path";
import type { Manager, Place, ServiceDefinition, ServiceFiles } from "./manager.ts";

const systemctl = ({ scope }: Place, ...args: string[]): readonly [string, ...string[]] => [
  "systemctl",
  ...(scope === "user" ? ["--user"] : []),
  ...args,
];

const unitName = ({ name }: Place): string => `${name}.service`;

const userConfig = ({ variables, home }: Place): string =>
  variables.XDG_CONFIG_HOME || path.join(home(), ".config");

/** Services of systemd, of a user or of the machine. */
export const systemd: Manager = {
  unitFile: (place) =>
    path.join(
      place.scope === "system" ? "/etc/systemd/system" : `${userConfig(place)}/systemd/user`,
      unitName(place),
    ),
  configFolder: (place) =>
    place.scope === "system" ? `/etc/${place.name}` : path.join(userConfig(place), place.name),
  text: systemdUnit,
  start: (place, _unit, { isChanged }) => [
    { argv: systemctl(place, "daemon-reload") },
    { argv: systemctl(place, "enable", "--now", unitName(place)) },
    ...(isChanged ? [{ argv: systemctl(place, "restart", unitName(place)) }] : []),
  ],
  stop: (place) => ({
    before: [{ argv: systemctl(place, "disable", "--now", unitName(place)) }],
    after: [{ argv: systemctl(place, "daemon-reload") }],
  }),
  async status(place, run) {
    const shown = await run({
      argv: systemctl(
        place,
        "show",
        unitName(place),
        "--property=ActiveState,SubState,MainPID,ExecMainStatus,NRestarts",
      ),
    });
    const facts = Object.fromEntries(
      shown.split("\n").map((line): [string, string] => {
        const [key = "", ...value] = line.split("=");
        return [key, value.join("=")];
      }),
    );
    const { ActiveState = "unknown", SubState = "", MainPID = "0" } = facts;
    const restarts = Number(facts.NRestarts ?? 0);
    return {
      running: ActiveState === "active",
      pid: Number(MainPID) || null,
      detail: [
        `${ActiveState} (${SubState})`,
        ...(ActiveState === "failed" ? [`exit code ${facts.ExecMainStatus}`] : []),
        ...(restarts > 0 ? [`restarted ${restarts} times`] : []),
      ].join(", "),
    };
  },
  advice: "without systemd, let another supervisor run the program",
  readsAsUser: false,
};

/**
 * The unit of a service.
 *
 * SIGTERM goes to the program alone (`KillMode=mixed`), which ends its children. systemd then kills the rest
 * of the control group. When the kernel kills a child for lack of memory, the service goes on
 * (`OOMPolicy=continue`) and the program reports it. The program may make control groups below its own
 * (`Delegate=yes`), so no process that it started can stay.
 */
function systemdUnit(
  {
    title,
    argv,
    runAs,
    secrets = {},
    stopMs,
    finalExitCodes,
    sharesTemp = false,
  }: ServiceDefinition,
  { name, scope }: Place,
  files: ServiceFiles,
): string {
  const forSystem = scope === "system";
  const lines = (all: readonly string[]): string => all.map((line) => `${line}\n`).join("");
  return `[Unit]
Description=${escapeSpecifiers(title)}
Wants=network-online.target tailscale-online.target
After=network-online.target tailscaled.service tailscale-online.target
StartLimitIntervalSec=0

[Service]
Type=exec
${lines([
  ...(forSystem && runAs ? [`User=${runAs}`] : []),
  `ExecStart=${argv.map((argument) => quote(argument.replaceAll("$", "$$$$"))).join(" ")}`,
  "ExecReload=/bin/kill -HUP $MAINPID",
  `EnvironmentFile=${escapeSpecifiers(files.settings)}`,
  ...Object.entries(secrets).map(([secret, { variable }]) =>
    forSystem
      ? `LoadCredential=${secret}:${escapeSpecifiers(files.secret(secret))}`
      : `Environment=${quote(`${variable}=${files.secret(secret)}`)}`,
  ),
])}OOMPolicy=continue
Delegate=yes
KillMode=mixed
KillSignal=SIGTERM
TimeoutStopSec=${Math.ceil(stopMs / 1_000)}
Restart=always
RestartSec=5
RestartPreventExitStatus=${finalExitCodes.join(" ")}
UMask=0077
NoNewPrivileges=yes
${lines([
  ...(forSystem ? [`StateDirectory=${name}`, "StateDirectoryMode=0700"] : []),
  ...(forSystem && !sharesTemp ? ["PrivateTmp=yes"] : []),
])}
[Install]
WantedBy=${forSystem ? "multi-user.target" : "default.target"}
`;
}

const escapeSpecifiers = (text: string): string => text.replaceAll("%", "%%");

/** Quotes a word for systemd: systemd.syntax(7), "Quoting". */
const quote = (word: string): string => {
  const escaped = escapeSpecifiers(word);
  if (/^[\w@%+=:,./$-]+$/.test(escaped)) return escaped;
  return `"${escaped.replaceAll("\\", "\\\\").replaceAll('"', '\\"')}"`;
};
