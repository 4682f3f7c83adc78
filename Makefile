# The developer's commands. Each rule is one short step; what needs more than a line lies in scripts/.

SHELL := bash
# CI builds from Cargo.lock as it was committed; a developer may be in the middle of a change to it.
LOCKED := $(if $(CI),--locked)
# How many recordings `make chaos` uploads, and which choices it repeats (`make chaos ARGS="--seed 7"`).
TASKS ?= 300
ARGS ?=
# How long `make soak` goes on.
STEPS ?= 1000000
# The recordings for `make parity`; without any, it makes its own. MODEL is basic-pitch, harmonica[:SIZE] or transkun.
FILES ?=
MODEL ?= basic-pitch
# The cluster that `make cluster` leaves running.
NAME ?= dev
# Seconds of piano for `make bench-basic-pitch`; 40 and 600 without any.
LENGTHS ?=

.DEFAULT_GOAL := help
.PHONY: help setup setup-cuda build models demo test lint fmt advisories chaos chaos-short soak parity bench bench-queue bench-models bench-basic-pitch bench-harmonica bench-transkun bench-mt3 bench-gpu bench-api bench-operator bench-fair bench-precision eval manifests charts images images-cuda cluster cluster-down cluster-binaries e2e e2e-short e2e-full e2e-nodepools recordings clean model fuzz sim

help: ## show these commands
	@echo "What's The Tab: recordings in, notes out. Start with 'make demo'."
	@echo
	@sed -n 's/^\([a-z0-9-]*\):[^#]*## \(.*\)/  make \1|\2/p' $(MAKEFILE_LIST) | while IFS='|' read -r command text; do printf '%-18s %s\n' "$$command" "$$text"; done

setup: ## bring what is missing: Debian packages, libtorch (nothing to do: a moment, no network)
	@scripts/setup.sh

setup-cuda: setup ## bring the CUDA side of libtorch too, for machines with an NVIDIA GPU (3 GB more)
	@scripts/setup-cuda.sh

build: setup ## build target/release/wtt, wtt-api and wtt-worker
	@echo "build: cargo build --release"
	@cargo build --release $(LOCKED)

models: build ## get the weights of the default network, once
	@target/release/wtt models pull basic-pitch

demo: models ## start everything, transcribe a recording of our own, show the notes
	@target/release/wtt demo

test: models ## run every test (they start their own Redis and Postgres)
	@echo "test: cargo test --release --workspace"
	@cargo test --release --workspace $(LOCKED)

lint: setup ## formatting, clippy, licences and sources of what we depend on
	@echo "lint: cargo fmt --all --check"
	@cargo fmt --all --check
	@echo "lint: cargo deny --offline check bans licenses sources"
	@cargo fetch --quiet $(LOCKED)
	@tools=$$(scripts/cargo-deny.sh) && PATH="$$tools:$$PATH" cargo deny --offline check --hide-inclusion-graph bans licenses sources
	@echo "lint: cargo clippy --release --workspace --all-targets"
	@cargo clippy --release --workspace --all-targets $(LOCKED) -- -D warnings

fmt: ## format the Rust code
	@cargo fmt --all

advisories: ## look our dependencies up in the RustSec database (needs the network; not part of CI)
	@tools=$$(scripts/cargo-deny.sh) && PATH="$$tools:$$PATH" cargo deny check advisories

chaos: models ## break the running system on purpose for many minutes and count what becomes of each task: TASKS=300
	@target/release/chaos --tasks $(TASKS) $(ARGS)

chaos-short: models ## the same in a minute: SQLite, few tasks, one of each fault that fits (CI runs it)
	@target/release/chaos --short --tasks 40 $(ARGS)

soak: ## random histories of the queue on a real Redis: make soak STEPS=1000000 (QUEUE_TEST_SEED repeats a run)
	@echo "soak: cargo test --release --workspace --test histories -- --ignored soak"
	@STEPS=$(STEPS) cargo test --release --workspace --test histories $(LOCKED) -- --ignored --nocapture soak

parity: models ## compare with the published package, live: make parity MODEL=harmonica:small FILES="a.wav b.flac"
	@MODEL=$(MODEL) scripts/parity/run.sh $(FILES)

eval: models ## what each network finds in pieces whose notes are known (hours, most of them for x-large): make eval MODELS=basic-pitch,harmonica:small
	@scripts/eval/run.sh --write-docs $(ARGS)

