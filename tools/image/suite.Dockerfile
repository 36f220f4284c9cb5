# Where all tests run beside the worker image's own ffmpeg. Built by tools/image.sh.
FROM golang:1.26-trixie AS go

FROM afterlive/worker
USER root
RUN apt-get update && apt-get install -y --no-install-recommends chromium curl gcc git libc6-dev libnginx-mod-rtmp make nginx nodejs npm procps \
	&& cd /tmp && apt-get download ffmpeg && dpkg -x ffmpeg_*.deb x && cp x/usr/bin/ffprobe /usr/bin/ffprobe
COPY --from=go /usr/local/go /usr/local/go
ENV PATH=/usr/local/go/bin:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin GOTOOLCHAIN=local
ENTRYPOINT []
