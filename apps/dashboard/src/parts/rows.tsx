import type { ReactNode } from "react";

/** A table. On a narrow screen each row becomes a card. */
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
