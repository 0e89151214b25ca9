import { z } from "zod";

/** A release's folder: anybody's name, so that a deploy can go back to one that it did not make. */
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

/** Ours: when, and what. They sort by time. */
const OURS = /^\d{8}T\d{9}Z-[0-9a-f]{12}$/;

/** How many releases stay, so that there is something to go back to by hand. */
const KEPT = 5;

/** @param at - An ISO date, fixed for the whole run: a repeated step works on the same release. */
export const nameRelease = (at: string, commit: CommitId): ReleaseName =>
  releaseName.parse(`${at.replaceAll(/[-:.]/g, "")}-${commit.slice(0, 12)}`);

/** The release that `current` points to: `null` when it points to none in `releases`. */
export function toRelease(link: string): ReleaseName | null {
  const [, name] = /(?:^|\/)releases\/([^/\n]+)\n?$/.exec(link) ?? [];
  return releaseName.safeParse(name).data ?? null;
}

/** Releases to remove: ours, but for the newest ones and those in use. */
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
