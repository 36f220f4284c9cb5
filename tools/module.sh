#!/usr/bin/env bash
# module.sh VERSION DIR: writes the last commit into DIR as Go's module proxy serves it, for GOPROXY=file://DIR. The module's path is under .alt
# (RFC 9476), where no host can be: Go finds it in such a folder, or in a proxy that has it, and nobody can serve another under its name.
set -euo pipefail
cd "$(dirname "$0")/.."
version=$1 module=$(sed -n 's/^module //p' go.mod)
dir=$2/$module/@v
mkdir -p "$dir"
dir=$(cd "$dir" && pwd)
apart=()
while read -r file; do apart+=(":!${file%/go.mod}"); done < <(git ls-files 'tools/*/go.mod') # modules of their own
player=()
[ -e player/web/hls.mjs ] && player=(--prefix="$module@$version/player/web/" --add-file=player/web/hls.mjs) # go install can't fetch it
TZ=UTC git archive --format=zip -o "$dir/$version.zip" "${player[@]}" --prefix="$module@$version/" HEAD -- . "${apart[@]}"
git show HEAD:go.mod >"$dir/$version.mod"
printf '{"Version": "%s", "Time": "%s"}\n' "$version" "$(TZ=UTC git log -1 --date=format-local:%Y-%m-%dT%H:%M:%SZ --format=%cd)" >"$dir/$version.info"
echo "$version" >"$dir/list"
