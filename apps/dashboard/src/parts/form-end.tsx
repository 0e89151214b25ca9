import { type FormEvent, useState } from "react";
import { describe } from "./notice.tsx";

/** A form's request to the hub: whether one is under way, and why the last one failed. */
export interface Submission {
  isBusy: boolean;
  problem: string | undefined;
  /** Handles the form's `submit`. */
  onSubmit: (event: FormEvent<HTMLFormElement>) => void;
}

/** The content of a form cannot be sent; the message says why. */
export class FormError extends Error {
  override readonly name = "FormError";
}

/**
 * Sends what a form holds to the hub.
 *
 * @param send - Makes the request. What it throws is shown; FormError as it is.
 * @param options.textOf - The text of an error; the hub's own by default.
 */
export function useSubmit(
  send: (data: FormData, form: HTMLFormElement) => Promise<unknown>,
  { textOf = (error) => describe(error).detail }: { textOf?: (error: unknown) => string } = {},
): Submission {
  const [problem, setProblem] = useState<string>();
  const [isBusy, setBusy] = useState(false);
  const submit = async (form: HTMLFormElement) => {
    setBusy(true);
    setProblem(undefined);
    try {
      await send(new FormData(form), form);
    } catch (error) {
      setProblem(error instanceof FormError ? error.message : textOf(error));
    } finally {
      setBusy(false);
    }
  };
  return {
    isBusy,
    problem,
    onSubmit(event) {
      event.preventDefault();
      void submit(event.currentTarget);
    },
  };
}

/** The end of a form: its button, and what went wrong. */
export function FormEnd({ name, submission }: { name: string; submission: Submission }) {
  return (
    <>
      <button type="submit" className="main" disabled={submission.isBusy}>
        {name}
      </button>
      {submission.problem && (
        <p className="problem" role="alert">
          {submission.problem}
        </p>
      )}
    </>
  );
}
