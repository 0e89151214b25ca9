import {
  evaluate,
  type NodeCapabilities,
  readClause,
  shortfall,
  unmetClauses,
} from "../requirement/evaluate.ts";
import { applyChange, meet } from "../requirement/meet.ts";
import {
  CODE_CAPABILITY,
  type JobView,
  parseModuleCapability,
  parseWorkflowCapability,
} from "../views.ts";
import { type Failure, type Filter, fits, refuses } from "./rule.ts";

/** Accepts the node that a job is pinned to, and every node for a job that is not pinned. */
export const isHost: Filter = {
  name: "is-host",
  about: "ability",
  key: ({ host }) => host ?? "",
  named: ({ host }) => (host == null ? [] : [host]),
  check: ({ host }, { name }) =>
    host == null || host === name
      ? fits
      : refuses("wrong_host", `is not ${host}, which the step is pinned to`),
  fix: (_job, { name }) => ({ action: `pin the step to ${name}`, job: { host: name } }),
};

/** Accepts nodes that meet every clause of the job. Its workflow's code is left to {@link hasVersion}. */
export const hasCapabilities: Filter<Pick<JobView, "requires">, NodeCapabilities> = {
  name: "has-capabilities",
  about: "ability",
  key: ({ requires }) => requires.join("\n"),
  check: ({ requires }, node) => {
    let failures: Failure[] | undefined;
    for (const text of requires) {
      if (isAboutCode(text)) continue;
      const failure = missingCapability(text, node);
      if (failure !== undefined) failures = [...(failures ?? []), failure];
    }
    return failures ?? fits;
  },
  fix: ({ requires }, node) => {
    const add: string[] = [];
    const remove: string[] = [];
    let changed: NodeCapabilities = node;
    // Removals come first, so that they do not undo an addition.
    for (const text of requires.toSorted(
      (a, b) => Number(b.startsWith("!")) - Number(a.startsWith("!")),
    )) {
      const clause = readClause(text);
      if (clause === undefined) return undefined;
      if (isAboutCode(text) || evaluate(clause, changed)) continue;
      const change = meet(clause, changed);
      if (change === undefined) return undefined;
      add.push(...change.add);
      remove.push(...change.remove);
      changed = applyChange(change, changed);
    }
    // A value for a later clause can also meet an earlier one: vram-gb>4 and vram-gb>=24 need one
    // value.
    for (const capability of [...add]) {
      const others = applyChange({ add: [], remove: [capability] }, changed);
      if (unmetClauses(requires, others).length > unmetClauses(requires, changed).length) continue;
      add.splice(add.indexOf(capability), 1);
      changed = others;
    }
    const actions = [
      ...(remove.length > 0 ? [`take ${remove.join(", ")} from ${node.name}`] : []),
      ...(add.length > 0 ? [`add ${add.join(", ")} to ${node.name}`] : []),
    ];
    return { action: actions.join(" and "), node: { capabilities: changed.capabilities } };
  },
};

function missingCapability(text: string, node: NodeCapabilities): Failure | undefined {
  const seen = shortfall(text, node);
  if (seen === null) return undefined;
  if (readClause(text) === undefined) {
    return {
      code: "invalid_clause",
      reason: `cannot evaluate ${JSON.stringify(text)}`,
      clause: text,
    };
  }
  return {
    code: "missing_capability",
    reason:
      seen.length === 0 ? `lacks ${text}` : `has ${seen.join(", ")} where ${text} is required`,
    clause: text,
    seen,
  };
}

/**
 * Accepts nodes that can run the code of the job's workflow, in the version that its run was planned with: they have
 * it, or they accept code and have the native modules that it needs.
 */
export const hasVersion: Filter<Pick<JobView, "requires">, NodeCapabilities> = {
  name: "has-version",
  about: "ability",
  key: ({ requires }) => requires.filter(isAboutCode).join("\n"),
  check: ({ requires }, node) => {
    const unmet = unmetClauses(requires.filter(isAboutCode), node);
    return unmet.length === 0 ? fits : unmet.map((clause) => withoutCode(clause, node));
  },
  fix: ({ requires }, node) => {
    const unmet = unmetClauses(requires.filter(isAboutCode), node);
    const modules = unmet.flatMap((clause) => parseModuleCapability(clause) ?? []);
    const isCodeMissing = modules.length < unmet.length;
    const actions = [
      ...(isCodeMissing
        ? [`let ${node.name} accept code, or bring the workflow's file to it`]
        : []),
      ...(modules.length > 0 ? [`install ${modules.join(", ")} on ${node.name}`] : []),
    ];
    const added = unmet.map((clause) =>
      parseModuleCapability(clause) === undefined ? CODE_CAPABILITY : clause,
    );
    return {
      action: actions.join(" and "),
      node: { capabilities: [...new Set([...node.capabilities, ...added])] },
    };
  },
};

const isAboutCode = (clause: string): boolean =>
  parseWorkflowCapability(clause) !== undefined || parseModuleCapability(clause) !== undefined;

/** People recognize a version by its beginning. */
const shown = (version: string): string => version.slice(0, 12);

function withoutCode(clause: string, { capabilities }: NodeCapabilities): Failure {
  const module = parseModuleCapability(clause);
  if (module !== undefined) {
    return { code: "version", reason: `lacks the native module ${module}`, clause, seen: [] };
  }
  const { name, version } = parseWorkflowCapability(clause) ?? { name: clause, version: undefined };
  const seen = capabilities.flatMap((each) => {
    const offered = parseWorkflowCapability(each);
    return offered?.name === name && offered.version !== undefined ? [offered.version] : [];
  });
  const what =
    seen.length === 0 || version === undefined
      ? `does not have the code of workflow ${name}`
      : `has version ${seen.map(shown).join(", ")} of workflow ${name}, not ${shown(version)}`;
  return { code: "version", reason: `${what}, and accepts none`, clause, seen };
}

/** Refuses nodes that the job is excluded from, because they gave it back or were lost with it. */
export const notExcluded: Filter = {
  name: "not-excluded",
  about: "ability",
  key: ({ excluded = [], excludedUntil = null, declinedBy = [], crashedOn = [] }) =>
    excluded.length === 0 ? "" : JSON.stringify([excluded, excludedUntil, declinedBy, crashedOn]),
  named: ({ excluded = [] }) => excluded,
  check: ({ excluded = [], declinedBy = [], crashedOn = [] }, { name }) => {
    if (!excluded.includes(name)) return fits;
    const declines = declinedBy.filter((each) => each === name).length;
    const losses = crashedOn.filter((each) => each === name).length;
    const reasons = [
      ...(declines > 0 ? [`declined it ${declines} times`] : []),
      ...(losses > 0 ? [`was lost ${losses} times while running it`] : []),
    ];
    return refuses("excluded", reasons.join(" and ") || "is not to get it for now");
  },
  fix: ({ excluded = [], excludedUntil = null }, { name }) => {
    const until = excludedUntil === null ? "" : ` until ${excludedUntil.toISOString()}`;
    return {
      action: `wait${until}: then ${name} is tried again`,
      job: { excluded: excluded.filter((each) => each !== name) },
    };
  },
};
