/** A cursor of events is `<transaction>.<number>`; they are ordered by both, as numbers. */
export function isAfter(one: string, other: string): boolean {
  const [oneTransaction, oneNumber] = partsOf(one);
  const [otherTransaction, otherNumber] = partsOf(other);
  return oneTransaction === otherTransaction
    ? oneNumber > otherNumber
    : oneTransaction > otherTransaction;
}

function partsOf(cursor: string): [bigint, bigint] {
  const [transaction = "0", number = "0"] = cursor.split(".", 2);
  return [BigInt(transaction), BigInt(number)];
}

/** Whether the database would take it. */
export const isEventCursor = (text: string): boolean => /^[0-9]{1,19}\.[0-9]{1,18}$/.test(text);
