import { NonRetryableError } from "@loom/workflow";
import { z } from "zod";

/**
 * The name of a release's folder. Others may have created it, so that a deploy can go back to such
 * a release.
 */
export const releaseName = z
  .string()
  .regex(/^[A-Za-z0-9_][A-Za-z0-9_.-]{0,100}$/, "is not a release's name")
  .brand<"ReleaseName">();
export type ReleaseName = z.output<typeof releaseName>;

export const commitId = z
  .string()
  .regex(/^(?:[0-9a-f]{40}|[0-9a-f]{64})$/, "is not a full commit id")
  .brand<"CommitId">();
export type CommitId = z.output<typeof commitId>;

/** The names that a deploy creates: the time and the commit. They sort by time. */
const OURS = /^\d{8}T\d{9}Z-[0-9a-f]{12}$/;

/** How many releases are kept, so that a person can go back to an older one. */
const KEPT = 5;

/**
 * Names a release.
 *
 * @param at - An ISO date, fixed for the whole run, so that a repeated step works on the same
 * release.
 */
export const nameRelease = (at: string, commit: CommitId): ReleaseName =>
  releaseName.parse(`${at.replaceAll(/[-:.]/g, "")}-${commit.slice(0, 12)}`);

/**
 * Returns the release that `current` points to.
 *
 * @param link - The output of readlink for `current`.
 * @throws NonRetryableError when that is not a release in `releases` of the directory. It must not
 * count as "nothing was deployed yet", because there would be no release to go back to.
 */
export function toRelease(link: string, directory: string): ReleaseName {
  const target = link.replace(/\n$/, "");
  const own = `${directory}/`;
  const relative = target.startsWith(own) ? target.slice(own.length) : target;
  const name = relative.startsWith("releases/") ? relative.slice("releases/".length) : undefined;
  const release = releaseName.safeParse(name).data;
  if (release !== undefined) return release;
  throw new NonRetryableError(
    `${directory}/current points to ${JSON.stringify(target.slice(0, 200))}, which is not a release of this directory: point it to releases/<name>, or remove the link if there is nothing to go back to`,
  );
}

/**
 * Selects the releases to remove: those that a deploy created, except the newest ones and those in
 * use.
 */
export const planPruning = (
  names: readonly string[],
  inUse: readonly (string | null)[],
): ReleaseName[] =>
  names
    .filter((name) => OURS.test(name))
    .sort()
    .slice(0, -KEPT)
    .filter((name) => !inUse.includes(name))
    .map((name) => releaseName.parse(name));
