import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";

export const clientNames = ["supabase-js", "@loom/queue/http"] as const;
export type ClientName = (typeof clientNames)[number];

export interface Load {
  url: string;
  serviceKey: string;
  /** Jobs in each call. */
  batch: number;
  calls: number;
}

/** What calls cost a client. */
export interface Cost {
  client: ClientName;
  batch: number;
  perSecond: number;
  /** User and system time, in microseconds a call. */
  cpuUs: number;
  memoryMib: number;
}

/** Measures a client in a process of its own. */
export async function measureClient(client: ClientName, load: Load): Promise<Cost> {
  const child = fork(fileURLToPath(new URL("calls.ts", import.meta.url)), {
    execArgv: ["--conditions=@loom/source"],
  });
  child.send({ client, load });
  const [cost] = (await once(child, "message")) as [Omit<Cost, "client" | "batch">];
  await once(child, "exit");
  return { client, batch: load.batch, ...cost };
}
