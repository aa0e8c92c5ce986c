#!/usr/bin/env bash
# The newest PostgreSQL for tests, beside the machine's own: Debian sid's (sid.sh). It needs root, as it calls its own programs by their paths, so it
# lives in a root of its own, and as an ordinary user there.
#   postgresql-sid.sh start CACHE DIR PORT    unpacks it below CACHE (60 MB), if it is not there yet; starts it on an empty cluster, prints PGHOST and so on
#                                             as shell variables
#   postgresql-sid.sh stop CACHE DIR          stops what start started, and nothing else
# Loopback only, no durability, user postgres without a password.
name=postgresql-sid
. "$(dirname "$0")/sid.sh"
NOBODY=65534

# Debian unpacks what a system would have made of it already.
furnish() {
  local folder
  for folder in bin sbin lib lib64; do if [ -d "$tree/usr/$folder" ]; then ln -sfn "usr/$folder" "$tree/$folder"; fi; done
  mkdir -p "$tree/tmp" "$tree/dev"
  chmod 1777 "$tree/tmp"
  [ -e "$tree/dev/null" ] || mknod -m 666 "$tree/dev/null" c 1 3
  echo "postgres:x:$NOBODY:$NOBODY::/tmp:/bin/sh" >"$tree/etc/passwd"
}

inside() { exec chroot --userspec=$NOBODY:$NOBODY "$tree" "$@"; }

[ "$(id -u)" = 0 ] || fail "only root may start it"
mkdir -p "${2:?a folder}" "${3:?a folder}"
tree=$(cd "$2" && pwd)/postgresql-sid dir=$(cd "$3" && pwd) port=${4:-}
case $1 in
  stop)
    halt "$dir"
    if [ -s "$dir/data" ]; then rm -rf "$(cat "$dir/data")"; fi
    ;;
  start)
    [ -d "$tree/usr/lib/postgresql" ] || unpack "$tree" 'perl|libperl|systemd_|passwd|procps' postgresql dash
    furnish
    programs=$(cd "$tree" && echo usr/lib/postgresql/*/bin)
    data=/tmp/data-$port
    echo "$tree$data" >"$dir/data"
    (inside "/$programs/initdb" -D "$data" -U postgres -A trust --no-sync --locale=C.UTF-8 -E UTF8) >"$dir/log" 2>&1 ||
      fail "it cannot be initialized: $(tail -n 3 "$dir/log")"
    (inside "/$programs/postgres" -D "$data" -p "$port" -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off \
      -c dynamic_shared_memory_type=mmap >>"$dir/log" 2>&1 </dev/null) &
    echo $! >"$dir/pid"
    await "$dir" 'ready to accept connections'
    printf 'PGHOST=127.0.0.1\nPGPORT=%s\nPGUSER=postgres\nPGPASSWORD=\n' "$port"
    ;;
  *) fail "start or stop" ;;
esac
