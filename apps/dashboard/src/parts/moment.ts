const dayOf = new Intl.DateTimeFormat(undefined, { dateStyle: "short" });
const inDay = new Intl.DateTimeFormat(undefined, { timeStyle: "short" });
const onDay = new Intl.DateTimeFormat(undefined, {
  weekday: "short",
  hour: "2-digit",
  minute: "2-digit",
});
const exactly = new Intl.DateTimeFormat(undefined, { timeStyle: "medium" });

const onDate = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "short" });
/** From here on, a weekday could be that of another week. */
const FAR_MS = 6 * 86_400_000;

function formatAt(at: string, now: number, today: Intl.DateTimeFormat): string {
  const moment = new Date(at);
  if (Math.abs(moment.getTime() - now) > FAR_MS) return onDate.format(moment);
  return (dayOf.format(moment) === dayOf.format(new Date(now)) ? today : onDay).format(moment);
}

/** Formats a moment to the minute, with the weekday if it is not today, and the date if it is more than 6 days off. */
export const formatMoment = (at: string, now = Date.now()): string => formatAt(at, now, inDay);

/** Formats a moment to the second if it is today, and else as `formatMoment` does. */
export const formatClock = (at: string, now = Date.now()): string => formatAt(at, now, exactly);
