# Every command a newcomer or CI needs. `make help` lists them; the recipes only call cargo and scripts/.
# CARGO_TARGET_DIR is respected. ARGS is handed on: make run ARGS='--config my-conf', make bench ARGS=--quick.

TARGET := $(or $(CARGO_TARGET_DIR),target)
ARGS ?=
MINUTES ?= 10

.DEFAULT_GOAL := help
.PHONY: help run build test soak check fmt bench bench-governed bench-instructions bench-ledger route-eval

help: ## this list
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-20s %s\n", $$1, $$2 }' Makefile

run: build ## build a release and serve on 127.0.0.1:8080, with a mock provider until keys are in the environment
	@exec "$(TARGET)/release/flux" serve $(ARGS)

build: ## the release binary, target/release/flux
	@scripts/bootstrap.sh build
	cargo build --release --locked --bin flux

test: ## everything that CI checks: format, lints, docs, tests, SDKs
	@scripts/bootstrap.sh test
	@scripts/test.sh $(ARGS)

soak: ## ten minutes of requests before providers of which every fifth answer goes wrong (MINUTES=10); `make test` has a short one
	@scripts/bootstrap.sh build
	FLUX_SOAK_MINUTES=$(MINUTES) cargo test --locked --test flux soak:: -- --nocapture

check: ## the quick half of `make test`: format and lints
	@scripts/bootstrap.sh build
	@scripts/test.sh fmt lint pure

fmt: ## format the sources
	cargo fmt

bench: ## Flux beside a bare Pingora proxy and nginx, failover, 10,000 idle streams, translation, plan and breakers (ARGS=--quick for a smoke)
	@scripts/bootstrap.sh build
	cargo bench --locked --bench gateway -- compare $(ARGS)
	cargo bench --locked --bench translate -- $(ARGS)
	cargo bench --locked --bench health

bench-governed: ## the same as `bench` with a ceiling, tokens a minute and requests at once switched on for the key
	@scripts/bootstrap.sh build
	FLUX_TARIFFS__HOUSE__CEILING=1000000 FLUX_TARIFFS__HOUSE__TOKENS_PER_MINUTE=1000000000000 \
	FLUX_TARIFFS__HOUSE__CONCURRENT=100000 cargo bench --locked --bench gateway -- compare $(ARGS)

bench-instructions: ## instructions per request; fails on a rise of 5 % (ARGS=--record rewrites the record)
	@scripts/bootstrap.sh instructions
	cargo bench --locked --bench gateway -- instructions $(ARGS)

bench-ledger: ## GET /v1/usage, pages and totals, among 10 million rows; memory and start-up with 100,000 and 1,000,000 keys
	@scripts/bootstrap.sh build
	cargo bench --locked --bench ledger -- rows $(ARGS)
	cargo bench --locked --bench ledger -- keys

route-eval: build ## how well flux-auto routes a labelled set: SET=requests.jsonl (docs/routing.md says its format)
	@test -n "$(SET)" || { echo "make route-eval SET=requests.jsonl"; exit 2; }
	@echo "== what fitting to the set would gain, each source held out"
	@"$(TARGET)/release/flux" calibrate "$(SET)" --dry-run || true
	@echo "== what ships, which saw nothing of the set"
	@"$(TARGET)/release/flux" route --eval "$(SET)" --chart docs/routing.svg $(ARGS)
