#!/usr/bin/env bash
# image.sh build          builds the images of worker and origin, with docker or buildah
# image.sh test           builds them, where no registry is reachable on bases made here from
#                         Debian's packages, and runs jobs in hardened containers
# image.sh suite          runs all tests beside the image's ffmpeg (in a container of Debian 13)
# test and suite start an engine of their own, as root, where none runs.
set -euo pipefail
cd "$(dirname "$0")/.."

go=golang:1.26-trixie
debian=debian:trixie-slim
version=${VERSION:-$(git describe --always --dirty 2>/dev/null || echo unreleased)}
work=$PWD/.tools/image

build() {
	local engine=docker
	docker info >/dev/null 2>&1 || engine=buildah
	command -v $engine >/dev/null || { echo "image.sh: neither a docker that runs nor buildah is here" >&2; exit 1; }
	local verb=build
	[ $engine = docker ] || verb=bud
	for target in worker origin; do
		DOCKER_BUILDKIT=0 $engine $verb --network host --target $target --build-arg "VERSION=$version" -t "afterlive/$target:latest" -t "afterlive/$target:$version" .
	done
}

engine() { # a docker daemon, if need be of our own
	docker info >/dev/null 2>&1 && return
	tools/install.sh image
	mkdir -p "$work"
	export DOCKER_HOST=unix://$work/docker.sock
	dockerd --data-root "$work/data" --exec-root "$work/exec" -H "$DOCKER_HOST" --pidfile "$work/docker.pid" --bridge none --iptables=false >"$work/dockerd.log" 2>&1 &
	engine=$!
	trap 'kill $engine; wait $engine || true' EXIT
	for _ in $(seq 100); do
		docker info >/dev/null 2>&1 && return
		kill -0 $engine 2>/dev/null || break
		sleep 0.2
	done
	echo "image.sh: the docker daemon did not start; see $work/dockerd.log" >&2
	exit 1
}

bases() { # those of Dockerfile: pulled, or made of Debian's packages
	local image root
	for image in $debian $go; do
		docker image inspect $image >/dev/null 2>&1 || timeout 60 docker pull -q $image 2>/dev/null || {
			echo "no $image is to be had; making one"
			tools/install.sh image
			root=$(mktemp -d)
			case $image in
			"$debian") debian_base "$root" ;;
			"$go") go_base "$root" ;;
			esac
			rm -rf "$root"
		}
	done
}

debian_base() {
	local mirror
	mirror=$(cat /etc/apt/sources.list.d/debian.sources /etc/apt/sources.list 2>/dev/null | sed -nE 's/^URIs: *//p; s/^deb (\[[^]]*\] )?([^ ]*).*/\2/p' | head -1 || true)
	debootstrap --variant=minbase trixie "$1" "$mirror" >"$work/debootstrap.log"
	cp tools/image/slim.dpkg "$1/etc/dpkg/dpkg.cfg.d/slim"
	tar -C "$1" --numeric-owner --exclude='./var/cache/apt/*' --exclude='./var/lib/apt/lists/*_*' --exclude='./var/log/*' \
		--exclude='./usr/share/man/*' --exclude='./usr/share/locale/*' --exclude='./usr/share/info/*' --exclude='./usr/share/doc/*/*.gz' \
		--exclude='./dev/*' --exclude='./proc/*' --exclude='./sys/*' -c . | docker import - $debian
}

go_base() { # this machine's Go, and what it trusts: the way to the modules may be its own
	cp -r "$(go env GOROOT)" "$1/go"
	cp "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}" "$1/ca.crt"
	printf '%s\n' "FROM $debian" "COPY go /usr/local/go" "COPY ca.crt /etc/ssl/certs/ca-certificates.crt" \
		"ENV PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin GOTOOLCHAIN=local GOPROXY=$(go env GOPROXY) GOSUMDB=$(go env GOSUMDB)" >"$1/Dockerfile"
	DOCKER_BUILDKIT=0 docker build -q -t $go "$1"
}

suite() { # the worker's image, and what the tests need beside it
	DOCKER_BUILDKIT=0 docker build --network host -q -t afterlive/suite -f tools/image/suite.Dockerfile tools/image
	local clone=$work/suite
	rm -rf "$clone" && git clone -q . "$clone"
	docker run --rm --init --network host --shm-size 1g -v "$clone:/src" -v "$(go env GOMODCACHE):/root/go/pkg/mod" \
		-v "${SSL_CERT_FILE:-/etc/ssl/certs/ca-certificates.crt}:/ca.crt:ro" -e SSL_CERT_FILE=/ca.crt -e NODE_EXTRA_CA_CERTS=/ca.crt \
		-e "GOPROXY=$(go env GOPROXY)" -e "GOSUMDB=$(go env GOSUMDB)" -w /src afterlive/suite \
		env -u AFTERLIVE_SCRATCH -u AFTERLIVE_HTTP make suite
}

case ${1:-} in
build) build ;;
test)
	engine && bases && build
	docker image ls --format '{{.Repository}} {{.Size}}' 'afterlive/*:latest'
	docker history --format '{{.Size}} {{.CreatedBy}}' afterlive/worker:latest | grep -v ^0B
	go test -count=1 -timeout 20m ./e2e -run TestImage -v -image
	;;
suite) engine && bases && build && suite ;;
*) sed -n '2,7s/^# //p' "$0" && exit 2 ;;
esac
