import { HubError, type JoinTokenRequest, type NewJoinToken } from "@loom/client";
import { hub } from "../hub.ts";
import { FormEnd, useSubmit } from "../parts/form-end.tsx";
import { describe } from "../parts/notice.tsx";

/** Asks for a machine's name and for the names that it may offer, and makes its line. */
export function JoinForm({ onMade }: { onMade: (token: NewJoinToken) => void }) {
  const submission = useSubmit(async (data) => onMade(await hub.createJoinToken(toRequest(data))), {
    textOf: problemOf,
  });

  return (
    <form className="run-form" onSubmit={submission.onSubmit} noValidate>
      <div className="field">
        <label htmlFor="node">
          Name <span className="muted">optional</span>
        </label>
        <input
          id="node"
          name="node"
          maxLength={63}
          placeholder="tower"
          spellCheck={false}
          autoComplete="off"
          autoCapitalize="none"
          aria-describedby="node-help"
        />
        <p id="node-help" className="muted">
          With a name, only a machine of this name can use the line. Without one, the machine uses
          its own.
        </p>
      </div>
      <div className="field">
        <label htmlFor="offers">
          It may offer <span className="muted">optional</span>
        </label>
        <input
          id="offers"
          name="offers"
          placeholder="has-nas, exec"
          spellCheck={false}
          autoComplete="off"
          autoCapitalize="none"
          aria-describedby="offers-help"
        />
        <p id="offers-help" className="muted">
          Separate names by commas; * allows everything. Measured capabilities (system, memory, GPU,
          Docker) need no permission. You can allow other names later.
        </p>
      </div>
      <FormEnd name="Make the line" submission={submission} />
    </form>
  );
}

function toRequest(data: FormData): JoinTokenRequest {
  const node = String(data.get("node") ?? "").trim();
  const offers = String(data.get("offers") ?? "")
    .split(/[\s,]+/)
    .filter(Boolean);
  return { ...(node && { node }), ...(offers.length > 0 && { mayOffer: offers }) };
}

/** Returns the hub's messages for single fields. */
function problemOf(error: unknown): string {
  const errors = error instanceof HubError ? (error.problem?.errors ?? []) : [];
  if (errors.length === 0) return describe(error).detail;
  return errors
    .map(
      ({ path, message }) => `${path.startsWith("mayOffer") ? "It may offer" : "Name"} ${message}`,
    )
    .join("; ");
}
