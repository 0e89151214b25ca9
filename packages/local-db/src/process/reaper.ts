interface HeldProcess {
  readonly kind: "process";
  /** The leader of a process group. */
  readonly pid: number;
  readonly stopSignal: NodeJS.Signals;
  readonly graceMs: number;
}

export type HeldItem = HeldProcess | { readonly kind: "directory"; readonly path: string };

/** A message to the reaper: hold an item, or release it when `item` is null. */
export interface ReaperMessage {
  readonly id: number;
  readonly item: HeldItem | null;
}

/**
 * The program of a separate process that outlives its parent for a moment, for `sh -c`. As a shell's program it takes
 * less than 1 MiB while it waits; one of Node takes 40.
 *
 * The parent sends what must not be left behind, as lines. The pipe closes however the parent ends. Then the reaper
 * ends every listed process, the last one started first (Postgres after its clients), and removes every listed
 * directory.
 */
export const REAPER = `
# A signal to all processes of a service or a session must not end the reaper before its parent.
trap '' INT TERM HUP PIPE
set -f
echo ready
exec >/dev/null 2>&1
newline='
'
# The last one first, each between two ends of line.
items=$newline
while read -r id item; do
  if [ "$item" ]; then items=$newline$id\\ $item$items
  else
    before=\${items%%"$newline$id "*}
    [ "$before" = "$items" ] && continue
    after=\${items#*"$newline$id "}
    items=$before$newline\${after#*"$newline"}
  fi
done

# A zombie, which a container without an init leaves behind, has ended.
is_running() {
  kill -0 "$1" || return 1
  read -r stat <"/proc/$1/stat" || return 0
  # The state follows the name, which is in parentheses and may itself contain some.
  case \${stat##*') '} in [ZX]*) return 1 ;; esac
}
IFS=$newline
for item in $items; do
  IFS=' '
  set -- $item
  [ "$2" = process ] || continue
  kill -s "$4" "$3"
  polls=$5
  while [ "$polls" -gt 0 ] && is_running "$3"; do
    sleep 0.02 || sleep 1
    polls=$((polls - 1))
  done
  kill -s KILL -- "-$3"
done
IFS=$newline
for item in $items; do
  IFS=' '
  set -- $item
  [ "$2" = directory ] || continue
  # The x keeps an end of line at the end of the path.
  path=$(printf '%bx' "$3")
  rm -rf -- "\${path%x}" || { sleep 1; rm -rf -- "\${path%x}"; }
done
`;

const POLL_MS = 20;

/** A message as a line that the program reads. */
export const toLine = ({ id, item }: ReaperMessage): string =>
  item ? `${id} ${toWords(item)}\n` : `${id}\n`;

const toWords = (item: HeldItem): string =>
  item.kind === "directory"
    ? `directory ${item.path.replace(/[\s\\]/g, escaped)}`
    : `process ${item.pid} ${item.stopSignal.replace("SIG", "")} ${Math.ceil(item.graceMs / POLL_MS)}`;

/** What would end a word, as `printf %b` reads it. */
const escaped = (text: string): string =>
  [...Buffer.from(text)].map((byte) => `\\0${byte.toString(8).padStart(3, "0")}`).join("");
