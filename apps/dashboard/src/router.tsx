import { type AnchorHTMLAttributes, type MouseEvent, useSyncExternalStore } from "react";

/** The page's address: `/runs/4f?tab=log` has the path `["runs", "4f"]` and the query `tab=log`. */
export interface Address {
  path: readonly string[];
  query: URLSearchParams;
}

const listeners = new Set<() => void>();
const notify = (): void => {
  for (const listener of listeners) listener();
};
addEventListener("popstate", notify);

const subscribe = (listener: () => void) => {
  listeners.add(listener);
  return () => listeners.delete(listener);
};

const href = (): string => location.pathname + location.search;

export function useAddress(): Address {
  const url = new URL(useSyncExternalStore(subscribe, href), location.origin);
  const path = url.pathname.split("/").filter(Boolean).map(decode);
  return { path, query: url.searchParams };
}

/** Malformed percent-encoding is kept as it is. */
function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function navigate(to: string): void {
  history.pushState(null, "", to);
  notify();
  scrollTo(0, 0);
  // A screen reader announces the new page by the focus.
  document.getElementById("page")?.focus({ preventScroll: true });
}

/** Changes one query parameter without a new entry in the history, for filters and tabs. */
export function setQuery(name: string, value: string | null): void {
  const url = new URL(location.href);
  if (value === null || value === "") url.searchParams.delete(name);
  else url.searchParams.set(name, value);
  history.replaceState(null, "", url);
  notify();
}

/** A link that changes the page without loading the document. */
export function Link(props: AnchorHTMLAttributes<HTMLAnchorElement> & { href: string }) {
  const onClick = (event: MouseEvent<HTMLAnchorElement>) => {
    props.onClick?.(event);
    const isPlain = event.button === 0 && !(event.metaKey || event.ctrlKey || event.shiftKey);
    if (!isPlain || event.defaultPrevented) return;
    event.preventDefault();
    navigate(props.href);
  };
  return <a {...props} href={props.href} onClick={onClick} />;
}

/** Builds a path from parts and encodes each. */
export const to = (...parts: (string | number)[]): string =>
  `/${parts.map((part) => encodeURIComponent(part)).join("/")}`;
