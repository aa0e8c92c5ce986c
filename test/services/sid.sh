# What the scripts beside this one share: programs of Debian sid, down to the C library, unpacked into a folder that no other program looks into.
# Nothing is installed.
set -euo pipefail

fail() { echo "$name: $*" >&2; exit 1; }

# unpack TREE LEAVE_OUT PACKAGE...: from apt's own Debian mirror, what the packages need included; LEAVE_OUT is a pattern of archives that are never run.
unpack() {
  local tree=$1 leave=$2 work=$1.$$ site
  shift 2
  for command in apt-get dpkg-deb xargs; do command -v "$command" >/dev/null || fail "$command not found"; done
  # The mirror that this machine uses already; only the suite is another.
  site=$(apt-get indextargets --format '$(SITE) $(COMPONENT)' 'Created-By: Packages' | sed -n 's/^\(.*\/debian\/\?\) main$/\1/p' | head -n 1)
  [ -n "$site" ] || fail "apt's sources name no Debian mirror"
  trap "rm -rf '$work'" EXIT
  mkdir -p "$work"/{lists,archives}/partial "$work"/{cache,tree}
  : >"$work/status"
  echo "deb $site sid main" >"$work/sources.list"
  apt() {
    apt-get -q -o Dir::Etc::SourceList="$work/sources.list" -o Dir::Etc::SourceParts=/dev/null -o Dir::Etc::PreferencesParts=/dev/null \
      -o Dir::State::Lists="$work/lists" -o Dir::State::status="$work/status" -o Dir::Cache="$work/cache" \
      -o Dir::Cache::archives="$work/archives" -o APT::Sandbox::User=root -o Acquire::Languages=none -o Acquire::Retries=3 \
      -o Acquire::http::Timeout=20 -o Debug::NoLocking=1 "$@" >&2
  }
  apt update
  apt install -y --no-install-recommends --download-only "$@"
  find "$work/archives" -name '*.deb' | grep -Ev "/($leave)[^/]*$" |
    xargs -n 8 -P 2 sh -c 'for one; do dpkg-deb -x "$one" "$0" || exit 255; done' "$work/tree"
  # Whoever else was as far first has the same.
  mv -T "$work/tree" "$tree" 2>/dev/null || true
}

# await DIR PATTERN: until the server's log says that it is ready; DIR/pid is its process.
await() {
  for _ in $(seq 300); do
    grep -q "$2" "$1/log" && return 0
    kill -0 "$(cat "$1/pid")" 2>/dev/null || fail "it ended: $(tail -n 3 "$1/log")"
    sleep 0.1
  done
  halt "$1"
  fail "it does not answer: $(tail -n 3 "$1/log")"
}

# halt DIR: its data is of no use to anybody.
halt() {
  [ -s "$1/pid" ] || return 0
  local pid; pid=$(cat "$1/pid"); rm -f "$1/pid"
  kill -9 "$pid" 2>/dev/null || true
}
