#!/usr/bin/env bash
# Lab 2 of the workshop: a cache between the origin and its viewers, and what goes wrong with it. Run by "make lab2".
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/stage.sh
lab_folder lab2

rtmp=$(free_port 1935)
live=$(free_port 8081)
echo "1. origin: nginx, with a log of all requests; a live stream of 500 kb/s in segments of 2 s"
start_origin "$data" "$rtmp" "$live" "s|access_log off;|access_log $data/requests.log;|; s|record all|record off|; s|exec_publish .*||"
tools/source.sh PROJECTION=flat SIZE=640x360 BITRATE=500k "rtmp://127.0.0.1:$rtmp/live/talk" 2>"$data/source.log" &
pids+=($!)

echo "2. cache: another nginx in front of it, with four rules for how long copies are good"
rules=(right uncached old through)       # names of the rules
declare -A playlists=([right]=1s [uncached]=0 [old]=30s [through]=1s) segments=([right]=20s [uncached]=20s [old]=20s [through]=0) port
servers=
location() { # pattern, how long copies are good
	echo "location ~ \\.$1\$ {
		proxy_pass http://127.0.0.1:$live;
		proxy_http_version 1.1;
		proxy_set_header Connection '';
		proxy_ignore_headers Cache-Control Expires;
		proxy_cache $([ "$2" = 0 ] && echo off || echo cdn);
		proxy_cache_key \$server_port\$uri;
		proxy_cache_lock on;
		proxy_cache_use_stale updating;
		proxy_cache_valid 200 $2;
	}"
}
from=8090
for rule in "${rules[@]}"; do
	port[$rule]=$(free_port $from)
	from=$((port[$rule] + 1))
	servers+="server { listen 127.0.0.1:${port[$rule]} backlog=4096; $(location m3u8 "${playlists[$rule]}") $(location ts "${segments[$rule]}") }"$'\n'
done
cat >"$data/cache.conf" <<CONF
user $(id -un);
worker_processes 1;
pid $data/cache.pid;
events { worker_connections 4096; }
worker_rlimit_nofile 8192;
http {
	access_log off;
	client_body_temp_path $data/tmp;
	proxy_temp_path $data/tmp;
	fastcgi_temp_path $data/tmp;
	uwsgi_temp_path $data/tmp;
	scgi_temp_path $data/tmp;
	proxy_cache_path $data/cache keys_zone=cdn:10m max_size=1g;
	$servers
}
CONF
nginx -c "$data/cache.conf" -p "$data" -e "$data/cache.log" -g 'daemon off;' &
pids+=($!)
until_true 10 "the cache did not start; see $data/cache.log" listens "${port[through]}"
enough() { [ "$(get "$live" /hls/talk/index.m3u8 | grep -c '\.ts')" -ge 4 ]; }
until_true 60 "the playlist doesn't fill; see $data/nginx.log" enough

seconds=14
watch() { # rule, viewers
	local before after result
	before=$(wc -l <"$data/requests.log")
	result=$("$bin"/viewers -count "$2" -for "${seconds}s" "http://127.0.0.1:${port[$1]}/hls/talk/index.m3u8") || echo "   (requests failed)"
	after=$(wc -l <"$data/requests.log")
	sed -E 's|.*, ([0-9.]+) requests/s, ([0-9.]+) MB/s, ([0-9]+) viewers stalled.*|\1 \2 \3|' <<<"$result" | {
		read -r requests megabytes stalled
		tenths=$(((after - before) * 10 / seconds))
		printf '   | %s | %d | %s | %s | %d.%d | %d |\n' "$3" "$2" "$requests" "$megabytes" $((tenths / 10)) $((tenths % 10)) "$stalled"
	}
}
head='   | copies are good | viewers | requests/s | MB/s | requests/s at the origin | viewers who stalled |
   |---|---|---|---|---|---|'
echo "3. viewers, for $seconds s each: the origin does not see how many there are"
echo "$head"
for viewers in 10 100 1000; do watch right $viewers "playlists 1 s, segments 20 s"; done

echo "4. the same with wrong rules"
echo "$head"
watch uncached 100 "playlists never"
watch through 100 "segments never"
watch old 100 "playlists 30 s"
