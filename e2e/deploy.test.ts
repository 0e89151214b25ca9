import { execFileSync } from "node:child_process";
import { chmod, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { startSshd, whySshdIsMissing } from "@loom/ssh/testing";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { startSystem } from "./support/system.ts";

const missing = whySshdIsMissing();
if (missing !== null && process.env.CI) throw new Error(missing);

/** A repository whose commits say how the service will be, and a systemctl that believes them. */
async function makeService() {
  const root = await mkdtemp(path.join(tmpdir(), "loom-e2e-deploy-"));
  onTestFinished(() => rm(root, { recursive: true }));
  const file = (name: string) => path.join(root, name);
  await mkdir(file("origin"));
  await mkdir(file("bin"));
  await writeFile(
    file("bin/systemctl"),
    `#!/bin/sh\n[ "$2" = restart ] || grep -qx active '${root}/app/current/state'\n`,
  );
  await chmod(file("bin/systemctl"), 0o755);
  const manifest = { name: "popos", version: "1.0.0" };
  const lock = { ...manifest, lockfileVersion: 3, packages: { "": manifest } };
  const scripts = { build: "cp wanted state" };
  await writeFile(file("origin/package.json"), JSON.stringify({ ...manifest, scripts }));
  await writeFile(file("origin/package-lock.json"), JSON.stringify(lock));
  const git = (...args: string[]) =>
    execFileSync("git", ["-c", "user.name=a", "-c", "user.email=a@b", ...args], {
      cwd: file("origin"),
    });
  git("init", "-q", "-b", "main");
  return {
    file,
    async commit(state: string) {
      await writeFile(file("origin/wanted"), `${state}\n`);
      git("add", "-A");
      git("commit", "-qm", state);
    },
  };
}

describe.skipIf(missing !== null)(`a deploy (${missing ?? "over OpenSSH"})`, () => {
  test("goes from the hub to a machine, and returns to the earlier release when it fails", async () => {
    const { file, commit } = await makeService();
    const sshd = await startSshd({
      node: "pop-os",
      environment: {
        PATH: `${file("bin")}:${path.dirname(process.execPath)}:${process.env.PATH}`,
      },
    });
    onTestFinished(sshd.stop);
    vi.stubEnv("LOOM_SSH_KEY", sshd.keyFile);
    vi.stubEnv("LOOM_SSH_USER", sshd.user);
    vi.stubEnv("LOOM_SSH_KNOWN_HOSTS", sshd.knownHosts);
    vi.stubEnv("LOOM_SSH_PORT", String(sshd.port));
    vi.stubEnv("LOOM_SSH_ADDRESSES", "pop-os=127.0.0.1");
    onTestFinished(() => void vi.unstubAllEnvs());
    const system = await startSystem();
    onTestFinished(() => system.stop());

    const deploy = async () => {
      const input = {
        directory: file("app"),
        repository: file("origin"),
        service: "popos.service",
        healthSeconds: 1,
      };
      const { status, body } = await system.call("POST", "/strands/popos-deploy/run", { input });
      expect(status).toBe(202);
      const read = async () => (await system.call("GET", `/runs/${body.runId}`)).body;
      await expect
        .poll(async () => (await read()).status, { timeout: 60_000 })
        .toMatch(/succeeded|failed/);
      return read();
    };
    const state = () => readFile(file("app/current/state"), "utf8");

    await commit("active");
    const first = await deploy();
    expect(first).toMatchObject({
      status: "succeeded",
      steps: expect.arrayContaining([
        expect.objectContaining({ step: "rollback", skipReason: "nothing_failed" }),
      ]),
    });
    expect(await state()).toBe("active\n");

    await commit("broken");
    const failed = await deploy();
    expect(failed).toMatchObject({
      status: "failed",
      steps: expect.arrayContaining([
        expect.objectContaining({
          step: "verify",
          state: "failed",
          error: expect.objectContaining({ message: expect.stringContaining("is not healthy") }),
        }),
        expect.objectContaining({ step: "rollback", state: "succeeded", host: "oracle" }),
        expect.objectContaining({ step: "conclude", state: "skipped", skipReason: "need_failed" }),
      ]),
    });
    expect(await state()).toBe("active\n");
  });
});
