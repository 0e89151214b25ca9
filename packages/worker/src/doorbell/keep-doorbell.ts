import { createBell } from "../bell.ts";
import type { Log } from "../log.ts";
import type { BellAddress } from "./bell-address.ts";
import { type Doorbell, type DoorbellOptions, openDoorbell } from "./open-doorbell.ts";
import type { DoorbellSetting } from "./parse-doorbell.ts";

/** How often to look whether the machine's address is another one, or there is one at last. */
const LOOK_MS = 60_000;
const LOOPBACK = "127.0.0.1";
const ANYWHERE = { address: undefined, port: 0 };

export interface KeptDoorbell extends Pick<DoorbellOptions, "onRing"> {
  /** Default: any free port of the machine's address in the tailnet. */
  setting?: DoorbellSetting | undefined;
  /**
   * The machine's address in the tailnet; undefined, or a failure, where it has none: then only
   * this machine can ring. It may change: Tailscale may start later, or get a new address.
   */
  ownAddress: () => Promise<string | undefined>;
  log: Log;
  /** Called with where it listens, also when that has changed. */
  onOpen: (bell: BellAddress) => void;
  /** How often to look for another address. Default 60 000. */
  lookMs?: number;
}

/**
 * Keeps a doorbell open at the machine's address until the signal aborts. It is a help and no
 * need: when it cannot be opened that is logged, and tried again.
 *
 * @returns Resolves when it is open or could not be opened the first time; `done` when it is closed.
 */
export async function keepDoorbell(
  { setting = ANYWHERE, ownAddress, log, onRing, onOpen, lookMs = LOOK_MS }: KeptDoorbell,
  { signal }: { signal: AbortSignal },
): Promise<{ done: Promise<void> }> {
  if (setting === "off") return { done: Promise.resolve() };
  const { port } = setting;
  let bell: Doorbell | undefined;

  const follow = async (): Promise<void> => {
    try {
      const wanted = setting.address ?? (await ownAddress().catch(() => undefined)) ?? LOOPBACK;
      if (signal.aborted || bell?.address === wanted) return;
      await bell?.close();
      bell = undefined;
      bell = await openDoorbell({ address: wanted, port, onRing });
      log.info({ address: wanted, port: bell.port }, "doorbell is open");
      onOpen(bell);
    } catch (error) {
      log.warn({ err: error }, "the doorbell could not be opened: polling only");
    }
  };

  const followOn = async (): Promise<void> => {
    const pause = createBell();
    while (!signal.aborted) {
      await pause.wait(lookMs, signal);
      if (!signal.aborted) await follow();
    }
    await bell?.close();
  };

  await follow();
  return { done: followOn() };
}
