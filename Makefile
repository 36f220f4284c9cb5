# make demo and make test do everything, installs included; make help lists the rest.
SHELL := /bin/bash
TOOLS := .tools/bin
VERSION := $(or $(shell git describe --always --dirty 2>/dev/null),unreleased)
export GOFLAGS := -buildvcs=false
export AFTERLIVE_TEST_BUCKET AFTERLIVE_TEST_QUEUE AFTERLIVE_TEST_ENDPOINT
export PATH := $(CURDIR)/.tools/go/bin:$(CURDIR)/tools/node/node_modules/.bin:$(PATH)

.PHONY: help demo source lab1 lab2 lab3 test build lint soak stores cloud-test audit simulate push deploy image image-test image-suite deb deb-test chart release pristine-test suite bench study fuzz tools install extra clean
.DEFAULT_GOAL := help

help: ## this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/^([a-z-]+):.*## (.*)/  make \1\t\2/' | expand -t 20

demo: install build ## a live 360 stream becomes VOD, on this machine alone (CI=1: ends by itself)
	@tools/demo.sh

source: install ## URL=rtmp://… [PROJECTION=flat SIZE=1280x720 RATE=30 GOP=2 BITRATE=3M LENGTH=60 KEY=…]: streams a test pattern
	@tools/source.sh $(foreach v,PROJECTION SIZE RATE GOP BITRATE LENGTH KEY,$(if $($(v)),$(v)=$($(v)))) $(URL)

lab1: install build ## workshop: encoder, origin, player, and how far viewers are behind (1 minute)
	@tools/lab1.sh

lab2: install build ## workshop: a cache in front of the origin, 10 to 1,000 viewers, and wrong rules (2 minutes)
	@tools/lab2.sh

lab3: install build ## workshop: a queue, a fleet that grows with it, a killed worker, a failure that is replayed (1 minute)
	@tools/lab3.sh

# Tests of many cases of a kind: "make test" tries a share of them, "make soak" all.
MANY := TestPublisherComesBack|TestDifferential|TestHostileMedia|TestTruncatedAnywhere|TestCrashAtEveryStoreOperation|TestEachStoreOperation|TestStitchingIsInvisible|TestFollowed|TestWhatPeopleRecord|TestChunksBeside|TestHeadMisleads|TestNoSeam|TestLoudness|TestOwnAudio|TestTopRendition|TestCopyFallsBack|TestDrift|TestPresentationsKeep|TestTransportStreams

STORES := $(foreach s,minio rclone weed,$(TOOLS)/$(s))
NPM := $(foreach p,fauxqs cloudformation iam,tools/$(p)/node_modules/.package-lock.json)

# Packages in which goroutines meet. In the others the race detector would find nothing, slowly; what e2e runs are binaries.
RACY := ./cmd/... ./site ./internal/blob ./internal/catalog ./internal/ecs ./internal/ffmpeg ./internal/growing ./internal/operate ./internal/queue ./internal/testenv ./internal/webhook ./internal/config ./internal/worker

# Of the long tests, a fifth each day; CI runs all.
TURN ?= $(shell expr $$(date +%j) % 5)

test: install extra tools lint suite ## [TURN=all]: lint, unit tests (with the race detector where goroutines meet), fuzz seeds, conformance, end to end; a fifth of the long tests, or all
	cd tools/simulate && go test -count=1 ./...

build: player/web/hls.mjs ## static binaries in bin/
	CGO_ENABLED=0 go build -trimpath -ldflags "-X afterlive.alt/internal/config.version=$(VERSION)" -o bin/ ./cmd/... ./tools/viewers

lint: $(TOOLS)/golangci-lint player/web/hls.mjs ## golangci-lint, strict, each exception explained in .golangci.yml; types of the player's JavaScript
	$(TOOLS)/golangci-lint run --allow-parallel-runners ./...
	cd tools/simulate && $(CURDIR)/$(TOOLS)/golangci-lint run --allow-parallel-runners ./...
	cd player && npm run --silent check
	GOOS=darwin GOARCH=arm64 go build ./cmd/enqueue ./cmd/hlscheck # what people run on their own machines

