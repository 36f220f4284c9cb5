#!/usr/bin/env bash
# release.sh: makes what a release consists of, in dist/: archives for Linux and macOS, Debian packages, the chart, the Go module as a proxy has it,
# a bill of materials (CycloneDX) for each program, and SHA-256 sums. The same commit gives the same bytes. VERSION names an untagged tree, to try it.
set -euo pipefail
umask 022
cd "$(dirname "$0")/.."
version=${VERSION:-$(git describe --exact-match --tags 2>/dev/null)} || { echo "release.sh: this commit has no tag: git tag v1.2.3, or say VERSION=…" >&2; exit 1; }
[[ $version =~ ^v[01]\.[0-9]+\.[0-9]+(-[0-9a-z.]+)?$ ]] || { echo "release.sh: $version is no version as v1.2.3 or v1.2.3-rc1; from v2 on, the path in go.mod must end in /v2" >&2; exit 1; }
[ -z "$(git status --porcelain)" ] || { echo "release.sh: there are changes that are not committed" >&2; exit 1; }
SOURCE_DATE_EPOCH=$(git log -1 --format=%ct)
export SOURCE_DATE_EPOCH
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
rm -rf dist
mkdir -p dist

archive() { # OS ARCH PROGRAM...
	local os=$1 arch=$2 name program
	shift 2
	name=afterlive-$version-$os-$arch
	mkdir -p "$work/$name"
	for program; do
		CGO_ENABLED=0 GOOS=$os GOARCH=$arch go build -trimpath -ldflags "-s -w -X afterlive.alt/internal/config.version=$version" -o "$work/$name/${program#*:}" "./cmd/${program%:*}"
	done
	cp LICENSE README.md CHANGELOG.md "$work/$name/"
	tar -C "$work" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -c "$name" | gzip -9n >"dist/$name.tar.gz"
	echo "dist/$name.tar.gz"
}

for arch in amd64 arm64; do
	archive linux $arch enqueue:afterlive worker:afterlive-worker hlscheck:hlscheck
	archive darwin $arch enqueue:afterlive hlscheck:hlscheck # workers are for Linux
done
VERSION=$version tools/deb.sh amd64 arm64
for program in enqueue:afterlive worker:afterlive-worker hlscheck:hlscheck; do
	.tools/bin/cyclonedx-gomod bin -json -std=false -noserial -notimestamp -version "$version" -output "dist/${program#*:}-$version.cdx.json" "$work/afterlive-$version-linux-amd64/${program#*:}"
done
.tools/bin/helm package packaging/helm --version "${version#v}" --app-version "$version" -d "$work" >/dev/null
mkdir "$work/chart" # Helm writes the time of day into its archive
tar -C "$work/chart" -xzmf "$work/afterlive-${version#v}.tgz"
tar -C "$work/chart" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -c afterlive | gzip -9n >"dist/afterlive-chart-${version#v}.tgz"
tools/module.sh "$version" "$work/module"
tar -C "$work/module" --sort=name --mtime="@$SOURCE_DATE_EPOCH" --owner=0 --group=0 --numeric-owner -c . | gzip -9n >"dist/afterlive-go-module-$version.tar.gz"
(cd dist && sha256sum -- * >SHA256SUMS && cat SHA256SUMS)
