# The commands of this project. `make help` lists them.
# Building and testing never needs more than Debian packages by name and a Rust toolchain.

CARGO ?= cargo
HOST_TARGET := $(shell rustc -vV | sed -n 's/^host: //p')
# A static binary: hosts with another C library, or none, run it as it is.
STATIC_FLAGS := -C target-feature=+crt-static
TARGET_DIR := $(if $(CARGO_TARGET_DIR),$(CARGO_TARGET_DIR),target)
TOOLS := $(TARGET_DIR)/tools
CARGO_DENY_VERSION := 0.20.2
RELEASE_BIN := $(TARGET_DIR)/$(HOST_TARGET)/release/longshore

.DEFAULT_GOAL := help
.PHONY: help packages check test test-rust demo release bench soak fmt clean

help: ## list the commands
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' $(MAKEFILE_LIST) | expand -t 12

packages: ## install the Debian packages that the build and the tests need (root)
	@.ci/install-packages

$(TOOLS)/bin/cargo-deny:
	$(CARGO) install --quiet --locked --version $(CARGO_DENY_VERSION) --root $(TOOLS) --target-dir $(TOOLS)/build cargo-deny
	@rm -rf $(TOOLS)/build

check: $(TOOLS)/bin/cargo-deny ## formatting, lints, layout, licences, documentation
	$(CARGO) fmt --all --check
	$(CARGO) xtask tidy
	$(TOOLS)/bin/cargo-deny --log-level error check --hide-inclusion-graph bans licenses sources
	$(CARGO) clippy --quiet --workspace --all-targets --all-features -- -D warnings
	RUSTDOCFLAGS="-D warnings" $(CARGO) doc --quiet --workspace --no-deps --document-private-items

test: packages check test-rust ## install what is needed, then check and test everything (root)

test-rust: ## the tests alone
	$(CARGO) xtask test

release: ## the static release binary
	@RUSTFLAGS="$(STATIC_FLAGS)" $(CARGO) build --quiet --release --target $(HOST_TARGET) -p longshore
	@echo "built $(RELEASE_BIN)"

demo: packages release ## the whole job on this machine: target, pod, volumes, and away again (root)
	@$(RELEASE_BIN) demo

bench: packages release ## speed and memory beside peers, as ratios in one run (root; docs/benchmarks.md)
	@$(CARGO) xtask bench --binary $(RELEASE_BIN)

soak: packages ## the long tests: hundreds of repetitions (root)
	@$(CARGO) xtask soak

fmt: ## format the sources
	$(CARGO) fmt --all

clean: ## remove what was built
	$(CARGO) clean
