import path from "node:path";
import type { Manager, Place, ServiceDefinition, ServiceFiles } from "./manager.ts";

/** Reads the settings and becomes the program, so that signals and exit codes are the program's own. */
const START = 'set -a; . "$1"; set +a; shift; exec "$@"';

const domain = ({ scope }: Place): string =>
  scope === "system" ? "system" : `gui/${process.getuid?.()}`;

const launchctl = (...args: string[]): readonly [string, ...string[]] => ["launchctl", ...args];

/** Services of launchd: an agent of a user, or a daemon of the machine. */
export const launchd: Manager = {
  unitFile: ({ name, scope, home }) =>
    scope === "system"
      ? `/Library/LaunchDaemons/${name}.plist`
      : path.join(home(), `Library/LaunchAgents/${name}.plist`),
  configFolder: ({ name, scope, home }) =>
    path.join(scope === "system" ? "/" : home(), "Library/Application Support", name),
  text: propertyList,
  start: (place, unit, { isNew, isChanged }) => [
    // A loaded service keeps its old description until it is loaded again.
    ...(isChanged
      ? [{ argv: launchctl("bootout", `${domain(place)}/${place.name}`), mayFail: true }]
      : []),
    { argv: launchctl("enable", `${domain(place)}/${place.name}`) },
    { argv: launchctl("bootstrap", domain(place), unit), mayFail: !isNew && !isChanged },
  ],
  stop: (place) => ({
    before: [{ argv: launchctl("bootout", `${domain(place)}/${place.name}`), mayFail: true }],
    after: [],
  }),
  async status(place, run) {
    const shown = await run({
      argv: launchctl("print", `${domain(place)}/${place.name}`),
      mayFail: true,
    });
    const fact = (key: string): string | undefined =>
      new RegExp(`^\\s*${key} = (.+)$`, "m").exec(shown)?.[1];
    const state = fact("state") ?? "not loaded";
    const lastExit = fact("last exit code");
    return {
      running: state === "running",
      pid: Number(fact("pid")) || null,
      detail: lastExit && state !== "running" ? `${state}, last exit code ${lastExit}` : state,
    };
  },
  advice:
    "a user's service needs somebody logged in at the screen; with --system it is one of the machine",
  readsAsUser: true,
};

/** The property list of a service: launchd.plist(5). */
function propertyList(
  { argv, runAs, secrets = {}, stopMs, finalExitCodes }: ServiceDefinition,
  { name, scope, home }: Place,
  files: ServiceFiles,
): string {
  const log = path.join(scope === "system" ? "/" : home(), "Library/Logs", `${name}.log`);
  const variables = {
    ...Object.fromEntries(
      Object.entries(secrets).map(([secret, { variable }]) => [variable, files.secret(secret)]),
    ),
    // launchd starts a service again after any exit code except 0: the program ends with 0 in place of these.
    LOOM_FINAL_EXIT_CODES: finalExitCodes.join(" "),
  };
  return `<?xml version="1.0" encoding="UTF-8"?>
<!DOCTYPE plist PUBLIC "-//Apple//DTD PLIST 1.0//EN" "http://www.apple.com/DTDs/PropertyList-1.0.dtd">
<plist version="1.0">
${toXml({
  Label: name,
  ProgramArguments: ["/bin/sh", "-c", START, name, files.settings, ...argv],
  ...(scope === "system" && runAs ? { UserName: runAs } : {}),
  EnvironmentVariables: variables,
  RunAtLoad: true,
  KeepAlive: { SuccessfulExit: false },
  ThrottleInterval: 5,
  ExitTimeOut: Math.ceil(stopMs / 1_000),
  Umask: 0o077,
  StandardOutPath: log,
  StandardErrorPath: log,
})}
</plist>
`;
}

type Value = string | number | boolean | readonly Value[] | { readonly [key: string]: Value };

function toXml(value: Value): string {
  if (typeof value === "string") return `<string>${escapeXml(value)}</string>`;
  if (typeof value === "number") return `<integer>${value}</integer>`;
  if (typeof value === "boolean") return value ? "<true/>" : "<false/>";
  if (Array.isArray(value)) return `<array>\n${value.map(toXml).join("\n")}\n</array>`;
  const entries = Object.entries(value).map(
    ([key, each]) => `<key>${escapeXml(key)}</key>\n${toXml(each)}`,
  );
  return `<dict>\n${entries.join("\n")}\n</dict>`;
}

const escapeXml = (text: string): string =>
  text.replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");
