import { type AnchorHTMLAttributes, type MouseEvent, useSyncExternalStore } from "react";

/** The address, split: `/runs/4f?tab=log` is `["runs", "4f"]` and `{ tab: "log" }`. */
export interface Address {
  path: readonly string[];
  query: URLSearchParams;
}

const listeners = new Set<() => void>();
const tell = (): void => {
  for (const listener of listeners) listener();
};
addEventListener("popstate", tell);

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

/** What is no encoded text is taken as it stands. */
function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

export function navigate(to: string): void {
  history.pushState(null, "", to);
  tell();
  scrollTo(0, 0);
  // Whoever cannot see that the page changed is told by where the focus is.
  document.getElementById("page")?.focus({ preventScroll: true });
}

/** Changes a part of the query in place: filters, tabs and the like are no steps of the history. */
export function setQuery(name: string, value: string | null): void {
  const url = new URL(location.href);
  if (value === null || value === "") url.searchParams.delete(name);
  else url.searchParams.set(name, value);
  history.replaceState(null, "", url);
  tell();
}

/** A link within the page. */
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

/** An address with names in it. */
export const to = (...parts: (string | number)[]): string =>
  `/${parts.map((part) => encodeURIComponent(part)).join("/")}`;
