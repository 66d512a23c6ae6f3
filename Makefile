# cordon. `make` alone lists the targets.
GO      ?= go
BIN     := bin/cordon
ARGS    ?=
COMMIT  := $(shell git rev-parse --short=12 HEAD 2>/dev/null)
FUZZTIME ?= 20s
SEEDS   ?= 2000

.PHONY: help build test race lint vuln demo interop drill fuzz bench bench-sip bench-srtp bench-media pgo soak conformance generate clean

help: ## list the targets
	@awk 'BEGIN {FS = ":.*## "} /^[a-z-]+:.*## / {printf "  make %-11s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## build bin/cordon, one static binary
	CGO_ENABLED=0 $(GO) build -trimpath -ldflags '-X main.commit=$(COMMIT)' -o $(BIN) ./cmd/cordon

demo: build ## play the main story on loopback in under a minute; ARGS=--serve leaves it running
	@$(BIN) demo $(ARGS)

test: ## run the tests (under five minutes), with coverage by room
	$(GO) test -pgo=off -timeout 10m -cover ./...

race: ## run the tests under the race detector (needs a C compiler)
	@if [ "$$($(GO) env CGO_ENABLED)" != 1 ] || ! command -v "$$($(GO) env CC)" >/dev/null 2>&1; then \
		echo "race: not run: the race detector needs cgo and a C compiler ($$($(GO) env CC)), and there is none"; exit 3; fi
	CGO_ENABLED=1 $(GO) test -pgo=off -race -timeout 30m ./...

lint: ## vet, staticcheck, gofumpt
	$(GO) vet ./...
	$(GO) tool staticcheck ./...
	@out=$$($(GO) tool gofumpt -l $$(git ls-files '*.go')); if [ -n "$$out" ]; then echo "gofumpt would change:"; echo "$$out"; exit 1; fi
	@echo "lint: clean"

vuln: ## known vulnerabilities of what we import; says "not checked" without its database
	@out=$$($(GO) tool govulncheck ./... 2>&1); code=$$?; \
	if [ $$code -ne 0 ] && [ $$code -ne 3 ]; then echo "$$out" | tail -3; echo "vuln: not checked: the vulnerability database cannot be reached"; exit 3; fi; \
	echo "$$out"; [ $$code -eq 0 ]

interop: build ## real SIPp and baresip calls through a real cordon (installs them with apt-get if missing, needs root for its namespace)
	./internal/interop/install.sh
	CORDON_BIN=$(CURDIR)/$(BIN) $(GO) test -tags interop -count=1 -timeout 25m -v ./internal/interop

drill: build ## the shipped drills under live load between namespaces, with SIPp and baresip: outcome, RTO, losses, time to restore; reports in bin/drill (under an hour; DRILLS=region-loss,kill plays some)
	./internal/interop/install.sh
	mkdir -p bin/drill
	CORDON_BIN=$(CURDIR)/$(BIN) DRILL_REPORTS=$(CURDIR)/bin/drill $(GO) test -tags 'interop drills' -run 'Drill' -parallel 12 -count=1 -timeout 90m -v ./internal/interop

fuzz: ## every fuzz target for FUZZTIME (20s); a failing input is kept and fails again, the tool's own time-out at the end does not
	@set -e; for pkg in $$($(GO) list -pgo=off ./...); do for f in $$($(GO) test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
		echo "fuzz $$pkg $$f"; \
		run() { $(GO) test -run "^$$f$$" -fuzz "^$$f$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg; }; \
		run || { echo "again, to tell a failing input from the end of the time"; run; }; done; done

bench: ## micro-benchmarks of what stands on the path of a call or packet
	$(GO) test -run '^$$' -bench . -benchmem ./sovereign ./routing ./media ./media/srtp ./sip/... ./audit

bench-sip: build ## SIPp calls through cordon, Kamailio and sipgo in turns: ratios, memory, losses (installs what is missing; under four minutes; ARGS=-h)
	./bench/install.sh
	$(GO) build -o bin/bench-sip ./bench/sip
	bin/bench-sip -cordon $(BIN) $(ARGS)

bench-srtp: ## one packet sealed and opened by media/srtp and by pion, for one session and in turn over 2000, each suite: ns, bytes, allocations (under a minute)
	$(GO) run -pgo=off ./bench/srtp $(ARGS)

bench-media: ## calls through cordon's media relay and rtpengine in turns, plain and SRTP: CPU per packet, ratios, delay, loss, floods (installs what is missing; under eight minutes; ARGS=-h)
	./bench/install.sh media
	$(GO) build -o bin/bench-media ./bench/media
	bin/bench-media $(ARGS)

pgo: ## measure what is hot in a call and a packet, for the compiler: cmd/cordon/default.pgo
	@set -e; dir=$$(mktemp -d); trap 'rm -rf "$$dir"' EXIT; \
	hot() { $(GO) test -trimpath -cpu 1 -run '^$$' -bench "^$$2$$" -benchtime $$3 -cpuprofile "$$dir/$$2" -o "$$dir/test" $$1; }; \
	hot ./sip BenchmarkCall 30000x; hot ./audit BenchmarkRecord 20000x; hot ./media BenchmarkPacket 300000x; \
	$(GO) tool pprof -proto -output cmd/cordon/default.pgo "$$dir"/Benchmark* 2>/dev/null

soak: ## a day of virtual calls at 20 % loss over 500 seeds, a storm that moves 10,000 calls, then the whole node for SEEDS seeds (2000)
	@out=$$(CORDON_SOAK=500 $(GO) test -run TestADayOfCalls -count=1 -timeout 3h -v . 2>&1); code=$$?; \
	echo "$$out" | grep -v '^ *\(=== \|--- PASS\)'; exit $$code
	CORDON_STORM=10000 $(GO) test -run TestAStorm -count=1 -timeout 1h -v .
	CORDON_SEEDS=$(SEEDS) $(GO) test -run TestWholeNode -count=1 -timeout 3h .

conformance: build ## run the tests that name an RFC and write docs/reference/sip-conformance.md; ARGS=-interop runs real peers, too
	$(GO) run ./internal/gen/conformance $(ARGS)

generate: ## make generated files again
	$(GO) generate ./...

clean: ## remove what was built
	rm -rf bin
