// What a node does with a job that is a command: it believes the hub's signature and its owner's policy, nothing else.
import { type SignedExec, type VerifiedExec, verifyExec } from "@loom/code";
import type { ClaimedJob } from "@loom/queue";
import { applyFilters, hasCapabilities, type NodeView } from "@loom/scheduler";
import {
  commandOf,
  EXEC_CAPABILITY,
  type ExecCommand,
  type FileRef,
  type JsonValue,
  outputNameOf,
} from "@loom/workflow";
import { homeFolder } from "../machine.ts";
import { type ExecRefusal, ExecRefusedError } from "../outcome.ts";
import { decideExec, type ExecPolicy } from "./policy.ts";

/** A command as a step's process runs it: decided, and with nothing left to look up. */
export interface ExecOrder {
  /** The file to start. */
  file: string;
  /** What the program gets as its arguments, its own name first. */
  argv: readonly string[];
  env: Readonly<Record<string, string>>;
  /** The folder that it starts in; null: one of its own, which goes with the attempt. */
  cwd: string | null;
  /** The archive that is unpacked there before. */
  in: FileRef | null;
  /** The paths that are packed there afterwards, and the name of their archive. */
  out: { name: string; paths: readonly string[] } | null;
}

/** Decides about the jobs of a node that are commands. */
export interface ExecGate {
  /** What the node offers for them now. */
  readonly capabilities: readonly string[];
  /**
   * @returns The step, with its order as input; or why the owner does not want it here. Another node may run it then.
   * @throws ExecRefusedError
   */
  find(
    job: Pick<ClaimedJob, "input" | "runId" | "step">,
    node: Pick<NodeView, "name" | "capabilities">,
  ): { name: string; input: JsonValue } | { declined: string };
}

const REFUSALS: Readonly<Record<Exclude<VerifiedExec, "ok">, [ExecRefusal, string]>> = {
  refused: [
    "EXEC_SIGNATURE_REFUSED",
    "the command is not signed by the hub that this machine joined, and is not run: if the hub has a new key, let the machine join again",
  ],
  other_run: [
    "EXEC_NOT_FOR_THIS",
    "the command was signed for another run, and is not run: start it again with loom exec",
  ],
  expired: [
    "EXEC_EXPIRED",
    "the time within which the command may begin is over, and it is not run: start it again with loom exec",
  ],
};

/**
 * Creates the gate of a node.
 *
 * @param options.publicKey - The key of the hub that the node belongs to; undefined: nothing can be verified.
 * @param options.env - The environment of steps.
 * @param options.hasFiles - Whether this node can carry files.
 */
export function createExecGate({
  policy,
  publicKey,
  env,
  hasFiles = true,
  now = () => new Date(),
}: {
  policy: ExecPolicy;
  publicKey: string | undefined;
  env: Readonly<Record<string, string | undefined>>;
  hasFiles?: boolean;
  now?: () => Date;
}): ExecGate {
  const isOpen = policy.kind !== "off" && publicKey !== undefined;
  return {
    capabilities: isOpen ? [EXEC_CAPABILITY] : [],

    find({ input, runId, step }, node) {
      if (publicKey === undefined || !isOpen) {
        return { declined: `EXEC_OFF: ${node.name} runs no commands: set LOOM_EXEC there` };
      }
      const signed = input as unknown as ExecCommand & { signed: SignedExec };
      const verified = verifyExec(signed, signed?.signed, { run: runId, now: now(), publicKey });
      if (verified !== "ok") throw new ExecRefusedError(...REFUSALS[verified]);
      const command = commandOf(signed, step);
      if (!command || (signed.host !== null && signed.host !== node.name)) {
        throw new ExecRefusedError(
          "EXEC_NOT_FOR_THIS",
          `the command was signed for ${command ? `node ${signed.host}` : "other steps"}, and is not run here: start it again with loom exec`,
        );
      }
      // Those of the row may have been changed.
      const failures = applyFilters([hasCapabilities], { requires: signed.needs }, node);
      if (failures.length > 0) {
        const why = failures.map(({ reason }) => reason).join(" and ");
        return { declined: `${node.name} ${why}` };
      }
      const { in: sent } = signed;
      const { argv, out } = command;
      const isWithFiles = sent !== null || out.length > 0;
      if (isWithFiles && !hasFiles) {
        return {
          declined: `EXEC_NO_FILES: ${node.name} does not know its hub, which has the files: run loom-agent join HUB there, or set LOOM_HUB_URL`,
        };
      }
      const decided = decideExec(policy, {
        ...{ argv, env: command.env, path: env.PATH ?? "" },
        ...{ hasInput: sent !== null, hasOutput: out.length > 0 },
      });
      if ("refused" in decided) {
        return { declined: `EXEC_NOT_ALLOWED: ${node.name} ${decided.refused}` };
      }
      const order: ExecOrder = {
        ...{ file: decided.file, argv, env: command.env, in: sent },
        cwd: isWithFiles ? null : (homeFolder() ?? "/"),
        out: out.length === 0 ? null : { name: outputNameOf(step), paths: out },
      };
      return { name: step, input: order as unknown as JsonValue };
    },
  };
}
