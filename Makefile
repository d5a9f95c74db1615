# Entry points. CMake presets do the work; `make help` lists the targets.
SHELL := /bin/bash
.DEFAULT_GOAL := build
JOBS ?= $(shell nproc)
PREFIX ?= /usr/local

.PHONY: help bootstrap build test test-s3 cuda demo bench gpu-check install format clean \
        check-format-code check-layering check-sanitizers

help:            ## list the targets
	@grep -hE '^[a-z0-9%-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:[^#]*##/\t/' | expand -t 22

bootstrap:       ## install the packages the build needs (Debian; no-op when present)
	@scripts/bootstrap

build: bootstrap ## build the library, rk (build/host/rk), tests and benchmarks
	@scripts/build host -j $(JOBS)

cuda: bootstrap  ## compile all CUDA code for sm_80 and sm_90, warnings are errors
	@scripts/build_cuda -j $(JOBS)

test: build      ## run the tests, then compile the CUDA code where nvcc >= 13 exists
	@status=0; \
	ctest --preset host -j $(JOBS) --output-junit junit.xml || status=1; \
	scripts/build_cuda -j $(JOBS) || status=1; \
	exit $$status

test-s3: build   ## checkpoints in real S3 servers (Ceph, Swift), which it installs and starts on loopback
	@scripts/bootstrap --s3
	@scripts/test_s3

demo: build      ## run a sound through a room, kill it, resume it, compare
	@scripts/demo

bench: build     ## run every benchmark; JSON in build/host/bench/
	@scripts/bench

gpu-check:       ## run what needs a GPU; builds it unless build/gpu_bundle is there
	@scripts/gpu_check

install: build   ## install to PREFIX (default /usr/local)
	cmake --install build/host --prefix $(PREFIX)

format:          ## rewrite the sources with clang-format
	@scripts/format_code -i

check-format-code: ## fail if clang-format would change a file
	@scripts/format_code --dry-run --Werror

check-layering:  ## fail on a forbidden include or atomic
	@python3 tests/layering.py --self-test && python3 tests/layering.py .

check-sanitizers: bootstrap ## run the tests under ASan/UBSan and TSan
	@scripts/check_sanitizers -j $(JOBS)

check-%: build   ## run scripts/check_%: prints PASS|FAIL claim measured bound
	@scripts/check_$(subst -,_,$*)

clean:
	rm -rf build
