import type { Approval } from "@loom/client";
import { type FormEvent, useId, useState } from "react";
import { useHasScope } from "../account/session.tsx";
import { hub } from "../hub.ts";
import { JsonView } from "../parts/json-view.tsx";
import { StateBadge, shortId } from "../parts/marks.tsx";
import { formatMoment } from "../parts/moment.ts";
import { toPrintable } from "../parts/printable.ts";
import { Ago, Left } from "../parts/time.tsx";
import { Link, to } from "../router.tsx";
import { type Problems, problemsOf, readInput, SchemaFields } from "../workflows/schema-fields.tsx";

/** An approval: the question, what the step shows, and the decision or the form for it. */
export function ApprovalCard({
  approval,
  onDecided,
}: {
  approval: Approval;
  onDecided: () => void;
}) {
  const { id, title, workflow, runId, step, state, askedAt, expiresAt, onTimeout, shown } =
    approval;
  const headingId = useId();
  return (
    <article className={`card approval approval-${state}`} aria-labelledby={headingId}>
      <h3 id={headingId}>{toPrintable(title)}</h3>
      <p className="facts muted">
        {state !== "pending" && <StateBadge state={BADGES[state]} word={WORDS[state]} />}
        <span>
          <Link href={to("workflows", workflow)}>{workflow}</Link>, step {step}, run{" "}
          <Link href={to("runs", runId)} className="mono">
            {shortId(runId)}
          </Link>
        </span>
        <span>
          asked <Ago at={askedAt} />
        </span>
        {state === "pending" && expiresAt !== null && (
          <span>
            <Left until={expiresAt} /> to decide (until {formatMoment(expiresAt)}); then it{" "}
            {onTimeout === "approve" ? "is approved" : "fails"}
          </span>
        )}
      </p>
      {shown !== null && shown !== undefined && (
        <Shown value={shown} label={`what ${step} shows`} />
      )}
      {state === "pending" ? (
        <Decide key={`${id} ${approval.digest}`} approval={approval} onDecided={onDecided} />
      ) : (
        <Decided approval={approval} />
      )}
    </article>
  );
}

const WORDS = {
  pending: "waiting",
  approved: "approved",
  rejected: "rejected",
  timed_out: "timed out",
  cancelled: "cancelled",
} as const;

const BADGES = {
  approved: "succeeded",
  rejected: "failed",
  timed_out: "failed",
  cancelled: "cancelled",
} as const;

/** A flat object as a list of terms, because that is what a person reads; anything else as JSON. */
function Shown({ value, label }: { value: unknown; label: string }) {
  const isFlat =
    typeof value === "object" &&
    !Array.isArray(value) &&
    Object.values(value as object).every((one) => one === null || typeof one !== "object");
  if (typeof value === "string") return <p className="shown">{toPrintable(value)}</p>;
  if (!isFlat) return <JsonView value={value} label={label} />;
  return (
    <dl className="shown">
      {Object.entries(value as object).map(([name, one]) => (
        <div key={name}>
          <dt>{toPrintable(name)}</dt>
          <dd>{toPrintable(String(one))}</dd>
        </div>
      ))}
    </dl>
  );
}

function Decided({ approval }: { approval: Approval }) {
  const { state, decidedBy, decidedAt, note, input, step } = approval;
  return (
    <>
      <p>
        {WORDS[state]}
        {decidedBy !== null && (
          <>
            {" "}
            by <b>{toPrintable(decidedBy)}</b>
          </>
        )}{" "}
        {decidedAt !== null && <Ago at={decidedAt} />}
      </p>
      {note !== null && <blockquote className="note">{toPrintable(note)}</blockquote>}
      {input !== null && input !== undefined && (
        <JsonView value={input} label={`the input of ${step}`} />
      )}
    </>
  );
}

/** The form: the input that the step asks for, a note, and the two decisions. */
function Decide({ approval, onDecided }: { approval: Approval; onDecided: () => void }) {
  const { id, digest, title, inputSchema, mayDecide, who } = approval;
  const mayRun = useHasScope("run");
  const noteId = useId();
  const [note, setNote] = useState("");
  const [problems, setProblems] = useState<Problems>(new Map());
  const [isBusy, setBusy] = useState(false);

  if (!mayRun || !mayDecide) {
    return (
      <p className="muted">
        {who.length > 0
          ? `${who.join(", ")} may decide.`
          : "Somebody with the scope run may decide."}
      </p>
    );
  }

  const decide = async (decision: "approved" | "rejected", form: HTMLFormElement) => {
    setBusy(true);
    setProblems(new Map());
    try {
      await hub.decideApproval(id, {
        decision,
        digest,
        ...(note.trim() !== "" && { note: note.trim() }),
        ...(inputSchema !== null &&
          decision === "approved" && { input: readInput(inputSchema, form) }),
      });
      onDecided();
    } catch (error) {
      setProblems(problemsOf(error));
    } finally {
      setBusy(false);
    }
  };
  const submit = (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const { submitter } = event.nativeEvent as SubmitEvent;
    const decision = submitter?.getAttribute("value") === "rejected" ? "rejected" : "approved";
    void decide(decision, event.currentTarget);
  };

  return (
    <form className="run-form" onSubmit={submit} noValidate>
      {inputSchema !== null && <SchemaFields schema={inputSchema} problems={problems} />}
      <div className="field">
        <label htmlFor={noteId}>
          Note <span className="muted">optional, kept with the decision</span>
        </label>
        <textarea
          id={noteId}
          rows={2}
          maxLength={2_000}
          value={note}
          onChange={({ target }) => setNote(target.value)}
        />
      </div>
      {problems.has("") && (
        <p className="problem" role="alert">
          {problems.get("")}
        </p>
      )}
      <div className="row">
        <button
          type="submit"
          value="approved"
          className="main"
          disabled={isBusy}
          aria-label={`Approve: ${title}`}
        >
          Approve
        </button>
        <button
          type="submit"
          value="rejected"
          className="danger"
          disabled={isBusy}
          aria-label={`Reject: ${title}`}
        >
          Reject
        </button>
      </div>
    </form>
  );
}
