#!/bin/bash
# closure.sh PACKAGE...: installs Debian's packages and copies to /closure what a
# container needs of them: the programs named like a package, the libraries that they
# load, and certificates; with each package's licence, and its entry in the form in
# which scanners for vulnerabilities look for it where there is no dpkg.
set -euo pipefail

mkdir -p /closure /empty
find /usr/lib -name '*.so*' -type f -exec sha256sum {} + | sort >/before
apt-get update -q
DEBIAN_FRONTEND=noninteractive apt-get install -y -q --no-install-recommends "$@" >/dev/null

take() { # copies a file, links followed, but not what is in the base as it is
	local real
	real=$(realpath "$1")
	grep -qxF "$(sha256sum "$real")" /before && return
	install -D -m "$(stat -c %a "$real")" "$real" "/closure${2:-$real}"
	owner=$(dpkg-query -S "$real" 2>/dev/null | cut -d: -f1 | head -1 || true)
	[ -z "$owner" ] || echo "$owner" >>/owners
}

for package in "$@"; do
	program=/usr/bin/$package
	[ -x "$program" ] || continue
	take "$program"
	# All into the loader's own folder: the image has no ldconfig run, which would find others.
	folder=$(ldd "$program" | awk '$1 == "libc.so.6" { print $3 }' | xargs realpath | xargs dirname)
	ldd "$program" | awk '$2 == "=>" { print $1, $3 }' | while read -r name path; do
		take "$path" "$folder/$name"
	done
done
take /etc/ssl/certs/ca-certificates.crt

sort -u /owners | while read -r package; do
	install -d /closure/var/lib/dpkg/status.d "/closure/usr/share/doc/$package"
	dpkg-query -s "$package" >"/closure/var/lib/dpkg/status.d/$package"
	cp -L "/usr/share/doc/$package/copyright" "/closure/usr/share/doc/$package/"
done
