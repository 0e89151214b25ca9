import { spawn } from "node:child_process";
import { toValue } from "./capabilities.ts";
import type { Probe } from "./probe.ts";

const QUERY = ["--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"];

/**
 * NVIDIA GPUs: `has-gpu`, `gpu.count`, `gpu.model` and `gpu.vram-gb` (of each that differs),
 * `gpu.driver`.
 */
export const nvidia: Probe = {
  name: "nvidia",
  everyMs: 300_000,
  async run(signal) {
    const output = await runIfInstalled(["nvidia-smi", ...QUERY], { signal });
    if (output === null) return { result: "absent", evidence: "nvidia-smi is not installed" };
    const gpus = output
      .split("\n")
      .map((line) => line.split(",").map((cell) => cell.trim()))
      .filter(([name]) => name);
    if (gpus.length === 0) return { result: "absent", evidence: "nvidia-smi lists no GPU" };
    const capabilities = gpus.flatMap(([name = "", mebibytes, driver = ""]) => [
      `gpu.model=${toValue(name)}`,
      // A card sold with 24 GB says 24564 MiB, or a little more: to the nearest.
      ...(Number(mebibytes) > 0 ? [`gpu.vram-gb=${Math.round(Number(mebibytes) / 1024)}`] : []),
      ...(driver ? [`gpu.driver=${toValue(driver)}`] : []),
    ]);
    return {
      result: "ok",
      capabilities: [...new Set(["has-gpu", `gpu.count=${gpus.length}`, ...capabilities])],
      evidence: gpus.map(([name, mb, driver]) => `${name}, ${mb} MiB, driver ${driver}`).join("; "),
    };
  },
};

/** A Docker daemon that this user may use: `docker`, `docker-version`. */
export const docker: Probe = {
  name: "docker",
  everyMs: 120_000,
  async run(signal) {
    const output = await runIfInstalled(["docker", "version", "--format", "{{.Server.Version}}"], {
      signal,
    });
    if (output === null) return { result: "absent", evidence: "docker is not installed" };
    const version = output.trim();
    return {
      result: "ok",
      capabilities: ["docker", ...(version ? [`docker-version=${toValue(version)}`] : [])],
      evidence: `daemon ${version}`,
    };
  },
};

const MAX_OUTPUT = 65_536;
/** How long to read on when a process that the program left behind still holds its output. */
const DRAIN_MS = 250;

/**
 * Runs a program in its own process group and returns its output, or null when it is not in PATH. When
 * the signal aborts, the whole group is killed, because a killed wrapper would leave the program behind.
 *
 * It settles when the program has ended, even while another process holds its output. A program that
 * cannot be killed (it waits for a broken driver) has not ended, and the caller must not start it again.
 *
 * @throws An Error with the end of the program's output when it did not exit with 0.
 */
function runIfInstalled(
  [program, ...args]: readonly [string, ...string[]],
  { signal }: { signal: AbortSignal },
): Promise<string | null> {
  return new Promise((resolve, reject) => {
    const child = spawn(program, args, { detached: true, stdio: ["ignore", "pipe", "pipe"] });
    let output = "";
    let complaint = "";
    child.stdout.setEncoding("utf8").on("data", (text: string) => {
      output = (output + text).slice(0, MAX_OUTPUT);
    });
    child.stderr.setEncoding("utf8").on("data", (text: string) => {
      complaint = (complaint + text).slice(-300);
    });
    const letGo = () => {
      child.stdout.destroy();
      child.stderr.destroy();
    };
    const onAbort = () => {
      killGroup(child.pid);
      letGo();
      // The program may never end, and must not keep this process alive.
      child.unref();
    };
    signal.addEventListener("abort", onAbort, { once: true });
    child.on("error", (error: NodeJS.ErrnoException) => {
      signal.removeEventListener("abort", onAbort);
      if (error.code === "ENOENT") resolve(null);
      else reject(error);
    });
    child.once("exit", (code, killedBy) => {
      const settle = () => {
        clearTimeout(drained);
        signal.removeEventListener("abort", onAbort);
        letGo();
        if (code === 0) return resolve(output);
        const said = (complaint || output).trim().slice(-300);
        reject(new Error(`${program} ended with ${code ?? killedBy}${said && `: ${said}`}`));
      };
      const drained = setTimeout(settle, signal.aborted ? 0 : DRAIN_MS);
      child.once("close", settle);
    });
  });
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch {
    // It has ended, or now belongs to another user and cannot be killed; then the run waits for it.
  }
}
