#!/usr/bin/env bash
# A real S3 server for tests: Ceph's object gateway over one monitor and one in-memory OSD, from Debian's packages
# (apt-get install -y --no-install-recommends radosgw ceph-mon ceph-osd ceph-common curl). Up in about 15 seconds.
#   ceph-rgw.sh start DIR [PORT]   starts it below DIR, creates a user, prints S3_ENDPOINT, keys and region as shell variables
#   ceph-rgw.sh stop DIR           stops what start started, and nothing else
# Loopback only. All data is in memory (4 GiB at most) and gone when it stops.
set -euo pipefail
verb=${1:?start or stop}; mkdir -p "${2:?a folder}"; dir=$(cd "$2" && pwd); port=${3:-7480}; monv1=$((port + 11)); monv2=$((port + 12))
conf=$dir/ceph.conf
ceph_() { timeout 60 ceph -c "$conf" "$@" 2>/dev/null; }
stop() {
  for p in rgw osd.0 mon.a; do
    [ -s "$dir/$p.pid" ] || continue
    pid=$(cat "$dir/$p.pid"); rm -f "$dir/$p.pid"
    kill "$pid" 2>/dev/null || continue
    # The data is in memory and of no use to anybody: who has not gone after five seconds is made to.
    for _ in $(seq 50); do kill -0 "$pid" 2>/dev/null || continue 2; sleep 0.1; done
    kill -9 "$pid" 2>/dev/null || true
  done
}
if [ "$verb" = stop ]; then stop; exit 0; fi
rm -rf "$dir"/{mon,osd,rgw,log}; mkdir -p "$dir"/{mon,osd,rgw,log}
fsid=$(cat /proc/sys/kernel/random/uuid); osd=$(cat /proc/sys/kernel/random/uuid)
cat >"$conf" <<CONF
[global]
fsid = $fsid
mon host = [v2:127.0.0.1:$monv2,v1:127.0.0.1:$monv1]
mon initial members = a
public addr = 127.0.0.1
cluster addr = 127.0.0.1
auth cluster required = none
auth service required = none
auth client required = none
ms mon client mode = crc
ms mon service mode = crc
ms mon cluster mode = crc
ms client mode = crc
ms service mode = crc
ms cluster mode = crc
osd pool default size = 1
osd pool default min size = 1
osd pool default pg num = 8
osd crush chooseleaf type = 0
mon allow pool size one = true
mon warn on pool no redundancy = false
mon data avail crit = 1
osd objectstore = memstore
memstore device bytes = 4294967296
admin socket = $dir/\$name.asok
pid file = $dir/\$name.pid
log file = $dir/log/\$name.log
[mon.a]
mon data = $dir/mon
[osd.0]
osd data = $dir/osd
[client.rgw]
rgw frontends = beast endpoint=127.0.0.1:$port
rgw data = $dir/rgw
CONF
monmaptool --create --clobber --addv a "[v2:127.0.0.1:$monv2,v1:127.0.0.1:$monv1]" --fsid "$fsid" "$dir/monmap" >/dev/null
ceph-mon -c "$conf" --mkfs -i a --monmap "$dir/monmap" 2>/dev/null
ceph-mon -c "$conf" -i a 2>/dev/null
ceph_ osd new "$osd" 0 >/dev/null
ceph-osd -c "$conf" -i 0 --mkfs --osd-uuid "$osd" 2>/dev/null
ceph-osd -c "$conf" -i 0 2>/dev/null
ceph_ osd crush add osd.0 1.0 host=h root=default >/dev/null || true
key=testaccesskey secret=testsecretkey
timeout 120 radosgw-admin -c "$conf" -n client.rgw user create --uid=test --display-name=test --access-key=$key --secret-key=$secret >/dev/null 2>&1
radosgw -c "$conf" -n client.rgw -f >"$dir/log/rgw.out" 2>&1 </dev/null & echo $! >"$dir/rgw.pid"
for _ in $(seq 60); do
  if curl -sf -m 2 "http://127.0.0.1:$port/" >/dev/null; then
    printf 'S3_ENDPOINT=http://127.0.0.1:%s\nAWS_ACCESS_KEY_ID=%s\nAWS_SECRET_ACCESS_KEY=%s\nAWS_REGION=default\n' "$port" $key $secret
    exit 0
  fi
  sleep 1
done
echo "ceph-rgw: no answer on port $port; see $dir/log" >&2; stop; exit 1
