import type { NodePlatform } from "./node-archives.ts";

/** The parts that differ from script to script. All of them are safe between single quotes. */
export interface ScriptFacts {
  /** The hub's address, as the machine that asks reaches it. */
  hub: string;
  /** SHA-256 of the agent's archive, in hex. */
  agent: string;
  /** The later of two agents has the higher one. */
  sequence: number;
  /** SHA-512 of Node's archives, in hex. */
  nodes: ReadonlyMap<NodePlatform, string>;
}

/**
 * The script that makes a machine a node. It holds no secret.
 *
 * Everything is in functions, and the last line calls the first, so that a script that was cut off does nothing.
 * Downloads and folders get their names when they are complete, so it may be ended and run again at any point.
 */
export const joinScript = ({ hub, agent, sequence, nodes }: ScriptFacts): string => `#!/bin/sh
# Makes this machine a node of the Loom hub at ${hub}. It says every step, and it may be run again.
# As root it makes a service of the machine, else one of this user. There is no secret in it:
# the token comes in LOOM_JOIN_TOKEN. Other settings, such as LOOM_CAPABILITIES, are kept with the service.
set -eu

HUB='${hub}'
AGENT='${agent}'
SEQUENCE='${sequence}'

say() { printf 'loom  %s\\n' "$*"; }
fail() { printf 'loom  %s\\n' "$*" >&2 && exit 1; }

# Node's archives, by their SHA-512.
node_digest() {
  case "$1" in
${[...nodes].map(([platform, digest]) => `    ${platform}) echo '${digest}' ;;\n`).join("")}    *) ;;
  esac
}

platform() {
  case "$(uname -s)-$(uname -m)" in
    Linux-x86_64) echo linux-x64 ;;
    Linux-aarch64) echo linux-arm64 ;;
    Darwin-x86_64) echo darwin-x64 ;;
    Darwin-arm64) echo darwin-arm64 ;;
    *) echo "$(uname -s)-$(uname -m)" ;;
  esac
}

# digest BITS FILE
digest() {
  if command -v "sha\${1}sum" >/dev/null 2>&1; then "sha\${1}sum" <"$2"; else shasum -a "$1" <"$2"; fi | cut -d ' ' -f 1
}

# get PATH BITS DIGEST FOLDER [MEMBER]: downloads an archive, checks it, and unpacks it as a new folder.
get() {
  rm -rf "$4.part" && mkdir -p "$4.part"
  curl -fsS --retry 3 -o "$4.part/archive" "$HUB$1" || fail "$HUB$1 cannot be fetched: is the hub running, and is it reached as before?"
  [ "$(digest "$2" "$4.part/archive")" = "$3" ] || fail "$HUB$1 is not what this script names (digest $3): run the line again, it brings the present script"
  tar -xzf "$4.part/archive" -C "$4.part" \${5+"$5"} || fail "there is no room for it in $4.part, or it cannot be unpacked there"
  rm "$4.part/archive"
  rm -rf "$4" && mv "$4.part" "$4"
}

is_new_enough() {
  [ -n "$1" ] && "$1" -e '
    const [major, minor] = process.versions.node.split(".").map(Number);
    process.exit(major > 24 || (major === 24 && minor >= 11) || (major === 22 && minor >= 18) ? 0 : 1);
  ' >/dev/null 2>&1
}

# A Node that stays, and that another user may run: not one of a package manager's cache or of root's home.
find_node() {
  NODE="$(command -v node || :)"
  case "$NODE" in */_npx/* | */dlx-* | /root/*) NODE= ;; esac
  if is_new_enough "$NODE"; then
    say "node       $NODE ($("$NODE" --version))"
    return
  fi
  node_sum="$(node_digest "$(platform)")"
  [ -n "$node_sum" ] || fail "Node is missing or older than 22.18, and the hub has none for $(platform): install Node, and run this again"
  NODE="$DIR/node-$(printf %.16s "$node_sum")/package/bin/node"
  if ! is_new_enough "$NODE"; then
    say "node       fetching one from the hub"
    get "/node/$(platform)-$node_sum.tgz" 512 "$node_sum" "\${NODE%/package/bin/node}" package/bin/node
    is_new_enough "$NODE" || fail "the Node for $(platform) does not run here (it needs glibc on Linux): install Node, and run this again"
  fi
  say "node       $NODE ($("$NODE" --version))"
}

install_agent() {
  if [ ! -f "$DIR/agent-$AGENT/lib/main.mjs" ]; then
    get "/agent/$AGENT.tgz" 256 "$AGENT" "$DIR/agent-$AGENT"
  fi
  # The agent takes none that is older than itself.
  echo "$SEQUENCE" >"$DIR/agent-$AGENT/sequence"
  before="$(readlink "$DIR/current" 2>/dev/null || :)"
  ln -sfn "agent-$AGENT" "$DIR/current"
  ln -sfn "$NODE" "$DIR/node"
  mkdir -p "$DIR/bin"
  cat >"$DIR/bin/loom-agent.part" <<'END'
#!/bin/sh
home="$(cd "$(dirname "$0")/.." && pwd)"
exec "$home/node" "$home/current/lib/main.mjs" "$@"
END
  chmod 755 "$DIR/bin/loom-agent.part"
  mv "$DIR/bin/loom-agent.part" "$DIR/bin/loom-agent"
  say "agent      $DIR/bin/loom-agent"
}

has_services() {
  [ "\${LOOM_SERVICE:-}" != none ] || return 1
  [ "$(uname -s)" != Darwin ] || return 0
  if [ "$(id -u)" = 0 ]; then [ -d /run/systemd/system ]; else systemctl --user show-environment >/dev/null 2>&1; fi
}

# Whom steps run as, where this is a service of the machine.
run_as() {
  user="\${LOOM_RUN_AS:-\${SUDO_USER:-loom}}"
  id "$user" >/dev/null 2>&1 || useradd --system --user-group --create-home "$user" || fail "there is no user $user to run steps as: name one with LOOM_RUN_AS"
  echo "$user"
}

start_service() {
  if [ "$(id -u)" = 0 ]; then
    as="$(run_as)"
    "$DIR/bin/loom-agent" install --system --run-as "$as"
  else
    as="$(id -un)"
    "$DIR/bin/loom-agent" install --user
  fi
  # A service that ran before runs the old program until it is started again.
  if [ -n "$before" ] && [ "$before" != "agent-$AGENT" ] && [ "$(uname -s)" != Darwin ]; then
    if [ "$(id -u)" = 0 ]; then systemctl restart loom-agent; else systemctl --user restart loom-agent; fi
  fi
  say "service    loom-agent, as $as"
  "$DIR/bin/loom-agent" status --wait >/dev/null || fail "the agent has not reported: $DIR/bin/loom-agent doctor says why"
  say "ready      the hub sees this machine"
}

start_here() {
  if "$DIR/bin/loom-agent" status >/dev/null 2>&1; then
    say "ready      an agent runs here already"
    exit 0
  fi
  say "service    none here: the agent runs in this terminal, and ends with it"
  "$DIR/bin/loom-agent" start &
  running=$!
  trap 'kill -TERM "$running" 2>/dev/null' INT TERM HUP
  if "$DIR/bin/loom-agent" status --wait >/dev/null; then say "ready      the hub sees this machine"; fi
  code=0
  while kill -0 "$running" 2>/dev/null; do wait "$running" && code=0 || code=$?; done
  exit "$code"
}

main() {
  command -v tar >/dev/null 2>&1 || fail "tar is missing: install it, and run this again"
  if [ "$(id -u)" = 0 ]; then
    umask 022
    DIR=/opt/loom
    LOOM_STATE_DIR=/var/lib/loom-agent
    export LOOM_STATE_DIR
  else
    DIR="\${XDG_DATA_HOME:-$HOME/.local/share}/loom"
  fi
  say "hub        $HUB"
  mkdir -p "$DIR"
  find_node
  install_agent
  # Standard input may be this script.
  "$DIR/bin/loom-agent" join "$HUB" </dev/null
  unset LOOM_JOIN_TOKEN
  if has_services; then start_service; else start_here; fi
}

main
`;
