#!/usr/bin/env bash
# Lab 1 of the workshop: an encoder, an origin, a player; and how far a viewer is behind the camera. Run by "make lab1"; with CI=1 it ends by itself.
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/stage.sh
lab_folder lab1

rtmp=$(free_port 1935)
http=$(free_port 8080)
live=$(free_port $((http + 1)))
apps=
for app in six:6 two:2 mixed:1 one:1; do
	apps+="application ${app%:*} { live on; hls on; hls_path $data/hls/${app%:*}; hls_fragment ${app#*:}s; hls_playlist_length 60s; hls_nested on; } "
done

echo "1. origin: nginx takes RTMP on port $rtmp. It cuts streams into segments of 6, 2 and 1 s: one application for each"
start_origin "$data" "$rtmp" "$live" "s|^        application live {|$apps&|; s|record all|record off|; s|exec_publish .*||"

echo "2. encoder: four test streams. Their timestamps are the time of day, so each segment tells when it was encoded"
midnight=$(date -d 'today 0:00' +%s)
of_day() { echo $((($(date +%s%N) - midnight * 1000000000) / 1000000)); } # ms
publish() { # options, name of the application
	local now
	now=$(of_day)
	tools/source.sh PROJECTION=flat SIZE=640x360 BITRATE=500k "${@:1:$#-1}" START=$((now / 1000)).$(printf %03d $((now % 1000))) "rtmp://127.0.0.1:$rtmp/${*: -1}/clock" 2>>"$data/source.log" &
	pids+=($!)
}
publish GOP=2 six
publish GOP=2 two
publish GOP=2 mixed
publish GOP=1 one

declare -A first # of a segment: the timestamp of its first frame, in ms
began_at() {
	[ -n "${first[$1]:-}" ] || first[$1]=$(ffprobe -v error -select_streams v -show_entries packet=pts_time -read_intervals '%+#1' -of csv=p=0 "$data/hls/$1" | head -n 1 |
		sed -E 's/^([0-9]+)\.([0-9]{3}).*/\1\2/')
	[ -n "${first[$1]}" ] || { echo "lab1: ffprobe finds no frame in $data/hls/$1" >&2; exit 1; }
	began=$((10#${first[$1]}))
}
segments() { get "$live" "/hls/$1/clock/index.m3u8" | grep -v '^#' | tr -d '\r' || true; }
enough() { [ "$(segments six | wc -l)" -ge 3 ] && [ "$(segments two | wc -l)" -ge 3 ] && [ "$(segments mixed | wc -l)" -ge 3 ] && [ "$(segments one | wc -l)" -ge 3 ]; }
until_true 60 "the playlists don't fill; see $data/nginx.log" enough

echo "3. http://127.0.0.1:$live/stat: what the origin knows of them"
get "$live" /stat | tr -d '\r\n' | sed 's/<application>/\n&/g' | sed -nE \
	's#.*<name>(six|two|mixed|one)</name>.*<bw_in>([0-9]+)</bw_in>.*<width>([0-9]+)</width><height>([0-9]+)</height><frame_rate>([0-9]+)[0-9.]*</frame_rate><codec>([^<]*)</codec>.*#   \1: \3x\4, \5 frames/s, \6, \2 bit/s#p'

echo "4. latency: from the encoder to a player that starts one, or as HLS wants it, three segments before the end of the list; mean of 24 looks"
declare -A sum
for ((look = 0; look < 24; look++)); do
	for app in six two mixed one; do
		mapfile -t all < <(segments "$app")
		now=$(of_day)
		for behind in 1 3; do
			began_at "$app/clock/${all[-$behind]}"
			sum[$app$behind]=$((${sum[$app$behind]:-0} + now - began))
		done
	done
	sleep 0.$((30 + RANDOM % 20)) # not in step with the segments
done
printf '   | segments | GOP | player starts | behind the encoder |\n   |---|---|---|---|\n'
row() { # segments, GOP, application, segments before the end
	local mean=$((${sum[$3$4]} / 24))
	printf '   | %s | %s | %d before the end | %d.%d s |\n' "$1" "$2" "$4" $((mean / 1000)) $((mean % 1000 / 100))
}
row "6 s" "2 s" six 3
row "2 s" "2 s" two 3
row "2 s" "2 s" two 1
row "1 s wanted" "2 s" mixed 1
row "1 s" "1 s" one 3
row "1 s" "1 s" one 1

[ -z "${CI:-}" ] || exit 0
"$bin"/worker --data "$data" --http "127.0.0.1:$http" 2>"$data/worker.log" &
pids+=($!)
until_true 10 "the worker did not start; see $data/worker.log" listens "$http"
publish PROJECTION=equirectangular SIZE=1280x640 BITRATE=3M live
zero=$(date +%T)
until_true 30 "the sphere is not there; see $data/source.log" test -s "$data/hls/clock/index.m3u8"
cat <<TXT
5. look around. The counter in front shows the seconds since $zero: what it lacks beside a clock is the latency
   http://127.0.0.1:$http/player/?src=http://127.0.0.1:$live/hls/clock/index.m3u8&projection=equirectangular
   Ctrl-C ends the lab
TXT
wait
