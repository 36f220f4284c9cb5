#!/usr/bin/env bash
# deb.sh [ARCH...]: makes the Debian package for these architectures (amd64, arm64; default: this machine's) in dist/.
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
version=${VERSION:-$(git describe --always --dirty 2>/dev/null || echo unreleased)}
# A version of Debian's begins with a digit. Before the first release, packages are made newer by the time of their commit.
case $version in
v[0-9]*) number=${version#v} number=${number/-rc/\~rc} ;;
*) number=0.0.$(git log -1 --format=%ct 2>/dev/null || echo 0)+$version ;;
esac
number=${number//-/.}
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct 2>/dev/null || date +%s) # the same tree makes the same package
export SOURCE_DATE_EPOCH
host=$(go env GOHOSTARCH)
[ $# -gt 0 ] || set -- "$host"
mkdir -p dist
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

programs() { # into folder $1 for architecture $2, by their installed names
	for name in enqueue:afterlive worker:afterlive-worker hlscheck:hlscheck; do
		CGO_ENABLED=0 GOARCH=$2 go build -trimpath -ldflags "-s -w -X afterlive.alt/internal/config.version=$version" -o "$1/${name#*:}" "./cmd/${name%:*}"
	done
}

mkdir -p "$work/man"
programs "$work/host" "$host" # manual pages are the programs' own words
for program in afterlive afterlive-worker; do
	"$work/host/$program" --man | gzip -9n >"$work/man/$program.1.gz"
	"$work/host/$program" --completion >"$work/man/$program"
done

for arch; do
	stage=$work/$arch
	mkdir -p "$stage/usr/bin"
	if [ "$arch" = "$host" ]; then cp "$work/host/"* "$stage/usr/bin/"; else programs "$stage/usr/bin" "$arch"; fi
	install -m755 tools/source.sh "$stage/usr/bin/afterlive-source"
	install -Dm644 -t "$stage/usr/share/man/man1" "$work/man/"*.gz
	install -Dm644 -t "$stage/usr/share/bash-completion/completions" "$work/man/afterlive" "$work/man/afterlive-worker"
	sed -E -f packaging/nginx.sed nginx/nginx.conf >"$stage.nginx.conf"
	STAGE=$stage ARCH=$arch VERSION=$number .tools/bin/nfpm package -f packaging/nfpm.yaml -p deb -t "dist/afterlive_${number}_$arch.deb"
done
