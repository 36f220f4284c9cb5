#!/usr/bin/env bash
# module.sh VERSION DIR: writes the last commit into DIR as a module proxy has it, for GOPROXY=file://DIR, beside what is there. docs/contract.md
# says how others use it. The module's path is under .alt (RFC 9476), where no host can be: Go has it from such a folder, or from a proxy.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$1
# Go wants another path from v2 on, and another spelling of capitals.
[[ $version =~ ^v[01]\.[0-9]+\.[0-9]+(-[0-9a-z.]+)?$ ]] || { echo "module.sh: $version is no version as v0.1.0 or v0.1.0-rc1" >&2; exit 1; }
[ -e player/web/hls.mjs ] || { echo "module.sh: the player is not built: make build" >&2; exit 1; }
module=$(git show HEAD:go.mod | sed -n 's/^module //p')
mkdir -p "$2/$module/@v"
dir=$(cd "$2/$module/@v" && pwd)
mapfile -t apart < <(git ls-tree -r --name-only HEAD tools | sed -n 's#^\(.*\)/go.mod$#:!\1#p') # modules of their own
# hls.js comes from npm, which go install doesn't ask.
TZ=UTC git archive --format=zip -o "$dir/$version.zip" --prefix="$module@$version/player/web/" --add-file=player/web/hls.mjs --prefix="$module@$version/" HEAD -- . "${apart[@]}"
git show HEAD:go.mod >"$dir/$version.mod"
printf '{"Version": "%s", "Time": "%s"}\n' "$version" "$(TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd)" >"$dir/$version.info"
touch "$dir/list"
grep -qxF "$version" "$dir/list" || echo "$version" >>"$dir/list"
