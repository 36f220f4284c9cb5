#!/usr/bin/env bash
# study.sh [RECORDING.flv]: measures what face size, interpolation and sharpening cost and
# gain, against equirectangular, with the quality option of profiles: the tables of
# docs/360.md. Without a recording, on a made-up planet of 2048x1024.
set -euo pipefail
cd "$(dirname "$0")/.."

data=data/study
mkdir -p $data
recording=${1:-}
if [ -z "$recording" ]; then
	recording=$data/planet.flv
	[ -e $recording ] || go run ./tools/testsphere | ffmpeg -v error -nostdin -y -f rawvideo -s 2048x1024 -pix_fmt yuv420p -r 25 -i pipe:0 \
		-c:v libx264 -preset veryfast -crf 8 -g 50 -f flv $recording
fi
name=$(basename "$recording" .flv)
width=$(ffprobe -v error -select_streams v -show_entries stream=width -of csv=p=0 "$recording")

rungs() { # of one size, $1 being "height: N" or "face: N"
	for crf in 18 23 28 33; do
		echo "        - {$1, crf: $crf, maxrate: 100M, bufsize: 100M, preset: veryfast}"
	done
}
flat() { # $1: name, $2: share of the recording's width
	printf '    - name: %s\n      projection: equirectangular\n      rungs:\n' "$1"
	rungs "height: $(awk "BEGIN { print int($width * $2 / 4) * 2 }")"
}
cubes() { # $1: name, $2: faces, $3: interpolation, $4: sharpen
	for projection in cubemap eac; do
		printf '    - name: %s-%s\n      projection: %s\n      faces: %s\n      interpolation: %s\n      sharpen: %s\n      rungs:\n' \
			$projection "$1" $projection "$2" "$3" "$4"
		rungs "face: $(awk "BEGIN { print int($width * $2 / 16) * 16 }")"
	done
}
profile() { printf -- '- name: %s\n  segment: 2s\n  chunk: 6s\n  quality: 12\n  ladders:\n' "$1"; }

{
	profile faces
	flat full 1
	flat three-quarters 0.866 # of the pixels: as many as a cube with faces of a quarter
	for faces in 20 25 28 318; do cubes $faces 0.$faces cubic 0; done
	profile filters
	flat full 1
	cubes linear 0.25 linear 0
	cubes linear-sharpened 0.25 linear 0.2
	cubes cubic 0.25 cubic 0
	cubes cubic-sharpened 0.25 cubic 0.2
	cubes lanczos 0.25 lanczos 0
	sed -n '/^- name: compare/,$p' ladder/profiles.yaml | sed 's/^- name: compare/- name: built-in\n  segment: 2s\n  quality: 12/'
} >$data/profiles.yaml

for profile in faces filters built-in; do
	bin/enqueue send --data $data --as "$name-$profile" --profile $profile "$recording"
done
bin/worker --data $data --profiles $data/profiles.yaml --exit-when-idle --log-format console --stall 10m 2>$data/worker.log || {
	tail -n 20 $data/worker.log
	exit 1
}
for profile in faces filters built-in; do
	echo
	echo "$name, $profile"
	bin/enqueue quality --data $data "$name-$profile"
done
