import type { Session } from "@loom/client";
import { type FormEvent, useState } from "react";
import { logIn } from "../hub.ts";
import { describe } from "../parts/notice.tsx";
import { Wordmark } from "../parts/wordmark.tsx";

/** Exchanges a token for a session. The browser does not keep the token. */
export function LoginPage({ onLoggedIn }: { onLoggedIn: (session: Session) => void }) {
  const [problem, setProblem] = useState<string>();
  const [isBusy, setBusy] = useState(false);

  const submit = async (event: FormEvent<HTMLFormElement>) => {
    event.preventDefault();
    const token = String(new FormData(event.currentTarget).get("token") ?? "").trim();
    if (token === "") return setProblem("Paste a token first.");
    setBusy(true);
    try {
      onLoggedIn(await logIn(token));
    } catch (error) {
      setProblem(describe(error).detail);
      setBusy(false);
    }
  };

  return (
    <main className="alone login">
      <form className="card" onSubmit={(event) => void submit(event)}>
        <h1>
          <Wordmark />
        </h1>
        <p className="muted">Your machines, woven into one.</p>
        <label htmlFor="token">Token</label>
        <input
          id="token"
          name="token"
          type="password"
          autoComplete="current-password"
          spellCheck={false}
          aria-describedby="token-help"
          aria-invalid={problem !== undefined}
        />
        {problem && (
          <p className="problem" role="alert">
            {problem}
          </p>
        )}
        <button type="submit" className="main" disabled={isBusy}>
          Log in
        </button>
        <p id="token-help" className="muted">
          <code>npm start</code> prints it and keeps it in <code>.loom/token</code>. The page
          exchanges it for a cookie that lasts twelve hours and that scripts cannot read.
        </p>
      </form>
    </main>
  );
}
