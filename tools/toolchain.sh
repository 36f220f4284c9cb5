#!/usr/bin/env bash
# toolchain.sh go|node: Go or Node in a version that this Debian lacks, from Go's module proxy or from npm; the Makefile looks for them there first.
# Says and does nothing where they are there. Debian 12 has Go 1.19 and Node 18, Debian 13 has 1.24 and 20.
set -euo pipefail
cd "$(dirname "$0")/.."

least() { [ "$(printf '%s\n' "$1" "$2" | sort -V | head -1)" = "$1" ]; } # $2 is at least $1

case ${1:-} in
go)
	version=1.27.3
	have=$(cd / && GOTOOLCHAIN=local go env GOVERSION 2>/dev/null | sed 's/^go//' || true)
	! least "$(sed -n 's/^go //p' go.mod)" "${have:-0}" || exit 0
	command -v go >/dev/null || tools/install.sh go
	echo "fetching Go $version"
	new=.tools/go.new
	rm -rf $new && mkdir -p .tools
	module=golang.org/toolchain@v0.0.1-go$version.linux-$(dpkg --print-architecture)
	cp -r "$(cd / && GOTOOLCHAIN=local go mod download -json "$module" | sed -n 's/.*"Dir": "\(.*\)".*/\1/p')" $new
	chmod -R u+w $new
	chmod +x $new/bin/* $new/pkg/tool/*/* # a module's files are not executable
	mv $new .tools/go
	;;
node)
	! least 20 "$(node -p process.versions.node 2>/dev/null || echo 0)" || exit 0
	echo "fetching Node"
	npm ci --prefix tools/node --no-audit --no-fund
	;;
*) sed -n '2,3s/^# //p' "$0" && exit 2 ;;
esac
