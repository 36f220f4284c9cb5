# The images of the fleet's worker and of the live origin: "make image" builds both,
# for docker's classic builder as for buildah.

ARG GO=golang:1.26-trixie
ARG DEBIAN=debian:trixie-slim

FROM ${GO} AS build
WORKDIR /src
COPY go.mod go.sum ./
RUN go mod download
COPY . .
# hls.js comes from npm, which this image hasn't: make image fetches it before.
RUN test -f player/web/hls.mjs || { echo "the player is not built: use make image" >&2; exit 1; }
ARG VERSION=unreleased
RUN CGO_ENABLED=0 GOFLAGS=-buildvcs=false go build -trimpath -o /out/ \
	-ldflags "-s -w -X afterlive.alt/internal/config.version=${VERSION}" ./cmd/worker ./cmd/enqueue

FROM ${DEBIAN} AS origin
RUN apt-get update \
	&& apt-get install -y --no-install-recommends ca-certificates libnginx-mod-rtmp nginx \
	&& rm -rf /var/lib/apt/lists/* /var/cache/apt /var/log/*
COPY nginx/nginx.conf tools/image/origin.sed /etc/afterlive/
# As on a box of its own, but that encoders and the CDN come from outside, the stream's
# key says who may publish, and the environment says where recordings go.
RUN sed -E -i -f /etc/afterlive/origin.sed /etc/afterlive/nginx.conf \
	&& install -d -o 65532 -g 65532 /var/lib/afterlive /var/lib/afterlive/rec /var/lib/afterlive/tmp \
	&& nginx -t -q -c /etc/afterlive/nginx.conf -e stderr && rm /var/lib/afterlive/nginx.pid
COPY --from=build /out/enqueue /usr/local/bin/enqueue
# What runs this image on an instance of EC2: ecs/origin.yaml takes it from here.
COPY ecs/origin /usr/local/share/afterlive/host
VOLUME /var/lib/afterlive
USER 65532:65532
# Streams that are live may end; SIGTERM would leave their recordings to the sweep.
STOPSIGNAL SIGQUIT
EXPOSE 1935 8081
HEALTHCHECK --interval=15s --timeout=5s --start-period=5s CMD ["/bin/bash", "-c", ": </dev/tcp/127.0.0.1/8081"]
ENTRYPOINT ["/usr/sbin/nginx", "-c", "/etc/afterlive/nginx.conf", "-e", "stderr", "-g", "daemon off;"]
ARG VERSION=unreleased
LABEL org.opencontainers.image.title="afterlive origin" \
	org.opencontainers.image.description="Takes live streams over RTMP, serves them as HLS, records them and enqueues the recordings" \
	org.opencontainers.image.licenses="Apache-2.0 AND BSD-2-Clause" \
	org.opencontainers.image.version="${VERSION}"

# Debian's ffmpeg package wants a desktop: OpenGL drivers, with a compiler, and SDL.
# Of all that, only what the program loads goes into the image.
FROM ${DEBIAN} AS ffmpeg
COPY tools/image/closure.sh /
RUN /closure.sh ffmpeg ca-certificates

FROM ${DEBIAN} AS worker
COPY --from=ffmpeg /closure /
COPY --from=build /out/worker /usr/local/bin/worker
# Volumes take their owner from here: of ECS for scratch, of compose.yaml for what it shares with the origin.
COPY --from=ffmpeg --chown=65532:65532 /empty /scratch
COPY --from=origin --chown=65532:65532 /var/lib/afterlive /var/lib/afterlive
VOLUME /scratch
ENV AFTERLIVE_SCRATCH=/scratch AFTERLIVE_HTTP=127.0.0.1:8080
USER 65532:65532
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=15s --timeout=5s --start-period=10s CMD ["/usr/local/bin/worker", "--check-health"]
ENTRYPOINT ["/usr/local/bin/worker"]
ARG VERSION=unreleased
LABEL org.opencontainers.image.title="afterlive worker" \
	org.opencontainers.image.description="Transcodes recordings of live streams, flat or 360 degrees, to HLS" \
	org.opencontainers.image.licenses="Apache-2.0 AND GPL-2.0-or-later" \
	org.opencontainers.image.version="${VERSION}"
