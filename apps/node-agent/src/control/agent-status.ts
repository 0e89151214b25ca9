import type { NodeStatus } from "@loom/queue";
import type {
  NodeFault,
  ProbeReport,
  RunningJob,
  WakeAddress,
  WorkflowProblem,
} from "@loom/worker";

/** An agent's status, as `loom-agent status --json` prints it. Fields are only ever added. */
export interface AgentStatus {
  schema: "loom.agent-status/v1";
  node: string;
  version: string;
  pid: number;
  startedAt: Date;
  /** Whether it keeps its lease (a heartbeat was answered within it) and can run steps. */
  ready: boolean;
  lastHeartbeatAt: Date | null;
  /** The reason why the machine cannot run steps; null when it can. */
  fault: NodeFault | null;
  /** The last status that the hub reported; null before the first report. */
  nodeStatus: NodeStatus | null;
  stopping: boolean;
  slots: number;
  jobs: RunningJob[];
  capabilities: readonly string[];
  wakeServer: WakeAddress | null;
  /** Workflows by name, each with the digest of its code. */
  workflows: Readonly<Record<string, string>>;
  /** Workflow files that are not used, and why. */
  problems: readonly WorkflowProblem[];
  probes: ProbeReport[];
}
