/** Problems of approvals and signals: a part of the table of problems. The queue's own refusals are in its SQL. */
export const waitProblems = {
  APPROVAL_NOT_FOUND: (id: number) => ({
    status: 404,
    detail: `job ${id} has not asked for an approval`,
    hint: "GET /api/loom/approvals lists what waits for a person",
  }),
  APPROVAL_NOT_YOURS: (title: string, who: readonly string[], caller: string) => ({
    status: 403,
    detail: `${caller} may not decide "${title}": its step names ${who.join(", ")}`,
    hint: "ask one of them, or name the caller in the step's who",
  }),
  WORKFLOW_VERSION_UNAVAILABLE: (workflow: string, version: string) => ({
    status: 503,
    detail: `this hub cannot get version ${version.slice(0, 12)} of workflow ${workflow} now, which the run began with`,
    hint: "try again; the doctor says what keeps the hub from its code",
  }),
};
