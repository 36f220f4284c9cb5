#!/usr/bin/env bash
# Lab 3 of the workshop: recordings in a queue, a fleet that grows with it, a worker that is killed, a failure that is replayed. Run by "make lab3".
set -euo pipefail
cd "$(dirname "$0")/.."
. tools/stage.sh
lab_folder lab3

recordings=3 most=3
cat >"$data/profiles.yaml" <<'YAML'
- name: lab
  ladders: [{name: flat, projection: flat, rungs: [{height: 360, crf: 24, maxrate: 800k, bufsize: 1200k, preset: veryfast}, {height: 180, crf: 24, maxrate: 300k, bufsize: 450k, preset: veryfast}]}]
YAML
enqueue() { "$bin"/enqueue "$1" --data "$data" "${@:2}"; }
waiting() { # messages: how many wait, are at work, and will be tried again later
	enqueue status --json --limit 1 | sed -nE 's/.*"waiting":([0-9]+),"in_flight":([0-9]+),"delayed":([0-9]+).*/\1 \2 \3/p'
}
fleet=()
start_worker() {
	"$bin"/worker --data "$data" --profiles "$data/profiles.yaml" --slots 1 --lease 6s --scratch "$data/scratch-$1" --log-format console 2>>"$data/worker-$1.log" &
	fleet[$1]=$!
	pids+=($!)
}

echo "1. record: $recordings recordings of 30 s, as nginx would leave them"
ffmpeg -v error -y -f lavfi -i "testsrc2=s=640x360:r=30" -f lavfi -i "sine=f=330:b=4:r=44100" -t 30 -c:v libx264 -preset ultrafast -g 60 -sc_threshold 0 -b:v 1M \
	-c:a aac -f flv "$data/talk.flv"

echo "2. queue: they are sent, and nobody works yet"
for ((i = 1; i <= recordings; i++)); do enqueue send --profile lab --as "lab/talk-$i" "$data/talk.flv" >>"$data/send.log" 2>&1; done
read -r depth flight later < <(waiting)
echo "   $depth messages wait"

echo "3. fleet: each second, one worker for every two messages that wait or are at work, at most $most. The first is killed as soon as it encodes"
killed='' last=''
began=$SECONDS
while :; do
	read -r depth flight later < <(waiting) || { echo "lab3: enqueue status fails" >&2; exit 1; }
	[ $((depth + flight + later)) -gt 0 ] || break
	[ $((SECONDS - began)) -lt 300 ] || { echo "lab3: the queue is not empty after 300 s; see $data/worker-*.log" >&2; exit 1; }
	alive=0
	for pid in "${fleet[@]}"; do kill -0 "$pid" 2>/dev/null && alive=$((alive + 1)); done
	want=$(((depth + flight + 1) / 2))
	[ $want -le $most ] || want=$most
	now="$depth wait, $flight at work, $alive workers"
	[ $alive -ge $want ] || { start_worker ${#fleet[@]}; now+=", one more"; }
	if [ -z "$killed" ] && [ ${#fleet[@]} -gt 1 ] && kill -STOP "${fleet[0]}"; then # so that it is still at work when it is killed
		if grep -q "part begun" "$data/worker-0.log" && pgrep -P "${fleet[0]}" ffmpeg >/dev/null; then # a worker also asks ffmpeg for its version when it starts
			kill -KILL "${fleet[0]}"
			{ wait "${fleet[0]}" || true; } 2>/dev/null
			killed=yes now+=", one is killed"
		else
			kill -CONT "${fleet[0]}"
		fi
	fi
	[ "$now" = "$last" ] || printf '   %3d s: %s\n' $((SECONDS - began)) "$now"
	last=$now
	sleep 1
done
[ -n "$killed" ] || { echo "lab3: no worker was killed" >&2; exit 1; }
echo "   all work was done after $((SECONDS - began)) s"
again=$(cat "$data"/worker-*.log | grep -c '"outcome": "done", "receives": [2-9]' || true)
tasks=$(cat "$data"/worker-*.log | grep -c '"outcome": "done"' || true)
echo "   of $tasks tasks, $again was done by a second worker, after the first was killed and its lease of 6 s had run out"
[ "$again" -ge 1 ] || { echo "lab3: nobody took up what the killed worker had begun" >&2; exit 1; }
enqueue status | sed 's/^/   /'
for ((i = 1; i <= recordings; i++)); do "$bin"/hlscheck --playlists "$data/vod/lab/talk-$i" >"$data/check-$i.log" || { cat "$data/check-$i.log"; exit 1; }; done

echo "4. a failure: a recording is sent, and disappears before a worker comes"
for pid in "${fleet[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
for pid in "${fleet[@]}"; do wait "$pid" 2>/dev/null || true; done
enqueue send --profile lab --as lab/lost "$data/talk.flv" >>"$data/send.log" 2>&1
mv "$data/recordings/lab/lost.flv" "$data/aside.flv"
last=${#fleet[@]}
start_worker "$last"
until_true 30 "nothing failed; see $data/worker-$last.log" bash -c "'$bin/enqueue' failed --data '$data' | grep -q no_recording"
enqueue failed | sed 's/^/   /'

echo "5. replay: the recording comes back, and the task is replayed"
mv "$data/aside.flv" "$data/recordings/lab/lost.flv"
enqueue replay lab/lost | sed 's/^/   /'
enqueue status --watch --timeout 3m lab/lost >"$data/watch.log" || { cat "$data/watch.log" >&2; exit 1; }
grep published "$data/watch.log" | tail -n 1 | sed 's/^/   /'
"$bin"/hlscheck --playlists "$data/vod/lab/lost" >"$data/check.log" || { cat "$data/check.log"; exit 1; }

cat <<TXT
6. done: the results are in ${data#"$PWD"/}/vod/lab/
   who made what: less ${data#"$PWD"/}/worker-*.log
   to watch them: bin/enqueue serve --data ${data#"$PWD"/}
TXT
