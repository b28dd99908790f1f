#!/bin/sh
# 安装金锁 @VERSION@，不需要互联网。
#
#   ./install.sh [--prefix DIR] [--python PYTHON] [--agent DIR] [--center DIR]
#
# --prefix DIR     程序装到哪里；默认 /opt/jinsuo
# --python PYTHON  使用哪个 Python（3.11 或更新）；默认取找到的最新者
# --agent DIR      另在该处建立采集端目录（若还没有），并安装其服务（须 root、systemd）
# --center DIR     另为该目录中的中心安装服务（须 root、systemd）
#
# 用较新的安装包再运行一次即为升级：期间停下在运行的服务。退出码：0 完成 · 1 失败 · 64 用法错误 ·
# 69 没有合适的 Python，或本安装包中没有适合它的程序
#
# Install Jinsuo @VERSION@ without internet.
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

# say 中文 English: one of them, by the system's language.
say() {
    case ${LC_ALL:-${LC_MESSAGES:-${LANG:-}}} in
        zh*) printf 'install: %s\n' "$1" >&2 ;;
        *) printf 'install: %s\n' "$2" >&2 ;;
    esac
}
usage() { sed -n '2,23s/^# \{0,1\}//p' "$0"; }

while [ $# -gt 0 ]; do
    case $1 in
        -h | --help) usage; exit 0 ;;
        --prefix | --python | --agent | --center)
            [ $# -ge 2 ] || { say "$1 后面要跟一个值" "$1 needs a value"; exit 64; }
            case $1 in
                --prefix) prefix=$2 ;;
                --python) python=$2 ;;
                --agent) agent=$2 ;;
                --center) center=$2 ;;
            esac
            shift 2 ;;
        *) say "不认识的参数：$1；请看 --help" "unknown: $1; see --help"; exit 64 ;;
    esac
done

(cd "$here" && sha256sum --quiet --strict -c SHA256SUMS) || {
    say "安装包已损坏：重新取一份" "the archive is damaged: get it again"
    exit 1
}

# -P: where this is started from, such as Downloads or /tmp, others may have put modules for root to run.
fits() { "$1" -P -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; }
if [ -z "$python" ]; then
    for each in python3.13 python3.12 python3.11 python3; do
        if command -v "$each" >/dev/null && fits "$each"; then python=$each; break; fi
    done
fi
if [ -z "$python" ] || ! fits "$python"; then
    say "需要 Python 3.11 或更新。装不了的，从另一台机器读取：见 README.txt" \
        "Python 3.11 or newer is needed. Where it cannot be had, read from another machine: see README.txt"
    exit 69
fi

running=
for name in jinsuo-agent jinsuo-center; do
    if command -v systemctl >/dev/null && systemctl is-active --quiet "$name" 2>/dev/null; then
        say "停止 $name" "stopping $name"
        systemctl stop "$name"
        running="$running $name"
    fi
done
start_again() {
    for name in $running; do
        say "启动 $name" "starting $name"
        systemctl start "$name"
    done
}

# pip comes with the archive, so Debian's python3-venv is not needed; no setting of this machine may send it elsewhere.
"$python" -P -m venv --without-pip "$prefix"
pip() { PIP_CONFIG_FILE=/dev/null PYTHONPATH=$(ls "$here"/wheels/pip-*.whl) "$prefix/bin/python" -P -m pip --isolated "$@"; }
install() { pip install --quiet --disable-pip-version-check --no-index --find-links "$here/wheels" --upgrade "$@"; }
if ! words=$(install "jinsuo[agent,postgresql,odbc,oracle,ssh,media,center]==@VERSION@" 2>&1); then
    # What pip said last, in its own words, and then what to do about it.
    printf '%s\n' "$words" | tail -n 6 >&2
    code=1
    case $words in
    *"No space left on device"* | *"Disk quota exceeded"*)
        say "磁盘已满：在 $prefix 和 ${TMPDIR:-/tmp} 所在的卷上腾出空间，再运行一次" \
            "the disk is full: make room on the volumes of $prefix and ${TMPDIR:-/tmp}, then run this again" ;;
    *"Permission denied"* | *"Read-only file system"*)
        say "本账户不能写入 $prefix：用 sudo 运行，或用 --prefix 另指一个目录" \
            "this account cannot write to $prefix: run this with sudo, or name another folder with --prefix" ;;
    *"No matching distribution found"*)
        say "本安装包没有适合 $(uname -m) 上 $("$python" --version) 的程序：用 --python 指明 README.txt 所列的版本，或从另一台机器读取" \
            "this archive has no wheels for $("$python" --version) on $(uname -m): name one that README.txt lists with --python, or read from another machine"
        code=69 ;;
    *)
        say "pip 没有装成，原因见上：排除后再运行一次；若不明白，请把以上各行交给供应方" \
            "pip failed, as it says above: mend that, then run this again; else give these lines to whoever supplied the archive" ;;
    esac
    start_again || true
    exit $code
fi
if install mysqlclient 2>/dev/null && "$prefix/bin/python" -P -c 'import MySQLdb' 2>/dev/null; then
    say "含 MariaDB 和 MySQL 的驱动" "with the driver for MariaDB and MySQL"
else
    say "不含 MariaDB 和 MySQL 的驱动（它需要编译时所用的 Python 和 libmariadb）" \
        "without the driver for MariaDB and MySQL (it needs the Python that it was built for, and libmariadb)"
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
start_again
say "已把 $("$prefix/bin/jinsuo-agent" --version) 装在 $prefix" "installed $("$prefix/bin/jinsuo-agent" --version) in $prefix"
say "操作手册 $prefix/docs/operate.zh-CN.md" "handbook: $prefix/docs/operate.md"
