# What the demo and the labs of the workshop share: processes that end with their script, free ports, an origin. Sourced by them.

bin=${BIN:-$PWD/bin}
PATH=$PATH:/usr/sbin # nginx is there, and only root looks there
pids=()

lab_folder() { # a new folder for lab $1: data/$1, or $LAB_DATA
	data=$PWD/data/$1
	if [ -n "${LAB_DATA:-}" ]; then
		data=$LAB_DATA
		[ -z "$(ls -A "$data" 2>/dev/null)" ] || { echo "$1: LAB_DATA=$data is not empty" >&2; exit 1; }
	else
		rm -rf "$data"
	fi
	case $data in
	*[!A-Za-z0-9/._+@~-]*) echo "$1: nginx takes no folder called $data; set LAB_DATA to another" >&2; exit 1 ;;
	/*) mkdir -p "$data" ;;
	*) echo "$1: LAB_DATA must begin with a slash" >&2; exit 1 ;;
	esac
}

finish() {
	trap - EXIT INT TERM
	for pid in "${pids[@]}"; do kill -TERM "$pid" 2>/dev/null || true; done
	for pid in "${pids[@]}"; do wait "$pid" 2>/dev/null || true; done
}
trap finish EXIT
trap 'echo; echo "stopping"; exit 130' INT TERM

free_port() { # the first that nobody listens on, from $1 on
	local port=$1
	while (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
	echo "$port"
}

until_true() { # try $3... every 0.2 s for $1 seconds, or fail with $2
	local tries=$(($1 * 5)) what=$2
	shift 2
	until "$@" >/dev/null 2>&1; do
		tries=$((tries - 1))
		[ $tries -gt 0 ] || { echo "$(basename "$0" .sh): $what" >&2; exit 1; }
		sleep 0.2
	done
}

get() { # what is at http://127.0.0.1:$1$2, or nothing
	local status
	exec 3<>"/dev/tcp/127.0.0.1/$1"
	printf 'GET %s HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' "$2" >&3
	read -r _ status _ <&3
	sed '1,/^\r$/d' <&3 | if [ "$status" = 200 ]; then cat; else cat >/dev/null; fi
	exec 3>&-
}

listens() { # whether somebody listens on port $1
	(: <"/dev/tcp/127.0.0.1/$1") 2>/dev/null
}

# Start nginx/nginx.conf with its files in folder $1, RTMP on port $2 and HTTP on port $3. $4, if given, is what sed does to the configuration besides.
start_origin() {
	mkdir -p "$1"/{rec,hls,tmp}
	: >"$1/hook.log"
	sed -e "s|user www-data;|user $(id -un);|" -e "s|127.0.0.1:1935|127.0.0.1:$2|" -e "s|127.0.0.1:8081|127.0.0.1:$3|" \
		-e "s|/etc/afterlive/afterlive.yaml|$1/afterlive.yaml|" -e "s|/usr/local/bin/enqueue|$bin/enqueue|" \
		-e "s|/run/nginx.pid|$1/nginx.pid|" -e "s|/var/lib/afterlive|$1|" ${4:+-e "$4"} nginx/nginx.conf >"$1/nginx.conf"
	nginx -c "$1/nginx.conf" -p "$1" -e "$1/nginx.log" -g 'daemon off;' &
	pids+=($!)
	until_true 10 "nginx did not start; see $1/nginx.log" listens "$2"
	kill -0 "${pids[-1]}" 2>/dev/null || { echo "nginx ended; see $1/nginx.log" >&2; exit 1; }
}
