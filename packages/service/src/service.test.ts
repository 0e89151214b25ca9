import { execFileSync, spawnSync } from "node:child_process";
import { chmodSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import type { ServiceDefinition } from "./manager.ts";
import { openService } from "./service.ts";

const DEFINITION: ServiceDefinition = {
  title: "Loom agent: runs steps of workflows on this machine",
  argv: [process.execPath, "--conditions=@loom/source", "/opt/loom agent/main.js", "start"],
  runAs: "root",
  environment: { A: "1 2", B: 'say "$HOME" \\ `x`' },
  secrets: { "node-key": { variable: "LOOM_NODE_KEY_FILE", text: "secret" } },
  stopMs: 90_000,
  finalExitCodes: [2, 4, 6],
};

function makeFolder(): string {
  const folder = mkdtempSync(path.join(tmpdir(), "loom-service-"));
  onTestFinished(() => rmSync(folder, { recursive: true }));
  return folder;
}

const open = (scope: "user" | "system", options: { platform?: NodeJS.Platform } = {}) =>
  openService({
    name: "loom-agent",
    scope,
    platform: options.platform ?? "linux",
    variables: { XDG_CONFIG_HOME: "/home/ada/.config" },
  });

/** Whether systemd is here to read it; elsewhere its contents are compared only. */
const hasSystemd = (() => {
  try {
    execFileSync("systemd-analyze", ["--version"]);
    return true;
  } catch {
    return false;
  }
})();

describe("of systemd", () => {
  test("a service of the machine runs as a user, with its secrets as credentials", () => {
    expect(open("system").print(DEFINITION).split("\n")).toEqual(
      expect.arrayContaining([
        "Type=exec",
        "User=root",
        `ExecStart=${process.execPath} --conditions=@loom/source "/opt/loom agent/main.js" start`,
        "EnvironmentFile=/etc/loom-agent/agent.env",
        "LoadCredential=node-key:/etc/loom-agent/node-key",
        // The default stops the whole service when one step is out of memory.
        "OOMPolicy=continue",
        "Delegate=yes",
        "KillMode=mixed",
        "TimeoutStopSec=90",
        "Restart=always",
        "RestartPreventExitStatus=2 4 6",
        "NoNewPrivileges=yes",
        "PrivateTmp=yes",
        "StateDirectory=loom-agent",
        "WantedBy=multi-user.target",
      ]),
    );
  });

  test("a user's service needs no rights of the machine's", () => {
    const unit = open("user").print(DEFINITION);
    expect(unit).not.toMatch(/User=|StateDirectory|PrivateTmp|LoadCredential/);
    expect(unit.split("\n")).toEqual(
      expect.arrayContaining([
        "EnvironmentFile=/home/ada/.config/loom-agent/agent.env",
        "Environment=LOOM_NODE_KEY_FILE=/home/ada/.config/loom-agent/node-key",
        "NoNewPrivileges=yes",
        "WantedBy=default.target",
      ]),
    );
  });

  test("one whose files others look for has no private folder for temporary files", () => {
    expect(open("system").print({ ...DEFINITION, sharesTemp: true })).not.toContain("PrivateTmp");
  });

  test("systemd reads nothing into a path", () => {
    const argv = ["/opt/50%/$HOME/node", 'a "b" \\c'];
    const unit = open("user").print({ ...DEFINITION, argv });
    expect(unit).toContain('ExecStart=/opt/50%%/$$HOME/node "a \\"b\\" \\\\c"\n');
  });

  test.runIf(hasSystemd).for([{ scope: "system" }, { scope: "user" }] as const)(
    "systemd understands the unit of a $scope service",
    ({ scope }) => {
      const file = path.join(makeFolder(), "loom-agent.service");
      writeFileSync(file, open(scope).print(DEFINITION));
      // It prints what it does not understand, and fails for what it cannot load.
      const said = execFileSync("systemd-analyze", ["verify", "--man=no", file], {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "pipe"],
      });
      expect(said).toBe("");
    },
  );

  test("keeps settings when it is installed again, and restarts only after a change", async () => {
    const folder = makeFolder();
    const bin = path.join(folder, "bin");
    execFileSync("mkdir", [bin]);
    const systemctl = path.join(bin, "systemctl");
    writeFileSync(systemctl, `#!/bin/sh\necho "$@" >> ${folder}/calls\n`);
    chmodSync(systemctl, 0o755);
    const before = process.env.PATH;
    process.env.PATH = `${bin}:${before}`;
    onTestFinished(() => {
      process.env.PATH = before;
    });
    const service = openService({
      name: "loom-agent",
      scope: "user",
      platform: "linux",
      variables: { XDG_CONFIG_HOME: folder },
    });
    const calls = () => {
      const text = readFileSync(path.join(folder, "calls"), "utf8");
      rmSync(path.join(folder, "calls"));
      return text.trim().split("\n");
    };
    await service.install(DEFINITION);
    expect(readFileSync(service.files.settings, "utf8")).toBe(
      'A="1 2"\nB="say \\"\\$HOME\\" \\\\ \\`x\\`"\n',
    );
    for (const file of [service.files.settings, service.files.secret("node-key")]) {
      expect(statSync(file).mode & 0o777).toBe(0o600);
    }
    expect(service.hasSettings(["node-key"])).toBe(true);
    const start = ["--user daemon-reload", "--user enable --now loom-agent.service"];
    expect(calls()).toEqual(start);
    await service.install({ ...DEFINITION, environment: {} });
    expect(calls()).toEqual(start);
    expect(readFileSync(service.files.settings, "utf8")).toContain("A=");
    await service.install({ ...DEFINITION, argv: ["/opt/new"] });
    expect(calls()).toEqual([...start, "--user restart loom-agent.service"]);
    await service.uninstall();
    expect(calls()).toEqual(["--user disable --now loom-agent.service", "--user daemon-reload"]);
    await expect(service.uninstall()).rejects.toThrow("nothing is installed");
  });

  test("says how the service is, by systemd's own facts", async () => {
    const folder = makeFolder();
    const systemctl = path.join(folder, "systemctl");
    writeFileSync(
      systemctl,
      "#!/bin/sh\nprintf 'ActiveState=failed\\nSubState=failed\\nMainPID=0\\nExecMainStatus=4\\nNRestarts=2\\n'\n",
    );
    chmodSync(systemctl, 0o755);
    const before = process.env.PATH;
    process.env.PATH = `${folder}:${before}`;
    onTestFinished(() => {
      process.env.PATH = before;
    });
    expect(await open("user").status()).toEqual({
      installed: false,
      running: false,
      pid: null,
      detail: "failed (failed), exit code 4, restarted 2 times",
    });
  });
});