soak: install extra tools ## 300 jobs with workers killed all the time and 5 % of all calls failing, a crash at every S3 operation, a recording of 10 hours, a stream of 2 hours with drift, 69 generated recordings against plain ffmpeg, all hostile media (an hour and more)
	go test -count=1 -timeout 150m ./e2e -run 'TestSoak|TestFleetInNamespaces|TestFollowStorm|TestOriginDies|TestPublisherReconnects|TestKilledWorker|TestCrashAtEveryS3Operation|TestTenHours|TestTwoHoursOfDrift' -v -soak
	go test -count=1 -timeout 60m ./pipeline -run '$(MANY)' -corpus

stores: install tools $(STORES) ## the promises of our store on MinIO, SeaweedFS and rclone; builds them first (15 minutes; once a release)
	go test -count=1 ./internal/blob -run TestOtherStores -stores -v

cloud-test: install tools ## AFTERLIVE_TEST_BUCKET=… [AFTERLIVE_TEST_QUEUE=prefix- AFTERLIVE_TEST_ENDPOINT=https://…]: store, queue, a recording, a stream, a clip and failures on AWS, or on any S3 and SQS (docs/deploy.md)
	@test -n "$$AFTERLIVE_TEST_BUCKET" || { echo "name a bucket that tests may write to: make cloud-test AFTERLIVE_TEST_BUCKET=…" >&2; exit 2; }
	go test -count=1 -v -timeout 60m ./internal/blob ./internal/queue ./e2e -run 'TestYour'

audit: install extra tools/audit/node_modules/.package-lock.json ## the templates by cdk-nag and AWS Control Tower's rules: what they find is mended or explained (once a release)
	cd tools/audit && node audit.mjs

simulate: install ## the fleet in virtual time, by the policies of ecs/vod.yaml: compared with a real run, then docs/capacity.md (2 minutes)
	go test -count=1 -v ./e2e -run TestSimulationAgrees -simulate
	cd tools/simulate && go run .

push: image ## REGISTRY=…: pushes the images (docs/deploy.md)
	VERSION=$(VERSION) ecs/deploy.sh push $(REGISTRY)

deploy: player/web/hls.mjs ## STACK=… REGISTRY=… [SET="Name=value …"]: the fleet and its CDN on AWS (docs/deploy.md)
	CGO_ENABLED=0 go build -trimpath -ldflags "-X afterlive.alt/internal/config.version=$(VERSION)" -o bin/ ./cmd/enqueue
	VERSION=$(VERSION) ecs/deploy.sh up $(STACK) $(REGISTRY) $(SET)

image: install player/web/hls.mjs ## container images of worker and origin, with docker or buildah
	VERSION=$(VERSION) tools/image.sh build

image-test: install tools player/web/hls.mjs ## jobs in hardened containers, stopped and continued (as root where no docker runs; 5 minutes)
	VERSION=$(VERSION) tools/image.sh test

image-suite: player/web/hls.mjs ## all tests beside the image's ffmpeg, on Debian 13 (15 minutes)
	VERSION=$(VERSION) tools/image.sh suite

# Lint has vet. Limits bound a test that hangs. How long tests take depends on what else the machine does. Many wait for streams, so more of them than cores run at once.
suite: $(TOOLS)/versitygw $(TOOLS)/ec2-metadata-mock $(NPM) player/web/hls.mjs
	@echo "long tests: turn $(TURN) of 0 to 4 (TURN=all: all of them)"
	AFTERLIVE_TEST_TURN=$(TURN) go test -vet=off -count=1 -p 3 -parallel 4 -timeout 90m $$(go list ./... | grep -vxF "$$(go list $(RACY))")
	AFTERLIVE_TEST_TURN=$(TURN) go test -vet=off -race -short -count=1 -p 4 -parallel 4 -timeout 90m $(RACY) ./pipeline # short: without what is ffmpeg's work alone, which was tested above

deb: install $(TOOLS)/nfpm player/web/hls.mjs ## ARCH="amd64 arm64": the Debian package, in dist/ (docs/one-box.md)
	@VERSION=$(VERSION) tools/deb.sh $(ARCH)

deb-test: install deb ## the package in a fresh Debian: docs/one-box.md, a reboot, an upgrade, a purge (as root; 5 minutes)
	@tools/box.sh package

chart: $(TOOLS)/helm ## the Helm chart (packaging/helm, docs/own-fleet.md): linted, and rendered in each mode; builds Helm first
	$(TOOLS)/helm lint --strict --kube-version 1.31.0 packaging/helm -f packaging/helm/example.yaml
	go test -count=1 ./e2e -run TestChart -v

