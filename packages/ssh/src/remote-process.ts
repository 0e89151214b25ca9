import type { Socket } from "node:net";
import type { Client, ClientChannel } from "ssh2";
import { GRACE_MS } from "./command-line.ts";
import { CommandLostError, CommandRefusedError } from "./errors.ts";
import { within } from "./within.ts";

/** What a command needs of its connection. */
export interface Route {
  readonly node: string;
  readonly client: Client;
  readonly socket: Socket;
  /** Resolves when the connection is gone. */
  readonly gone: Promise<void>;
  /** Why it is gone, if that is known. */
  failure(): Error | undefined;
}

/** How a command ended, as the node tells it. */
interface Exit {
  /** `null` when a signal ended it. */
  readonly code: number | null;
  /** Such as `"SIGKILL"`. */
  readonly signal: string | null;
}

/** A command that was started on a node. */
export interface RemoteProcess {
  readonly channel: ClientChannel;
  /** Resolves when the node has told how it ended. */
  readonly exited: Promise<Exit>;
  /** Resolves when nothing more can come, with how it ended; `null` when nobody told. */
  readonly closed: Promise<Exit | null>;
  /** Ends its process group; resolves when the node has confirmed that, or had its time. */
  stop(): Promise<Exit | null>;
}

/** Grace, and time for the answer. Less than the 5 s that a worker grants a step after its abort. */
const STOP_MS = GRACE_MS + 2_000;
/** A command that has ended can leave somebody behind who holds its output open. */
const DRAIN_MS = 1_000;

/**
 * Starts a line on a node.
 *
 * @throws CommandRefusedError when the node did not start it.
 * @throws CommandLostError when the connection ended before that was known.
 */
export function startProcess(route: Route, line: string, command: string): Promise<RemoteProcess> {
  const { node, client, socket } = route;
  const lost = (cause: unknown) =>
    new CommandLostError({ node, command }, { cause: route.failure() ?? cause });
  return new Promise((resolve, reject) => {
    try {
      client.exec(line, (error, channel) => {
        // In this turn: the end of a command can be in the packet that follows.
        if (!error) resolve(follow(channel, route.gone));
        else if (socket.destroyed) reject(lost(error));
        else reject(new CommandRefusedError({ node, command }, { cause: error }));
      });
    } catch (error) {
      // It throws when the connection is gone already.
      reject(lost(error));
    }
  });
}

/**
 * Stops a process, also one that is only about to start: that one as soon as it has.
 *
 * @returns Whether the node confirmed it.
 */
export async function stopProcess(starting: Promise<RemoteProcess>): Promise<boolean> {
  let exit: Exit | null = null;
  const stopping = starting.then(
    async (process) => {
      exit = await process.stop();
    },
    // It did not start, or that will never be known.
    () => {},
  );
  await within(STOP_MS, stopping);
  return exit !== null;
}

function follow(channel: ClientChannel, gone: Promise<void>): RemoteProcess {
  let exit: Exit | null = null;
  const exited = new Promise<Exit>((resolve) => {
    channel.once("exit", (code: number | null, signal?: string) => {
      // By the protocol without SIG, by some servers with it.
      exit = { code, signal: signal === undefined ? null : `SIG${signal.replace(/^SIG/, "")}` };
      resolve(exit);
      setTimeout(() => channel.close(), DRAIN_MS).unref();
    });
  });
  const end = new Promise<void>((resolve) => channel.once("close", () => resolve()));
  const closed = Promise.race([end, gone]).then(() => exit);
  return {
    channel,
    exited,
    closed,
    async stop() {
      // The end of its input, at which what owns the process group on the node ends that.
      channel.end();
      await within(STOP_MS, closed);
      channel.close();
      return exit;
    },
  };
}
