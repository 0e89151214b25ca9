import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import path from "node:path";
import { describe, expect, onTestFinished, test, vi } from "vitest";
import { recordLog } from "../../test/recorded-log.ts";
import { binary } from "./binary.ts";
import { describeNode } from "./capabilities.ts";
import { credentials, parseCredentials } from "./credentials.ts";
import { createProbeRunner, type Probe, type Probed, runProbe } from "./probe.ts";
import { createProber, withoutFlapping } from "./prober.ts";
import { docker, nvidia } from "./programs.ts";
import { disk, parseOsRelease, system } from "./system.ts";
import { tailscale } from "./tailscale.ts";

/** A folder with these programs, which is all there is in PATH. */
async function pathOf(programs: Record<string, string>): Promise<string> {
  const folder = await mkdtemp(path.join(tmpdir(), "loom-probes-"));
  onTestFinished(() => rm(folder, { recursive: true }));
  for (const [name, script] of Object.entries(programs)) {
    const file = path.join(folder, name);
    await writeFile(file, `#!/bin/sh\n${script}\n`);
    await chmod(file, 0o755);
  }
  vi.stubEnv("PATH", folder);
  onTestFinished(() => void vi.unstubAllEnvs());
  return folder;
}

/** Whether a process runs; where nobody collects the dead, they stay as zombies. */
const isAlive = async (pid: number): Promise<boolean> => {
  const status = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "(gone) Z");
  return !/\) Z/.test(status);
};

/** A probe that finds one thing after the other, and then the last one for ever. */
const scripted = (findings: readonly Probed[], everyMs = 1): Probe => {
  let turn = 0;
  return {
    name: "scripted",
    everyMs,
    run: async () => {
      const finding = findings[Math.min(turn, findings.length - 1)];
      turn += 1;
      if (!finding) throw new Error("nothing to find");
      return finding;
    },
  };
};

describe("nvidia", () => {
  test("reports count, models, memory and driver", async () => {
    await pathOf({
      "nvidia-smi": `[ "$1" = "--query-gpu=name,memory.total,driver_version" ] || exit 9
echo "NVIDIA GeForce RTX 4090, 24564, 550.54.14"
echo "NVIDIA A100-SXM4-40GB, 40960, 550.54.14"`,
    });
    expect(await runProbe(nvidia)).toMatchObject({
      result: "ok",
      capabilities: [
        "has-gpu",
        "gpu.count=2",
        "gpu.model=nvidia-geforce-rtx-4090",
        "gpu.vram-gb=24",
        "gpu.driver=550.54.14",
        "gpu.model=nvidia-a100-sxm4-40gb",
        "gpu.vram-gb=40",
      ],
    });
  });

  test("is absent when the program is missing or lists nothing", async () => {
    await pathOf({});
    expect(await runProbe(nvidia)).toMatchObject({ result: "absent", capabilities: [] });
    await pathOf({ "nvidia-smi": "exit 0" });
    expect(await runProbe(nvidia)).toMatchObject({ result: "absent" });
  });

  test("fails with the driver's message when the driver does not answer", async () => {
    await pathOf({ "nvidia-smi": "echo 'NVIDIA-SMI has failed: no driver'; exit 9" });
    expect(await runProbe(nvidia)).toMatchObject({
      result: "failed",
      capabilities: [],
      evidence: "nvidia-smi ended with 9: NVIDIA-SMI has failed: no driver",
    });
  });

  test("ends when it hangs, and leaves no process", async () => {
    const folder = await pathOf({
      "nvidia-smi": `/bin/sleep 600 &
echo $! > "$(/usr/bin/dirname "$0")/pid"
wait`,
    });
    const report = await runProbe(nvidia, { timeoutMs: 300 });
    expect(report).toMatchObject({ result: "timeout", evidence: "no answer within 300 ms" });
    expect(report.tookMs).toBeLessThan(2_000);
    const pid = Number(await readFile(path.join(folder, "pid"), "utf8"));
    expect(pid).toBeGreaterThan(1);
    await expect.poll(() => isAlive(pid)).toBe(false);
  });
});

