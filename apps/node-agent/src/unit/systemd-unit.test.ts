import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { environmentFile, systemdUnit } from "./systemd-unit.ts";

const SETTINGS = {
  argv: [process.execPath, "--conditions=@loom/source", "/opt/loom agent/main.js", "start"],
  envFile: "/etc/loom-agent/agent.env",
  keyFile: "/etc/loom-agent/node-key",
  graceMs: 60_000,
};

/** Whether systemd is here to read it; elsewhere its contents are compared only. */
const hasSystemd = (() => {
  try {
    execFileSync("systemd-analyze", ["--version"]);
    return true;
  } catch {
    return false;
  }
})();

describe("systemdUnit", () => {
  test("of the machine runs as a user, with the key as a credential", () => {
    const unit = systemdUnit({ ...SETTINGS, runAs: "root" });
    expect(unit.split("\n")).toEqual(
      expect.arrayContaining([
        "Type=exec",
        "User=root",
        `ExecStart=${process.execPath} --conditions=@loom/source "/opt/loom agent/main.js" start`,
        "LoadCredential=node-key:/etc/loom-agent/node-key",
        "KillMode=mixed",
        "TimeoutStopSec=90",
        "Restart=always",
        "RestartPreventExitStatus=2 4",
        "NoNewPrivileges=yes",
        "PrivateTmp=yes",
        "StateDirectory=loom-agent",
        "WantedBy=multi-user.target",
      ]),
    );
  });

  test("of a user needs no rights of the machine's", () => {
    const unit = systemdUnit({ ...SETTINGS, runAs: undefined });
    expect(unit).not.toMatch(/User=|StateDirectory|PrivateTmp|LoadCredential/);
    expect(unit.split("\n")).toEqual(
      expect.arrayContaining([
        "Environment=LOOM_NODE_KEY_FILE=/etc/loom-agent/node-key",
        "NoNewPrivileges=yes",
        "WantedBy=default.target",
      ]),
    );
  });

  test("keeps systemd from reading anything into a path", () => {
    const argv = ["/opt/50%/$HOME/node", 'a "b" \\c'];
    const unit = systemdUnit({ ...SETTINGS, argv, runAs: undefined });
    expect(unit).toContain('ExecStart=/opt/50%%/$$HOME/node "a \\"b\\" \\\\c"\n');
  });

  test.runIf(hasSystemd).for([{ runAs: "root" }, { runAs: undefined }])(
    "is what systemd understands, for $runAs",
    ({ runAs }) => {
      const folder = mkdtempSync(path.join(tmpdir(), "loom-unit-"));
      onTestFinished(() => rmSync(folder, { recursive: true }));
      const file = path.join(folder, "loom-agent.service");
      writeFileSync(file, systemdUnit({ ...SETTINGS, runAs }));
      // It prints what it does not understand, and fails for what it cannot load.
      const said = execFileSync("systemd-analyze", ["verify", "--man=no", file], {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "pipe"],
      });
      expect(said).toBe("");
    },
  );
});

describe("environmentFile", () => {
  test("quotes what systemd would read otherwise", () => {
    expect(environmentFile({ A: "1 2", B: 'say "$HOME" \\ `x`' })).toBe(
      'A="1 2"\nB="say \\"\\$HOME\\" \\\\ \\`x\\`"\n',
    );
  });
});
