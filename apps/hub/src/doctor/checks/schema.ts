import type { Check } from "../check.ts";

/** The database has had the migrations that this hub comes with, and no others. */
export const schema: Check = {
  name: "schema",
  examine: ({ database, migrations }) => {
    const missing = migrations.filter((name) => !database.migrations.includes(name));
    const newer = database.migrations.filter((name) => !migrations.includes(name));
    return {
      ok: `up to date: ${migrations.at(-1)}`,
      findings: [
        ...(missing.length === 0
          ? []
          : [
              {
                status: "fail" as const,
                subject: "database",
                evidence: `it has not had ${missing.join(", ")}`,
                fix: "apply the migrations: npx @loom/hub migrate",
              },
            ]),
        ...(newer.length === 0
          ? []
          : [
              {
                status: "warn" as const,
                subject: "hub",
                evidence: `the database has had ${newer.join(", ")}, which this hub does not know`,
                fix: "update the hub",
              },
            ]),
      ],
    };
  },
};
