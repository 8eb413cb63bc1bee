# What a person types. `make test` is what CI runs first.

CARGO ?= cargo

.PHONY: help test test-deps soak conformance bench lint

help: ## Shows these lines.
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 12

test: test-deps ## Runs every test; installs what they need, or says what to install.
	$(CARGO) test --features full
	CARDEX_BENCH_SCALE=small $(CARGO) test --features full --bench query --bench load --bench sync --bench extract --bench cache --bench serve --bench watch

test-deps: ## Installs the programs and fetches the sources that the tests need.
	tests/deps.sh
	tests/sources.sh

soak: ## Runs the tests of threads, kills and random steps ten to twenty times as long: half an hour.
	SOAK=$${SOAK:-20} $(CARGO) test --features full --test interleavings
	CARDEX_TEST_MODEL_STEPS=1000000 CARDEX_TEST_THREAD_OPERATIONS=1000000 CARDEX_TEST_KILLS=5000 \
		CARDEX_TEST_HISTORY_SECONDS=120 CARDEX_TEST_SYNC_KILLS=4000 CARDEX_TEST_JOURNAL_KILLS=6000 \
		$(CARGO) test --features full --test cache_model --test cache_threads --test cache_kill \
		--test history --test sync_kill --test write_behind
	CARDEX_TEST_LOCK_SECONDS=60 $(CARGO) test --features full --test faults
	CARDEX_TEST_FREEZE_SECONDS=10 CARDEX_TEST_REDIS_ROUNDS=3000 $(CARGO) test --features full --test redis

conformance: ## Holds a running server against schemathesis, promtool and a browser; installs them.
	tests/conformance/run.sh

bench: ## Runs the benches against their peers, alone, for about ten minutes.
	$(CARGO) bench --features full --bench query --bench load --bench sync --bench extract --bench cache --bench serve --bench watch

lint: ## What CI checks after the tests.
	$(CARGO) fmt --check
	$(CARGO) clippy --all-targets --features full -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --no-deps --features full
	$(CARGO) check --no-default-features
	for feature in sqlite extract extract-more watch server redis cli full; do \
		$(CARGO) check --no-default-features --features $$feature || exit 1; \
	done
