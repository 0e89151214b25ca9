// Slurm and task-spooler beside Loom, with daemons of their own in a temporary folder.
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { type AddressInfo, createServer } from "node:net";
import { hostname, tmpdir, userInfo } from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { promisify } from "node:util";

const run = promisify(execFile);

/** How many submissions are under way at once where each command has its own. */
const CONNECTIONS = 8;
/** How long a daemon may take until it answers. */
const START_MS = 30_000;

/** A way to run `true`. What it returns resolves when the exits are recorded and the caller knows. */
export interface Way {
  readonly name: string;
  alone?(): Promise<void>;
  many?(count: number): Promise<void>;
}

export interface Peer extends AsyncDisposable {
  readonly ways: readonly Way[];
}

/** Returns which of these programs are not installed. Daemons are often outside a user's `PATH`. */
export function missing(...programs: readonly string[]): string[] {
  const folders = [...(process.env.PATH ?? "").split(path.delimiter), "/usr/sbin", "/sbin"];
  return programs.filter(
    (program) => !folders.some((folder) => existsSync(path.join(folder, program))),
  );
}

/** Submits so often, eight at once. */
export async function repeat(count: number, submit: () => Promise<unknown>): Promise<void> {
  const turns = Array.from({ length: count }).values();
  const loop = async () => {
    for (const _ of turns) await submit();
  };
  await Promise.all(Array.from({ length: CONNECTIONS }, loop));
}

/**
 * task-spooler: a server that starts with the first call. It keeps exits in memory, and each command is submitted by a
 * start of `tsp`, because it knows no arrays.
 */
export async function startSpooler(slots: number): Promise<Peer> {
  const folder = makeFolder();
  const env = { PATH: process.env.PATH, TS_SOCKET: path.join(folder, "socket"), TMPDIR: folder };
  const tsp = async (...args: string[]) => (await run("tsp", args, { env })).stdout;
  await tsp("-S", String(slots));
  return {
    ways: [
      {
        name: "task-spooler, `tsp`",
        alone: async () => void (await tsp("-nf", "true")),
        async many(count) {
          await tsp("-C");
          await repeat(count, () => tsp("-n", "true"));
          await tsp("-w");
          while (/^\d+ +(queued|running|allocating) /m.test(await tsp())) await sleep(5);
        },
      },
    ],
    async [Symbol.asyncDispose]() {
      await tsp("-K");
      rmSync(folder, { recursive: true, force: true });
    },
  };
}

/**
 * Slurm with one node, the shortest intervals of its scheduler, and a file in which each job's exit is recorded.
 * All its daemons are of this user.
 */
