import type { NodeStatus } from "@loom/queue";
import type { BellAddress, ProbeReport, RunningJob } from "@loom/worker";

/** What an agent is at, as `loom-agent status --json` prints it. Fields are only ever added. */
export interface AgentStatus {
  schema: "loom.agent-status/v1";
  node: string;
  version: string;
  pid: number;
  startedAt: Date;
  /** Its last heartbeat was answered lately enough to keep its lease. */
  ready: boolean;
  lastHeartbeatAt: Date | null;
  /** As the hub last told it; null before it did. */
  nodeStatus: NodeStatus | null;
  stopping: boolean;
  slots: number;
  jobs: RunningJob[];
  capabilities: readonly string[];
  doorbell: BellAddress | null;
  /** Workflows by name, each with the digest of its code. */
  workflows: Readonly<Record<string, string>>;
  /** Workflow files that could not be used. */
  problems: readonly { file: string; problem: string }[];
  probes: ProbeReport[];
}
