import type { Socket } from "node:net";
import type { Duplex, Readable } from "node:stream";
import { GRACE_MS } from "./command-line.ts";
import { CommandLostError, CommandRefusedError } from "./errors.ts";

// The part of ssh2's client that is used here. Its types are a package that users of this one do not install.
/** The client's side of a command. */
interface Channel extends Duplex {
  readonly stderr: Readable;
  close(): void;
}
/** Runs commands. */
interface Client {
  exec(line: string, started: (error: Error | undefined, channel: Channel) => void): unknown;
}

/** The parts of a connection that a command needs. */
export interface Route {
  readonly node: string;
  readonly client: Client;
  readonly socket: Socket;
  /** Resolves when the connection is gone. */
  readonly gone: Promise<void>;
  /** The reason why the connection is gone, if it is known. */
  failure(): Error | undefined;
}

/** The end of a command as the node reported it. */
interface Exit {
  /** `null` when a signal ended it. */
  readonly code: number | null;
  /** For example `"SIGKILL"`. */
  readonly signal: string | null;
}

/** A command that was started on a node. */
export interface RemoteProcess {
  readonly channel: Channel;
  /** Resolves when the node has reported how the command ended. */
  readonly exited: Promise<Exit>;
  /**
   * Resolves when nothing more can arrive, with the end of the command; `null` when the node did
   * not report it.
   */
  readonly closed: Promise<Exit | null>;
  /**
   * Ends the command's process group. Resolves when the node has confirmed that, or its time is
   * over.
   */
  stop(): Promise<Exit | null>;
}

/**
 * The grace, and time for the answer. It is less than the 5 s that a worker allows a step after its
 * abort.
 */
const STOP_MS = GRACE_MS + 2_000;
/** An ended command can leave a process behind that holds its output open. */
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
        // In this turn, because the next packet may contain the end of the command.
        if (!error) resolve(follow(channel, route.gone));
        else if (socket.destroyed) reject(lost(error));
        else reject(new CommandRefusedError({ node, command }, { cause: error }));
      });
    } catch (error) {
      // ssh2 throws when the connection is already gone.
      reject(lost(error));
    }
  });
}

/**
 * Stops a process, even one that is still starting: that one as soon as it has started.
 *
 * @returns Whether the node confirmed it.
 */
export async function stopProcess(starting: Promise<RemoteProcess>): Promise<boolean> {
  let exit: Exit | null = null;
  const stopping = starting.then(
    async (process) => {
      exit = await process.stop();
    },
    // It did not start, or its start will never be known.
    () => {},
  );
  await within(STOP_MS, stopping);
  return exit !== null;
}

function follow(channel: Channel, gone: Promise<void>): RemoteProcess {
  let exit: Exit | null = null;
  const exited = new Promise<Exit>((resolve) => {
    channel.once("exit", (code: number | null, signal?: string) => {
      // The protocol sends the signal without SIG; some servers add it.
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
      // Ends the command's input. The wrapper or the gate then ends its process group.
      channel.end();
      await within(STOP_MS, closed);
      channel.close();
      return exit;
    },
  };
}

/** Waits for work that never fails, for at most `ms`. Returns whether it ended. */
export function within(ms: number, work: Promise<unknown>): Promise<boolean> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), ms);
    void work.then(() => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}
