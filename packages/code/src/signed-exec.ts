import { type ExecCommand, isFileRef } from "@loom/workflow";
import { keyIdOf, type SigningKey, signBytes, verifyBytes } from "./signing.ts";

/** A hub's signature of a command. It holds for one run and until one moment. */
export interface SignedExec {
  /** The id of the run that the command belongs to. */
  readonly run: string;
  /** The last moment at which a node may begin it, as ISO 8601 in UTC. */
  readonly notAfter: string;
  /** Id of the hub's key. */
  readonly key: string;
  /** Base64url. */
  readonly signature: string;
}

/** Signs a command for a run. */
export function signExec(
  command: ExecCommand,
  { run, notAfter, key }: { run: string; notAfter: Date; key: SigningKey },
): SignedExec {
  const facts = { run, notAfter: notAfter.toISOString() };
  const signature = signBytes(canonical(command, facts), key);
  return { ...facts, key: keyIdOf(key.publicKey), signature };
}

/**
 * How a signature fares: `refused` is not the hub's, or not of this command; `other_run` is of another run; `expired`
 * came too late.
 */
export type VerifiedExec = "ok" | "refused" | "other_run" | "expired";

/**
 * Checks that the hub with this key has signed the command for this run, and that it may still begin. Never throws,
 * whatever the values are: they come from the database, which others may have written to.
 */
export function verifyExec(
  command: ExecCommand,
  signed: SignedExec,
  { run, now, publicKey }: { run: string | null; now: Date; publicKey: string },
): VerifiedExec {
  let isSigned = false;
  try {
    const { signature } = signed;
    isSigned = verifyBytes(canonical(command, signed), { signature, publicKey });
  } catch {
    // It has no such fields.
  }
  if (!isSigned) return "refused";
  if (signed.run !== run) return "other_run";
  return now.getTime() <= Date.parse(signed.notAfter) ? "ok" : "expired";
}

/**
 * The bytes to sign. They are JSON, so that no field can run into the next one; names of variables are sorted.
 *
 * @throws TypeError for a field that JSON would write as null though it is another value: two commands that differ would
 * have one signature.
 */
const canonical = (
  { argv, env, needs, host, count, sweep, in: input, out }: ExecCommand,
  { run, notAfter }: Pick<SignedExec, "run" | "notAfter">,
): Buffer => {
  if (host !== null && typeof host !== "string") throw new TypeError("host is null or a name");
  if (count !== null && !Number.isSafeInteger(count)) throw new TypeError("count is no number");
  if (input !== null && !isFileRef(input)) throw new TypeError("in is null or a file");
  // A text would be spread to the same list as its characters.
  if (!Array.isArray(out)) throw new TypeError("out is a list");
  const file = input && [input.name, input.size, input.sha256];
  const variables = Object.entries(env).sort(([one], [other]) => (one < other ? -1 : 1));
  const swept = sweep.map(({ name, values }) => [name, values]);
  return Buffer.from(
    JSON.stringify([
      ...["loom-exec", 1, argv, variables, needs, host, count, swept],
      ...[file, [...out], run, notAfter],
    ]),
  );
};
