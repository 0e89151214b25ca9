type IsoDates<Row> = {
  [Key in keyof Row]: Extract<Row[Key], Date> extends never
    ? Row[Key]
    : string | Exclude<Row[Key], Date>;
};

/** A row with its instants as RFC 3339 text, as JSON has them. */
export const withIsoDates = <Row extends object>(row: Row): IsoDates<Row> =>
  Object.fromEntries(
    Object.entries(row).map(([key, value]) => [
      key,
      value instanceof Date ? value.toISOString() : value,
    ]),
  ) as IsoDates<Row>;