manifests: setup ## write manifests/crds anew from the code
	@WTT_WRITE_MANIFESTS=1 cargo test --release --quiet --workspace --test schema $(LOCKED) the_manifests_are_up_to_date
	@cp manifests/crds/*.yaml charts/whats-the-tab-crds/files/

charts: setup ## lint the charts, render them in many ways and check what comes out; with KUBECONFIG also against that API server
	@scripts/charts/check.sh $(ARGS)

images: models ## build the images of the API, the operator and a worker without Docker, or with it (a minute)
	@scripts/images/build.sh api operator worker

images-cuda: models setup-cuda ## build the image of a worker for NVIDIA GPUs and check that it is at most 4.2 GB
	@scripts/images/build.sh worker-cuda

cluster-binaries: ## build Kubernetes and what a node needs from pinned Go modules, into the cache (21 minutes on 2 cores, once)
	@scripts/cluster/build.sh

cluster: ## bring up a Kubernetes node of your own in a namespace of this machine, without Docker: NAME=dev (root)
	@scripts/cluster/up.sh $(NAME)

cluster-down: ## take it down again: NAME=dev
	@scripts/cluster/down.sh $(NAME)

e2e: models ## a cluster, images, charts, and every outcome on real pods (10 minutes and the binaries); ARGS="--only busy"
	@scripts/e2e.sh -- $(ARGS)

e2e-short: models ## the same, short: install, one job by kubectl, 0 -> 1 -> 0, one refusal, uninstall
	@scripts/e2e.sh --short -- $(ARGS)

e2e-full: models ## the same and 50 scale-downs beside busy workers
	@scripts/e2e.sh --full -- $(ARGS)

e2e-nodepools: build ## workers on GPU nodes that the real Karpenter makes, spares while they work, and takes away (5 minutes and its binary, 3; root)
	@scripts/nodepools.sh

# Each goes on where the one before did not keep its promises; the whole fails at the end. Nor does `make -j` make them run at once: they would measure each other.
bench: build ## every benchmark, one after the other (an hour or more); what it prints: docs/performance.md
	@failed=; for part in queue models api; do $(MAKE) --no-print-directory bench-$$part || failed+=" bench-$$part"; done; [ -z "$$failed" ] || { echo "bench: not fine:$$failed" >&2; exit 1; }

bench-queue: build ## the queue beside asynq, BullMQ and RQ, its cost at depth, and how soon a worker has a task (6 minutes, 2 GB of memory)
	@scripts/bench/peers.sh | target/release/bench-queue

bench-api: build ## the API under 32 uploads of 100 MB and 1,000 event streams (a minute, 4 GB of disk)
	@target/release/bench-api

bench-operator: build ## the operator before a real API server and controllers, pods played: latency, 1,000 workers taken away, 10,000 jobs, failover (15 minutes and the binaries; root; ARGS=--short: 4)
	@scripts/bench/operator.sh $(ARGS)

bench-models: build ## time each network beside the published package, one after the other: the targets below, which take one alone
	@failed=; for part in basic-pitch harmonica transkun mt3; do $(MAKE) --no-print-directory bench-$$part FILES= || failed+=" bench-$$part"; done; [ -z "$$failed" ] || { echo "bench: not fine:$$failed" >&2; exit 1; }

bench-basic-pitch: models ## time Basic Pitch beside the published package: make bench-basic-pitch LENGTHS="40 600"
	@scripts/bench/models.sh $(LENGTHS)

bench-harmonica: build ## time Harmonica beside the published package in both of its modes: make bench-harmonica SIZES="nano small"
	@scripts/bench/harmonica.sh $(SIZES)

bench-transkun: build ## time Transkun beside the published package: speed, memory, share of the processor (a quarter of an hour)
	@scripts/bench/transkun.sh $(FILES)

bench-mt3: build ## time MT3 with random weights beside the PyTorch port's way and beside a decoder with a cache: PARTS="equal ragged" (a quarter of an hour)
	@scripts/bench/mt3.sh $(PARTS)

bench-gpu: models ## every network's speed on a GPU from decoded samples on, share of the roofline, profile: DEVICE=cuda:0; DEVICE=cpu is a dry run
	@target/release/wtt models pull transkun
	@echo "bench-gpu: cargo run --release -p transcription --example gpu"
	@DEVICE=$(or $(DEVICE),cuda) cargo run --release --quiet -p transcription $(LOCKED) --example gpu

bench-fair: models ## one recording of an hour and fifty short ones in one worker: make bench-fair MODEL=mt3-tiny LONG_SECONDS=3600 SHORT=50 SLOTS=51 (minutes)
	@MODEL=$(MODEL) LONG_SECONDS=$(LONG_SECONDS) SHORT=$(SHORT) SLOTS=$(SLOTS) scripts/bench/fair.sh

bench-precision: models ## what TF32 and bfloat16 change in the notes of each installed network: make bench-precision DEVICE=cuda FILES="a.wav"
	@echo "bench-precision: cargo run --release -p transcription --example precision"
	@DEVICE=$(or $(DEVICE),cpu) cargo run --release --quiet -p transcription $(LOCKED) --example precision -- $(or $(FILES),$(wildcard transcription/tests/fixtures/*/audio.*))

recordings: ## make the test recordings that parity uses, into target/recordings
	@scripts/parity/run.sh --recordings-only

model: build ## look at every state of the queue protocol's model, faults included (minutes), and plant defects in it
	@target/release/queue-model

fuzz: setup ## feed arbitrary input to the readers of recordings, scores, weights and checkpoints, to the note decoding and to every route: make fuzz SECONDS=60 TARGETS="decode scores notes weights checkpoint multipart routes" (nightly toolchain; its first build is long)
	@scripts/fuzz.sh $(or $(SECONDS),60) $(TARGETS)

sim: build ## our scaler beside KEDA's rule on recorded arrivals, in simulated time, and 10,000 workers taken away (seconds)
	@target/release/operator-sim

clean: ## delete what was built (the cache with libtorch and the weights stays)
	@echo "clean: cargo clean"
	@cargo clean
