#!/usr/bin/env bash
# A real MySQL for tests, beside whatever the machine has of its own: Debian sid's (sid.sh). Root is not needed.
#   mysql-sid.sh start CACHE DIR PORT    unpacks it below CACHE (60 MB), if it is not there yet; starts it on an empty database below DIR, prints
#                                        MYSQL_HOST and so on as shell variables
#   mysql-sid.sh stop CACHE DIR          stops what start started, and nothing else
# Loopback only, no durability, user root without a password.
name=mysql-sid
. "$(dirname "$0")/sid.sh"

mysqld() {
  local loader=("$tree"/usr/lib/*-linux-gnu/ld-linux-*.so.*) options=(--no-defaults --basedir="$tree/usr" --datadir="$dir/data")
  # MySQL asks twice before it runs as root.
  exec "${loader[0]}" --library-path "$(dirname "${loader[0]}")" "$tree/usr/sbin/mysqld" "${options[@]}" --user="$(id -un)" --secure-file-priv= "$@"
}

mkdir -p "${2:?a folder}" "${3:?a folder}"
tree=$(cd "$2" && pwd)/mysql-sid dir=$(cd "$3" && pwd) port=${4:-}
case $1 in
  stop) halt "$dir" ;;
  start)
    [ -x "$tree/usr/sbin/mysqld" ] || unpack "$tree" 'perl|libperl' mysql-server-core
    rm -rf "$dir/data"; mkdir "$dir/data"
    (mysqld --initialize-insecure) >"$dir/log" 2>&1 || fail "it cannot be initialized: $(tail -n 3 "$dir/log")"
    (mysqld --port="$port" --bind-address=127.0.0.1 --socket="$dir/socket" --mysqlx=OFF --skip-log-bin \
      --innodb-flush-log-at-trx-commit=0 >>"$dir/log" 2>&1 </dev/null) &
    echo $! >"$dir/pid"
    await "$dir" "ready for connections.*port: $port"
    printf 'MYSQL_HOST=127.0.0.1\nMYSQL_PORT=%s\nMYSQL_USER=root\nMYSQL_PASSWORD=\n' "$port"
    ;;
  *) fail "start or stop" ;;
esac
