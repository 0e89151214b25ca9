import type { Probe } from "./probe.ts";
import { runIfInstalled } from "./run-program.ts";
import { toValue } from "./to-value.ts";

/** A Docker daemon that this user may use: `docker`, `docker-version`. */
export const docker: Probe = {
  name: "docker",
  everyMs: 120_000,
  async look(signal) {
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
