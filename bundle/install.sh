#!/bin/sh
# 安装金锁，不需要互联网。Install Jinsuo @VERSION@ without internet.
#
#   ./install.sh [--prefix DIR] [--python PYTHON] [--agent DIR] [--center DIR]
#
# --prefix DIR     where the programs go; /opt/jinsuo by default
# --python PYTHON  the Python 3.11 or newer to use; the newest that is found by default
# --agent DIR      also make an agent's folder there, if there is none, and install its service (root, systemd)
# --center DIR     also install the service of the center that is in that folder (root, systemd)
#
# Run it again, from a newer archive, to update: services that run are stopped meanwhile. Exit codes: 0 done ·
# 1 failed · 64 wrong usage · 69 no fitting Python, or this archive has no wheels for it.
set -eu
umask 022
here=$(cd "$(dirname "$0")" && pwd)
prefix=/opt/jinsuo python= agent= center=

say() { printf 'install: %s\n' "$*" >&2; }
usage() { sed -n '2,12s/^# \{0,1\}//p' "$0"; }

while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit 0 ;;
        --prefix | --python | --agent | --center)
            [ $# -ge 2 ] || { say "$1 needs a value"; exit 64; }
            case $1 in
                --prefix) prefix=$2 ;;
                --python) python=$2 ;;
                --agent) agent=$2 ;;
                --center) center=$2 ;;
            esac
            shift 2 ;;
        *) say "unknown: $1; see --help"; exit 64 ;;
    esac
done

(cd "$here" && sha256sum --quiet --strict -c SHA256SUMS) || { say "the archive is damaged: get it again"; exit 1; }

# -P: where this is started from, such as Downloads or /tmp, others may have put modules for root to run.
fits() { "$1" -P -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
if [ -z "$python" ]; then
    for each in python3.13 python3.12 python3.11 python3; do
        if command -v "$each" >/dev/null && fits "$each"; then python=$each; break; fi
    done
fi
if [ -z "$python" ] || ! fits "$python"; then
    say "Python 3.11 or newer is needed. Where it cannot be had, read from another machine: see README.txt"
    exit 69
fi

running=
for name in jinsuo-agent jinsuo-center; do
    if command -v systemctl >/dev/null && systemctl is-active --quiet "$name" 2>/dev/null; then
        say "stopping $name"
        systemctl stop "$name"
        running="$running $name"
    fi
done

# pip comes with the archive, so Debian's python3-venv is not needed; no setting of this machine may send it elsewhere.
"$python" -P -m venv --without-pip "$prefix"
pip() { PIP_CONFIG_FILE=/dev/null PYTHONPATH=$(ls "$here"/wheels/pip-*.whl) "$prefix/bin/python" -P -m pip --isolated "$@"; }
install() { pip install --quiet --disable-pip-version-check --no-index --find-links "$here/wheels" --upgrade "$@"; }
if ! install "jinsuo[agent,postgresql,odbc,oracle,ssh,media,center]==@VERSION@"; then
    say "this archive has no wheels for $("$python" --version) on $(uname -m)"
    exit 69
fi
if install mysqlclient 2>/dev/null && "$prefix/bin/python" -P -c 'import MySQLdb' 2>/dev/null; then
    say "with the driver for MariaDB and MySQL"
else
    say "without the driver for MariaDB and MySQL (it needs the Python that it was built for, and libmariadb)"
fi
rm -rf "$prefix/docs"
cp -R "$here/docs" "$prefix/docs"
chmod -R go+rX "$prefix"

if [ "$(id -u)" = 0 ] && [ "$prefix" = /opt/jinsuo ]; then
    for name in jinsuo-agent jinsuo-center jinsuo-verify; do ln -sf "$prefix/bin/$name" "/usr/local/bin/$name"; done
fi
if [ -n "$agent" ]; then
    [ -f "$agent/agent.yaml" ] || "$prefix/bin/jinsuo-agent" init "$agent"
    "$prefix/bin/jinsuo-agent" -C "$agent" service install
fi
if [ -n "$center" ]; then "$prefix/bin/jinsuo-center" -C "$center" service install; fi
for name in $running; do
    say "starting $name"
    systemctl start "$name"
done
say "installed $("$prefix/bin/jinsuo-agent" --version) in $prefix"
say "操作手册 $prefix/docs/operate.zh-CN.md · handbook: $prefix/docs/operate.md"