describe("a program that hangs", () => {
  /** Signals that change nothing, as for a process in uninterruptible sleep; its pids, which end with the test. */
  async function hanging() {
    const folder = await pathOf({
      "nvidia-smi": `echo $$ >> "$(/usr/bin/dirname "$0")/pids"
exec /bin/sleep 600`,
    });
    const kill = process.kill.bind(process);
    const spy = vi.spyOn(process, "kill").mockReturnValue(true);
    const pids = async () =>
      (await readFile(path.join(folder, "pids"), "utf8")).trim().split("\n").map(Number);
    onTestFinished(async () => {
      spy.mockRestore();
      for (const pid of await pids()) if (await isAlive(pid)) kill(pid, "SIGKILL");
    });
    return { pids, endOne: (pid: number) => kill(pid, "SIGKILL") };
  }

  test("starts again only after an earlier process that could not be killed has ended", async () => {
    const { pids, endOne } = await hanging();
    const run = createProbeRunner(nvidia, { timeoutMs: 200 });
    expect(await run()).toMatchObject({ result: "timeout", evidence: "no answer within 200 ms" });
    for (let again = 0; again < 3; again += 1) {
      expect(await run()).toMatchObject({
        result: "timeout",
        evidence: expect.stringMatching(/^the run of \S+Z hangs and could not be ended/),
      });
    }
    const [pid = 0, ...others] = await pids();
    expect(others).toEqual([]);
    endOne(pid);
    await expect.poll(async () => (await run()).evidence).toBe("no answer within 200 ms");
    expect(await pids()).toHaveLength(2);
  });

  test("ends no other process when it may not be killed", async () => {
    const { pids } = await hanging();
    vi.mocked(process.kill).mockImplementation(() => {
      throw Object.assign(new Error("kill EPERM"), { code: "EPERM" });
    });
    expect(await runProbe(nvidia, { timeoutMs: 200 })).toMatchObject({ result: "timeout" });
    expect(await pids()).toHaveLength(1);
  });

  test("ends although a process that it left holds its output open", async () => {
    const folder = await pathOf({
      docker: `/usr/bin/setsid /bin/sleep 600 &
echo $! > "$(/usr/bin/dirname "$0")/pid"
echo 27.0.1`,
    });
    const report = await runProbe(docker, { timeoutMs: 10_000 });
    process.kill(Number(await readFile(path.join(folder, "pid"), "utf8")), "SIGKILL");
    expect(report).toMatchObject({
      result: "ok",
      capabilities: ["docker", "docker-version=27.0.1"],
    });
    expect(report.tookMs).toBeLessThan(5_000);
  });
});

describe("docker", () => {
  test("reports the daemon's version", async () => {
    await pathOf({ docker: "echo 27.0.1" });
    expect(await runProbe(docker)).toMatchObject({
      result: "ok",
      capabilities: ["docker", "docker-version=27.0.1"],
    });
  });

  test("fails when there is a client but no daemon", async () => {
    await pathOf({ docker: "echo 'Cannot connect to the Docker daemon' >&2; exit 1" });
    expect(await runProbe(docker)).toMatchObject({
      result: "failed",
      evidence: expect.stringContaining("Cannot connect"),
    });
  });
});

describe("other probes", () => {
  test("report Node and the distribution", async () => {
    const { capabilities } = await runProbe(system);
    expect(capabilities).toContain(`node-version=${process.versions.node}`);
    expect(parseOsRelease(`NAME="Pop!_OS"\nID=pop\nVERSION_ID='22.04'\n# no\n`)).toEqual({
      NAME: "Pop!_OS",
      ID: "pop",
      VERSION_ID: "22.04",
    });
  });

  test("report free space as a power of two, and fail without the folder", async () => {
    const [capability] = (await runProbe(disk("/"))).capabilities;
    const gigabytes = Number(capability?.replace("disk-free-gb=", ""));
    expect(gigabytes === 0 || Number.isInteger(Math.log2(gigabytes))).toBe(true);
    expect(await runProbe(disk("/nowhere"))).toMatchObject({ result: "failed" });
  });

  test("report the tailnet's tags and its problems", async () => {
    const probe = tailscale(async () => ({ fqdn: "forge.a.ts.net", tags: ["tag:loom-agent"] }));
    expect(await runProbe(probe)).toMatchObject({
      result: "ok",
      capabilities: ["tailscale", "tailscale-tag=loom-agent"],
    });
    const down = tailscale(() => Promise.reject(new Error("tailscaled does not run")));
    expect(await runProbe(down)).toMatchObject({
      result: "failed",
      evidence: "tailscaled does not run",
    });
  });

  test("find programs without running them", async () => {
    const folder = await pathOf({ ffmpeg: "exit 1" });
    await writeFile(path.join(folder, "notes"), "text");
    expect(await runProbe(binary("ffmpeg", `/nowhere:${folder}`))).toMatchObject({
      result: "ok",
      capabilities: ["has-ffmpeg"],
    });
    expect(await runProbe(binary("notes", folder))).toMatchObject({ result: "absent" });
    expect(await runProbe(binary("sox", folder))).toMatchObject({ result: "absent" });
  });

  test("find credentials when all variables are set, and report no value", async () => {
    const folder = await pathOf({});
    const file = path.join(folder, "key");
    await writeFile(file, "s3cret");
    const needs = ["RETURNPRO_USER", file];
    const probe = credentials({ name: "returnpro", needs }, { RETURNPRO_USER: "ada-the-user" });
    const report = await runProbe(probe);
    expect(report).toMatchObject({ result: "ok", capabilities: ["has-returnpro-creds"] });
    expect(JSON.stringify(report)).not.toMatch(/s3cret|ada-the-user/);
    expect(
      await runProbe(credentials({ name: "returnpro", needs }, { RETURNPRO_USER: " " })),
    ).toMatchObject({ result: "absent", evidence: "RETURNPRO_USER missing" });
  });

  test.for([
    { text: "", list: [] },
    { text: "nas=/etc/nas.cred", list: [{ name: "nas", needs: ["/etc/nas.cred"] }] },
    {
      text: "a=B+C , d=E",
      list: [
        { name: "a", needs: ["B", "C"] },
        { name: "d", needs: ["E"] },
      ],
    },
    { text: "nas", list: undefined },
    { text: "nas=", list: undefined },
    { text: "nas=etc/nas", list: undefined },
    { text: "Nas=A", list: undefined },
  ])("read the credentials '$text'", ({ text, list }) => {
    expect(parseCredentials(text)).toEqual(list);
  });
});

