# Everything a newcomer needs: `make run` and `make test`.

CARGO ?= cargo
NEXTEST := $(shell $(CARGO) nextest --version >/dev/null 2>&1 && echo yes)

.PHONY: help run demo test check lint unit doctest regen fmt clean install bench-agentdojo bench-taubench bench-content bench-ledger conformance fuzz test-opa

help: ## What there is
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*##/\t/' | sort

install: ## Install what is missing on this machine
	@deploy/dev/install.sh

run: install ## Build, start everything, show the demo, keep serving
	$(CARGO) build -p proctor
	./target/debug/proctor dev --demo

# What is built for it. One crate by itself may have its libraries with other features than the whole workspace has: whoever
# has built that says so, or they are compiled again.
DEMO_BUILD ?= -p proctor

demo: install ## The same, but stop after the demo; fails if a step is not as it should be
	$(CARGO) build $(DEMO_BUILD)
	./target/debug/proctor dev --demo --exit

SKIPPED := $(CURDIR)/target/skipped-tests

test: ## All checks and tests, and in the end which tests could not be run here
	@deploy/dev/install.sh test
	@mkdir -p target && : > $(SKIPPED)
	PROCTOR_TEST_SKIPPED=$(SKIPPED) $(MAKE) lint unit doctest test-opa
	@echo "Skipped tests: $$(wc -l < $(SKIPPED))"
	@sort $(SKIPPED) | uniq -c

lint:
	$(CARGO) fmt --all --check
	$(CARGO) clippy --workspace --all-targets -- -D warnings

# One Postgres cluster for all tests, each with a database of its own. Binaries and tests in one build: what only tests need
# gives libraries more features, and they would be compiled twice.
unit:
	$(CARGO) build --workspace --bins --tests
ifeq ($(NEXTEST),yes)
	./target/debug/proctor-with-servers --postgres-only $(CARGO) nextest run --workspace --no-fail-fast
else
	./target/debug/proctor-with-servers --postgres-only $(CARGO) test --workspace --lib --bins --tests --no-fail-fast
endif

# Of the whole workspace, though few have some: with the features that everything is built with already.
doctest:
	$(CARGO) test --doc --workspace

test-opa: ## The library's rules and their tests in the reference implementation, OPA itself
	python3 edge/engine/tests/opa.py

bench-agentdojo: install ## Replay AgentDojo's attacks and tasks through a running edge; fails beyond 6 attacks or below 85 tasks
	$(CARGO) build --workspace --bins
	./target/debug/proctor-loadtest agentdojo --attacks-max 6 --untouched-min 85

bench-taubench: install ## Replay tau2-bench's tasks, and attacks from a poisoned catalogue, through a running edge
	$(CARGO) build --workspace --bins
	./target/debug/proctor-loadtest taubench

bench-content: ## The content filter's precision and recall beside presidio's patterns and detect-secrets, on the corpus of the rules and on one unseen; fails where F1 is below presidio's on the first
	$(CARGO) build --release -p proctor
	test -x .proctor/content/bin/python || python3 -m venv .proctor/content
	.proctor/content/bin/pip install -q -r loadtest/content/requirements.txt
	.proctor/content/bin/pip install -q --no-deps -r loadtest/content/requirements-no-deps.txt
	.proctor/content/bin/python loadtest/content/measure.py target/release/proctor
	.proctor/content/bin/python loadtest/content/unseen.py target/release/proctor

BENCH_SECONDS ?= 60

bench-ledger: install ## The ledger's bars in a release build: append and seal beside a bare COPY, decision to committed, offline verification
	$(CARGO) build --release --workspace --bins
	./target/release/proctor-loadtest bench-ledger --seconds $(BENCH_SECONDS)
	$(CARGO) bench -p proctor-ledger --bench verify

conformance: install ## The MCP conformance suite through a running edge; fails unless every required scenario passes
	@deploy/dev/install.sh test
	$(CARGO) build --workspace --bins
	./target/debug/proctor-loadtest conformance

FUZZ_SECONDS ?= 600
FUZZ_TARGETS ?= filter splitter sse prompt stream json token caveat signed audit bundle memory documents policy tools answer openapi

fuzz: install ## Fuzz the content filter, its stream splitter and the parsers of what comes from outside, FUZZ_SECONDS each (600)
	$(CARGO) fuzz --version >/dev/null 2>&1 || $(CARGO) install cargo-fuzz --locked
	for target in $(FUZZ_TARGETS); do \
	  mkdir -p fuzz/corpus/$$target; \
	  $(CARGO) fuzz run $$target --sanitizer none fuzz/corpus/$$target fuzz/seeds/$$target -- \
	    -max_total_time=$(FUZZ_SECONDS) -max_len=65536 -timeout=5 || exit 1; \
	done

regen: ## Renew generated files: gRPC bindings, openapi.json, numbering plans
	PROCTOR_REGEN=1 $(CARGO) test -p proctor-proto --test bootstrap
	PROCTOR_REGEN=1 $(CARGO) test -p proctor-web-api openapi
	PROCTOR_REGEN=1 $(CARGO) test -p proctor-engine --lib the_table_is_that_of_the_library

fmt: ## Format
	$(CARGO) fmt --all

clean: ## Remove the development data (not the build)
	rm -rf .proctor
