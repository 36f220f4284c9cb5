#!/usr/bin/env bash
# The main job, before your eyes: a live 360-degree stream is recorded by nginx, becomes adaptive
# HLS while it is live, and is on demand seconds after its end. Run by "make demo"; with CI=1 it ends by itself.
set -euo pipefail
cd "$(dirname "$0")/.."

data=$PWD/data
origin=$data/origin
. tools/stage.sh

rtmp=$(free_port 1935)
http=$(free_port 8080)
live=$(free_port $((http + 1)))
mkdir -p "$origin"
rm -f "$origin"/rec/demo-*.flv # of a demo that was stopped
cat >"$origin/profiles.yaml" <<'YAML' # what two cores make while they also make the stream
- name: sphere
  ladders:
    - &sphere {name: equirectangular, projection: equirectangular, rungs: [{height: 640, crf: 24, maxrate: 2400k, bufsize: 3600k, preset: superfast}, {height: 320, crf: 25, maxrate: 600k, bufsize: 900k, preset: superfast}]}
- name: spheres
  ladders:
    - *sphere
    - {name: cubemap, projection: cubemap, rungs: &cube [{face: 320, crf: 24, maxrate: 2000k, bufsize: 3000k, preset: superfast}, {face: 160, crf: 25, maxrate: 500k, bufsize: 750k, preset: superfast}]}
    - {name: eac, projection: eac, rungs: *cube}
YAML
printf 'data: %s\nprofile: sphere\n' "$data" >"$origin/afterlive.yaml"

echo "1. origin: nginx takes RTMP on port $rtmp and serves live HLS on port $live"
start_origin "$origin" "$rtmp" "$live"

echo "2. worker: everything is in $data; its log is $data/worker.log"
bin/worker --data "$data" --profiles "$origin/profiles.yaml" --http "127.0.0.1:$http" --log-format console 2>"$data/worker.log" &
pids+=($!)
until_true 10 "the worker did not start; see $data/worker.log" listens "$http"

echo "3. follow: what nginx records goes to the workers while it is recorded; its log is $data/follow.log"
bin/enqueue --config "$origin/afterlive.yaml" follow --log-file "$data/follow.log" "$origin/rec" &
pids+=($!)

seconds=50
echo "4. a live 360-degree stream, $seconds s: a counter of seconds in front, moving colours all around, a tone"
page=http://127.0.0.1:$http/player/
echo "   look at it live: $page?src=http://127.0.0.1:$live/hls/demo/index.m3u8&projection=equirectangular"
tools/source.sh LENGTH="$seconds" "rtmp://127.0.0.1:$rtmp/live/demo" &
publisher=$!
pids+=("$publisher")
until_true 20 "nginx records nothing; see $origin/nginx.log" compgen -G "$origin/rec/demo-*.flv"
asset=live/demo/$(basename "$(compgen -G "$origin/rec/demo-*.flv" | tail -n 1)" .flv)
result=$data/vod/$asset
until_true $((seconds + 60)) "nothing can be watched; see $data/worker.log" test -e "$result/master.m3u8"
echo "   it can be watched from its start, while it is live: $page?asset=$asset"
echo "   beside the origin's own stream, at the same moment: $page?asset=$asset&src=http://127.0.0.1:$live/hls/demo/index.m3u8&projection=equirectangular"
slow=
kill -0 "$publisher" 2>/dev/null || slow="; this machine is slower than the stream, so it is more than"
wait "$publisher"
ended=$(date +%s%N)

echo "5. the stream has ended"
until_true 120 "it is not on demand; see $data/worker.log" bash -c "test -e '$result/asset.json' && ! grep -q '\"live\": true' '$result/asset.json'"
tenths=$((($(date +%s%N) - ended) / 100000000))
echo "   it is on demand, at the same address$slow $((tenths / 10)).$((tenths % 10)) s after its end"

echo "6. the same recording once more, in three projections"
until_true 20 "the recording is not in the store; see $data/follow.log" test -e "$data/recordings/$asset.flv"
bin/enqueue send --data "$data" --profile spheres --as "$asset" "$data/recordings/$asset.flv" >"$data/send.log"
bin/enqueue status --data "$data" --watch --timeout 10m "$(sed -n 's/.* as job \([0-9a-f]*\)$/\1/p' "$data/send.log")"
master=http://127.0.0.1:$http/vod/$asset/master.m3u8

echo "7. done:"
ffprobe -v error -show_entries stream=codec_name,width,height,avg_frame_rate -of compact=p=0 "$master" | grep -v '^$' | sort -u | sed 's/^/   /'
cat <<TXT
   look around in it:              $page?asset=$asset
   all projections, side by side:  $page?asset=$asset&compare=all
   all that can be watched:        http://127.0.0.1:$http/
   for other players:              $master
   files:                          data/vod/$asset/
TXT
[ -z "${CI:-}" ] || exit 0
echo "   Ctrl-C ends the demo; the result stays in data/"
wait
