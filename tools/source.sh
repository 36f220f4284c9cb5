#!/usr/bin/env bash
# source.sh [OPTION=VALUE...] [URL]     streams a test pattern, until Ctrl-C or for LENGTH seconds; by default to rtmp://127.0.0.1:1935/live/source
#
#   PROJECTION=equirectangular          a sphere: a counter of seconds in front, moving colours all around; flat: a test pattern with the counter
#   SIZE=1280x640  RATE=30              pixels and frames a second
#   GOP=2                               seconds from one keyframe to the next
#   BITRATE=3M                          of the video
#   LENGTH=                             seconds; none: until Ctrl-C
#   START=0                             timestamp of the first frame, in seconds
#   KEY=                                the origin's stream key, if it wants one
#
# docs/workshop/source.md explains each option of ffmpeg. Run by "make source" and by the demo; the Debian package has it as afterlive-source.
set -euo pipefail
me=$(basename "$0")

PROJECTION=equirectangular SIZE='' RATE=30 GOP=2 BITRATE=3M LENGTH='' START=0 KEY='' url=rtmp://127.0.0.1:1935/live/source
for a in "$@"; do
	case $a in
	-h | --help) sed -n '2,11s/^# \{0,1\}//p' "$0"; exit ;;
	rtmp://* | rtmps://*) url=$a ;;
	PROJECTION=* | SIZE=* | RATE=* | GOP=* | BITRATE=* | LENGTH=* | START=* | KEY=*) declare "${a%%=*}=${a#*=}" ;;
	*) echo "$me: $a is no option (--help lists them)" >&2; exit 2 ;;
	esac
done
[ -z "$KEY" ] || url=$url?key=$KEY

for a in "$RATE" "$GOP"; do
	case $a in '' | *[!0-9]*) echo "$me: RATE and GOP are whole numbers, not $a" >&2; exit 2 ;; esac
done

case $PROJECTION in
equirectangular)
	SIZE=${SIZE:-1280x640}
	width=${SIZE%x*} height=${SIZE#*x}
	[ "$width" -eq $((2 * height)) ] || { echo "$me: SIZE=$SIZE is not 2:1, as a sphere must be" >&2; exit 2; }
	inputs=(-re -f lavfi -i "gradients=s=$SIZE:r=$RATE:speed=0.02:n=6" -re -f lavfi -i "testsrc=s=480x480:r=$RATE:decimals=1")
	filter="[1]format=yuva444p,v360=flat:e:ih_fov=100:iv_fov=100:w=$width:h=$height:alpha_mask=1[front];[0][front]overlay=shortest=1,format=yuv420p[v]"
	;;
flat)
	inputs=(-re -f lavfi -i "testsrc2=s=${SIZE:-1280x720}:r=$RATE" -re -f lavfi -i "testsrc=s=240x240:r=$RATE:decimals=1")
	filter="[0][1]overlay=x=W-w-16:y=16,format=yuv420p[v]"
	;;
*) echo "$me: PROJECTION=$PROJECTION: there are equirectangular and flat" >&2; exit 2 ;;
esac

exec ffmpeg -v error -nostdin "${inputs[@]}" -f lavfi -i "sine=f=330:b=4:r=44100" -filter_complex "$filter" -map "[v]" -map 2:a \
	${LENGTH:+-t "$LENGTH"} -c:v libx264 -preset ultrafast -r "$RATE" -g $((GOP * RATE)) -sc_threshold 0 -b:v "$BITRATE" \
	-c:a aac -b:a 128k -output_ts_offset "$START" -f flv "$url"
