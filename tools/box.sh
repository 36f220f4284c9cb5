#!/usr/bin/env bash
# box.sh package                      installs the Debian package in a fresh Debian 12, boots it, and follows docs/one-box.md in it
# box.sh pristine [SUITE] [TARGET…]   makes these targets (default: demo) of the last commit in a fresh Debian (bookworm, trixie) that has but git and make
# Both need root.
set -euo pipefail
cd "$(dirname "$0")/.."
[ "$(id -u)" -eq 0 ] || { echo "box.sh: it makes another Debian, and must be root" >&2; exit 1; }
work=$PWD/.tools/box

fresh() { # Debian $2 in folder $1, with these packages beside the least there is
	local suite=$2 root=$1 mirror
	shift 2
	tools/install.sh box
	mirror=$(cat /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null | sed -nE 's/^URIs: *//p; s/^deb (\[[^]]*\] )?([^ ]*).*/\2/p' | head -1 || true)
	mkdir -p "$work"
	echo "making a fresh Debian ($suite)"
	debootstrap --variant=minbase --include=ca-certificates "$suite" "$root" "$mirror" >"$work/$suite.log"
	printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" # no server starts before it boots
	chmod 755 "$root" "$root/usr/sbin/policy-rc.d"
	cp /etc/resolv.conf "$root/etc/resolv.conf"
	chroot "$root" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >>"$work/$suite.log"
}

package() {
	local base=$work/base
	if [ ! -e "$base" ]; then # once, with what the package needs: the box has no network
		rm -rf "$base.new"
		fresh "$base.new" bookworm systemd-sysv dbus ffmpeg nginx libnginx-mod-rtmp logrotate curl openssl man-db
		rm -f "$base.new/usr/sbin/policy-rc.d" "$base.new"/var/cache/apt/archives/*.deb
		mv "$base.new" "$base"
	fi
	go test -count=1 -timeout 20m ./e2e -run TestBox -v -box "$base"
}

pristine() { # in namespaces of its own, so that all that it starts and mounts ends with it
	local suite=${1:-bookworm}
	shift || true
	root=$(mktemp -d "$work.XXXXXX") # not local: the trap knows it
	trap 'rm -rf "$root"' EXIT
	fresh "$root" "$suite" git make
	git clone -q . "$root/root/afterlive"
	# The way to the modules may be this machine's own.
	cp -L "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$root/etc/ssl/certs/ca-certificates.crt"
	[ ! -e ~/.npmrc ] || grep -v nodedir ~/.npmrc >"$root/root/.npmrc"
	unshare --mount --pid --fork --kill-child bash -euc '
		root=$1 targets=$2
		mount -t proc proc "$root/proc"
		mount -t tmpfs -o mode=755 tmpfs "$root/dev"
		for device in null zero full random urandom tty; do touch "$root/dev/$device"; mount --bind "/dev/$device" "$root/dev/$device"; done
		mkdir "$root/dev/shm" && mount -t tmpfs tmpfs "$root/dev/shm"
		ln -s /proc/self/fd "$root/dev/fd"
		chroot "$root" env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root CI=1 \
			NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt make -C /root/afterlive $targets
	' - "$root" "${*:-demo}"
}

case ${1:-} in
package | pristine) "$@" ;;
*) sed -n '2,4s/^# //p' "$0" && exit 2 ;;
esac
