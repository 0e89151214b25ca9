/** Any text as the value of a capability: lower case, anything but `a-z 0-9 . _` as hyphens. */
export const toValue = (text: string): string =>
  text
    .toLowerCase()
    .replace(/[^a-z0-9._]+/g, "-")
    .replace(/^-+|-+$/g, "")
    .slice(0, 100);
