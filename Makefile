# rungd: `make help` lists what can be done here. Every target works from a clean checkout on Debian 12 with a Rust
# toolchain and root; what a target needs from the system it installs itself, and says so.

SHELL := /bin/sh
.DEFAULT_GOAL := help
export PATH := $(HOME)/.cargo/bin:$(PATH)

# How long `make demo` runs; until interrupted where empty. bash counts in a variable of this name, so it goes to the
# script under another.
SECONDS ?=
# 0: start the appliance and publish nothing.
PUBLISH ?= 1
# Another configuration for `make demo`.
CONFIG ?=
# What the demo is transcoded on: a device as `rungd devices` names it, an engine, or sim-nvidia or sim-vaapi, which are
# simulated drivers.
DEVICE ?=
# 1: keep the demo's recordings and certificate from the run before.
KEEP ?= 0

CARGO_FLAGS ?= --locked
BROWSER := appliance/tests/browser

.PHONY: help
help: ## Say what can be done here
	@echo 'rungd, a live transcoding appliance. Targets:'
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | column -t -s '|' 2>/dev/null \
	  || sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1: \2/p' $(MAKEFILE_LIST)
	@echo 'Variables of make demo: SECONDS=30 PUBLISH=0 CONFIG=file DEVICE=sim-nvidia KEEP=1'

.PHONY: demo
demo: deps-demo $(if $(filter sim-%,$(DEVICE)),sims) ## Build, start the appliance, publish a feed over RTMPS, print where to watch it
	@cargo build $(CARGO_FLAGS) --release --bins -p appliance -p worker
	@DEMO_SECONDS='$(SECONDS)' DEMO_PUBLISH='$(PUBLISH)' DEMO_CONFIG='$(CONFIG)' DEMO_KEEP='$(KEEP)' \
	  DEMO_DEVICE='$(DEVICE)' \
	  exec bash appliance/scripts/demo.sh

.PHONY: test
test: deps-test lint ## Everything that must pass before a change is merged
	@CARGO_FLAGS='$(CARGO_FLAGS)' bash appliance/scripts/test.sh

.PHONY: test-quick
test-quick: deps-build ## The tests that need no media tools: all crates' unit tests, and the house rules
	cargo test $(CARGO_FLAGS) --workspace --lib --bins --test layering --test house_rules

.PHONY: test-faults
test-faults: deps-test build ## Kill workers and the daemon at random instants, and let clocks drift, at length (20 minutes)
	RUNGD_FAULTS=full cargo test $(CARGO_FLAGS) -p appliance --test faults -- --nocapture --test-threads=1
	RUNGD_FAULTS=full cargo test $(CARGO_FLAGS) -p appliance --test live -- --include-ignored --nocapture --test-threads=1 \
	  encoder_cut frozen_disk

.PHONY: test-latency
test-latency: deps-test build ## Measure low latency over two minutes; the bounds are the product's
	LOW_LATENCY_SECONDS=120 cargo test $(CARGO_FLAGS) -p appliance --test live -- low_latency::pictures --nocapture

.PHONY: test-vm
test-vm: deps-build ## In virtual machines without KVM: VA-API on a real render node, power cuts under the archive (four minutes)
	@CARGO_FLAGS='$(CARGO_FLAGS)' bash hwtests/vm/render-node.sh
	@CARGO_FLAGS='$(CARGO_FLAGS)' bash appliance/tests/vm/power-cut.sh ext4 8

.PHONY: build
build: deps-build ## The debug build of everything, tests' binaries excepted
	cargo build $(CARGO_FLAGS) --workspace --bins

.PHONY: release
release: deps-build ## The release build of rungd and rungd-worker
	cargo build $(CARGO_FLAGS) --release --bins -p appliance -p worker

.PHONY: sims
sims: deps-build ## The simulated drivers, into target/sims
	@CARGO_FLAGS='$(CARGO_FLAGS)' bash hwtests/scripts/sims.sh

.PHONY: lint
lint: deps-build ## Formatting, clippy without a warning, and cargo-deny where it is installed
	cargo fmt --all --check
	cargo clippy $(CARGO_FLAGS) --workspace --all-targets -- -D warnings
	@if command -v cargo-deny >/dev/null 2>&1; then cargo deny --offline check bans licenses sources; \
	  else echo 'lint: cargo-deny is not installed; the house_rules test still holds licences, bans and sources'; fi

.PHONY: bench-main
bench-main: deps-demo ## Measure the main job against the ffmpeg command line, and print a table
	@cargo build $(CARGO_FLAGS) --release --bins -p appliance -p worker -p benches
	@exec target/release/bench-main

.PHONY: deps deps-build deps-demo deps-test
deps: deps-test ## Install every system package that any target needs (root)
deps-build:
	@bash appliance/scripts/deps.sh build
deps-demo:
	@bash appliance/scripts/deps.sh demo
deps-test:
	@bash appliance/scripts/deps.sh test

.PHONY: clean-demo
clean-demo: ## Forget the demo: its certificate, logs and recordings
	rm -rf target/demo