export async function startSlurm(slots: number): Promise<Peer> {
  const folder = makeFolder();
  const file = (name: string) => path.join(folder, name);
  const socket = file("munge.socket");
  const { username } = userInfo();
  const [ctldPort, nodePort] = [await freePort(), await freePort()];
  const configuration = {
    ...{ ClusterName: "bench", SlurmctldHost: `${hostname()}(127.0.0.1)` },
    ...{ SlurmctldPort: ctldPort, SlurmdPort: nodePort, SlurmUser: username, SlurmdUser: username },
    CommunicationParameters: "NoCtldInAddrAny,NoInAddrAny",
    ...{ AuthType: "auth/munge", CredType: "cred/munge", AuthInfo: `socket=${socket}` },
    ...{ StateSaveLocation: file("state"), SlurmdSpoolDir: file("spool") },
    ...{ SlurmctldPidFile: file("ctld.pid"), SlurmdPidFile: file("slurmd.pid") },
    ...{ ProctrackType: "proctrack/linuxproc", TaskPlugin: "task/none", MpiDefault: "none" },
    ...{ JobAcctGatherType: "jobacct_gather/none", SwitchType: "switch/none", ReturnToService: 2 },
    ...{ JobCompType: "jobcomp/filetxt", JobCompLoc: file("exits") },
    // Two settings say how many CPUs the node has: as many as there are slots.
    ...{ SelectType: "select/cons_tres", SelectTypeParameters: "CR_CPU" },
    SlurmdParameters: "config_overrides",
    // A node without one does not report the end of a job, and the next one waits for the scheduler's next second.
    Epilog: "/bin/true",
    SchedulerParameters:
      "batch_sched_delay=0,sched_interval=1,bf_interval=1,default_queue_depth=10000",
    NodeName: `node NodeHostname=${hostname()} NodeAddr=127.0.0.1 CPUs=${slots} State=UNKNOWN`,
    PartitionName: "bench Nodes=node Default=YES MaxTime=INFINITE State=UP OverSubscribe=NO",
  };
  const lines = Object.entries(configuration).map(([name, value]) => `${name}=${value}\n`);
  writeFileSync(file("slurm.conf"), lines.join(""));
  writeFileSync(
    file("cgroup.conf"),
    `CgroupPlugin=cgroup/v1\nCgroupMountpoint=${file("cgroup")}\n`,
  );
  for (const name of ["state", "spool"]) mkdirSync(file(name));
  writeFileSync(file("key"), crypto.getRandomValues(new Uint8Array(128)), { mode: 0o400 });

  const env = { PATH: `${process.env.PATH}:/usr/sbin`, SLURM_CONF: file("slurm.conf") };
  const daemons: ChildProcess[] = [];
  const daemon = (program: string, ...args: string[]) =>
    daemons.push(spawn(program, args, { env, stdio: "ignore" }));
  const call = (program: string, ...args: string[]) => run(program, args, { env, cwd: folder });
  const exits = openSync(file("exits"), "w+");
  const part = Buffer.alloc(1 << 16);
  /** @returns How many exits were recorded since the last call. */
  const readExits = () => part.toString("latin1", 0, readSync(exits, part)).split("\n").length - 1;
  const untilRecorded = async (count: number, submit: () => Promise<unknown>) => {
    readExits(); // those of srun, too
    await submit();
    for (let left = count; left > 0; left -= readExits()) await sleep(2);
  };
  const sbatch = (...args: string[]) =>
    call("sbatch", "--output=/dev/null", ...args, "--wrap=true");

  const peer: Peer = {
    ways: [
      { name: "Slurm, `srun`", alone: async () => void (await call("srun", "true")) },
      {
        name: "Slurm, `sbatch` of one command",
        alone: () => untilRecorded(1, sbatch),
        many: (count) => untilRecorded(count, () => repeat(count, sbatch)),
      },
      {
        name: "Slurm, `sbatch --array`",
        many: (count) => untilRecorded(count, () => sbatch(`--array=0-${count - 1}`)),
      },
    ],
    async [Symbol.asyncDispose]() {
      // The last one first: the node, its controller, munge.
      for (const child of daemons.reverse()) {
        if (child.exitCode !== null || child.signalCode !== null) continue;
        child.kill("SIGTERM");
        await once(child, "exit");
      }
      closeSync(exits);
      rmSync(folder, { recursive: true, force: true });
    },
  };
  try {
    const inFolder = ["pid-file", "log-file", "seed-file"].map((name) => `--${name}=${file(name)}`);
    daemon("munged", "-F", "-f", `--key-file=${file("key")}`, `--socket=${socket}`, ...inFolder);
    await until(() => existsSync(socket));
    daemon("slurmctld", "-D", "-c", "-L", file("ctld.log"));
    daemon("slurmd", "-D", "-c", "-N", "node", "-L", file("slurmd.log"));
    await until(async () => {
      const { stdout } = await call("sinfo", "-h", "-o", "%T").catch(() => ({ stdout: "" }));
      return stdout.trim() === "idle";
    });
    return peer;
  } catch (error) {
    for (const log of [file("ctld.log"), file("slurmd.log")].filter((each) => existsSync(each))) {
      console.error(readFileSync(log, "utf8"));
    }
    await peer[Symbol.asyncDispose]();
    throw error;
  }
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const endsAt = performance.now() + START_MS;
  while (!(await holds())) {
    if (performance.now() > endsAt) throw new Error("a daemon of Slurm does not answer");
    await sleep(100);
  }
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  return port;
}

const makeFolder = () => mkdtempSync(path.join(tmpdir(), "loom-bench-"));
