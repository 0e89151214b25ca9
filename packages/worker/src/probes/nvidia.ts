import type { Probe } from "./probe.ts";
import { runIfInstalled } from "./run-program.ts";
import { toValue } from "./to-value.ts";

const QUERY = ["--query-gpu=name,memory.total,driver_version", "--format=csv,noheader,nounits"];

/**
 * NVIDIA GPUs: `has-gpu`, `gpu.count`, `gpu.model` and `gpu.vram-gb` (of each that differs),
 * `gpu.driver`.
 */
export const nvidia: Probe = {
  name: "nvidia",
  everyMs: 300_000,
  async look(signal) {
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