// launchd itself is on macOS only: the text and the shell in it are tested.
describe("of launchd", () => {
  const mac = (scope: "user" | "system") => open(scope, { platform: "darwin" });

  test("a service of the machine is a daemon that runs as a user", () => {
    const service = mac("system");
    expect(service.files.unit).toBe("/Library/LaunchDaemons/loom-agent.plist");
    const list = service.print({ ...DEFINITION, argv: ["/opt/a&b", "<start>"] });
    expect(list).toContain("<key>UserName</key>\n<string>root</string>");
    expect(list).toContain("<string>/opt/a&amp;b</string>\n<string>&lt;start&gt;</string>");
    expect(list).toContain(
      "<key>LOOM_NODE_KEY_FILE</key>\n<string>/Library/Application Support/loom-agent/node-key</string>",
    );
    expect(list).toContain("<key>ExitTimeOut</key>\n<integer>90</integer>");
    expect(list).not.toContain("secret");
  });

  test("a user's service is an agent in the user's library", () => {
    const { unit } = mac("user").files;
    expect(unit).toMatch(/^\/.*\/Library\/LaunchAgents\/loom-agent\.plist$/);
    expect(mac("user").print(DEFINITION)).not.toContain("UserName");
  });

  test("the shell of a property list reads the settings and becomes the program", () => {
    const list = mac("user").print({ ...DEFINITION, argv: ["PROGRAM"] });
    const shell = /<string>-c<\/string>\n<string>([\s\S]*?)<\/string>/.exec(list)?.[1] ?? "";
    const text = shell.replaceAll("&amp;", "&").replaceAll("&gt;", ">").replaceAll("&lt;", "<");
    const settings = path.join(makeFolder(), "agent.env");
    writeFileSync(settings, 'NOTE="1 \\$2"\n');
    const program = ["/bin/sh", "-c", 'echo "$NOTE $$ $0"', "a b"];
    const { stdout, pid } = spawnSync("/bin/sh", ["-c", text, "loom-agent", settings, ...program], {
      encoding: "utf8",
    });
    expect(stdout).toBe(`1 $2 ${pid} a b\n`);
  });

  test("the program knows after which exit codes it must not be started again", () => {
    expect(mac("user").print(DEFINITION)).toContain(
      "<key>LOOM_FINAL_EXIT_CODES</key>\n<string>2 4 6</string>",
    );
  });
});
