#!/usr/bin/env bash
# A real MySQL for tests, beside whatever the machine has of its own: Debian sid's server and all that it needs, down to
# the C library, unpacked into a folder that no other program looks into. Nothing is installed; root is not needed.
#   mysql-sid.sh fetch CACHE             unpacks it below CACHE (60 MB from apt's own Debian mirror), if it is not there yet
#   mysql-sid.sh start CACHE DIR PORT    starts it on an empty database below DIR, prints MYSQL_HOST and so on as shell variables
#   mysql-sid.sh stop DIR                stops what start started, and nothing else
# Loopback only, no durability, user root without a password.
set -euo pipefail

fail() { echo "mysql-sid: $*" >&2; exit 1; }

fetch() {
  local site
  work=$tree.$$
  for command in apt-get dpkg-deb xargs; do command -v "$command" >/dev/null || fail "$command not found"; done
  # The mirror that this machine uses already; only the suite is another.
  site=$(apt-get indextargets --format '$(SITE) $(COMPONENT)' 'Created-By: Packages' | sed -n 's/^\(.*\/debian\/\?\) main$/\1/p' | head -n 1)
  [ -n "$site" ] || fail "apt's sources name no Debian mirror"
  trap 'rm -rf "$work"' EXIT
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
  apt install -y --no-install-recommends --download-only mysql-server-core
  # What it asks for to be configured by, and never needs to run.
  rm -f "$work"/archives/{perl,libperl}*.deb
  printf '%s\0' "$work"/archives/*.deb | xargs -0 -n 8 -P 2 sh -c 'for one; do dpkg-deb -x "$one" "$0" || exit 255; done' "$work/tree"
  # Whoever else was as far first has the same.
  mv -T "$work/tree" "$tree" 2>/dev/null || true
}

mysqld() {
  local loader=("$tree"/usr/lib/*-linux-gnu/ld-linux-*.so.*) options=(--no-defaults --basedir="$tree/usr" --datadir="$dir/data")
  # MySQL asks twice before it runs as root.
  exec "${loader[0]}" --library-path "$(dirname "${loader[0]}")" "$tree/usr/sbin/mysqld" "${options[@]}" --user="$(id -un)" --secure-file-priv= "$@"
}

stop() {
  [ -s "$dir/pid" ] || return 0
  local pid; pid=$(cat "$dir/pid"); rm -f "$dir/pid"
  # Its data is of no use to anybody.
  kill -9 "$pid" 2>/dev/null || true
}

verb=${1:?fetch, start or stop}
if [ "$verb" = stop ]; then dir=$2; stop; exit 0; fi
mkdir -p "${2:?a folder}"; tree=$(cd "$2" && pwd)/mysql-sid
[ -x "$tree/usr/sbin/mysqld" ] || fetch
[ "$verb" = start ] || exit 0
mkdir -p "${3:?a folder}"; dir=$(cd "$3" && pwd); port=${4:?a port}
rm -rf "$dir/data"; mkdir "$dir/data"
(mysqld --initialize-insecure) >"$dir/log" 2>&1 || fail "it cannot be initialized: $(tail -n 3 "$dir/log")"
(mysqld --port="$port" --bind-address=127.0.0.1 --socket="$dir/socket" --mysqlx=OFF --skip-log-bin \
  --innodb-flush-log-at-trx-commit=0 >>"$dir/log" 2>&1 </dev/null) &
echo $! >"$dir/pid"
for _ in $(seq 300); do
  if grep -q "ready for connections.*port: $port" "$dir/log"; then
    printf 'MYSQL_HOST=127.0.0.1\nMYSQL_PORT=%s\nMYSQL_USER=root\nMYSQL_PASSWORD=\n' "$port"
    exit 0
  fi
  kill -0 "$(cat "$dir/pid")" 2>/dev/null || fail "it ended: $(tail -n 3 "$dir/log")"
  sleep 0.1
done
stop; fail "no answer on port $port: $(tail -n 3 "$dir/log")"
