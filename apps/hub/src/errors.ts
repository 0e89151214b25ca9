/** No workflow of this name is known to the hub. */
export class UnknownWorkflowError extends Error {
  override readonly name = "UnknownWorkflowError";
  readonly code = "UNKNOWN_WORKFLOW";
  readonly known: readonly string[];
  readonly suggestions: string[];
  constructor(workflow: string, known: readonly string[], suggestions: string[]) {
    const meant = suggestions.length > 0 ? `; did you mean ${suggestions.join(" or ")}?` : "";
    super(`there is no workflow ${workflow}${meant}`);
    this.known = known;
    this.suggestions = suggestions;
  }
}