describe("createProber", () => {
  const ok = (capability: string): Probed => ({
    result: "ok",
    capabilities: [capability],
    evidence: capability,
  });

  /** A prober at work, until the end of the test. */
  function start(probes: Probe[], timeoutMs = 200) {
    const stop = new AbortController();
    const seen: string[][] = [];
    const prober = createProber(probes, { log: recordLog(), timeoutMs });
    const onChange = () => void seen.push(prober.reports().flatMap((each) => each.capabilities));
    const done = prober.run({ onChange, signal: stop.signal });
    onTestFinished(async () => {
      stop.abort();
      await done;
    });
    return { prober, seen };
  }

  test("reports changes only", async () => {
    const { seen } = start([
      scripted([ok("docker"), ok("docker"), { result: "absent", evidence: "gone" }, ok("back")]),
    ]);
    await expect.poll(() => seen).toHaveLength(3);
    expect(seen).toEqual([["docker"], [], ["back"]]);
  });

  test("runs the other probes while one hangs", async () => {
    const hanging: Probe = { name: "hanging", everyMs: 60_000, run: () => new Promise(() => {}) };
    const { prober } = start([hanging, scripted([ok("docker")], 60_000)], 2_000);
    const startedAt = performance.now();
    await prober.firstRound(50);
    expect(performance.now() - startedAt).toBeLessThan(1_900);
    expect(prober.reports()).toMatchObject([{ name: "scripted", result: "ok" }]);
    await prober.firstRound(5_000);
    expect(prober.reports()).toMatchObject([{ name: "hanging", result: "timeout" }, {}]);
  });

  test("starts a hanging probe only once", async () => {
    let looks = 0;
    const hanging: Probe = {
      name: "hanging",
      everyMs: 1,
      run: () => {
        looks += 1;
        return new Promise(() => {});
      },
    };
    const { prober } = start([hanging]);
    await expect
      .poll(() => prober.reports()[0]?.evidence)
      .toMatch(/^the run of \S+Z hangs and could not be ended/);
    expect(looks).toBe(1);
  });

  test("probes again on request", async () => {
    const { prober, seen } = start([scripted([ok("a"), ok("b")], 3_600_000)]);
    await prober.firstRound(5_000);
    prober.runAll();
    await expect.poll(() => seen).toEqual([["a"], ["b"]]);
  });
});

describe("withoutFlapping", () => {
  const base = { name: "gpu", evidence: "", at: new Date(0), tookMs: 1, everyMs: 1 };
  const good = { ...base, result: "ok" as const, capabilities: ["has-gpu"] };
  const late = { ...base, result: "timeout" as const, capabilities: [] };

  test("keeps a capability after one timeout, and drops it after a failure", () => {
    const first = withoutFlapping(good, late);
    expect(first.capabilities).toEqual(["has-gpu"]);
    expect(withoutFlapping(first, late).capabilities).toEqual([]);
    expect(withoutFlapping(undefined, late).capabilities).toEqual([]);
    expect(withoutFlapping(good, { ...late, result: "failed" }).capabilities).toEqual([]);
  });
});

describe("describeNode", () => {
  test("keeps the source of each capability", async () => {
    await pathOf({});
    const { capabilities, facts } = describeNode({
      machine: { capabilities: ["os=linux"], facts: { cpus: 8 } },
      declared: ["has-gpu", "docker"],
      reports: [
        await runProbe({
          ...scripted([{ result: "ok", capabilities: ["docker"], evidence: "27" }]),
          name: "docker",
        }),
        await runProbe(nvidia),
      ],
    });
    expect(capabilities).toEqual(["os=linux", "has-gpu", "docker"]);
    expect(facts).toMatchObject({
      cpus: 8,
      sources: { machine: ["os=linux"], declared: ["has-gpu", "docker"], docker: ["docker"] },
      probes: [
        { name: "docker", result: "ok", evidence: "27" },
        { name: "nvidia", result: "absent" },
      ],
    });
  });
});