release: install $(TOOLS)/nfpm $(TOOLS)/helm $(TOOLS)/cyclonedx-gomod player/web/hls.mjs ## what a tagged commit is released as, in dist/: archives, packages, the chart, bills of materials, sums
	@tools/release.sh

pristine-test: install ## SUITE=trixie: make demo in a fresh Debian that has but git and make; TARGET="demo test": and more (as root; 10 minutes)
	@tools/box.sh pristine $(or $(SUITE),bookworm) $(TARGET)

bench: install tools ## FILES="a.flv …": afterlive beside other ways to do the same, in ratios (about an hour)
	go test -run '^$$' -bench . -benchtime 1x -timeout 4h ./bench -files "$(FILES)" -results $(CURDIR)/data/bench/results.json
	go test -run '^$$' -bench . -benchmem ./internal/flv

study: build ## which cube costs how much at which quality; RECORDING=file.flv: on that (about 10 minutes)
	@tools/study.sh $(RECORDING)

fuzz: ## fuzz the FLV scanner for a minute, beyond the kept corpus
	go test -run '^$$' -fuzz FuzzScan -fuzztime 1m -fuzzminimizetime 2s ./internal/flv

tools: $(TOOLS)/versitygw $(TOOLS)/ec2-metadata-mock $(TOOLS)/golangci-lint $(NPM) ## what tests run against, in the versions of tools/

install: ## Debian's ffmpeg, nginx with the RTMP module, and npm, where they are missing; Go, where it is missing or old
	@tools/install.sh demo
	@tools/toolchain.sh go
	@command -v npm >/dev/null || tools/install.sh npm

extra: # the race detector needs a compiler, the player's tests a browser, the tests' SQS Node 20
	@tools/install.sh test
	@tools/toolchain.sh node

$(TOOLS)/versitygw: tools/versitygw/go.mod
	cd tools/versitygw && go build -o $(CURDIR)/$@ github.com/versity/versitygw/cmd/versitygw

$(TOOLS)/ec2-metadata-mock: tools/metadata/go.mod
	cd tools/metadata && go build -o $(CURDIR)/$@ github.com/aws/amazon-ec2-metadata-mock/cmd/ec2-metadata-mock

# In no module of ours: hundreds of dependencies each, for one test or a release.
$(TOOLS)/minio:
	GOBIN=$(CURDIR)/$(TOOLS) go install github.com/minio/minio@v0.0.0-20260212201848-7aac2a2c5b7c

$(TOOLS)/rclone:
	GOBIN=$(CURDIR)/$(TOOLS) go install github.com/rclone/rclone@v1.76.0

$(TOOLS)/weed:
	GOBIN=$(CURDIR)/$(TOOLS) go install github.com/seaweedfs/seaweedfs/weed@v0.0.0-20261109003541-7506e5f91cd6

$(TOOLS)/helm:
	GOBIN=$(CURDIR)/$(TOOLS) go install helm.sh/helm/v3/cmd/helm@v3.22.0

$(TOOLS)/cyclonedx-gomod:
	GOBIN=$(CURDIR)/$(TOOLS) go install github.com/CycloneDX/cyclonedx-gomod/cmd/cyclonedx-gomod@v1.10.0

$(TOOLS)/nfpm: tools/nfpm/go.mod
	cd tools/nfpm && go build -o $(CURDIR)/$@ github.com/goreleaser/nfpm/v2/cmd/nfpm

$(TOOLS)/golangci-lint: tools/lint/go.mod
	cd tools/lint && go build -o $(CURDIR)/$@ github.com/golangci/golangci-lint/v2/cmd/golangci-lint

tools/%/node_modules/.package-lock.json: tools/%/package-lock.json
	@node -e 'process.exit(process.versions.node.split(".")[0] < 20 ? 1 : 0)' || { echo "Node 20 or later is needed for what tests run against" >&2; exit 1; }
	cd tools/$* && npm ci --no-audit --no-fund
	@touch $@

player/web/hls.mjs: player/package-lock.json
	cd player && npm ci --no-audit --no-fund && npm run --silent build
	@touch $@

clean: ## what was built and installed here (not data/)
	rm -rf bin dist .tools tools/*/node_modules player/node_modules player/web/hls.mjs
