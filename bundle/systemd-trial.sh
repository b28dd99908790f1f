#!/bin/sh
# Inside the machine that script/test-systemd boots: what its services do. Prints a line for each thing that held.
set -eu
work=$1
bin=/opt/jinsuo/bin agent=/var/lib/jinsuo-agent center=/var/lib/jinsuo-center

say() { echo "test-systemd: $*"; }
die() {
    say "FAILED: $*"
    for name in jinsuo-agent jinsuo-center; do systemctl status --no-pager --lines=0 "$name" || true; done
    exit 1
}
holds() { what=$1; shift; "$@" || die "$what"; say "$what"; }
within() {
    seconds=$1 what=$2; shift 2
    until "$@"; do
        seconds=$((seconds - 1))
        [ "$seconds" -gt 0 ] || die "not in time: $what"
        sleep 1
    done
    say "$what"
}
show() { systemctl show --value -p "$2" "$1"; }
as_agent() { setpriv --reuid=jinsuo-agent --regid=jinsuo-agent --init-groups "$bin/jinsuo-agent" -C "$agent" "$@"; }
as_center() { setpriv --reuid=jinsuo-center --regid=jinsuo-center --init-groups "$bin/jinsuo-center" -C "$center" "$@"; }
restarted() { [ "$(show "$1" NRestarts)" -ge "$2" ] && [ "$(systemctl is-active "$1")" = active ]; }
stored() { as_center snapshots X013 --json | grep -q '"level": "stored"'; }

ip link set lo up
mkdir "$work/unpacked"
tar xzf "$work"/jinsuo-*.tar.gz -C "$work/unpacked"
"$work"/unpacked/*/install.sh --python "$(cat "$work/python")" --agent "$agent"
holds "installed and enabled" [ "$(systemctl is-enabled jinsuo-agent)" = enabled ]
holds "the folder is the service's" [ "$(stat -c %U:%a "$agent")" = jinsuo-agent:700 ]

"$bin/jinsuo-center" init "$center" --origin archives.example/systemd --listen 127.0.0.1:8443 > /dev/null
"$bin/jinsuo-center" service install > /dev/null
"$bin/jinsuo-center" service start > /dev/null
holds "the center's service says that it is ready" "$bin/jinsuo-center" service status
as_center unit add X013 --name 市第一医院 --json | sed -n 's/.*"code": "\(.*\)".*/\1/p' > "$work/code"

mkdir -p /srv/his /etc/credstore
"$bin/python" -c "
import sqlite3
db = sqlite3.connect('/srv/his/his.db')
db.execute('CREATE TABLE 患者 (编号 INTEGER PRIMARY KEY, 姓名 TEXT)')
db.executemany('INSERT INTO 患者 VALUES (?, ?)', ((i, f'患者{i}') for i in range(5000)))
db.commit()"
printf 'planted-password\n' > /etc/credstore/jinsuo-agent.dump
chmod 600 /etc/credstore/jinsuo-agent.dump
cat > "$agent/agent.yaml" <<'YAML'
sources:
  - {name: his, kind: sqlite, path: /srv/his/his.db}
  - {name: dump, kind: command, argv: [echo, dump], env: {DUMP_PASSWORD: "credential:dump"}}
YAML
chown jinsuo-agent: "$agent/agent.yaml"
as_agent enroll --center https://127.0.0.1:8443 --code - < "$work/code" > /dev/null
"$bin/jinsuo-agent" check --as-service --lang en > "$work/check" || true
holds "check tells that the unit is older than the settings" grep -q "WARN *service: what is installed is not" "$work/check"
"$bin/jinsuo-agent" service install > /dev/null
"$bin/jinsuo-agent" service start > /dev/null
holds "the agent's service says that it is ready" "$bin/jinsuo-agent" service status
"$bin/jinsuo-agent" check --as-service --lang en > "$work/check" || true
holds "check as root examines as the account" grep -q "OK *service: examined as jinsuo-agent" "$work/check"
holds "and nothing fails" [ "$(grep -c ^FAIL "$work/check")" = 0 ]

pid=$(show jinsuo-agent MainPID)
holds "the daemon is no root, and cannot become one" grep -q "^NoNewPrivs:.1" "/proc/$pid/status"
holds "it has no capability" grep -q "^CapBnd:.0000000000000000" "/proc/$pid/status"
holds "it runs as its account" [ "$(stat -c %U "/proc/$pid")" = jinsuo-agent ]
writes() { nsenter -t "$pid" -m sh -c "touch $1/written 2>/dev/null && rm $1/written"; }
reads_only() { ! writes "$1"; }
for each in /etc /usr /var/lib /home; do holds "$each is read-only to it" reads_only "$each"; done
for each in "$agent" /srv/his /tmp; do holds "$each is not" writes "$each"; done
hides_tmp() { ! nsenter -t "$pid" -m [ -e "$work/trial.sh" ]; }
holds "its /tmp is its own" hides_tmp
credential=/run/credentials/jinsuo-agent.service/dump
holds "its credential is there" nsenter -t "$pid" -m -- setpriv --reuid=jinsuo-agent --clear-groups grep -q planted "$credential"
is_closed() { ! nsenter -t "$pid" -m -- setpriv --reuid=jinsuo-center --clear-groups cat "$credential" 2>/dev/null; }
holds "and closed to others" is_closed

as_agent snapshot his --no-send > /dev/null || true
within 90 "the service has sent the snapshot: stored" stored

mkdir -p /etc/systemd/system/jinsuo-agent.service.d
printf '[Service]\nRestartSec=1\nWatchdogSec=3\nTimeoutAbortSec=2\n' > /etc/systemd/system/jinsuo-agent.service.d/fast.conf
systemctl daemon-reload
systemctl restart jinsuo-agent
kill -KILL "$(show jinsuo-agent MainPID)"
within 30 "killed: started anew" restarted jinsuo-agent 1
pid=$(show jinsuo-agent MainPID)
sleep 7
holds "beats keep it alive past its limit" [ "$(show jinsuo-agent MainPID)" = "$pid" ]
kill -STOP "$pid"
within 30 "hung: killed and started anew" restarted jinsuo-agent 2

began=$(date +%s)
"$bin/jinsuo-agent" service stop > /dev/null
holds "stopped within seconds" [ $(($(date +%s) - began)) -lt 10 ]
holds "by its own end" [ "$(show jinsuo-agent Result)" = success ]
as_agent snapshot his --no-send > /dev/null || true
"$bin/jinsuo-agent" service uninstall > "$work/kept"
holds "uninstalled: it says what is kept" grep -q "$agent" "$work/kept"
holds "keys stay" [ -n "$(ls "$agent/keys")" ]
holds "the spool stays" [ -n "$(find "$agent/spool" -name '*.pack')" ]
holds "systemd knows it no more" [ "$(show jinsuo-agent LoadState)" = not-found ]
"$bin/jinsuo-center" service stop > /dev/null
holds "the center stops by its own end" [ "$(show jinsuo-center Result)" = success ]
say "all of it held"
