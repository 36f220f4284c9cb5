#!/usr/bin/env bash
# install.sh USE...: installs what is missing of tools/debian-packages.txt for these
# uses (demo, test). Says nothing, and needs no rights, where all is there.
set -euo pipefail
cd "$(dirname "$0")"

installed() { dpkg-query -W -f='${db:Status-Abbrev}' "$1" 2>/dev/null | grep -q '^ii'; }

missing=()
while read -r use spec; do
	[[ " $* " == *" $use "* ]] || continue
	installed "${spec%%=*}" || missing+=("$spec")
done < <(grep -v '^#' debian-packages.txt)
[ ${#missing[@]} -gt 0 ] || exit 0

echo "installing ${missing[*]}"
sudo=()
if [ "$(id -u)" -ne 0 ]; then
	command -v sudo >/dev/null || { echo "not root, and no sudo: please install ${missing[*]%%=*}" >&2; exit 1; }
	sudo=(sudo)
fi
# Debian starts a server as soon as it is installed, for all the world to see.
policy=/usr/sbin/policy-rc.d
if [ ! -e $policy ]; then
	printf '#!/bin/sh\nexit 101\n' | "${sudo[@]}" tee $policy >/dev/null
	"${sudo[@]}" chmod +x $policy
	trap '"${sudo[@]}" rm -f $policy' EXIT
fi
install=("${sudo[@]}" env DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends)
"${sudo[@]}" apt-get update -q
"${install[@]}" "${missing[@]}" || {
	echo "not in these versions; taking what this release has" >&2
	"${install[@]}" "${missing[@]%%=*}"
}
