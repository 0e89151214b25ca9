import type { ReactNode } from "react";

/** A table of rows, each a card of its own on a narrow screen. */
export function Rows({ heads, children }: { heads: readonly string[]; children: ReactNode }) {
  return (
    <table className="rows">
      <thead>
        <tr>
          {heads.map((head) => (
            <th key={head} scope="col">
              {head}
            </th>
          ))}
        </tr>
      </thead>
      <tbody>{children}</tbody>
    </table>
  );
}
